/* delta_scan.h -- the gated delta rule: a matrix per head that maps keys to values, corrected by each row
 * (Yang et al. 2024, "Gated Delta Networks"; with a decay per channel: Kimi Team 2025, "Kimi Linear").
 *
 *     S = diag(decay) S;   S += k (beta (v - S^T k))^T;   y = S^T q
 *
 * q, k: [rows, key heads, N]; v, y: [rows, heads, P]; F32. Head h reads key head h / (heads / key heads), so
 * that neighbours share one. decay: [rows, heads], one number for the whole matrix, or [rows, heads, N], one
 * for each of its rows; beta: [rows, heads]. Decays in [0, 1]; the rule is stable where beta |k|^2 <= 2.
 * State: [heads, N, P]. y may be v.
 *
 *     S   [N, P]   a tile of 32 columns lies in the L1 cache while all rows of a sequence go over it,
 *                  twice each: once to read S^T k, once to correct and to read S^T q
 *
 * In f64 in the reference, the state rounded to f32 row by row; a fast version may differ by 2e-5 of the
 * largest value of the row.
 * Cost: 7 rows heads N P operations; reads 4 rows (2 key heads N + heads P + decay + beta) bytes, writes 4 rows
 * heads P; reads and writes the state of each sequence once, whatever the rows.
 */
#ifndef KERNELS_DELTA_SCAN_DELTA_SCAN_H
#define KERNELS_DELTA_SCAN_DELTA_SCAN_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/state_rows.h"
#include "kernels/op_spec.h"

enum { DELTA_SCAN_FROM = 5 };         /* which input `from` is */

typedef struct DeltaScan {
    Tensor y, q, k, v, decay, beta;
    int32_t heads, shared, N, P;      /* `shared` heads read one key head */
    bool per_channel;                 /* decay */
} DeltaScan;

static inline DeltaScan delta_scan_of(const OpCall *c)
{
    DeltaScan s = {.y = c->out[0], .q = c->in[0], .k = c->in[1], .v = c->in[2], .decay = c->in[3], .beta = c->in[4]};
    s.heads = s.v.dim[1];
    s.shared = s.heads / s.k.dim[1];
    s.N = s.k.dim[2];
    s.P = s.v.dim[2];
    s.per_channel = tensor_width(s.decay) != s.heads;
    ASSERT(s.v.dims == 3 && s.k.dims == 3 && s.shared * s.k.dim[1] == s.heads);
    ASSERT(same_shape(s.y, s.v) && same_shape(s.q, s.k) && tensor_width(s.beta) == s.heads);
    ASSERT(!s.per_channel || tensor_width(s.decay) == (int64_t)s.heads * s.N);
    ASSERT(tensor_width(c->out[1]) == (int64_t)s.heads * s.N * s.P);
    ASSERT(tensor_elems(c->in[DELTA_SCAN_FROM + 2]) == s.y.dim[0]);
    return s;
}

#endif

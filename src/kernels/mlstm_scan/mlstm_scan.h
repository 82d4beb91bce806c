/* mlstm_scan.h -- the matrix memory of xLSTM with exponential gates (Beck et al. 2024, "xLSTM").
 *
 *     kept = ln sigmoid(forget) + m;   m = max(kept, input);   f = e^(kept - m);   i = e^(input - m)
 *     C = f C + i k v^T;   n = f n + i k
 *     y = q^T C / (max(|q.n|, e^-m) + eps)
 *
 * head by head; kept uses the m of the row before. C and n are divided by e^m, so that no e^input overflows.
 *
 * q (already divided by sqrt N), k: [rows, heads, N]; v, y: [rows, heads, P]; input, forget: [rows, heads]; F32.
 * State: C of all heads, [heads, N, P], then n, [heads, N], then m, [heads]. y may be v.
 *
 * The fast version finds the gates, n, m and the divisor of each row first, head by head, and then goes over
 * tiles of C, which lie in the L1 cache through all rows of a sequence (kit/state_tile.h).
 * In f64 in the reference, the state rounded to f32 row by row; a fast version may differ by 1e-4 of the
 * largest value of the row.
 * Cost: rows heads (5 N P + 5 N + 10) operations; reads 4 rows heads (2 N + P + 2) bytes, writes 4 rows heads P;
 * reads and writes the state of each sequence once, whatever the rows.
 */
#ifndef KERNELS_MLSTM_SCAN_MLSTM_SCAN_H
#define KERNELS_MLSTM_SCAN_MLSTM_SCAN_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/state_rows.h"
#include "kernels/op_spec.h"

enum { MLSTM_SCAN_FROM = 5 };         /* which input `from` is */

typedef struct MlstmScan {
    Tensor y, q, k, v, input, forget;
    int32_t heads, N, P;
    float eps;
} MlstmScan;

static inline MlstmScan mlstm_scan_of(const OpCall *c)
{
    MlstmScan s = {.y = c->out[0], .q = c->in[0], .k = c->in[1], .v = c->in[2], .input = c->in[3], .forget = c->in[4],
                   .heads = c->in[2].dim[1], .N = c->in[1].dim[2], .P = c->in[2].dim[2], .eps = c->eps};
    ASSERT(s.v.dims == 3 && s.k.dims == 3 && s.k.dim[1] == s.heads);
    ASSERT(same_shape(s.y, s.v) && same_shape(s.q, s.k));
    ASSERT(tensor_width(s.input) == s.heads && tensor_width(s.forget) == s.heads);
    ASSERT(tensor_width(c->out[1]) == s.heads * ((int64_t)s.N * s.P + s.N + 1));
    ASSERT(tensor_elems(c->in[MLSTM_SCAN_FROM + 2]) == s.y.dim[0]);
    return s;
}

/* Where a head's C, n and m are in the state. */
static inline int64_t mlstm_C(const MlstmScan *s, int32_t h) { return (int64_t)h * s->N * s->P; }
static inline int64_t mlstm_n(const MlstmScan *s, int32_t h) { return mlstm_C(s, s->heads) + (int64_t)h * s->N; }
static inline int64_t mlstm_m(const MlstmScan *s, int32_t h) { return mlstm_n(s, s->heads) + h; }

#endif

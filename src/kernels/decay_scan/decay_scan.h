/* decay_scan.h -- linear attention with a decay: Mamba-2 (Dao & Gu 2024, "Transformers are SSMs"), lightning
 * attention (Qin et al. 2024), RetNet.
 *
 *     S[h][n][p] = decay[r][h] S[h][n][p] + k[r][g][n] v[r][h][p]        g = h / (heads / groups)
 *     y[r][h][p] = sum_n q[r][g][n] S[h][n][p]
 *
 * y, v: [rows, heads, P] F32; q, k: [rows, groups, N]; decay: [rows, heads], or one row (or a vector) for all.
 * y is none of the inputs. In Mamba-2 q is C, k is B, v is dt x and decay is exp(dt A).
 * State: [heads, N, P].
 * Summed in f64 in the reference, the state rounded to f32 row by row; a fast version may differ by 1e-5 of
 * the largest value of the row: a state remembers about 1 / (1 - decay) roundings.
 * Cost: 5 rows heads N P operations; reads 4 rows (heads P + 2 groups N) bytes and the decays, writes
 * 4 rows heads P; reads and writes the state of each sequence once.
 */
#ifndef KERNELS_DECAY_SCAN_DECAY_SCAN_H
#define KERNELS_DECAY_SCAN_DECAY_SCAN_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/state_rows.h"
#include "kernels/op_spec.h"

enum { DECAY_Q, DECAY_K, DECAY_V, DECAY_DECAY, DECAY_FROM };      /* inputs */

typedef struct DecayShape { int32_t heads, groups, N, P; } DecayShape;

static inline DecayShape decay_scan_shape(const OpCall *c)
{
    Tensor y = c->out[0], q = c->in[DECAY_Q], k = c->in[DECAY_K], decay = c->in[DECAY_DECAY];
    DecayShape s = {y.dim[1], q.dim[1], q.dim[2], y.dim[2]};
    ASSERT(y.dims == 3 && q.dims == 3 && same_shape(y, c->in[DECAY_V]) && same_shape(q, k) && q.dim[0] == y.dim[0]);
    ASSERT(k.dim[1] == s.groups && s.heads % s.groups == 0 && c->in[DECAY_V].dim[1] == s.heads);
    ASSERT(tensor_width(decay) == s.heads && has_rows(decay, y.dim[0]));
    ASSERT(tensor_width(c->out[1]) == (int64_t)s.heads * s.N * s.P && tensor_elems(c->in[DECAY_FROM + 2]) == y.dim[0]);
    return s;
}

#endif

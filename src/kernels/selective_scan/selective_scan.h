/* selective_scan.h -- the recurrence of Mamba (Gu & Dao 2023, "Mamba: Linear-Time Sequence Modeling").
 *
 *     h[c][n] = exp(dt[r][c] A[c][n]) h[c][n] + dt[r][c] x[r][c] B[r][n]
 *     y[r][c] = D[c] x[r][c] + sum_n C[r][n] h[c][n]
 *
 * y, x, dt: [rows, width] F32 (dt as it is after softplus); B, C: [rows, N]; A: [width, N], not above 0;
 * D: [width], or NONE: zeros. y may be x or dt.
 * State: [N, width], so that neighbouring channels are neighbours.
 * Summed in f64 in the reference, the state rounded to f32 row by row; a fast version may differ by 1e-5 of
 * the largest value of the row: a state remembers about 1 / (1 - exp(dt A)) roundings.
 * Cost: 7 rows width N operations (an exponential counts as one); reads 8 rows width and 8 rows N bytes,
 * writes 4 rows width; reads and writes the state of each sequence once, A and D once.
 */
#ifndef KERNELS_SELECTIVE_SCAN_SELECTIVE_SCAN_H
#define KERNELS_SELECTIVE_SCAN_SELECTIVE_SCAN_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/state_rows.h"
#include "kernels/op_spec.h"

enum { SCAN_X, SCAN_DT, SCAN_B, SCAN_C, SCAN_A, SCAN_D, SCAN_FROM };      /* inputs */

static inline int32_t selective_scan_states(const OpCall *c) { return (int32_t)tensor_width(c->in[SCAN_A]); }

static inline void selective_scan_check(const OpCall *c)
{
    Tensor y = c->out[0], A = c->in[SCAN_A], D = c->in[SCAN_D];
    int64_t width = tensor_width(y), states = tensor_width(A);
    ASSERT(same_shape(y, c->in[SCAN_X]) && same_shape(y, c->in[SCAN_DT]) && A.dim[0] == width);
    ASSERT(c->in[SCAN_B].dim[0] == y.dim[0] && tensor_width(c->in[SCAN_B]) == states);
    ASSERT(c->in[SCAN_C].dim[0] == y.dim[0] && tensor_width(c->in[SCAN_C]) == states);
    ASSERT(tensor_is_none(D) || tensor_elems(D) == width);
    ASSERT(tensor_width(c->out[1]) == states * width && tensor_elems(c->in[SCAN_FROM + 2]) == y.dim[0]);
}

#endif

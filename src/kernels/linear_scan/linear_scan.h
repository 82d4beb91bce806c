/* linear_scan.h -- a recurrence of each channel by itself.
 *
 *     h = a[r][i] h + w b[r][i];   y[r][i] = h          w = 1, or, where it keeps its size, sqrt(1 - a^2)
 *
 * With w = sqrt(1 - a^2) a signal of variance 1 gives states of variance 1 (the RG-LRU of De et al. 2024,
 * "Griffin"); there the first row of a sequence (from = -1) has w = 1.
 *
 * y, a, b: [rows, C] F32; 0 <= a <= 1 where it keeps its size. State: C values. y may be b.
 * In f64 in the reference, the state rounded to f32 row by row; a fast version may differ by 1e-5 of the
 * largest value of the row: a state remembers about 1 / (1 - a) roundings.
 * Cost: 2 rows C operations (6 where it keeps its size); reads 8 rows C bytes, writes 4 rows C; reads and
 * writes the state of each sequence once.
 */
#ifndef KERNELS_LINEAR_SCAN_LINEAR_SCAN_H
#define KERNELS_LINEAR_SCAN_LINEAR_SCAN_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/state_rows.h"
#include "kernels/op_spec.h"

enum { LINEAR_SCAN_FROM = 2 };        /* which input `from` is */

static inline void linear_scan_check(const OpCall *c)
{
    ASSERT(same_shape(c->out[0], c->in[0]) && same_shape(c->out[0], c->in[1]));
    ASSERT(tensor_width(c->out[1]) == tensor_width(c->out[0]) && tensor_elems(c->in[4]) == c->out[0].dim[0]);
}

#endif

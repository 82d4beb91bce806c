/* shift_scan.h -- a state space whose state moves on by one place with each row: a convolution with few taps, in the
 * form that H3 learns (Fu et al. 2023, "Hungry Hungry Hippos").
 *
 *     h[n] = h[n - 1] + b[n] x[r]  (h[-1] = 0);   y[r] = sum_n c[n] h[n] + skip x[r]
 *
 * channel by channel. It is the convolution of x with K[t] = sum_n b[n] c[n + t] for t < N, skip added to K[0]; where b
 * is 1, 0, 0, ..., h holds the last N rows of x, and K is c.
 *
 * y, x: [rows, C]; b, c: [C, N]; skip: [C] or NONE; F32. State: [C, N]. y may be x.
 *
 * The fast version gives a lane to each channel (kit/turned.h).
 * In f64 in the reference, the state rounded to f32 row by row; a fast version may differ by 5e-6 of the
 * largest value of the row.
 * Cost: rows C (4 N + 2) operations; reads 4 rows C bytes and 8 C N of parameters, writes 4 rows C; reads and writes
 * the state of each sequence once.
 */
#ifndef KERNELS_SHIFT_SCAN_SHIFT_SCAN_H
#define KERNELS_SHIFT_SCAN_SHIFT_SCAN_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/state_rows.h"
#include "kernels/op_spec.h"

enum { SHIFT_SCAN_FROM = 4 };         /* which input `from` is */

typedef struct ShiftScan {
    Tensor y, x, b, c;
    const float *skip;                /* NULL: none */
    int64_t channels;
    int32_t N;
} ShiftScan;

static inline ShiftScan shift_scan_of(const OpCall *c)
{
    ShiftScan s = {.y = c->out[0], .x = c->in[0], .b = c->in[1], .c = c->in[2]};
    s.skip = tensor_is_none(c->in[3]) ? NULL : tensor_f32(c->in[3]);
    s.channels = tensor_width(s.x);
    s.N = (int32_t)tensor_width(s.b);
    ASSERT(same_shape(s.y, s.x) && same_shape(s.b, s.c) && s.b.dim[0] == s.channels);
    ASSERT(!s.skip || tensor_elems(c->in[3]) == s.channels);
    ASSERT(tensor_width(c->out[1]) == s.channels * s.N && tensor_elems(c->in[SHIFT_SCAN_FROM + 2]) == s.y.dim[0]);
    return s;
}

#endif

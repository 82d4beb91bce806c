/* conv.h -- a short causal convolution of each channel by itself.
 *
 *     y[r][c] = f(bias[c] + sum_j w[c][j] x[r - K + 1 + j][c])        j from 0 to K - 1; f as in activate.h
 *
 * where x[r - 1] is the row before in the same sequence, and zeros before its first.
 *
 * y, x: [rows, C] F32; w: [C, K] F32; bias: [C] F32, or NONE: zeros. y may be x.
 * State: [K - 1, C], the last K - 1 rows of x, the oldest first.
 * Summed in f64 in the reference; a fast version may differ by 3e-6 of the largest value of the row, or of
 * the sum of |w x| of a channel where f or the sum makes little of it.
 * Cost: 2 K + 1 operations a value of y; reads and writes 4 rows C bytes; reads and writes the state of each
 * sequence once; reads the weights once.
 */
#ifndef KERNELS_CONV_CONV_H
#define KERNELS_CONV_CONV_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/state_rows.h"
#include "kernels/op_spec.h"

enum { CONV_X, CONV_W, CONV_BIAS, CONV_FROM };      /* inputs */

static inline int32_t conv_taps(const OpCall *c) { return (int32_t)tensor_width(c->in[CONV_W]); }

static inline void conv_check(const OpCall *c)
{
    Tensor y = c->out[0], w = c->in[CONV_W], bias = c->in[CONV_BIAS];
    ASSERT(same_shape(y, c->in[CONV_X]) && w.dim[0] == tensor_width(y));
    ASSERT(tensor_is_none(bias) || tensor_elems(bias) == tensor_width(y));
    ASSERT(tensor_width(c->out[1]) == (conv_taps(c) - 1) * tensor_width(y));
    ASSERT(tensor_elems(c->in[CONV_FROM + 2]) == y.dim[0]);
}

#endif

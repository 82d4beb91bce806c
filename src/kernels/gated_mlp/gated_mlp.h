/* gated_mlp.h
 *
 *     h = act(x gate^T + gate_bias) * (x up^T + up_bias)            [rows, F]
 *     y += h down^T + down_bias                                     [rows, D]
 *
 * Products as in linear.h, act as in activate.h. Fused: x is rounded once, h is rounded as it is made
 * and never leaves the caches for a few rows, and the threads wait for each other twice.
 * A fast version may differ by 2e-5 of the largest |y| of the row where down leaves its activations as
 * they are. Where it rounds them to 8 bits, an h in the middle between two may go the other way, which
 * shows as up to 5e-3 if F is as small as 64. It gives the same bits as its parts on the same tier.
 * Cost: that of its parts, without the two [rows, F] that are not written and read.
 */
#ifndef KERNELS_GATED_MLP_H
#define KERNELS_GATED_MLP_H

enum { MLP_X, MLP_GATE, MLP_UP, MLP_DOWN, MLP_GATE_BIAS, MLP_UP_BIAS, MLP_DOWN_BIAS };   /* in[...] */

#endif

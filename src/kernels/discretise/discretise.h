/* discretise.h -- a diagonal state space in continuous time, dh/dt = a h + b x, y = 2 Re(c h), becomes a
 * recurrence in steps of dt, as complex_scan computes it.
 *
 *     ZERO_ORDER_HOLD   lambda = e^(dt a)                        c' = 2 b c (e^(dt a) - 1) / a
 *     BILINEAR          lambda = (1 + dt a / 2) / (1 - dt a / 2)   c' = 2 b c dt / (1 - dt a / 2)
 *
 * (Gu et al. 2022, "On the Parameterization and Initialization of Diagonal State Space Models"). The 2 Re stands
 * for the other half of the modes, which are the conjugates of these. The kernel of the convolution is
 * K[t] = sum_m Re(c'[m] lambda[m]^t).
 *
 * lambda, c': [C, modes, 2] (or flat), real part first; dt: [C]; c: [C, modes, 2]; a_real, a_imag: [S, modes]; b:
 * [S, modes, 2], or NONE: all 1; F32. S divides C: channel i has row i mod S. a_real < 0, |dt a_imag| < 8192.
 * In f64 in the reference; a fast version may differ by 3e-5 of the largest value of the row: an angle of 100 is
 * rounded to 4e-6.
 * Cost: 60 C modes operations; reads 4 C (2 modes + 1) + 16 S modes bytes, writes 16 C modes. It is done in each step anew:
 * a few percent of a layer's products.
 */
#ifndef KERNELS_DISCRETISE_DISCRETISE_H
#define KERNELS_DISCRETISE_DISCRETISE_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

static inline void discretise_check(const OpCall *c)
{
    Tensor lambda = c->out[0], a = c->in[1], b = c->in[4];
    ASSERT(same_shape(lambda, c->out[1]) && same_shape(lambda, c->in[3]) && same_shape(a, c->in[2]));
    ASSERT(lambda.dim[0] % a.dim[0] == 0 && tensor_width(lambda) == 2 * tensor_width(a));
    ASSERT(tensor_is_none(b) || (b.dim[0] == a.dim[0] && tensor_width(b) == tensor_width(lambda)));
    ASSERT(tensor_elems(c->in[0]) == lambda.dim[0]);
}

#endif

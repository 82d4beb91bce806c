/* discretise.h -- a diagonal state space in continuous time, dh/dt = a h + x, y = 2 Re(c h), becomes a
 * recurrence in steps of dt, as complex_scan computes it.
 *
 *     ZERO_ORDER_HOLD   lambda = e^(dt a)                        c' = 2 c (e^(dt a) - 1) / a
 *     BILINEAR          lambda = (1 + dt a / 2) / (1 - dt a / 2)   c' = 2 c dt / (1 - dt a / 2)
 *
 * (Gu et al. 2022, "On the Parameterization and Initialization of Diagonal State Space Models"). The 2 Re stands
 * for the other half of the modes, which are the conjugates of these. The kernel of the convolution is
 * K[t] = sum_m Re(c'[m] lambda[m]^t).
 *
 * lambda, c': [C, modes, 2] (or flat), real part first; dt: [C]; a_real, a_imag: [C, modes]; c: [C, modes, 2];
 * F32. a_real < 0, |dt a_imag| < 8192.
 * In f64 in the reference; a fast version may differ by 1e-5 of the largest value of the row.
 * Cost: 60 C modes operations; reads 4 C (4 modes + 1) bytes, writes 16 C modes. It is done in each step anew:
 * a few percent of a layer's products.
 */
#ifndef KERNELS_DISCRETISE_DISCRETISE_H
#define KERNELS_DISCRETISE_DISCRETISE_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

static inline void discretise_check(const OpCall *c)
{
    Tensor lambda = c->out[0], a = c->in[1];
    ASSERT(same_shape(lambda, c->out[1]) && same_shape(lambda, c->in[3]) && same_shape(a, c->in[2]));
    ASSERT(lambda.dim[0] == a.dim[0] && tensor_width(lambda) == 2 * tensor_width(a));
    ASSERT(tensor_elems(c->in[0]) == a.dim[0]);
}

#endif

/* complex_scan.h -- a diagonal state space: each channel has `modes` damped oscillations that it sums.
 *
 *     h[m] = lambda[m] h[m] + x[r];   y[r] = sum_m Re(c[m] h[m]) + skip x[r]            h, lambda, c complex
 *
 * which is the causal convolution of x with K[t] = sum_m Re(c[m] lambda[m]^t), skip added to K[0]: S4D (Gu et
 * al. 2022), the diagonal SSM of H3 (Fu et al. 2023), and Hyena's filters in modal form (Massaroli et al. 2023,
 * "Laughing Hyena Distillery"). Each channel has its own lambda, c and skip; kernels/discretise makes them from
 * parameters in continuous time.
 *
 * y, x: [rows, C]; lambda, c: [C, modes, 2] (or flat), real part first; skip: [C] or NONE; F32. State: [C, modes, 2].
 * |lambda| <= 1, or states grow without end. y may be x.
 *
 * The fast version gives a lane to each channel. The 16 channels of a vector have their modes, parameters and
 * states turned so that a vector holds one mode of all of them, in the L1 cache through all rows of a sequence.
 * In f64 in the reference, the state rounded to f32 row by row; a fast version may differ by 5e-5 of the
 * largest value of the row: a mode remembers about 1 / (1 - |lambda|) roundings.
 * Cost: rows C (10 modes + 2) operations; reads 4 rows C bytes and 16 C modes of parameters, writes 4 rows C;
 * reads and writes the state of each sequence once.
 */
#ifndef KERNELS_COMPLEX_SCAN_COMPLEX_SCAN_H
#define KERNELS_COMPLEX_SCAN_COMPLEX_SCAN_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/state_rows.h"
#include "kernels/op_spec.h"

enum { COMPLEX_SCAN_FROM = 4 };       /* which input `from` is */

typedef struct ComplexScan {
    Tensor y, x, lambda, c;
    const float *skip;                /* NULL: none */
    int64_t channels;
    int32_t modes;
} ComplexScan;

static inline ComplexScan complex_scan_of(const OpCall *c)
{
    ComplexScan s = {.y = c->out[0], .x = c->in[0], .lambda = c->in[1], .c = c->in[2]};
    s.skip = tensor_is_none(c->in[3]) ? NULL : tensor_f32(c->in[3]);
    s.channels = tensor_width(s.x);
    s.modes = (int32_t)(tensor_width(s.lambda) / 2);
    ASSERT(same_shape(s.y, s.x) && same_shape(s.lambda, s.c) && tensor_width(s.lambda) % 2 == 0);
    ASSERT(s.lambda.dim[0] == s.channels && (!s.skip || tensor_elems(c->in[3]) == s.channels));
    ASSERT(tensor_width(c->out[1]) == s.channels * 2 * s.modes);
    ASSERT(tensor_elems(c->in[COMPLEX_SCAN_FROM + 2]) == s.y.dim[0]);
    return s;
}

#endif

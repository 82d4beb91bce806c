/* activate.h
 *
 *     y[r][i] = f(x[r][i])
 *
 *     SILU           x / (1 + e^-x)                                    Elfwing et al. 2017
 *     GELU           x/2 (1 + erf(x / sqrt 2))                         Hendrycks & Gimpel 2016
 *     GELU_TANH      x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))     the same paper
 *     RELU           max(x, 0)          RELU_SQUARED   max(x, 0)^2
 *     SIGMOID        1 / (1 + e^-x)     TANH           tanh x
 *     SOFTPLUS       ln(1 + e^x)        EXP            e^x             IDENTITY   x
 *
 * y, x: [rows, width] F32. y may be x.
 * In f64 in the reference; a fast version may differ by 1e-6 of the largest value of the row,
 * or of 0.01 where all are smaller (the far tail of GELU).
 * Cost: rows width operations (one a value, whatever f is); reads 4 rows width bytes, writes as many.
 */
#ifndef KERNELS_ACTIVATE_ACTIVATE_H
#define KERNELS_ACTIVATE_ACTIVATE_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

double activation_of(Activation, double x);      /* the meaning of each name */

#endif

/* xielu.h -- the activation with learned curvature (Huang & Schlag 2024).
 *
 *     y = beta x + alpha_p x^2                            where x > 0
 *     y = beta x + alpha_n (e^min(x, eps) - 1 - x)        elsewhere
 *
 * y, x: [rows, width] F32. y may be x.
 * In f64 in the reference; a fast version may differ by 2e-6 of the largest value of the row.
 * Cost: 8 rows width operations; reads 4 rows width bytes, writes 4 rows width.
 */
#ifndef KERNELS_XIELU_XIELU_H
#define KERNELS_XIELU_XIELU_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

#endif

/* layer_norm.h -- layer normalisation (Ba, Kiros & Hinton 2016).
 *
 *     y[r][i] = (x[r][i] - mean) * gain[i] / sqrt(variance + eps) + bias[i]
 *     mean = mean_j x[r][j]     variance = mean_j (x[r][j] - mean)^2
 *
 * x, y: [rows, width], or [rows, heads, width], where each head is normalised by itself; F32.
 * gain, bias: [width] F32, each may be NONE: all ones, all zeros. y may be x.
 * Summed in f64 in the reference; a fast version may differ by 4e-6 of the largest value of the row
 * as long as the mean is not many times larger than the deviation.
 * Cost: 7 rows width operations; reads 4 rows width + 8 width bytes, writes 4 rows width.
 */
#ifndef KERNELS_LAYER_NORM_LAYER_NORM_H
#define KERNELS_LAYER_NORM_LAYER_NORM_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

#endif

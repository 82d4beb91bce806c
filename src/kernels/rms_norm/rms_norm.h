/* rms_norm.h -- root mean square normalisation (Zhang & Sennrich 2019).
 *
 *     y[r][i] = x[r][i] * gain[i] / sqrt(mean_j x[r][j]^2 + eps)
 *
 * x, y: [rows, width], or [rows, heads, width], where each head is normalised by itself; F32.
 * gain: [width] F32, or NONE: all ones. y may be x.
 * Summed in f64 in the reference; a fast version may differ by 2e-6 of the largest value of the row.
 * Cost: 4 rows width operations; reads 4 rows width + 4 width bytes, writes 4 rows width.
 */
#ifndef KERNELS_RMS_NORM_RMS_NORM_H
#define KERNELS_RMS_NORM_RMS_NORM_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

#endif

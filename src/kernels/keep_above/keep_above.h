/* keep_above.h -- only what stands out of its row stays (Gemma 3n's activation sparsity).
 *
 *     y[r][i] = max(x[r][i] - (mean_j x[r][j] + deviations * std_j x[r][j]), 0)
 *
 * Where the values of a row are spread as a bell, `deviations` says how many stay: 1.645 of them, one in twenty.
 * y, x: [rows, width] F32; std divides by width. y may be x.
 * Summed in f64 in the reference; a fast version may differ by 4e-6 of the largest |x| of the row.
 * Cost: 6 rows width operations; reads 4 rows width bytes, writes 4 rows width.
 */
#ifndef KERNELS_KEEP_ABOVE_KEEP_ABOVE_H
#define KERNELS_KEEP_ABOVE_KEEP_ABOVE_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

#endif

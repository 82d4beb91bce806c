/* clamp.h
 *
 *     y[r][i] = min(max(x[r][i], low), high)
 *
 * y, x: [rows, width] F32. y may be x. A NaN stays a NaN.
 * Exact: every version gives the same bits.
 * Cost: 2 rows width operations; reads 4 rows width bytes, writes 4 rows width.
 */
#ifndef KERNELS_CLAMP_CLAMP_H
#define KERNELS_CLAMP_CLAMP_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

#endif

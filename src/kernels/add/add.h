/* add.h
 *
 *     y[r][i] += factor * x[r][i]
 *
 * y: [rows, width] F32; x the same, or one row (or a vector) for all. y may be x.
 * Exact: one rounding, so every version gives the same bits.
 * Cost: 2 rows width operations (rows width where factor is 1); reads y and x once, writes 4 rows width bytes.
 */
#ifndef KERNELS_ADD_ADD_H
#define KERNELS_ADD_ADD_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

#endif

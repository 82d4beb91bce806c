/* add.h
 *
 *     y[r][i] += x[r][i]
 *
 * y, x: [rows, width] F32. y may be x.
 * Exact: one rounding, so every version gives the same bits.
 * Cost: rows width operations; reads 8 rows width bytes, writes 4 rows width.
 */
#ifndef KERNELS_ADD_ADD_H
#define KERNELS_ADD_ADD_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

#endif

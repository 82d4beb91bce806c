/* fill.h
 *
 *     y[r][i] = factor
 *
 * y: [rows, width] F32. Exact: every version gives the same bits.
 * Cost: writes 4 rows width bytes.
 */
#ifndef KERNELS_FILL_FILL_H
#define KERNELS_FILL_FILL_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

#endif

/* gate.h
 *
 *     y[r][i] = f(gate[r][i]) * up[r][i]          f as in activate.h (Shazeer 2020, "GLU Variants")
 *
 * y, gate, up: [rows, width] F32. y may be gate or up.
 * In f64 in the reference; a fast version may differ by 2e-6 of the largest value of the row.
 * Cost: 2 rows width operations; reads 8 rows width bytes, writes 4 rows width.
 */
#ifndef KERNELS_GATE_GATE_H
#define KERNELS_GATE_GATE_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

#endif

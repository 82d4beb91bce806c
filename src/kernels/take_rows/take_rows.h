/* take_rows.h
 *
 *     y[i] = x[rows[i]]
 *
 * x: [n, width], y: [m, width], both of one format; rows: [m] I32, each in [0, n), in any order and as
 * often as wanted. y may not overlap x.
 * A copy: every version gives the same bits.
 * Cost: no operations; reads and writes m rows.
 */
#ifndef KERNELS_TAKE_ROWS_TAKE_ROWS_H
#define KERNELS_TAKE_ROWS_TAKE_ROWS_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

/* Rows [from, to) of y. */
void take_rows_range(const OpCall *, Range);

#endif

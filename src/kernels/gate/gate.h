/* gate.h
 *
 *     y[r][i] = f(gate[r][i / share]) * up[r][i]          f as in activate.h (Shazeer 2020, "GLU Variants")
 *
 * y, up: [rows, width] F32; gate: [rows, width / share], where a value serves `share` neighbours (one for
 * a whole head, or for a whole row), or one such row (or a vector) for all. y may be up, and gate where
 * they have one shape.
 * In f64 in the reference; a fast version may differ by 2e-6 of the largest value of the row,
 * or of 0.01 where all are smaller.
 * Cost: 2 rows width operations; reads up and gate once, writes 4 rows width bytes.
 */
#ifndef KERNELS_GATE_GATE_H
#define KERNELS_GATE_GATE_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

/* How many neighbours share a value of the gate. */
static inline int64_t gate_share(const OpCall *c)
{
    Tensor y = c->out[0], gate = c->in[0];
    ASSERT(same_shape(y, c->in[1]) && has_rows(gate, y.dim[0]));
    ASSERT(tensor_width(gate) > 0 && tensor_width(y) % tensor_width(gate) == 0);
    return tensor_width(y) / tensor_width(gate);
}

#endif

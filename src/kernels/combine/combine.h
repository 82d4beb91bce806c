/* combine.h
 *
 *     y[r] += sum_i weights[r][i] x[r][i]                   i upwards
 *
 * y: [rows, width] F32; x: [rows, k, width] F32; weights: [rows, k] F32, or none: all 1.
 * Where ids ([rows, k] I32) are given, self[r] ([rows, width] F32) stands for x[r][i] whose id is `experts` or more:
 * an expert that returns what it is given (Zhang et al. 2024, "zero-computation experts"). y may not be self.
 * Summed in f64 in the reference; a fast version may differ by 2e-6 of the largest |y| of the row.
 * Cost: 2 rows k width operations; reads x, y and the weights once, writes y.
 */
#ifndef KERNELS_COMBINE_COMBINE_H
#define KERNELS_COMBINE_COMBINE_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

enum { COMBINE_X, COMBINE_WEIGHTS, COMBINE_IDS, COMBINE_SELF };   /* in[...] */

static inline void combine_check(const OpCall *c)
{
    Tensor y = c->out[0], x = c->in[COMBINE_X];
    ASSERT(c->reads_out && x.dims == 3 && x.dim[0] == y.dim[0] && x.dim[2] == tensor_width(y));
    ASSERT(tensor_is_none(c->in[COMBINE_WEIGHTS]) || tensor_width(c->in[COMBINE_WEIGHTS]) == x.dim[1]);
    ASSERT(tensor_is_none(c->in[COMBINE_IDS]) ||
           (tensor_width(c->in[COMBINE_IDS]) == x.dim[1] && same_shape(c->in[COMBINE_SELF], y)));
}

/* What row r adds of its i-th expert. */
static inline const float *combine_part(const OpCall *c, int64_t r, int32_t i)
{
    Tensor x = c->in[COMBINE_X], ids = c->in[COMBINE_IDS];
    if (!tensor_is_none(ids) && ((const int32_t *)tensor_row(ids, r))[i] >= c->combine.experts)
        return f32_row(c->in[COMBINE_SELF], r);
    return f32_row(x, r) + (int64_t)i * x.dim[2];
}

#endif

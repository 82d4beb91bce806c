/* match_rms.h -- a row becomes as large as another (the alternating updates of Gemma 3n).
 *
 *     y[r] = x[r] * sqrt(mean_j of[r][j]^2) / sqrt(max(mean_j x[r][j]^2, least))
 *
 * x, y: [rows, width], or [rows, heads, width], where each head is as large as `of` by itself; of: [rows, any width];
 * F32. y may be x, not `of`. least > 0 is call.eps.
 * Summed in f64 in the reference; a fast version may differ by 4e-6 of the largest value of the row.
 * Cost: 4 operations for each value of x, 2 for each of `of`; reads both once, writes y.
 */
#ifndef KERNELS_MATCH_RMS_MATCH_RMS_H
#define KERNELS_MATCH_RMS_MATCH_RMS_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

static inline void match_rms_check(const OpCall *c)
{
    Tensor y = c->out[0], x = c->in[0], of = c->in[1];
    ASSERT(same_shape(y, x) && of.dim[0] == x.dim[0] && c->eps > 0);
}

#endif

/* rms_norm.h -- root mean square normalisation (Zhang & Sennrich 2019).
 *
 *     y[r][i] = x[r][i] * gain[i] / sqrt(mean_j x[r][j]^2 + eps)
 *
 * x, y: [rows, width], or [rows, heads, width], where each head is normalised by itself; F32.
 * gain: F32, [width], [heads width] (a grouped norm), or NONE: all ones. y may be x.
 * Summed in f64 in the reference; a fast version may differ by 2e-6 of the largest value of the row.
 * Cost: 4 rows width operations; reads 4 rows width + 4 gain bytes, writes 4 rows width.
 */
#ifndef KERNELS_RMS_NORM_RMS_NORM_H
#define KERNELS_RMS_NORM_RMS_NORM_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

/* The gain of one head is so many elements further than that of the head before. */
static inline int64_t gain_step(const OpCall *c)
{
    Tensor x = c->in[0], gain = c->in[1];
    if (tensor_is_none(gain) || tensor_width(gain) == innermost(x))
        return 0;
    ASSERT(tensor_width(gain) == tensor_width(x));
    return innermost(x);
}

#endif

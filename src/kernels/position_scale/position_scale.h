/* position_scale.h
 *
 *     x[r][i] *= 1 + growth ln(1 + floor((positions[r] + offset) / floor))
 *
 * x: [rows, width] F32; positions: [rows] I32, not negative; floor >= 1, offset >= 0. The factor is computed in f64 and
 * rounded once, so every version gives the same bits. ("Attention temperature tuning" of Llama 4, 2025.)
 * Cost: rows width operations; reads and writes 4 rows width bytes.
 */
#ifndef KERNELS_POSITION_SCALE_POSITION_SCALE_H
#define KERNELS_POSITION_SCALE_POSITION_SCALE_H

#include <math.h>

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

static inline float position_factor(PositionScale s, int32_t position)
{
    int64_t steps = ((int64_t)position + s.offset) / s.floor;
    return (float)(1 + (double)s.growth * log(1 + (double)steps));
}

#endif

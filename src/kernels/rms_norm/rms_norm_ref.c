#include "kernels/rms_norm/rms_norm.h"

#include <math.h>

static void norm(float *y, const float *x, const float *gain, int32_t width, double eps)
{
    double squares = 0;
    for (int32_t i = 0; i < width; i++)
        squares += (double)x[i] * x[i];
    double factor = 1 / sqrt(squares / width + eps);
    for (int32_t i = 0; i < width; i++)
        y[i] = (float)(x[i] * factor * (gain ? gain[i] : 1));
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    Tensor y = c->out[0], x = c->in[0];
    int32_t width = innermost(x);
    const float *gain = tensor_is_none(c->in[1]) ? NULL : tensor_f32(c->in[1]);
    int64_t step = gain_step(c);
    ASSERT(same_shape(y, x));
    for (int64_t r = 0; r < x.dim[0]; r++)
        for (int64_t h = 0, at = 0; at < tensor_width(x); h++, at += width)
            norm(f32_row_out(y, r) + at, f32_row(x, r) + at, gain ? gain + h * step : NULL, width, c->eps);
}

static OpCost cost(const OpCall *c)
{
    Tensor x = c->in[0];
    return (OpCost){.operations = 4 * (double)tensor_elems(x), .weight_bytes = bytes_moved(c->in[1]),
                    .activation_bytes = 2 * bytes_moved(x)};
}

const CpuKernel kernel_rms_norm_reference = {.phases = 1, .run = run};
const OpSpec spec_rms_norm = {.cost = cost, .tolerance = 2e-6f};

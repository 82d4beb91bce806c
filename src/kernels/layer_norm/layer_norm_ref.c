#include "kernels/layer_norm/layer_norm.h"

#include <math.h>

static void norm(float *y, const float *x, const float *gain, const float *bias, int32_t width, double eps)
{
    double sum = 0, squares = 0;
    for (int32_t i = 0; i < width; i++)
        sum += x[i];
    double mean = sum / width;
    for (int32_t i = 0; i < width; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    double factor = 1 / sqrt(squares / width + eps);
    for (int32_t i = 0; i < width; i++)
        y[i] = (float)((x[i] - mean) * factor * (gain ? gain[i] : 1) + (bias ? bias[i] : 0));
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    Tensor y = c->out[0], x = c->in[0];
    int32_t width = innermost(x);
    const float *gain = tensor_is_none(c->in[1]) ? NULL : tensor_f32(c->in[1]);
    const float *bias = tensor_is_none(c->in[2]) ? NULL : tensor_f32(c->in[2]);
    ASSERT(same_shape(y, x) && (!gain || tensor_width(c->in[1]) == width) &&
           (!bias || tensor_width(c->in[2]) == width));
    for (int64_t r = 0; r < x.dim[0]; r++)
        for (int64_t at = 0; at < tensor_width(x); at += width)
            norm(f32_row_out(y, r) + at, f32_row(x, r) + at, gain, bias, width, c->eps);
}

static OpCost cost(const OpCall *c)
{
    Tensor x = c->in[0];
    return (OpCost){.operations = 7 * (double)tensor_elems(x),
                    .weight_bytes = bytes_moved(c->in[1]) + bytes_moved(c->in[2]),
                    .activation_bytes = 2 * bytes_moved(x)};
}

const CpuKernel kernel_layer_norm_reference = {.phases = 1, .run = run};
const OpSpec spec_layer_norm = {.cost = cost, .tolerance = 4e-6f};

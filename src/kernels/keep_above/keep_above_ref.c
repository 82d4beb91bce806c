#include "kernels/keep_above/keep_above.h"

#include <math.h>

static void keep(float *y, const float *x, int64_t width, double deviations)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < width; i++)
        sum += x[i];
    double mean = sum / (double)width;
    for (int64_t i = 0; i < width; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    double cut = mean + deviations * sqrt(squares / (double)width);
    for (int64_t i = 0; i < width; i++)
        y[i] = x[i] > cut ? (float)(x[i] - cut) : 0;
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    Tensor y = c->out[0], x = c->in[0];
    ASSERT(same_shape(y, x));
    for (int64_t r = 0; r < y.dim[0]; r++)
        keep(f32_row_out(y, r), f32_row(x, r), tensor_width(y), c->factor);
}

static OpCost cost(const OpCall *c)
{
    Tensor y = c->out[0];
    return (OpCost){.operations = 6 * (double)tensor_elems(y), .activation_bytes = 2 * bytes_moved(y)};
}

const CpuKernel kernel_keep_above_reference = {.phases = 1, .run = run};
const OpSpec spec_keep_above = {.cost = cost, .tolerance = 4e-6f};

#include "kernels/clamp/clamp.h"

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    Tensor y = c->out[0], x = c->in[0];
    float low = c->clamp.low, high = c->clamp.high;
    ASSERT(same_shape(y, x) && low <= high);
    for (int64_t r = 0; r < y.dim[0]; r++)
        for (int64_t i = 0; i < tensor_width(y); i++) {
            float value = f32_row(x, r)[i];
            f32_row_out(y, r)[i] = value < low ? low : value > high ? high : value;
        }
}

static OpCost cost(const OpCall *c)
{
    Tensor y = c->out[0];
    return (OpCost){.operations = 2 * (double)tensor_elems(y), .activation_bytes = 2 * bytes_moved(y)};
}

const CpuKernel kernel_clamp_reference = {.phases = 1, .run = run};
const OpSpec spec_clamp = {.cost = cost};

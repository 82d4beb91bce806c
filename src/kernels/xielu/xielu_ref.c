#include <math.h>

#include "kernels/xielu/xielu.h"

static float xielu(Xielu f, double x)
{
    double curve = x > 0 ? f.alpha_p * x * x : f.alpha_n * (expm1(fmin(x, f.eps)) - x);
    return (float)(f.beta * x + curve);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    Tensor y = c->out[0], x = c->in[0];
    ASSERT(same_shape(y, x));
    for (int64_t r = 0; r < y.dim[0]; r++)
        for (int64_t i = 0; i < tensor_width(y); i++)
            f32_row_out(y, r)[i] = xielu(c->xielu, f32_row(x, r)[i]);
}

static OpCost cost(const OpCall *c)
{
    Tensor y = c->out[0];
    return (OpCost){.operations = 8 * (double)tensor_elems(y), .activation_bytes = 2 * bytes_moved(y)};
}

const CpuKernel kernel_xielu_reference = {.phases = 1, .run = run};
const OpSpec spec_xielu = {.cost = cost, .tolerance = 2e-6f};

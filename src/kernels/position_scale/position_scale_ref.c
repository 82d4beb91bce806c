#include "kernels/position_scale/position_scale.h"

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    Tensor x = c->out[0];
    const int32_t *positions = tensor_i32(c->in[0]);
    for (int64_t r = 0; r < x.dim[0]; r++)
        for (int64_t i = 0; i < tensor_width(x); i++)
            f32_row_out(x, r)[i] *= position_factor(c->position_scale, positions[r]);
}

static OpCost cost(const OpCall *c)
{
    Tensor x = c->out[0];
    return (OpCost){.operations = (double)tensor_elems(x), .activation_bytes = 2 * bytes_moved(x)};
}

const CpuKernel kernel_position_scale_reference = {.phases = 1, .run = run};
const OpSpec spec_position_scale = {.cost = cost};

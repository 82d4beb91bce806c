#include "kernels/combine/combine.h"

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    Tensor y = c->out[0], weights = c->in[COMBINE_WEIGHTS];
    combine_check(c);
    for (int64_t r = 0; r < y.dim[0]; r++)
        for (int64_t o = 0; o < tensor_width(y); o++) {
            double sum = f32_row(y, r)[o];
            for (int32_t i = 0; i < c->in[COMBINE_X].dim[1]; i++)
                sum += (tensor_is_none(weights) ? 1 : f32_row(weights, r)[i]) * (double)combine_part(c, r, i)[o];
            f32_row_out(y, r)[o] = (float)sum;
        }
}

static OpCost cost(const OpCall *c)
{
    OpCost sum = {.operations = 2 * (double)tensor_elems(c->in[COMBINE_X]),
                  .activation_bytes = 2 * bytes_moved(c->out[0])};
    for (int i = COMBINE_X; i <= COMBINE_SELF; i++)
        sum.activation_bytes += bytes_moved(c->in[i]);
    return sum;
}

const CpuKernel kernel_combine_reference = {.phases = 1, .run = run};
const OpSpec spec_combine = {.cost = cost, .tolerance = 2e-6f};

#include "kernels/embed/embed.h"

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    Tensor y = c->out[0], table = c->in[0];
    ASSERT(table.packing == PACKING_ROWS);
    for (int64_t r = 0; r < y.dim[0]; r++) {
        float *row = f32_row_out(y, r);
        table.format->decode(row, tensor_row(table, embed_id(c, r)), (size_t)tensor_width(table));
        for (int64_t i = 0; i < tensor_width(y); i++)
            row[i] *= c->embed.factor;
    }
}

static OpCost cost(const OpCall *c)
{
    Tensor y = c->out[0], table = c->in[0];
    return (OpCost){.operations = (double)tensor_elems(y),
                    .weight_bytes = (double)y.dim[0] * (double)tensor_row_bytes(table),
                    .activation_bytes = bytes_moved(y) + bytes_moved(c->in[1])};
}

const CpuKernel kernel_embed_reference = {.phases = 1, .run = run};
const OpSpec spec_embed = {.cost = cost};

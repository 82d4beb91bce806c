#include "kernels/embed/embed.h"

void embed_decode_row(const OpCall *c, int64_t r)
{
    Tensor y = c->out[0], table = c->in[0];
    int32_t id = tensor_i32(c->in[1])[r];
    ASSERT(id >= 0 && id < table.dim[0] && tensor_width(y) == tensor_width(table));
    table.format->decode(f32_row_out(y, r), tensor_row(table, id), (size_t)tensor_width(table));
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    Tensor y = c->out[0];
    for (int64_t r = 0; r < y.dim[0]; r++) {
        embed_decode_row(c, r);
        for (int64_t i = 0; i < tensor_width(y); i++)
            f32_row_out(y, r)[i] *= c->embed.factor;
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

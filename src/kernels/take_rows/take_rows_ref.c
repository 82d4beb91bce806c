#include "kernels/take_rows/take_rows.h"

#include <string.h>

void take_rows_range(const OpCall *c, Range range)
{
    Tensor y = c->out[0], x = c->in[0];
    const int32_t *rows = tensor_i32(c->in[1]);
    ASSERT(y.format == x.format && tensor_width(y) == tensor_width(x) && tensor_width(c->in[1]) == y.dim[0]);
    for (int64_t i = range.from; i < range.to; i++) {
        ASSERT(rows[i] >= 0 && rows[i] < x.dim[0]);
        memcpy(tensor_row(y, i), tensor_row(x, rows[i]), tensor_row_bytes(x));
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    take_rows_range(c, (Range){0, c->out[0].dim[0]});
}

static OpCost cost(const OpCall *c)
{
    return (OpCost){.activation_bytes = 2 * bytes_moved(c->out[0]) + bytes_moved(c->in[1])};
}

const CpuKernel kernel_take_rows_reference = {.phases = 1, .run = run};
const OpSpec spec_take_rows = {.cost = cost};

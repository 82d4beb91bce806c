/* embed_cpu.c -- few rows, each decoded by its format's own function: what is to be gained are threads. */
#include "kernels/embed/embed.h"

#include "formats/panel.h"

static void decode(Tensor table, int32_t id, float *row)
{
    int64_t width = tensor_width(table);
    if (table.packing == PACKING_PANELS)
        panel_row(TIERED(panel_find)(table.format), row, table.data, id, width);
    else
        table.format->decode(row, tensor_row(table, id), (size_t)width);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor y = c->out[0];
    Range rows = part_range(part, y.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++) {
        float *row = f32_row_out(y, r);
        decode(c->in[0], embed_id(c, r), row);
        for (int64_t i = 0; i < tensor_width(y) && c->embed.factor != 1; i++)
            row[i] *= c->embed.factor;
    }
}

/* A row in panels is a walk over lines far apart, one for each few values: 16 rows of 512 take 23 us, and two threads half. */
enum { PANEL_ELEMS_PER_THREAD = 1 << 11 };

static int64_t threads(const OpCall *c)
{
    Tensor y = c->out[0];
    if (c->in[0].packing != PACKING_PANELS)
        return threads_by_rows(y);
    return min_i64(y.dim[0], tensor_elems(y) / PANEL_ELEMS_PER_THREAD);
}

const CpuKernel TIERED(kernel_embed) = {.phases = 1, .threads = threads, .run = run};

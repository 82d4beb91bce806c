/* embed_cpu.c -- few rows, each decoded by its format's own function: what is to be gained are threads. */
#include "kernels/embed/embed.h"

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor y = c->out[0];
    Range rows = part_range(part, y.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++) {
        embed_decode_row(c, r);
        if (c->embed.factor == 1)
            continue;
        float *row = f32_row_out(y, r);
        for (int64_t i = 0; i < tensor_width(y); i++)
            row[i] *= c->embed.factor;
    }
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_embed) = {.phases = 1, .threads = threads, .run = run};

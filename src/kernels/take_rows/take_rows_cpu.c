/* take_rows_cpu.c -- a copy needs no vectors of ours, only threads. */
#include "kernels/take_rows/take_rows.h"

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    take_rows_range(c, part_range(part, c->out[0].dim[0], 1));
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_take_rows) = {.phases = 1, .threads = threads, .run = run};

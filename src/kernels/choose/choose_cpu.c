/* choose_cpu.c -- rows side by side: each is some passes over its own logits. */
#include "kernels/choose/choose_row.h"
#include "kernels/kit/rows.h"

enum { THREADS_MAX = 16 };     /* each has room for four rows of the vocabulary */

extern const Scan TIERED(scan);

static int64_t threads(const OpCall *c)
{
    int64_t rows = c->out[0].dim[0], elems = rows * tensor_width(c->in[CHOOSE_LOGITS]);
    return min_i64(min_i64(rows, THREADS_MAX), elems / ELEMS_PER_THREAD + 1);
}

static size_t scratch_bytes(const OpCall *c) { return (size_t)threads(c) * choose_scratch_bytes(c); }

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    part.count = (int)min_i64(part.count, threads(c));
    if (part.index >= part.count)
        return;
    float *scratch = (float *)((char *)part.scratch + (size_t)part.index * choose_scratch_bytes(c));
    choose_range(c, part_range(part, c->out[0].dim[0], 1), scratch, &TIERED(scan));
}

const CpuKernel TIERED(kernel_choose) = {.phases = 1, .scratch_bytes = scratch_bytes, .threads = threads, .run = run};

#include "formats/kept_rows.h"
#include "kernels/cache_write/cache_write.h"

static void put(const Format *f, void *place, const float *x, int32_t width)
{
#define PUT(kind) case kind: kept_put(kind, f, place, x, width); break;
    switch (kept_kind(f)) {
        EACH_KEPT(PUT)
    case KEPT_OTHER: ASSERT(false);
    }
#undef PUT
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    for (int which = 0; which < 2; which++) {
        if (tensor_is_none(c->in[which]))
            continue;
        Range rows = part_range(part, c->in[which].dim[0], 1);
        for (int64_t r = rows.from; r < rows.to; r++)
            cache_write_row(c, which, r, put);
    }
}

static bool takes(const OpCall *c)
{
    Tensor v = c->out[1];
    return kept_kind(c->out[0].format) != KEPT_OTHER &&
           (tensor_is_none(v) || kept_kind(v.format) != KEPT_OTHER);
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->in[0]); }

const CpuKernel TIERED(kernel_cache_write) = {.takes = takes, .phases = 1, .threads = threads, .run = run};

#include "kernels/cache_write/cache_write.h"
#include "kernels/kit/float_rows.h"

INLINE void put_as(FloatKind kind, uint8_t *place, const float *x, int32_t width)
{
    int32_t i = 0;
    for (; i + LANES <= width; i += LANES)
        kind_store(kind, place + i * kind_bytes(kind), vf_load(x + i));
    if (i < width)
        kind_store_n(kind, place + i * kind_bytes(kind), vf_load_n(x + i, width - i), width - i);
}

static void put(const Format *f, void *place, const float *x, int32_t width)
{
    switch (float_kind(f)) {
    case KIND_F32: put_as(KIND_F32, place, x, width); break;
    case KIND_F16: put_as(KIND_F16, place, x, width); break;
    case KIND_BF16: put_as(KIND_BF16, place, x, width); break;
    case KIND_OTHER: ASSERT(false);
    }
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
    return float_kind(c->out[0].format) != KIND_OTHER &&
           (tensor_is_none(v) || float_kind(v.format) != KIND_OTHER);
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->in[0]); }

const CpuKernel TIERED(kernel_cache_write) = {.takes = takes, .phases = 1, .threads = threads, .run = run};

/* stream.cu -- see stream_cuda.h: which products it takes, and how their units stand in line. */
#include "kernels/linear/stream_cuda.h"

enum { UNITS_MAX = 1 << 23 };

static int row_bytes(const Product *p, WeightKind kind)
{
    return kind < W_PLAIN_KINDS ? (int)p->row_bytes : p->in / PLANE_BLOCK * p->low_bytes;
}

/* Bytes of x that are copied at once must not straddle what they may not, those of scales neither. */
static bool lies_well(const Product *p, WeightKind kind)
{
    if ((uintptr_t)p->x % 16 != 0 || p->x_step % 4 != 0)
        return false;
    if (kind < W_PLAIN_KINDS)
        return (uintptr_t)p->w % 16 == 0 && p->row_bytes % 16 == 0 && p->in % (kind == W_BF16 ? 8 : 16) == 0;
    return p->in % (4 / plane_shape(kind).fine * PLANE_BLOCK) == 0;
}

static bool has_way(WeightKind kind)
{
    switch (kind) {
#define DO(K) case K:
        EACH_STREAM_PLAIN_KIND(DO)
        EACH_STREAM_PLANE_KIND(DO)
#undef DO
        return true;
    default: return false;
    }
}

bool stream_takes(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    long long units = 0;
    for (int i = 0; i < n; i++) {
        if (!has_way(kind) || p[i].k > 0 || !lies_well(&p[i], kind))
            return false;
        units += (long long)blocks_for(p[i].out, TILE_OUTS) * blocks_for(row_bytes(&p[i], kind), UNIT_ROW_BYTES);
    }
    return units < UNITS_MAX && g->multiprocessors <= STREAM_BLOCKS_MAX && g->shared_bytes >= STREAM_SHARED_BYTES;
}

size_t stream_scratch(const Product *p, const CudaRun *g)
{
    return (size_t)g->multiprocessors * 2 * TILE_OUTS * 8 * (size_t)stream_eights(p->pairs) * sizeof(float);
}

void stream_run(const Product *p, int n, WeightKind kind, const unsigned short *x, void *sums, const CudaRun *g)
{
    Stream s = {};
    int tiles = 0;
    s.chunks = (int)blocks_for(row_bytes(p, kind), UNIT_ROW_BYTES);
    for (int i = 0; i < PRODUCTS; i++) {
        s.p[i] = p[i < n ? i : 0];
        tiles += i < n ? (int)blocks_for(p[i].out, TILE_OUTS) : 0;
        s.tiles_end[i] = tiles;
    }
    s.units = tiles * s.chunks;
    s.stages = STAGES_MAX;
    s.x = x;
    s.sums = (float4 *)sums;
    s.counters = g->counters;
    if (kind < W_PLAIN_KINDS)
        stream_floats(&s, kind, g);
    else
        stream_blocks(&s, kind, g);
}

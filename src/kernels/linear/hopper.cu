/* hopper.cu -- see hopper_cuda.h: which products it takes, and the maps of their weights and x. */
#include "kernels/kit/tensor_map.h"
#include "kernels/linear/hopper_line_cuda.h"

enum { UNITS_MAX = 1 << 23, SHARED_LEAST = 200 << 10 };

void hopper_map(CUtensorMap *map, const void *at, int width, int height, int depth, int64_t row_bytes, int rows, int layers)
{
    MapShape s = {3, {width, height, depth}, {0, row_bytes, row_bytes * height}, {SWIZZLE_K, rows, layers}, 256, 128};
    bool mapped = tensor_map(map, at, &s);
    ASSERT(mapped);      /* hopper_takes() saw to it */
}

bool hopper_takes(const Product *p, int n, const CudaRun *g)
{
    int64_t units = 0, tiles = 0;
    for (int i = 0; i < n; i++) {
        if (p[i].k > 0 || p[i].in % 8 != 0 || (uintptr_t)p[i].w % 16 != 0 || p[i].row_bytes % 16 != 0)
            return false;
        tiles += blocks_for(p[i].out, BOX);
        units = tiles * blocks_for(p[i].in, SWIZZLE_K);
    }
    return p->pairs <= HOPPER_ROWS && tiles <= CUDA_COUNTERS && units < UNITS_MAX &&
           g->shared_bytes >= SHARED_LEAST && tensor_maps_here();
}

size_t hopper_scratch(const Product *p, const CudaRun *g)
{
    enum { ENDS = 2 };
    return (size_t)g->multiprocessors * ENDS * hopper_rows(p->pairs) * BOX * sizeof(float);
}

Line hopper_line(const Product *p, int n, int w_bytes, const unsigned short *x, int parts, void *sums, const CudaRun *g)
{
    Line l = {};
    for (int i = 0; i < PRODUCTS; i++)
        l.p[i] = p[i < n ? i : 0];
    for (int i = 0; i < n; i++)
        hopper_map(&l.w[i], p[i].w, p->in * w_bytes / 2, p[i].out, 1, p[i].row_bytes, BOX, 1);
    hopper_map(&l.x, x, p->in, p->pairs, parts, 2 * (int64_t)p->in, hopper_rows(p->pairs), parts);
    l.products = n, l.rows = p->pairs, l.chunks = (int)blocks_for((int64_t)p->in * w_bytes, SWIZZLE_ROW);
    l.sums = (float4 *)sums, l.counters = g->counters;
    return l;
}

void hopper_run(const Product *p, int n, const unsigned short *x, int parts, void *sums, const CudaRun *g)
{
    Line l = hopper_line(p, n, 2, x, parts, sums, g);
    if (parts == 1)
        hopper_near(l, g);
    else
        hopper_exact(l, g);
}

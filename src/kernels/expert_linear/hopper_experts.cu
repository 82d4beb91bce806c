/* hopper_experts.cu -- see expert_groups.h and hopper_many_cuda.h: pairs of experts that have many, weights of BF16. */
#include "kernels/expert_linear/expert_groups.h"
#include "kernels/linear/hopper_many_cuda.h"
#include "kernels/linear/parts_cuda.h"

enum { FEWEST_PAIRS = 64 /* of an expert, on average */ };

static_assert((int)HOPPER_PAIRS == (int)TILE_ROWS, "groups_sort() cuts the tiles that are multiplied");

bool hopper_takes_experts(const Product *p, WeightKind kind, const CudaRun *g)
{
    return kind == W_BF16 && !g->same && p->pairs >= FEWEST_PAIRS * p->experts && (uintptr_t)p->w % 16 == 0 &&
           p->row_bytes % 16 == 0 && (uintptr_t)p->x % 16 == 0 && p->x_step % 4 == 0 && many_fits(p, g);
}

size_t hopper_experts_x_bytes(const Product *p, const CudaRun *g)
{
    return (size_t)parts_of(g) * (size_t)p->pairs * (size_t)p->in * 2;
}

/* x in parts, in the order of the pairs. */
static __global__ void parts_in_order(const __grid_constant__ Product p, unsigned short *to, int parts)
{
    previous();
    const float *x = x_at(p, p.order[blockIdx.x]);
    for (int i = 4 * threadIdx.x; i < p.in; i += 4 * blockDim.x)
        put_parts(to + blockIdx.x * (int64_t)p.in + i, (int64_t)p.pairs * p.in, parts, *(const float4 *)(x + i));
}

template <int PARTS> static void launch(Many s, const CudaRun *g)
{
    const Product *p = s.p;
    int64_t tiles = blocks_for(p->pairs, TILE_ROWS) + p->experts / 2;
    int wide = best_width([=](int wide) {
        return many_cycles(wide, tiles * blocks_for(blocks_for(p->out, wide), CLUSTER), p->in, PARTS, 1, g);
    });
    hopper_map(&s.w[0], p->w, p->in, p->experts * p->out, 1, p->row_bytes, wide / HALVES, 1);
    s.out_groups = (int)blocks_for(blocks_for(p->out, wide), CLUSTER);
    switch (wide) {
#define DO(N) case N: launch_many<Tile<N, false, PARTS, 1, true>>(s, g); break;
        EACH_WIDTH(DO)
#undef DO
    }
}

void hopper_experts(const Product *p, unsigned short *x, const CudaRun *g)
{
    Many s = {};
    LAUNCH(parts_in_order, p->pairs, EACH_THREADS, 0, g, *p, x, parts_of(g));
    hopper_map(&s.x, x, p->in, p->pairs, parts_of(g), 2 * (int64_t)p->in, GROUP_ROWS, parts_of(g));
    s.p[0] = *p, s.factors.late = true;
    s.products = 1, s.rows = p->pairs, s.chunks = (int)blocks_for(p->in, SWIZZLE_K);
    s.over = 1, s.beside = CLUSTER, s.row_groups = groups_tiles(p, TILE_ROWS);
    if (parts_of(g) == 1)
        launch<1>(s, g);
    else
        launch<PARTS_MAX>(s, g);
}

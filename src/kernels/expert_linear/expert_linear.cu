/* expert_linear.cu -- see expert_linear.h. Few pairs of a row and an expert: each by itself, as a product of one row. Where
 * an expert has several, by expert (expert_groups.h), so that its weights are read once.
 *
 *     scratch   | x in 8 bits or in parts of bf16 | order of pairs | tiles |
 */
#include "kernels/expert_linear/expert_groups.h"

/* With --deterministic always each pair by itself: a row alone has none to share an expert with. */
static bool by_expert(const Product *p, const CudaRun *g)
{
    return !g->same && p->pairs > p->k && p->pairs >= p->experts;
}

static int tile_pairs(const Product *p, WeightKind kind, const CudaRun *g)
{
    if (hopper_takes_experts(p, kind, g))
        return HOPPER_PAIRS;
    if (!groups_multiply(p, kind) || p->pairs > GROUPS_SOME * p->experts)
        return GROUPS_MANY;
    return p->pairs > GROUPS_FEW * p->experts ? GROUPS_SOME : GROUPS_FEW;
}

static size_t whole_pieces(size_t bytes) { return (bytes + 255) / 256 * 256; }

static size_t x_bytes(const Product *p, WeightKind kind, const CudaRun *g)
{
    size_t each = product_scratch(p, kind, g), parts = groups_multiply(p, kind) ? groups_x_bytes(p, g) : 0;
    if (hopper_takes_experts(p, kind, g))
        parts = hopper_experts_x_bytes(p, g);
    return whole_pieces(each > parts ? each : parts);
}

static size_t scratch_bytes(const OpCall *c, const CudaRun *g)
{
    WeightKind kind = weight_kind(c->in[1].format);
    Product p = product_of_experts(c, g);
    return x_bytes(&p, kind, g) + whole_pieces((size_t)p.pairs * sizeof *p.order) +
           (size_t)groups_tiles(&p, GROUPS_FEW) * sizeof *p.tiles;      /* the most: fewer pairs have smaller tiles */
}

static void run(const OpCall *c, const CudaRun *g)
{
    WeightKind kind = weight_kind(c->in[1].format);
    Product p = product_of_experts(c, g);
    if (!by_expert(&p, g)) {
        products_run(&p, 1, kind, g);
        return;
    }
    int each = tile_pairs(&p, kind, g);
    uint8_t *order = (uint8_t *)g->scratch + x_bytes(&p, kind, g);
    PairTile *tiles = (PairTile *)(order + whole_pieces((size_t)p.pairs * sizeof *p.order));
    groups_sort(&p, each, (int *)order, tiles, g);
    p.order = (const int *)order;
    p.tiles = tiles;
    if (each == HOPPER_PAIRS)
        hopper_experts(&p, (unsigned short *)g->scratch, g);
    else if (groups_multiply(&p, kind))
        groups_run(&p, kind, each, (unsigned short *)g->scratch, g);
    else
        product_tiles(&p, kind, groups_tiles(&p, each), g);
}

static const char *refuses(const OpCall *c) { return product_refuses(c->in[1]); }

CUDA_KERNEL(expert_linear, refuses, scratch_bytes, run)

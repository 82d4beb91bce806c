/* beside_linear.cpp -- Hopper's products, called as linear.cu, gated_mlp.cu and expert_linear.cu call them. */
#include <algorithm>
#include <vector>

#include "kernels/expert_linear/expert_groups.h"
#include "kernels/gated_mlp/gated_mlp.h"
#include "kernels/linear/hopper_cuda.h"
#include "kernels/linear/pairs_cuda.h"

static Product product(const Tensor &y, const Tensor &x, const Tensor &w, const Tensor &bias, bool adds)
{
    Product p = {};
    p.y = tensor_f32(y), p.y_step = y.row_elems, p.x = tensor_f32(x), p.x_step = x.row_elems;
    p.w = (const uint8_t *)w.data, p.row_bytes = (int64_t)format_row_bytes(w.format, w.row_elems);
    p.bias = rows_of(bias).at, p.adds = adds;
    p.pairs = y.dim[0], p.experts = 1, p.in = w.dim[1], p.out = w.dim[0];
    return p;
}

int products_of(const OpCall *, Product *, WeightKind *, const CudaRun *) { return 0; }

/* Rows in parts of bf16, at 16 bytes. */
struct Parts {
    std::vector<uint16_t> memory;
    uint16_t *at;
    int parts, rows, width;

    Parts(int parts, int rows, int width) : memory((size_t)(parts * rows * width) + 8), parts(parts), rows(rows), width(width)
    {
        at = memory.data() + (8 - (uintptr_t)memory.data() / 2 % 8) % 8;
    }
    uint16_t *number(int part, int r, int k) { return at + (part * rows + r) * width + k; }
    void put(int r, int k, float x)
    {
        for (int part = 0; part < parts; part++) {
            *number(part, r, k) = bf16_of_f32(x);
            x -= f32_of_bf16(*number(part, r, k));
        }
    }
};
static Parts parts_of_x(const Product &p, const CudaRun *g)
{
    Parts x(g->exact ? HOPPER_PARTS : 1, p.pairs, p.in);
    for (int r = 0; r < p.pairs; r++)
        for (int k = 0; k < p.in; k++)
            x.put(r, k, p.x[r * p.x_step + k]);
    return x;
}

/* Weights in planes, where they are blocks. */
struct Packed {
    std::vector<std::vector<uint8_t>> memory;

    void put(Product *p, const Tensor &w)
    {
        WeightKind kind = weight_kind(w.format);
        if (kind < W_PLAIN_KINDS)
            return;
        int64_t elems = tensor_elems(w);
        memory.emplace_back(planes_bytes(kind, elems) + PLANES_ALIGN);
        uint8_t *at = memory.back().data();
        at += (PLANES_ALIGN - (uintptr_t)at % PLANES_ALIGN) % PLANES_ALIGN;
        planes_pack(kind, at, elems, 0, elems, w.data, NULL);
        p->w = at, p->planes = planes_at(kind, elems, at), p->low_bytes = plane_shape(kind).low;
    }
};

static bool few(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    return kind == W_BF16 && p->pairs > 1 && hopper_takes(p, n, g);
}

static void run_few(const Product *p, int n, Parts &x, const CudaRun *g)
{
    std::vector<uint8_t> sums(hopper_scratch(p, g));
    hopper_run(p, n, x.at, x.parts, sums.data(), g);
}

static bool gates(const OpCall *c, const CudaRun *g)
{
    int rows = c->in[MLP_X].dim[0], width = c->in[MLP_GATE].dim[0];
    std::vector<float> memory((size_t)(rows * width));
    Tensor h = tensor_of(memory.data(), &format_f32, rows, width);
    WeightKind kind = weight_kind(c->in[MLP_GATE].format);
    Product both[2] = {product(h, c->in[MLP_X], c->in[MLP_GATE], c->in[MLP_GATE_BIAS], false),
                       product(h, c->in[MLP_X], c->in[MLP_UP], c->in[MLP_UP_BIAS], false)};
    Product down = product(c->out[0], h, c->in[MLP_DOWN], c->in[MLP_DOWN_BIAS], true);
    if (few(both, 2, kind, g) && few(&down, 1, kind, g)) {
        Parts x = parts_of_x(*both, g), parts(x.parts, rows, width);
        hopper_gate(both, c->activation, x.at, x.parts, parts.at, g);
        run_few(&down, 1, parts, g);
        return true;
    }
    return c->activation == SILU && pairs_take(&down, 1, kind, g) && pairs_run_gates(both, kind, g) &&
           pairs_run(&down, 1, kind, g);
}

/* As groups_sort() would leave them. */
static void sort(Product *p, int *order, PairTile *tiles)
{
    int at = 0, used = 0, most = groups_tiles(p, HOPPER_PAIRS);
    for (int expert = 0; expert <= p->experts; expert++) {
        int first = at;
        for (int pair = 0; pair < p->pairs; pair++)
            if (std::min(expert_at(*p, pair), p->experts) == expert)
                order[at++] = pair;
        for (; first < at; first += HOPPER_PAIRS)
            tiles[used++] = {expert, first, std::min(at - first, (int)HOPPER_PAIRS)};
    }
    ASSERT(used <= most);
    std::fill(tiles + used, tiles + most, PairTile{0, 0, 0});
    p->order = order, p->tiles = tiles;
}

static bool experts(const OpCall *c, const CudaRun *g)
{
    Product p = {};
    Tensor y = c->out[0], x = c->in[0], w = c->in[1], ids = c->in[3];
    p.y = tensor_f32(y), p.y_step = y.row_elems, p.x = tensor_f32(x), p.x_step = x.row_elems;
    p.w = (const uint8_t *)w.data, p.row_bytes = (int64_t)format_row_bytes(w.format, w.dim[2]);
    p.bias = tensor_is_none(c->in[2]) ? NULL : tensor_f32(c->in[2]);
    p.ids = ids_of(ids), p.ids_step = ids.row_elems;
    p.k = y.dim[1], p.pairs = y.dim[0] * p.k, p.experts = w.dim[0], p.in = w.dim[2], p.out = w.dim[1];
    p.own_x = x.dims == 3;
    if (!hopper_takes_experts(&p, weight_kind(w.format), g))
        return false;
    uint8_t *at = (uint8_t *)g->scratch + (hopper_experts_x_bytes(&p, g) + 255) / 256 * 256;
    sort(&p, (int *)at, (PairTile *)(at + (size_t)p.pairs * sizeof(int)));
    hopper_experts(&p, (unsigned short *)g->scratch, g);
    return true;
}

/* false: nothing that is emulated takes it, and y is as it was. */
extern "C" bool emulated_products(const OpCall *c, const CudaRun *g)
{
    Product p[PRODUCTS];
    int n = c->op == OP_LINEAR3 ? PRODUCTS : 1;
    if (c->op == OP_GATED_MLP)
        return gates(c, g);
    if (c->op == OP_EXPERT_LINEAR)
        return experts(c, g);
    Packed packed;
    for (int i = 0; i < n; i++) {
        p[i] = product(c->out[i], c->in[0], c->in[1 + i], c->in[1 + n + i], c->reads_out);
        packed.put(&p[i], c->in[1 + i]);
    }
    WeightKind kind = weight_kind(c->in[1].format);
    if (!few(p, n, kind, g))
        return blocks_run(p, n, kind, g) || pairs_run(p, n, kind, g);
    Parts x = parts_of_x(*p, g);
    run_few(p, n, x, g);
    return true;
}

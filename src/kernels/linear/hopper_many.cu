/* hopper_many.cu -- see hopper_many_cuda.h: rows of f16 that all meet the same weights. */
#include "kernels/linear/hopper_many_cuda.h"

bool hopper_takes_many(const Product *p, int n, const CudaRun *g)
{
    for (int i = 0; i < n; i++)
        if (p[i].k > 0 || !many_fits(&p[i], g))
            return false;
    return p->pairs > HOPPER_ROWS;
}

/* ---- how ---- */

static int tiles_of(const Product *p, int n, int own)
{
    int tiles = 0;
    for (int i = 0; i < n; i++)
        tiles += (int)blocks_for(p[i].out, own);
    return tiles;
}

static double cycles_of(int wide, const Product *p, int n, const Factors *f, bool gates, const CudaRun *g)
{
    int rows = (int)blocks_for(p->pairs, TILE_ROWS), over = rows > 1 ? CLUSTER : 1, beside = CLUSTER / over;
    int tiles = tiles_of(p, gates ? 1 : n, gates ? wide / HALVES : wide);
    int64_t items = (int64_t)blocks_for(rows, over) * blocks_for(tiles, beside);
    return many_cycles(wide, items, p->in, f->x_parts, f->w_parts, g);
}

/* ---- running ---- */

template <int WIDE, int X_PARTS, int W_PARTS> static void launch_parts(const Many &s, bool gates, const CudaRun *g)
{
    if (gates)
        launch_many<Tile<WIDE, true, X_PARTS, W_PARTS>>(s, g);
    else
        launch_many<Tile<WIDE, false, X_PARTS, W_PARTS>>(s, g);
}

template <int WIDE> static void launch_wide(const Many &s, bool gates, const CudaRun *g)
{
    if (s.factors.w_parts > 1)
        launch_parts<WIDE, 2, 2>(s, gates, g);
    else if (s.factors.x_parts > 1)
        launch_parts<WIDE, 2, 1>(s, gates, g);
    else
        launch_parts<WIDE, 1, 1>(s, gates, g);
}

static void run(const Product *p, int n, const Factors *f, bool gates, const CudaRun *g)
{
    Many s = {};
    int wide = best_width([=](int wide) { return cycles_of(wide, p, n, f, gates, g); });
    int half = wide / HALVES, tiles = 0, rows = (int)blocks_for(p->pairs, TILE_ROWS);
    for (int i = 0; i < PRODUCTS; i++) {
        s.p[i] = p[i < n ? i : 0];
        if (i < n && !(gates && i > 0))
            tiles += (int)blocks_for(p[i].out, gates ? half : wide);
        s.tiles_end[i] = tiles;
        if (i < n)
            hopper_map(&s.w[i], p[i].w, p[i].in, p[i].out, f->w_parts, p[i].row_bytes, half, 1);
    }
    hopper_map(&s.x, f->x, p->in, p->pairs, f->x_parts, 2 * (int64_t)p->in, GROUP_ROWS, f->x_parts);
    s.factors = *f;
    s.products = gates ? 1 : n, s.rows = p->pairs, s.chunks = (int)blocks_for(p->in, SWIZZLE_K);
    s.over = rows > 1 ? CLUSTER : 1, s.beside = CLUSTER / s.over;
    s.row_groups = (int)blocks_for(rows, s.over), s.out_groups = (int)blocks_for(tiles, s.beside);
    switch (wide) {
#define DO(N) case N: launch_wide<N>(s, gates, g); break;
        EACH_WIDTH(DO)
#undef DO
    }
}

void hopper_many(const Product *p, int n, const Factors *f, const CudaRun *g) { run(p, n, f, false, g); }
void hopper_many_gates(const Product *both, const Factors *f, const CudaRun *g) { run(both, 2, f, true, g); }

#include "kernels/kit/state_tile.h"
#include "kernels/taylor_scan/taylor_scan.h"

/* The features of a row's query and key, filled up as a tile wants them. */
typedef struct Features { float f[TILE_ROWS_MAX], g[TILE_ROWS_MAX]; } Features;

static void find_features(const TaylorScan *s, int64_t r, int32_t h, Features *x)
{
    taylor_features(x->f, f32_row(s->q, r) + (int64_t)h * s->F, s->F, 0.5f);
    taylor_features(x->g, f32_row(s->k, r) + (int64_t)h * s->F, s->F, 1);
    for (int m = s->M; m < TILE_ROWS_MAX && m % CHAINS; m++)
        x->f[m] = x->g[m] = 0;
}

static float *divisor_of(const TaylorScan *s, void *scratch, int64_t r, int32_t h)
{
    return (float *)scratch + r * s->heads + h;
}

/* n += g; n.f */
INLINE float add_to_sum(float *n, const Features *x, int32_t M)
{
    Vf dot = vf_zero();
    for (int32_t at = 0; at < M; at += LANES) {
        int lanes = M - at < LANES ? M - at : LANES;
        Vf sum = vf_add(vf_load_n(n + at, lanes), vf_load_n(x->g + at, lanes));
        vf_store_n(n + at, sum, lanes);
        dot = vf_fma(vf_load_n(x->f + at, lanes), sum, dot);
    }
    return vf_sum(dot);
}

/* The divisors of head h in all rows of the sequence; n of the state. */
static void find_divisors(const TaylorScan *s, const StateRun *run, int32_t h, void *scratch)
{
    Features x;
    float n[TILE_ROWS_MAX];
    size_t bytes = (size_t)s->M * sizeof *n;
    if (run->from)
        memcpy(n, run->from + taylor_n(s, h), bytes);
    else
        memset(n, 0, bytes);
    for (int64_t r = run->first; r < run->end; r++) {
        find_features(s, r, h, &x);
        *divisor_of(s, scratch, r, h) = add_to_sum(n, &x, s->M) + s->eps;
    }
    memcpy(run->to + taylor_n(s, h), n, bytes);
}

/* Columns from p on of head h, through all rows of the sequence. */
static void scan_tile(const TaylorScan *s, const StateRun *run, int32_t h, int32_t p, void *scratch)
{
    StateTile tile;
    Features x;
    int64_t at = taylor_S(s, h) + p, column = (int64_t)h * s->P + p;
    tile_read(&tile, run->from ? run->from + at : NULL, s->M, s->P, s->P - p);
    for (int64_t r = run->first; r < run->end; r++) {
        Vf value[TILE_VECTORS], sums[TILE_VECTORS], divisor = vf_all(*divisor_of(s, scratch, r, h));
        find_features(s, r, h, &x);
        for (int j = 0; j < TILE_VECTORS; j++)
            value[j] = tile_load(&tile, f32_row(s->v, r) + column, j);
        tile_add(&tile, x.f, x.g, vf_all(1), value, sums);
        for (int j = 0; j < TILE_VECTORS; j++)
            tile_store(&tile, f32_row_out(s->y, r) + column, j, vf_div(sums[j], divisor));
    }
    tile_write(&tile, run->to + at, s->P);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    TaylorScan s = taylor_scan_of(c);
    int64_t tiles = phase == 0 ? 1 : ceil_div(s.P, TILE_COLUMNS);
    Range mine = part_range(part, s.heads * tiles, 1);
    for (StateRun run = {0}; state_next(c, TAYLOR_SCAN_FROM, &run);)
        for (int64_t i = mine.from; i < mine.to; i++)
            if (phase == 0)
                find_divisors(&s, &run, (int32_t)i, part.scratch);
            else
                scan_tile(&s, &run, (int32_t)(i / tiles), (int32_t)(i % tiles * TILE_COLUMNS), part.scratch);
}

static bool takes(const OpCall *c) { return taylor_scan_of(c).M <= TILE_ROWS_MAX; }

static size_t scratch_bytes(const OpCall *c)
{
    TaylorScan s = taylor_scan_of(c);
    return sizeof(float) * (size_t)s.y.dim[0] * (size_t)s.heads;
}

static int64_t threads(const OpCall *c)
{
    TaylorScan s = taylor_scan_of(c);
    return min_i64(s.heads * ceil_div(s.P, TILE_COLUMNS), tensor_elems(s.v) * s.M / ELEMS_PER_THREAD + 1);
}

const CpuKernel TIERED(kernel_taylor_scan) = {
    .takes = takes, .phases = 2, .scratch_bytes = scratch_bytes, .threads = threads, .run = run,
};

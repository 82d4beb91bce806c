#include "kernels/kit/state_tile.h"
#include "kernels/kit/vmath.h"
#include "kernels/mlstm_scan/mlstm_scan.h"

/* What the first phase leaves in scratch for each row and head. */
typedef struct Gates { float f, i, divisor; } Gates;

static Gates *gates_of(const MlstmScan *s, void *scratch, int64_t r, int32_t h)
{
    return (Gates *)scratch + r * s->heads + h;
}

INLINE float first_lane(Vf v)
{
    float lanes[LANES];
    vf_store(lanes, v);
    return lanes[0];
}
INLINE float exp_of(float x) { return first_lane(vf_exp(vf_all(x))); }
INLINE float log_sigmoid(float x) { return -first_lane(vf_softplus(vf_all(-x))); }

/* n = f n + i k; q.n */
INLINE float normaliser(float *n, const float *k, const float *q, int32_t N, float f, float i)
{
    Vf dot = vf_zero();
    for (int32_t at = 0; at < N; at += LANES) {
        int lanes = N - at < LANES ? N - at : LANES;
        Vf sum = vf_fma(vf_all(f), vf_load_n(n + at, lanes), vf_mul(vf_all(i), vf_load_n(k + at, lanes)));
        vf_store_n(n + at, sum, lanes);
        dot = vf_fma(vf_load_n(q + at, lanes), sum, dot);
    }
    return vf_sum(dot);
}

/* The gates and divisors of head h in all rows of the sequence; n and m of the state. */
static void find_gates(const MlstmScan *s, const StateRun *run, int32_t h, void *scratch)
{
    float n[TILE_ROWS_MAX], m = run->from ? run->from[mlstm_m(s, h)] : 0;
    size_t bytes = (size_t)s->N * sizeof *n;
    if (run->from)
        memcpy(n, run->from + mlstm_n(s, h), bytes);
    else
        memset(n, 0, bytes);
    for (int64_t r = run->first; r < run->end; r++) {
        const float *q = f32_row(s->q, r) + (int64_t)h * s->N, *k = f32_row(s->k, r) + (int64_t)h * s->N;
        float input = f32_row(s->input, r)[h], kept = log_sigmoid(f32_row(s->forget, r)[h]) + m;
        m = kept > input ? kept : input;
        Gates g = {exp_of(kept - m), exp_of(input - m), 0};
        float dot = normaliser(n, k, q, s->N, g.f, g.i), floor = exp_of(-m), size = dot < 0 ? -dot : dot;
        g.divisor = (size > floor ? size : floor) + s->eps;
        *gates_of(s, scratch, r, h) = g;
    }
    memcpy(run->to + mlstm_n(s, h), n, bytes);
    run->to[mlstm_m(s, h)] = m;
}

/* C = f C + k (i v); y = q^T C / divisor */
INLINE void scan_row(StateTile *t, const float *q, const float *k, const float *v, Gates g, float *y)
{
    Vf value[TILE_VECTORS], sums[TILE_VECTORS];
    UNROLL for (int j = 0; j < TILE_VECTORS; j++)
        value[j] = vf_mul(vf_all(g.i), tile_load(t, v, j));
    tile_add(t, q, k, vf_all(g.f), value, sums);
    UNROLL for (int j = 0; j < TILE_VECTORS; j++)
        tile_store(t, y, j, vf_div(sums[j], vf_all(g.divisor)));
}

static void scan_tile(const MlstmScan *s, const StateRun *run, int32_t h, int32_t p, void *scratch)
{
    StateTile tile;
    float q[TILE_ROWS_MAX], k[TILE_ROWS_MAX];
    int64_t at = mlstm_C(s, h) + p, column = (int64_t)h * s->P + p;
    tile_read(&tile, run->from ? run->from + at : NULL, s->N, s->P, s->P - p);
    for (int64_t r = run->first; r < run->end; r++) {
        tile_column(&tile, q, f32_row(s->q, r) + (int64_t)h * s->N);
        tile_column(&tile, k, f32_row(s->k, r) + (int64_t)h * s->N);
        scan_row(&tile, q, k, f32_row(s->v, r) + column, *gates_of(s, scratch, r, h),
                 f32_row_out(s->y, r) + column);
    }
    tile_write(&tile, run->to + at, s->P);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    MlstmScan s = mlstm_scan_of(c);
    int64_t tiles = phase == 0 ? 1 : ceil_div(s.P, TILE_COLUMNS);
    Range mine = part_range(part, s.heads * tiles, 1);
    for (StateRun run = {0}; state_next(c, MLSTM_SCAN_FROM, &run);)
        for (int64_t i = mine.from; i < mine.to; i++)
            if (phase == 0)
                find_gates(&s, &run, (int32_t)i, part.scratch);
            else
                scan_tile(&s, &run, (int32_t)(i / tiles), (int32_t)(i % tiles * TILE_COLUMNS), part.scratch);
}

static bool takes(const OpCall *c) { return c->in[1].dim[2] <= TILE_ROWS_MAX; }

static size_t scratch_bytes(const OpCall *c)
{
    MlstmScan s = mlstm_scan_of(c);
    return sizeof(Gates) * (size_t)s.y.dim[0] * (size_t)s.heads;
}

static int64_t threads(const OpCall *c)
{
    MlstmScan s = mlstm_scan_of(c);
    return min_i64(s.heads * ceil_div(s.P, TILE_COLUMNS), tensor_elems(s.v) * s.N / ELEMS_PER_THREAD + 1);
}

const CpuKernel TIERED(kernel_mlstm_scan) = {
    .takes = takes, .phases = 2, .scratch_bytes = scratch_bytes, .threads = threads, .run = run,
};

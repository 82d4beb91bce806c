#include "kernels/delta_scan/delta_scan.h"
#include "kernels/kit/state_tile.h"

/* What a row brings to a head. */
typedef struct Row {
    float q[TILE_ROWS_MAX], k[TILE_ROWS_MAX], decay[TILE_ROWS_MAX], decayed_k[TILE_ROWS_MAX];
    float beta;
} Row;

static void read_row(const DeltaScan *m, const StateTile *t, int64_t r, int32_t h, Row *row)
{
    int64_t at = (int64_t)(h / m->shared) * m->N;
    const float *decay = f32_row(m->decay, r) + (m->per_channel ? (int64_t)h * m->N : h);
    tile_column(t, row->q, f32_row(m->q, r) + at);
    tile_column(t, row->k, f32_row(m->k, r) + at);
    if (m->per_channel)
        tile_column(t, row->decay, decay);
    for (int n = 0; n < t->padded; n++) {
        row->decay[n] = m->per_channel ? row->decay[n] : *decay;
        row->decayed_k[n] = row->decay[n] * row->k[n];
    }
    row->beta = f32_row(m->beta, r)[h];
}

/* beta (v - (decay S)^T k) */
INLINE void correct(const StateTile *t, const Row *row, const float *v, Vf correction[TILE_VECTORS])
{
    Vf known[TILE_VECTORS][CHAINS];
    UNROLL for (int j = 0; j < TILE_VECTORS; j++)
        UNROLL for (int i = 0; i < CHAINS; i++)
            known[j][i] = vf_zero();
    for (int n = 0; n < t->padded; n += CHAINS)
        UNROLL for (int i = 0; i < CHAINS; i++) {
            Vf k = vf_all(row->decayed_k[n + i]);
            UNROLL for (int j = 0; j < TILE_VECTORS; j++)
                known[j][i] = vf_fma(k, vf_load(t->at + (n + i) * TILE_COLUMNS + j * LANES), known[j][i]);
        }
    UNROLL for (int j = 0; j < TILE_VECTORS; j++)
        correction[j] = vf_mul(vf_all(row->beta), vf_sub(tile_load(t, v, j), chains_sum(known[j])));
}

/* S = decay S + k correction; y = S^T q */
INLINE void update(StateTile *t, const Row *row, const Vf correction[TILE_VECTORS], float *y)
{
    Vf sums[TILE_VECTORS][CHAINS];
    UNROLL for (int j = 0; j < TILE_VECTORS; j++)
        UNROLL for (int i = 0; i < CHAINS; i++)
            sums[j][i] = vf_zero();
    for (int n = 0; n < t->padded; n += CHAINS)
        UNROLL for (int i = 0; i < CHAINS; i++) {
            Vf decay = vf_all(row->decay[n + i]), k = vf_all(row->k[n + i]), q = vf_all(row->q[n + i]);
            UNROLL for (int j = 0; j < TILE_VECTORS; j++) {
                float *at = t->at + (n + i) * TILE_COLUMNS + j * LANES;
                Vf S = vf_fma(k, correction[j], vf_mul(decay, vf_load(at)));
                vf_store(at, S);
                sums[j][i] = vf_fma(q, S, sums[j][i]);
            }
        }
    UNROLL for (int j = 0; j < TILE_VECTORS; j++)
        tile_store(t, y, j, chains_sum(sums[j]));
}

/* Columns from p on of head h, through all rows of the sequence. */
static void scan_tile(const DeltaScan *m, const StateRun *run, int32_t h, int32_t p)
{
    StateTile tile;
    Row row;
    Vf correction[TILE_VECTORS];
    int64_t at = (int64_t)h * m->N * m->P + p, column = (int64_t)h * m->P + p;
    tile_read(&tile, run->from ? run->from + at : NULL, m->N, m->P, m->P - p);
    for (int64_t r = run->first; r < run->end; r++) {
        read_row(m, &tile, r, h, &row);
        correct(&tile, &row, f32_row(m->v, r) + column, correction);
        update(&tile, &row, correction, f32_row_out(m->y, r) + column);
    }
    tile_write(&tile, run->to + at, m->P);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    DeltaScan m = delta_scan_of(c);
    int64_t tiles = ceil_div(m.P, TILE_COLUMNS);
    Range mine = part_range(part, m.heads * tiles, 1);
    for (StateRun s = {0}; state_next(c, DELTA_SCAN_FROM, &s);)
        for (int64_t i = mine.from; i < mine.to; i++)
            scan_tile(&m, &s, (int32_t)(i / tiles), (int32_t)(i % tiles * TILE_COLUMNS));
}

static bool takes(const OpCall *c) { return c->in[1].dim[2] <= TILE_ROWS_MAX; }

static int64_t threads(const OpCall *c)
{
    DeltaScan m = delta_scan_of(c);
    return min_i64(m.heads * ceil_div(m.P, TILE_COLUMNS), tensor_elems(m.v) * m.N / ELEMS_PER_THREAD + 1);
}

const CpuKernel TIERED(kernel_delta_scan) = {.takes = takes, .phases = 1, .threads = threads, .run = run};

#include "kernels/delta_scan/delta_scan.h"
#include "kernels/kit/state_tile.h"

static int64_t tiles_of(const DeltaScan *m) { return ceil_div(m->P, TILE_COLUMNS); }     /* a head's */

/* Where tile i of all heads' begins in the slot. */
static int64_t state_of(const DeltaScan *m, int64_t i)
{
    return i / tiles_of(m) * m->N * m->P + i % tiles_of(m) * TILE_COLUMNS;
}

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

/* beta (v - (decay S)^T k). ahead: the state's next tile, whose rows are P apart, or NULL; it is asked for meanwhile. */
INLINE void correct(const StateTile *t, const Row *row, const float *v, Vf correction[TILE_VECTORS], const float *ahead,
                    int64_t P)
{
    Vf known[TILE_VECTORS][CHAINS];
    UNROLL for (int j = 0; j < TILE_VECTORS; j++)
        UNROLL for (int i = 0; i < CHAINS; i++)
            known[j][i] = vf_zero();
    for (int n = 0; n < t->padded; n += CHAINS)
        UNROLL for (int i = 0; i < CHAINS; i++) {
            Vf k = vf_all(row->decayed_k[n + i]);
            UNROLL for (int j = 0; j < TILE_VECTORS && ahead; j++)
                prefetch(ahead + (n + i) * P + j * LANES);
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

/* Tile i of all heads' tiles, through all rows of the sequence; `more`: the one after it comes next. */
static void scan_tile(const DeltaScan *m, const StateRun *run, int64_t i, bool more)
{
    StateTile tile;
    Row row;
    Vf correction[TILE_VECTORS];
    int64_t h = i / tiles_of(m), p = i % tiles_of(m) * TILE_COLUMNS, column = h * m->P + p;
    const float *ahead = run->from && more ? run->from + state_of(m, i + 1) : NULL;
    tile_read(&tile, run->from ? run->from + state_of(m, i) : NULL, m->N, m->P, m->P - p);
    for (int64_t r = run->first; r < run->end; r++, ahead = NULL) {
        read_row(m, &tile, r, (int32_t)h, &row);
        correct(&tile, &row, f32_row(m->v, r) + column, correction, ahead, m->P);
        update(&tile, &row, correction, f32_row_out(m->y, r) + column);
    }
    tile_write(&tile, run->to + state_of(m, i), m->P);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    DeltaScan m = delta_scan_of(c);
    Range mine = part_range(part, m.heads * tiles_of(&m), 1);
    for (StateRun s = {0}; state_next(c, DELTA_SCAN_FROM, &s);)
        for (int64_t i = mine.from; i < mine.to; i++)
            scan_tile(&m, &s, i, i + 1 < mine.to);
}

static bool takes(const OpCall *c) { return c->in[1].dim[2] <= TILE_ROWS_MAX; }

static int64_t threads(const OpCall *c)
{
    DeltaScan m = delta_scan_of(c);
    return min_i64(m.heads * tiles_of(&m), tensor_elems(m.v) * m.N / ELEMS_PER_THREAD + 1);
}

const CpuKernel TIERED(kernel_delta_scan) = {.takes = takes, .phases = 1, .threads = threads, .run = run};

/* decay_scan_cpu.c -- a tile of the state stays in registers while a block of rows goes by.
 *
 *              p ->  16 columns x ACROSS
 *     n  |   [ S ]         for each row: S = decay S + k[n] v;  y += q[n] S
 *        v   [ S ]
 *            DEEP          v and y of the block wait beside each other between two tiles
 *
 * In the tensors the rows lie so far apart, and often at so even a distance, that those of a long
 * prompt would push each other out of the first cache. A column of y is summed over n in order,
 * whatever the tiles and blocks.
 */
#include "kernels/decay_scan/decay_scan.h"
#include "kernels/kit/lanes.h"

#if defined(TIER_avx512)
enum { DEEP = 4, ACROSS = 4 };
#else
enum { DEEP = 4, ACROSS = 1 };
#endif

enum { BLOCK = 32, COLUMNS = ACROSS * LANES };      /* rows; values of y in one of them */

/* What a strip of the state reads and writes; the places are those of its first column, and of n = 0. */
typedef struct Strip {
    const OpCall *call;
    int64_t head, column;      /* of y and v */
    int64_t group, state;      /* of q and k; in the slot */
    int32_t N, P;
    const float *from;         /* the slot that is read; NULL: zeros */
    float *to;
    int64_t first;             /* the block's rows: this one and the `rows` - 1 after it */
    int rows;
    float decay[BLOCK];
    Vf v[BLOCK][ACROSS], y[BLOCK][ACROSS];
} Strip;

/* `deep` values of n, `across` vectors of columns, of which n_lanes count. */
INLINE void scan_tile(Strip *s, int64_t n, int deep, int across, int lanes)
{
    Tensor q_all = s->call->in[DECAY_Q], k_all = s->call->in[DECAY_K];
    const float *q = f32_row(q_all, s->first) + s->group + n, *k = f32_row(k_all, s->first) + s->group + n;
    int64_t at = s->state + n * s->P;
    Vf S[DEEP][ACROSS];
    UNROLL for (int i = 0; i < deep; i++)
        UNROLL for (int j = 0; j < across; j++)
            S[i][j] = lanes_load_or_zero(s->from, at + i * s->P + j * LANES, lanes);
    for (int r = 0; r < s->rows; r++, q += q_all.row_elems, k += k_all.row_elems) {
        Vf decay = vf_all(s->decay[r]), v[ACROSS], y[ACROSS];
        UNROLL for (int j = 0; j < across; j++) {
            v[j] = s->v[r][j];
            y[j] = s->y[r][j];
        }
        UNROLL for (int i = 0; i < deep; i++)
            UNROLL for (int j = 0; j < across; j++) {
                S[i][j] = vf_fma(decay, S[i][j], vf_mul(vf_all(k[i]), v[j]));
                y[j] = vf_fma(vf_all(q[i]), S[i][j], y[j]);
            }
        UNROLL for (int j = 0; j < across; j++)
            s->y[r][j] = y[j];
    }
    UNROLL for (int i = 0; i < deep; i++)
        UNROLL for (int j = 0; j < across; j++)
            lanes_store(s->to + at + i * s->P + j * LANES, S[i][j], lanes);
}

/* While a tile is computed, a row that comes from memory: of y, which this block ends with, and of the next block's v. */
INLINE void ask_for_row(const Strip *s, int i, int across)
{
    Tensor v = s->call->in[DECAY_V], y = s->call->out[0];
    for (int j = 0; j < across && i < s->rows; j++) {
        prefetch(f32_row(v, s->first + BLOCK + i) + s->column + j * LANES);
        prefetch(f32_row(y, s->first + i) + s->column + j * LANES);
    }
}

INLINE void scan_block(Strip *s, int across, int lanes)
{
    Tensor decay = s->call->in[DECAY_DECAY], v = s->call->in[DECAY_V], y = s->call->out[0];
    for (int r = 0; r < s->rows; r++) {
        s->decay[r] = f32_row_of(decay, s->first + r)[s->head];
        for (int j = 0; j < across; j++) {
            s->v[r][j] = lanes_load(f32_row(v, s->first + r) + s->column + j * LANES, lanes);
            s->y[r][j] = vf_zero();
        }
    }
    int32_t n = 0;
    for (; n + DEEP <= s->N; n += DEEP) {
        ask_for_row(s, n / DEEP, across);
        scan_tile(s, n, DEEP, across, lanes);
    }
    for (; n < s->N; n++)
        scan_tile(s, n, 1, across, lanes);
    for (int r = 0; r < s->rows; r++)
        for (int j = 0; j < across; j++)
            lanes_store(f32_row_out(y, s->first + r) + s->column + j * LANES, s->y[r][j], lanes);
}

/* All rows of a sequence; a block goes on from the state that the one before left. */
INLINE void scan_strip(Strip *s, const StateRun *run, int across, int lanes)
{
    s->from = run->from;
    s->to = run->to;
    for (s->first = run->first; s->first < run->end; s->first += s->rows) {
        s->rows = (int)min_i64(BLOCK, run->end - s->first);
        scan_block(s, across, lanes);
        s->from = s->to;
    }
}

/* Fewer columns than a strip has: pairs of vectors, then one at a time. */
static void scan_rest(Strip *s, const StateRun *run, int64_t columns)
{
    for (int64_t taken; columns > 0; columns -= taken, s->column += taken, s->state += taken) {
        taken = columns >= 2 * LANES ? 2 * LANES : LANES;
        if (taken > LANES)
            scan_strip(s, run, ACROSS > 2 ? 2 : 1, LANES);
        else if (columns >= LANES)
            scan_strip(s, run, 1, LANES);
        else
            scan_strip(s, run, 1, (int)columns);
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    DecayShape shape = decay_scan_shape(c);
    int64_t strips = ceil_div(shape.P, COLUMNS);
    Range mine = part_range(part, shape.heads * strips, 1);
    Strip s;
    s.call = c;
    s.N = shape.N;
    s.P = shape.P;
    for (StateRun run = {0}; state_next(c, DECAY_FROM, &run);)
        for (int64_t i = mine.from; i < mine.to; i++) {
            int64_t head = i / strips, p = i % strips * COLUMNS, end = min_i64(shape.P, p + COLUMNS);
            s.head = head;
            s.column = head * shape.P + p;
            s.group = head / (shape.heads / shape.groups) * shape.N;
            s.state = head * shape.N * shape.P + p;
            if (end - p == COLUMNS)
                scan_strip(&s, &run, ACROSS, LANES);
            else
                scan_rest(&s, &run, end - p);
        }
}

static int64_t threads(const OpCall *c)       /* a value of y has as much to do as N values elsewhere */
{
    DecayShape s = decay_scan_shape(c);
    int64_t strips = s.heads * ceil_div(s.P, COLUMNS);
    return min_i64(strips, tensor_elems(c->out[0]) * s.N / ELEMS_PER_THREAD + 1);
}

const CpuKernel TIERED(kernel_decay_scan) = {.phases = 1, .threads = threads, .run = run};

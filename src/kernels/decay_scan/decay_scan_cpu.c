/* decay_scan_cpu.c -- a tile of the state stays in registers while all rows of the sequence go by.
 *
 *              p ->  16 columns x ACROSS
 *     n  |   [ S ]         for each row: S = decay S + k[n] v;  y += q[n] S
 *        v   [ S ]
 *            DEEP          y of a row is in memory between two tiles below each other, in the first cache
 *
 * A column of y is summed over n in order, whatever the tiles.
 */
#include "kernels/decay_scan/decay_scan.h"
#include "kernels/kit/lanes.h"

#if defined(TIER_avx512)
enum { DEEP = 8, ACROSS = 2 };
#else
enum { DEEP = 4, ACROSS = 1 };
#endif

/* What a tile reads and writes; the pointers are those of its first column, and of its first n. */
typedef struct Strip {
    const OpCall *call;
    const StateRun *run;
    int64_t head, column;      /* of y and v */
    int64_t group, state;      /* of q and k; in the slot */
    int32_t P;
} Strip;

/* `deep` values of n, `across` vectors of n_lanes columns. */
INLINE void scan_tile(const Strip *s, int64_t n, int deep, int across, int lanes)
{
    const OpCall *c = s->call;
    int64_t at = s->state + n * s->P;
    Vf S[DEEP][ACROSS];
    UNROLL for (int i = 0; i < deep; i++)
        UNROLL for (int j = 0; j < across; j++)
            S[i][j] = lanes_load_or_zero(s->run->from, at + i * s->P + j * LANES, lanes);
    for (int64_t r = s->run->first; r < s->run->end; r++) {
        const float *q = f32_row(c->in[DECAY_Q], r) + s->group + n, *k = f32_row(c->in[DECAY_K], r) + s->group + n;
        const float *from = f32_row(c->in[DECAY_V], r) + s->column;
        float *to = f32_row_out(c->out[0], r) + s->column;
        Vf decay = vf_all(f32_row_of(c->in[DECAY_DECAY], r)[s->head]), v[ACROSS], y[ACROSS];
        UNROLL for (int j = 0; j < across; j++) {
            v[j] = lanes_load(from + j * LANES, lanes);
            y[j] = n == 0 ? vf_zero() : lanes_load(to + j * LANES, lanes);
        }
        UNROLL for (int i = 0; i < deep; i++)
            UNROLL for (int j = 0; j < across; j++) {
                S[i][j] = vf_fma(decay, S[i][j], vf_mul(vf_all(k[i]), v[j]));
                y[j] = vf_fma(vf_all(q[i]), S[i][j], y[j]);
            }
        UNROLL for (int j = 0; j < across; j++)
            lanes_store(to + j * LANES, y[j], lanes);
    }
    UNROLL for (int i = 0; i < deep; i++)
        UNROLL for (int j = 0; j < across; j++)
            lanes_store(s->run->to + at + i * s->P + j * LANES, S[i][j], lanes);
}

INLINE void scan_strip(const Strip *s, int32_t N, int across, int lanes)
{
    int32_t n = 0;
    for (; n + DEEP <= N; n += DEEP)
        scan_tile(s, n, DEEP, across, lanes);
    for (; n < N; n++)
        scan_tile(s, n, 1, across, lanes);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    DecayShape shape = decay_scan_shape(c);
    int64_t columns = ACROSS * LANES, strips = ceil_div(shape.P, columns);
    Range mine = part_range(part, shape.heads * strips, 1);
    for (StateRun run = {0}; state_next(c, DECAY_FROM, &run);)
        for (int64_t i = mine.from; i < mine.to; i++) {
            int64_t head = i / strips, p = i % strips * columns, end = min_i64(shape.P, p + columns);
            Strip s = {c, &run, head, head * shape.P + p, head / (shape.heads / shape.groups) * shape.N,
                       head * shape.N * shape.P + p, shape.P};
            if (end - p == columns) {
                scan_strip(&s, shape.N, ACROSS, LANES);
                continue;
            }
            for (; p < end; p += LANES, s.column += LANES, s.state += LANES)
                scan_strip(&s, shape.N, 1, (int)min_i64(LANES, end - p));
        }
}

static int64_t threads(const OpCall *c)       /* a value of y has as much to do as N values elsewhere */
{
    DecayShape s = decay_scan_shape(c);
    int64_t strips = s.heads * ceil_div(s.P, ACROSS * LANES);
    return min_i64(strips, tensor_elems(c->out[0]) * s.N / ELEMS_PER_THREAD + 1);
}

const CpuKernel TIERED(kernel_decay_scan) = {.phases = 1, .threads = threads, .run = run};

/* selective_scan_cpu.c -- 16 channels at a time, with all of their states, through all rows of a sequence: the
 * states stay in the first cache, and the exponentials are what takes time. */
#include "kernels/kit/lanes.h"
#include "kernels/kit/turned.h"
#include "kernels/kit/vmath.h"
#include "kernels/selective_scan/selective_scan.h"

enum { STATES_MAX = TURNED_MAX,                         /* 16 in published models; more is the reference's business */
       AT_ONCE = VF_REGISTERS >= 32 ? EACH_MAX : 1,     /* states */
       ROWS_AHEAD = 4 };

typedef struct Block {
    int64_t channel;
    int states;
    Vf D;
    Turned rate, h;
} Block;

/* What a row brings to 16 channels. */
typedef struct Row {
    const float *B, *C;
    Vf dt, input;              /* input = dt x */
} Row;

/* Some states; returns y with what they add to it. */
INLINE Vf scan_states(Block *b, const Row *row, Vf y, int first, int count)
{
    Vf decay[EACH_MAX];
    UNROLL for (int i = 0; i < count; i++)
        decay[i] = vf_mul(row->dt, vf_load(b->rate.at[first + i]));
    vf_exp_each(decay, count);
    UNROLL for (int i = 0; i < count; i++) {
        int s = first + i;
        Vf h = vf_fma(decay[i], vf_load(b->h.at[s]), vf_mul(row->input, vf_all(row->B[s])));
        vf_store(b->h.at[s], h);
        y = vf_fma(vf_all(row->C[s]), h, y);
    }
    return y;
}

INLINE void scan_row(const OpCall *c, Block *b, int64_t r, int n)
{
    const float *x_row = f32_row(c->in[SCAN_X], r) + b->channel, *dt_row = f32_row(c->in[SCAN_DT], r) + b->channel;
    prefetch(x_row + ROWS_AHEAD * c->in[SCAN_X].row_elems);
    prefetch(dt_row + ROWS_AHEAD * c->in[SCAN_DT].row_elems);
    Vf x = lanes_load(x_row, n), dt = lanes_load(dt_row, n), y = vf_mul(b->D, x);
    Row row = {f32_row(c->in[SCAN_B], r), f32_row(c->in[SCAN_C], r), dt, vf_mul(dt, x)};
    int s = 0;
    for (; s + AT_ONCE <= b->states; s += AT_ONCE)
        y = scan_states(b, &row, y, s, AT_ONCE);
    for (; s < b->states; s++)
        y = scan_states(b, &row, y, s, 1);
    lanes_store(f32_row_out(c->out[0], r) + b->channel, y, n);
}

/* n channels, from b->channel on. */
INLINE void scan_block(const OpCall *c, Block *b, int n)
{
    Tensor A = c->in[SCAN_A], D = c->in[SCAN_D];
    int64_t width = tensor_width(c->out[0]);
    turned_read(&b->rate, f32_row(A, b->channel), A.row_elems, n, b->states, b->states);
    b->D = tensor_is_none(D) ? vf_zero() : lanes_load(tensor_f32(D) + b->channel, n);
    for (StateRun run = {0}; state_next(c, SCAN_FROM, &run);) {
        for (int s = 0; s < b->states; s++)
            vf_store(b->h.at[s], lanes_load_or_zero(run.from, s * width + b->channel, n));
        for (int64_t r = run.first; r < run.end; r++)
            scan_row(c, b, r, n);
        for (int s = 0; s < b->states; s++)
            lanes_store(run.to + s * width + b->channel, vf_load(b->h.at[s]), n);
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    selective_scan_check(c);
    Range channels = part_range(part, tensor_width(c->out[0]), LANES);
    Block b;
    b.states = selective_scan_states(c);
    for (b.channel = channels.from; b.channel + LANES <= channels.to; b.channel += LANES)
        scan_block(c, &b, LANES);
    if (b.channel < channels.to)
        scan_block(c, &b, (int)(channels.to - b.channel));
}

static bool takes(const OpCall *c) { return selective_scan_states(c) <= STATES_MAX; }

static int64_t threads(const OpCall *c)       /* a channel has as much to do as 8 N values elsewhere */
{
    Tensor y = c->out[0];
    int64_t work = tensor_elems(y) * selective_scan_states(c) * 8;
    return min_i64(ceil_div(tensor_width(y), LANES), work / ELEMS_PER_THREAD + 1);
}

const CpuKernel TIERED(kernel_selective_scan) = {.takes = takes, .phases = 1, .threads = threads, .run = run};

/* conv_cpu.c -- a few hundred neighbouring channels at a time go through all rows of a sequence, with their weights and
 * the rows that they remember in the first cache: enough neighbours for the processor to read ahead. */
#include "kernels/conv/conv.h"
#include "kernels/kit/lanes.h"
#include "kernels/kit/transpose.h"
#include "kernels/kit/vmath.h"

enum { TAPS_MAX = 16,         /* more of them are the reference's business: no model has them */
       VECTORS = 16,          /* of channels */
       TILE = VECTORS * LANES };

typedef struct Tile {
    int64_t channel;          /* the first */
    int taps, whole, rest;    /* whole vectors, and the channels after them */
    Vf tap[TAPS_MAX][VECTORS], bias[VECTORS], memory[TAPS_MAX][VECTORS];
    Vf *past[TAPS_MAX];       /* the taps - 1 rows before this one, the oldest first */
} Tile;

static void read_taps(Tile *t, Tensor w, int v, int n)
{
    const float *rows = f32_row(w, t->channel + v * LANES);
    if (t->taps == 4 && n == LANES) {
        Vf four[4];
        vf_turn_4(four, rows, w.row_elems * (int64_t)sizeof(float));
        for (int j = 0; j < 4; j++) {
            t->tap[j][v] = four[j];
            prefetch(rows + (TILE + 4 * j) * w.row_elems);
        }
        return;
    }
    for (int j = 0; j < t->taps; j++) {
        float lane[LANES] = {0};
        for (int i = 0; i < n; i++)
            lane[i] = rows[i * w.row_elems + j];
        t->tap[j][v] = vf_load(lane);
    }
}

INLINE void convolve_vector(const Tile *t, Vf *const *past, const float *x, float *y, int taps, int v, int n)
{
    Vf sum = t->bias[v], now = lanes_load(x + v * LANES, n);
    UNROLL for (int j = 0; j < taps - 1; j++)
        sum = vf_fma(t->tap[j][v], past[j][v], sum);
    if (taps > 1)
        past[0][v] = now;
    lanes_store(y + v * LANES, vf_fma(t->tap[taps - 1][v], now, sum), n);
}

/* The row is remembered in the place of the oldest. */
INLINE void convolve_row(Tile *t, const float *x, float *y, int taps, int64_t next)
{
    Vf *past[TAPS_MAX];
    for (int j = 0; j < taps - 1; j++)
        past[j] = t->past[j];
    for (int v = 0; v < t->whole; v++) {
        prefetch(x + next + v * LANES);
        convolve_vector(t, past, x, y, taps, v, LANES);
    }
    if (t->rest)
        convolve_vector(t, past, x, y, taps, t->whole, t->rest);
    for (int j = 0; j < taps - 1; j++)
        t->past[j] = past[(j + 1) % (taps - 1)];
}

INLINE void activate_row(const Tile *t, Activation f, float *y)
{
    for (int v = 0; v < t->whole; v++, y += LANES)
        vf_store(y, vf_activate(f, vf_load(y)));
    if (t->rest)
        vf_store_n(y, vf_activate(f, vf_load_n(y, t->rest)), t->rest);
}

static void activate(const Tile *t, Activation f, float *y)
{
    switch (f) {
#define CASE(f) case f: activate_row(t, f, y); break;
    FOR_EACH_ACTIVATION(CASE)
#undef CASE
    }
}

static int lanes_at(const Tile *t, int v) { return v < t->whole ? LANES : t->rest; }
static int vectors_of(const Tile *t) { return t->whole + (t->rest > 0); }

static void convolve(const OpCall *c, const StateRun *run, Tile *t)
{
    Tensor x = c->in[CONV_X], y = c->out[0];
    int64_t width = tensor_width(y);
    for (int j = 0; j < t->taps - 1; j++) {
        t->past[j] = t->memory[j];
        for (int v = 0; v < vectors_of(t); v++) {
            int64_t at = j * width + t->channel + v * LANES;
            prefetch(run->from ? run->from + at + TILE : NULL);
            t->past[j][v] = lanes_load_or_zero(run->from, at, lanes_at(t, v));
        }
    }
    for (int64_t r = run->first; r < run->end; r++) {
        const float *from = f32_row(x, r) + t->channel;
        float *to = f32_row_out(y, r) + t->channel;
        switch (t->taps) {
        case 3: convolve_row(t, from, to, 3, x.row_elems); break;
        case 4: convolve_row(t, from, to, 4, x.row_elems); break;
        default: convolve_row(t, from, to, t->taps, x.row_elems);
        }
        activate(t, c->activation, to);
    }
    for (int j = 0; j < t->taps - 1; j++)
        for (int v = 0; v < vectors_of(t); v++)
            lanes_store(run->to + j * width + t->channel + v * LANES, t->past[j][v], lanes_at(t, v));
}

static void convolve_tile(const OpCall *c, int64_t channel, int64_t channels)
{
    Tile t;
    t.channel = channel;
    t.taps = conv_taps(c);
    t.whole = (int)(channels / LANES);
    t.rest = (int)(channels % LANES);
    const float *bias = tensor_is_none(c->in[CONV_BIAS]) ? NULL : tensor_f32(c->in[CONV_BIAS]);
    for (int v = 0; v < vectors_of(&t); v++) {
        read_taps(&t, c->in[CONV_W], v, lanes_at(&t, v));
        t.bias[v] = lanes_load_or_zero(bias, channel + v * LANES, lanes_at(&t, v));
    }
    for (StateRun run = {0}; state_next(c, CONV_FROM, &run);)
        convolve(c, &run, &t);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    conv_check(c);
    Range mine = part_range(part, tensor_width(c->out[0]), LANES);
    for (int64_t at = mine.from; at < mine.to; at += TILE)
        convolve_tile(c, at, min_i64(TILE, mine.to - at));
}

static bool takes(const OpCall *c) { return conv_taps(c) <= TAPS_MAX; }

/* A channel has its weights and its past to read, whatever the rows. */
static int64_t threads(const OpCall *c)
{
    int64_t width = tensor_width(c->out[0]), work = (c->out[0].dim[0] + 3 * conv_taps(c)) * width;
    return min_i64(ceil_div(width, LANES), work / ELEMS_PER_THREAD + 1);
}

const CpuKernel TIERED(kernel_conv) = {.takes = takes, .phases = 1, .threads = threads, .run = run};

#include "kernels/conv/conv.h"
#include "kernels/kit/lanes.h"
#include "kernels/kit/vmath.h"

enum { TAPS_MAX = 16 };       /* more of them are the reference's business: no model has them */

/* The weights of n channels, tap by tap. */
INLINE void gather_taps(Vf *tap, Tensor w, int64_t channel, int taps, int n)
{
    for (int j = 0; j < taps; j++) {
        float lane[LANES] = {0};
        for (int i = 0; i < n; i++)
            lane[i] = f32_row(w, channel + i)[j];
        tap[j] = vf_load(lane);
    }
}

/* n channels of one sequence; the last rows of x stay in registers. */
INLINE void convolve(const OpCall *c, const StateRun *run, const Vf *tap, Vf bias, int64_t channel, int taps, int n)
{
    int64_t width = tensor_width(c->out[0]);
    Vf past[TAPS_MAX];
    for (int j = 0; j < taps - 1; j++)
        past[j] = lanes_load_or_zero(run->from, j * width + channel, n);
    for (int64_t r = run->first; r < run->end; r++) {
        past[taps - 1] = lanes_load(f32_row(c->in[CONV_X], r) + channel, n);
        Vf sum = bias;
        for (int j = 0; j < taps; j++)
            sum = vf_fma(tap[j], past[j], sum);
        for (int j = 0; j + 1 < taps; j++)
            past[j] = past[j + 1];
        lanes_store(f32_row_out(c->out[0], r) + channel, vf_activate(c->activation, sum), n);
    }
    for (int j = 0; j < taps - 1; j++)
        lanes_store(run->to + j * width + channel, past[j], n);
}

INLINE void convolve_block(const OpCall *c, int64_t channel, int taps, int n)
{
    Vf tap[TAPS_MAX], bias = vf_zero();
    gather_taps(tap, c->in[CONV_W], channel, taps, n);
    if (!tensor_is_none(c->in[CONV_BIAS]))
        bias = lanes_load(tensor_f32(c->in[CONV_BIAS]) + channel, n);
    for (StateRun run = {0}; state_next(c, CONV_FROM, &run);)
        convolve(c, &run, tap, bias, channel, taps, n);
}

INLINE void convolve_range(const OpCall *c, Range channels, int taps)
{
    int64_t i = channels.from;
    for (; i + LANES <= channels.to; i += LANES)
        convolve_block(c, i, taps, LANES);
    if (i < channels.to)
        convolve_block(c, i, taps, (int)(channels.to - i));
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    conv_check(c);
    Range channels = part_range(part, tensor_width(c->out[0]), LANES);
    switch (conv_taps(c)) {
    case 3: convolve_range(c, channels, 3); break;
    case 4: convolve_range(c, channels, 4); break;
    default: convolve_range(c, channels, conv_taps(c));
    }
}

static bool takes(const OpCall *c) { return conv_taps(c) <= TAPS_MAX; }
static int64_t threads(const OpCall *c) { return threads_by_columns(c->out[0]); }

const CpuKernel TIERED(kernel_conv) = {.takes = takes, .phases = 1, .threads = threads, .run = run};

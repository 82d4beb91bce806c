/* selective_scan_cpu.c -- 16 channels at a time, with all of their states, through all rows of a sequence: the
 * states stay in the first cache, and the exponentials are what takes time. */
#include "kernels/kit/lanes.h"
#include "kernels/kit/vmath.h"
#include "kernels/selective_scan/selective_scan.h"

enum { STATES_MAX = 256 };     /* 16 in published models; more than this is the reference's business */

/* A of n channels, state by state. */
static void gather_rates(Vf *rate, Tensor A, int64_t channel, int states, int n)
{
    for (int s = 0; s < states; s++) {
        float lane[LANES] = {0};
        for (int i = 0; i < n; i++)
            lane[i] = f32_row(A, channel + i)[s];
        rate[s] = vf_load(lane);
    }
}

INLINE void scan_lanes(const OpCall *c, const StateRun *run, const Vf *rate, Vf D, int64_t channel, int states, int n)
{
    int64_t width = tensor_width(c->out[0]);
    Vf h[STATES_MAX];
    for (int s = 0; s < states; s++)
        h[s] = lanes_load_or_zero(run->from, s * width + channel, n);
    for (int64_t r = run->first; r < run->end; r++) {
        const float *B = f32_row(c->in[SCAN_B], r), *C = f32_row(c->in[SCAN_C], r);
        Vf x = lanes_load(f32_row(c->in[SCAN_X], r) + channel, n);
        Vf dt = lanes_load(f32_row(c->in[SCAN_DT], r) + channel, n);
        Vf input = vf_mul(dt, x), y = vf_mul(D, x);
        for (int s = 0; s < states; s++) {
            h[s] = vf_fma(vf_exp(vf_mul(dt, rate[s])), h[s], vf_mul(input, vf_all(B[s])));
            y = vf_fma(vf_all(C[s]), h[s], y);
        }
        lanes_store(f32_row_out(c->out[0], r) + channel, y, n);
    }
    for (int s = 0; s < states; s++)
        lanes_store(run->to + s * width + channel, h[s], n);
}

INLINE void scan_block(const OpCall *c, int64_t channel, int n)
{
    int states = selective_scan_states(c);
    Vf rate[STATES_MAX], D = vf_zero();
    gather_rates(rate, c->in[SCAN_A], channel, states, n);
    if (!tensor_is_none(c->in[SCAN_D]))
        D = lanes_load(tensor_f32(c->in[SCAN_D]) + channel, n);
    for (StateRun run = {0}; state_next(c, SCAN_FROM, &run);)
        scan_lanes(c, &run, rate, D, channel, states, n);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    selective_scan_check(c);
    Range channels = part_range(part, tensor_width(c->out[0]), LANES);
    int64_t i = channels.from;
    for (; i + LANES <= channels.to; i += LANES)
        scan_block(c, i, LANES);
    if (i < channels.to)
        scan_block(c, i, (int)(channels.to - i));
}

static bool takes(const OpCall *c) { return selective_scan_states(c) <= STATES_MAX; }

static int64_t threads(const OpCall *c)       /* a channel has as much to do as 8 N values elsewhere */
{
    Tensor y = c->out[0];
    int64_t work = tensor_elems(y) * selective_scan_states(c) * 8;
    return min_i64(ceil_div(tensor_width(y), LANES), work / ELEMS_PER_THREAD + 1);
}

const CpuKernel TIERED(kernel_selective_scan) = {.takes = takes, .phases = 1, .threads = threads, .run = run};

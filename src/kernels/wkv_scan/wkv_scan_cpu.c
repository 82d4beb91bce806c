#include "kernels/kit/lanes.h"
#include "kernels/kit/vmath.h"
#include "kernels/wkv_scan/wkv_scan.h"

typedef struct Mean { Vf num, den, most; } Mean;      /* num and den relative to e^most */

/* Of the two weights one is 1, so one exponential is enough. */
INLINE Mean mean_add(Mean m, Vf exponent, Vf v)
{
    Vf lead = vf_sub(m.most, exponent), less = vf_exp(vf_neg(vf_abs(lead))), one = vf_all(1);
    Vm behind = vf_less(lead, vf_zero());
    Vf older = vf_pick(behind, less, one), newer = vf_pick(behind, one, less);
    return (Mean){vf_fma(older, m.num, vf_mul(newer, v)), vf_fma(older, m.den, newer), vf_max(m.most, exponent)};
}

INLINE Mean mean_read(const float *from, int64_t C, int64_t i, int n)
{
    Mean m = {lanes_load_or_zero(from, i, n), lanes_load_or_zero(from, C + i, n), lanes_load_or_zero(from, 2 * C + i, n)};
    m.most = vf_pick(vf_equal(m.den, vf_zero()), vf_all(WKV_NOTHING), m.most);
    return m;
}

/* n channels from i on stay in registers through all rows of the sequence. */
INLINE void scan_lanes(const OpCall *c, const StateRun *s, int64_t i, int n)
{
    int64_t C = tensor_width(c->out[0]);
    Vf decay = lanes_load(tensor_f32(c->in[2]) + i, n), first = lanes_load(tensor_f32(c->in[3]) + i, n);
    Mean m = mean_read(s->from, C, i, n);
    for (int64_t r = s->first; r < s->end; r++) {
        Vf k = lanes_load(f32_row(c->in[0], r) + i, n), v = lanes_load(f32_row(c->in[1], r) + i, n);
        Mean now = mean_add(m, vf_add(first, k), v);
        m.most = vf_add(m.most, decay);
        m = mean_add(m, k, v);
        lanes_store(f32_row_out(c->out[0], r) + i, vf_div(now.num, now.den), n);
    }
    lanes_store(s->to + i, m.num, n);
    lanes_store(s->to + C + i, m.den, n);
    lanes_store(s->to + 2 * C + i, m.most, n);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    wkv_scan_check(c);
    Range mine = part_range(part, tensor_width(c->out[0]), LANES);
    for (StateRun s = {0}; state_next(c, WKV_SCAN_FROM, &s);)
        for (int64_t i = mine.from; i < mine.to; i += LANES)
            if (i + LANES <= mine.to)
                scan_lanes(c, &s, i, LANES);
            else
                scan_lanes(c, &s, i, (int)(mine.to - i));
}

static int64_t threads(const OpCall *c) { return threads_by_columns(c->out[0]); }

const CpuKernel TIERED(kernel_wkv_scan) = {.phases = 1, .threads = threads, .run = run};

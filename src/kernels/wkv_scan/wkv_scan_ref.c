#include "kernels/wkv_scan/wkv_scan.h"

#include <math.h>

typedef struct Mean { float num, den, most; } Mean;      /* num and den relative to e^most */

static Mean mean_add(Mean m, double exponent, double v)
{
    double most = fmax(m.most, exponent), older = exp(m.most - most), newer = exp(exponent - most);
    return (Mean){(float)(older * m.num + newer * v), (float)(older * m.den + newer), (float)most};
}

static void scan_channel(const OpCall *c, const StateRun *run, int64_t C, int64_t i)
{
    double decay = tensor_f32(c->in[2])[i], first = tensor_f32(c->in[3])[i];
    Mean m = {0, 0, WKV_NOTHING};
    if (run->from && run->from[C + i] != 0)
        m = (Mean){run->from[i], run->from[C + i], run->from[2 * C + i]};
    for (int64_t r = run->first; r < run->end; r++) {
        double k = f32_row(c->in[0], r)[i], v = f32_row(c->in[1], r)[i];
        Mean now = mean_add(m, first + k, v);
        m.most = (float)(m.most + decay);
        m = mean_add(m, k, v);
        f32_row_out(c->out[0], r)[i] = now.num / now.den;
    }
    run->to[i] = m.num;
    run->to[C + i] = m.den;
    run->to[2 * C + i] = m.most;
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    wkv_scan_check(c);
    int64_t C = tensor_width(c->out[0]);
    for (StateRun s = {0}; state_next(c, WKV_SCAN_FROM, &s);)
        for (int64_t i = 0; i < C; i++)
            scan_channel(c, &s, C, i);
}

static OpCost cost(const OpCall *c)
{
    Tensor y = c->out[0];
    return (OpCost){.operations = 14 * (double)tensor_elems(y),
                    .weight_bytes = bytes_moved(c->in[2]) + bytes_moved(c->in[3]),
                    .cache_bytes = state_bytes_moved(c, WKV_SCAN_FROM),
                    .activation_bytes = 3 * bytes_moved(y)};
}

const CpuKernel kernel_wkv_scan_reference = {.phases = 1, .run = run};
const OpSpec spec_wkv_scan = {.cost = cost, .tolerance = 1e-4f};

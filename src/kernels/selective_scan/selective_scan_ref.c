#include "kernels/selective_scan/selective_scan.h"

#include <math.h>

static void scan_channel(const OpCall *c, const StateRun *run, int64_t channel)
{
    int64_t width = tensor_width(c->out[0]), states = selective_scan_states(c);
    const float *A = f32_row(c->in[SCAN_A], channel);
    double D = tensor_is_none(c->in[SCAN_D]) ? 0 : tensor_f32(c->in[SCAN_D])[channel];
    float *h = run->to + channel;
    for (int64_t n = 0; n < states; n++)
        h[n * width] = run->from ? run->from[n * width + channel] : 0;
    for (int64_t r = run->first; r < run->end; r++) {
        double x = f32_row(c->in[SCAN_X], r)[channel], dt = f32_row(c->in[SCAN_DT], r)[channel], y = D * x;
        for (int64_t n = 0; n < states; n++) {
            h[n * width] = (float)(exp(dt * A[n]) * h[n * width] + dt * x * f32_row(c->in[SCAN_B], r)[n]);
            y += (double)f32_row(c->in[SCAN_C], r)[n] * h[n * width];
        }
        f32_row_out(c->out[0], r)[channel] = (float)y;
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    selective_scan_check(c);
    for (StateRun run = {0}; state_next(c, SCAN_FROM, &run);)
        for (int64_t channel = 0; channel < tensor_width(c->out[0]); channel++)
            scan_channel(c, &run, channel);
}

static OpCost cost(const OpCall *c)
{
    Tensor y = c->out[0];
    return (OpCost){.operations = 7 * (double)tensor_elems(y) * selective_scan_states(c),
                    .weight_bytes = bytes_moved(c->in[SCAN_A]) + bytes_moved(c->in[SCAN_D]),
                    .cache_bytes = state_bytes_moved(c, SCAN_FROM),
                    .activation_bytes = 3 * bytes_moved(y) + 2 * bytes_moved(c->in[SCAN_B])};
}

const CpuKernel kernel_selective_scan_reference = {.phases = 1, .run = run};
const OpSpec spec_selective_scan = {.cost = cost, .tolerance = 1e-5f};

#include "kernels/shift_scan/shift_scan.h"

static void scan_channel(const ShiftScan *s, const StateRun *run, int64_t i)
{
    const float *b = f32_row(s->b, i), *c = f32_row(s->c, i);
    float *h = run->to + i * s->N;
    for (int32_t n = 0; n < s->N; n++)
        h[n] = run->from ? run->from[i * s->N + n] : 0;
    for (int64_t r = run->first; r < run->end; r++) {
        double x = f32_row(s->x, r)[i], y = s->skip ? s->skip[i] * x : 0;
        for (int32_t n = s->N - 1; n >= 0; n--) {
            h[n] = (float)((n > 0 ? h[n - 1] : 0) + b[n] * x);
            y += (double)c[n] * h[n];
        }
        f32_row_out(s->y, r)[i] = (float)y;
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    ShiftScan s = shift_scan_of(c);
    for (StateRun run = {0}; state_next(c, SHIFT_SCAN_FROM, &run);)
        for (int64_t i = 0; i < s.channels; i++)
            scan_channel(&s, &run, i);
}

static OpCost cost(const OpCall *c)
{
    ShiftScan s = shift_scan_of(c);
    return (OpCost){.operations = (double)tensor_elems(s.x) * (4 * (double)s.N + 2),
                    .weight_bytes = bytes_moved(s.b) + bytes_moved(s.c) + bytes_moved(c->in[3]),
                    .cache_bytes = state_bytes_moved(c, SHIFT_SCAN_FROM),
                    .activation_bytes = 2 * bytes_moved(s.x)};
}

const CpuKernel kernel_shift_scan_reference = {.phases = 1, .run = run};
const OpSpec spec_shift_scan = {.cost = cost, .tolerance = 5e-6f};

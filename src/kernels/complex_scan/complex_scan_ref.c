#include "kernels/complex_scan/complex_scan.h"

static void scan_channel(const ComplexScan *s, const StateRun *run, int64_t i)
{
    const float *lambda = f32_row(s->lambda, i), *c = f32_row(s->c, i);
    float *h = run->to + i * 2 * s->modes;
    for (int32_t m = 0; m < 2 * s->modes; m++)
        h[m] = run->from ? run->from[i * 2 * s->modes + m] : 0;
    for (int64_t r = run->first; r < run->end; r++) {
        double x = f32_row(s->x, r)[i], y = s->skip ? s->skip[i] * x : 0;
        for (int32_t m = 0; m < 2 * s->modes; m += 2) {
            double re = lambda[m], im = lambda[m + 1], was_re = h[m], was_im = h[m + 1];
            h[m] = (float)(re * was_re - im * was_im + x);
            h[m + 1] = (float)(re * was_im + im * was_re);
            y += (double)c[m] * h[m] - (double)c[m + 1] * h[m + 1];
        }
        f32_row_out(s->y, r)[i] = (float)y;
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    ComplexScan s = complex_scan_of(c);
    for (StateRun run = {0}; state_next(c, COMPLEX_SCAN_FROM, &run);)
        for (int64_t i = 0; i < s.channels; i++)
            scan_channel(&s, &run, i);
}

static OpCost cost(const OpCall *c)
{
    ComplexScan s = complex_scan_of(c);
    return (OpCost){.operations = (double)tensor_elems(s.x) * (10 * (double)s.modes + 2),
                    .weight_bytes = bytes_moved(s.lambda) + bytes_moved(s.c) + bytes_moved(c->in[3]),
                    .cache_bytes = state_bytes_moved(c, COMPLEX_SCAN_FROM),
                    .activation_bytes = 2 * bytes_moved(s.x)};
}

const CpuKernel kernel_complex_scan_reference = {.phases = 1, .run = run};
const OpSpec spec_complex_scan = {.cost = cost, .tolerance = 5e-5f};

#include "kernels/linear_scan/linear_scan.h"

#include <math.h>

static void scan_channel(const OpCall *c, const StateRun *run, int64_t i)
{
    float h = run->from ? run->from[i] : 0;
    for (int64_t r = run->first; r < run->end; r++) {
        double a = f32_row(c->in[0], r)[i], b = f32_row(c->in[1], r)[i];
        bool begins = !run->from && r == run->first;
        h = (float)(a * h + (c->scan.keeps_size && !begins ? sqrt(1 - a * a) : 1) * b);
        f32_row_out(c->out[0], r)[i] = h;
    }
    run->to[i] = h;
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    linear_scan_check(c);
    for (StateRun s = {0}; state_next(c, LINEAR_SCAN_FROM, &s);)
        for (int64_t i = 0; i < tensor_width(c->out[0]); i++)
            scan_channel(c, &s, i);
}

static OpCost cost(const OpCall *c)
{
    Tensor y = c->out[0];
    return (OpCost){.operations = (c->scan.keeps_size ? 6 : 2) * (double)tensor_elems(y),
                    .cache_bytes = state_bytes_moved(c, LINEAR_SCAN_FROM),
                    .activation_bytes = 3 * bytes_moved(y)};
}

const CpuKernel kernel_linear_scan_reference = {.phases = 1, .run = run};
const OpSpec spec_linear_scan = {.cost = cost, .tolerance = 1e-5f};

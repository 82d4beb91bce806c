#include "kernels/limited_gate/limited_gate.h"

#include <math.h>

static double limited_gate(LimitedGate l, double gate, double up)
{
    double g = fmin(gate, l.limit), u = fmax(-l.limit, fmin(up, l.limit));
    return isnan(gate + up) ? gate + up : g / (1 + exp(-l.alpha * g)) * (u + l.shift);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    Tensor y = c->out[0], gate = c->in[0], up = c->in[1];
    ASSERT(same_shape(y, gate) && same_shape(y, up));
    for (int64_t r = 0; r < y.dim[0]; r++)
        for (int64_t i = 0; i < tensor_width(y); i++)
            f32_row_out(y, r)[i] = (float)limited_gate(c->limited_gate, f32_row(gate, r)[i], f32_row(up, r)[i]);
}

static OpCost cost(const OpCall *c)
{
    Tensor y = c->out[0];
    return (OpCost){.operations = 2 * (double)tensor_elems(y), .activation_bytes = 3 * bytes_moved(y)};
}

const CpuKernel kernel_limited_gate_reference = {.phases = 1, .run = run};
const OpSpec spec_limited_gate = {.cost = cost, .tolerance = 2e-6f};

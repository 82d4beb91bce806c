#include "kernels/gate/gate.h"

#include "kernels/activate/activate.h"

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    Tensor y = c->out[0], gate = c->in[0], up = c->in[1];
    int64_t share = gate_share(c);
    for (int64_t r = 0; r < y.dim[0]; r++)
        for (int64_t i = 0; i < tensor_width(y); i++)
            f32_row_out(y, r)[i] =
                (float)(activation_of(c->activation, f32_row_of(gate, r)[i / share]) * f32_row(up, r)[i]);
}

static OpCost cost(const OpCall *c)
{
    Tensor y = c->out[0];
    return (OpCost){.operations = 2 * (double)tensor_elems(y), .activation_bytes = 2 * bytes_moved(y) + bytes_moved(c->in[0])};
}

const CpuKernel kernel_gate_reference = {.phases = 1, .run = run};
const OpSpec spec_gate = {.cost = cost, .tolerance = 2e-6f};

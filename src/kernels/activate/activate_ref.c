#include "kernels/activate/activate.h"

#include <math.h>

double activation_of(Activation f, double x)
{
    switch (f) {
    case SILU: return x / (1 + exp(-x));
    case GELU: return 0.5 * x * erfc(-x * M_SQRT1_2);
    case GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case RELU: return x > 0 || isnan(x) ? x : 0;
    case RELU_SQUARED: return x > 0 || isnan(x) ? x * x : 0;
    case SIGMOID: return 1 / (1 + exp(-x));
    case TANH: return tanh(x);
    case IDENTITY: return x;
    case SOFTPLUS: return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    case EXP: return exp(x);
    }
    ASSERT(false);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    Tensor y = c->out[0], x = c->in[0];
    ASSERT(same_shape(y, x));
    for (int64_t r = 0; r < y.dim[0]; r++)
        for (int64_t i = 0; i < tensor_width(y); i++)
            f32_row_out(y, r)[i] = (float)activation_of(c->activation, f32_row(x, r)[i]);
}

static OpCost cost(const OpCall *c)
{
    Tensor y = c->out[0];
    return (OpCost){.operations = (double)tensor_elems(y), .activation_bytes = 2 * bytes_moved(y)};
}

const CpuKernel kernel_activate_reference = {.phases = 1, .run = run};
const OpSpec spec_activate = {.cost = cost, .tolerance = 1e-6f};

#include "kernels/conv/conv.h"

#include "kernels/activate/activate.h"

/* One channel: `past` holds the K - 1 values before the row. */
static void convolve(const OpCall *c, const StateRun *run, int64_t channel)
{
    Tensor y = c->out[0], x = c->in[CONV_X];
    int64_t width = tensor_width(y), before = conv_taps(c) - 1;
    const float *w = f32_row(c->in[CONV_W], channel);
    float *past = run->to + channel;
    for (int64_t j = 0; j < before; j++)
        past[j * width] = run->from ? run->from[j * width + channel] : 0;
    for (int64_t r = run->first; r < run->end; r++) {
        float value = f32_row(x, r)[channel];
        double sum = tensor_is_none(c->in[CONV_BIAS]) ? 0 : tensor_f32(c->in[CONV_BIAS])[channel];
        for (int64_t j = 0; j < before; j++)
            sum += (double)w[j] * past[j * width];
        f32_row_out(y, r)[channel] = (float)activation_of(c->activation, sum + (double)w[before] * value);
        for (int64_t j = 0; j + 1 < before; j++)
            past[j * width] = past[(j + 1) * width];
        if (before > 0)
            past[(before - 1) * width] = value;
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    conv_check(c);
    for (StateRun run = {0}; state_next(c, CONV_FROM, &run);)
        for (int64_t channel = 0; channel < tensor_width(c->out[0]); channel++)
            convolve(c, &run, channel);
}

static OpCost cost(const OpCall *c)
{
    Tensor y = c->out[0];
    return (OpCost){.operations = (2 * conv_taps(c) + 1) * (double)tensor_elems(y),
                    .weight_bytes = bytes_moved(c->in[CONV_W]) + bytes_moved(c->in[CONV_BIAS]),
                    .cache_bytes = state_bytes_moved(c, CONV_FROM),
                    .activation_bytes = 2 * bytes_moved(y)};
}

const CpuKernel kernel_conv_reference = {.phases = 1, .run = run};
const OpSpec spec_conv = {.cost = cost, .tolerance = 3e-6f};

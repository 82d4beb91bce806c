/* conv.cu -- see conv.h. A thread has a channel of a sequence, and the last rows of it in its state. */
#include "kernels/activate/activate_cuda.h"

typedef struct Conv {
    Rows y, x, w;
    const float *bias;
    Activation f;
} Conv;

static __global__ void convolve(Conv c, States s)
{
    previous();
    StateSpan run = state_span(s, blockIdx.y);
    int channel = blockIdx.x * blockDim.x + threadIdx.x, before = c.w.width - 1;
    int64_t width = c.y.width;
    if (channel >= width)
        return;
    const float *w = c.w.at + channel * (int64_t)c.w.step;
    float *past = run.to + channel;
    for (int j = 0; j < before; j++)
        past[j * width] = run.from ? run.from[j * width + channel] : 0;
    for (int r = run.first; r < run.end; r++) {
        float value = row(c.x, r)[channel];
        double sum = c.bias ? c.bias[channel] : 0;
        for (int j = 0; j < before; j++)
            sum += (double)w[j] * past[j * width];
        row(c.y, r)[channel] = (float)activation_at(c.f, sum + (double)w[before] * value);
        for (int j = 0; j + 1 < before; j++)
            past[j * width] = past[(j + 1) * width];
        if (before > 0)
            past[(before - 1) * width] = value;
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Conv v = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]), rows_of(c->in[2]).at, c->activation};
    States s = states_of(c, 3);
    LAUNCH(convolve, dim3(blocks_for(v.y.width, 128), s.seqs), 128, 0, g, v, s);
}

CUDA_KERNEL(conv, NULL, NULL, run)

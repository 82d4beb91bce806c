/* conv.cu -- see conv.h. A thread has a channel of a sequence. The last rows of it, BEFORE of them, are in registers, and
 * AHEAD rows are on their way; where they are more, they stay in the state. */
#include "kernels/activate/activate_cuda.h"

enum { THREADS = 64, AHEAD = 8, BEFORE_MAX = 3 };

typedef struct Conv {
    Rows y, x, w;
    const float *bias;
    Activation f;
} Conv;

template <int BEFORE>
static __global__ void __launch_bounds__(THREADS) convolve_in_registers(const __grid_constant__ Conv c, States s)
{
    int channel = blockIdx.x * THREADS + threadIdx.x;
    int64_t width = c.y.width;
    if (channel >= width)
        return;
    float w[BEFORE + 1], x[BEFORE + AHEAD], bias = c.bias ? c.bias[channel] : 0;
#pragma unroll
    for (int j = 0; j <= BEFORE; j++)
        w[j] = row(c.w, channel)[j];
    previous();
    StateSpan run = state_span(s, blockIdx.y);
#pragma unroll
    for (int j = 0; j < BEFORE; j++)
        x[j] = run.from ? run.from[j * width + channel] : 0;
    for (int r = run.first; r < run.end; r += AHEAD) {
        int count = min(AHEAD, run.end - r);
#pragma unroll
        for (int u = 0; u < AHEAD; u++)
            x[BEFORE + u] = u < count ? row(c.x, r + u)[channel] : 0;
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            float sum = bias;
#pragma unroll
            for (int j = 0; j <= BEFORE; j++)
                sum = fmaf(w[j], x[u + j], sum);
            if (u < count)
                row(c.y, r + u)[channel] = activation_near(c.f, sum);
        }
#pragma unroll
        for (int j = 0; j < BEFORE; j++) {      /* x[count + j], by places that are known */
            float last = x[j];
#pragma unroll
            for (int u = 1; u <= AHEAD; u++)
                last = u == count ? x[j + u] : last;
            x[j] = last;
        }
    }
#pragma unroll
    for (int j = 0; j < BEFORE; j++)
        run.to[j * width + channel] = x[j];
}

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
    dim3 grid(blocks_for(v.y.width, THREADS), s.seqs);
    switch (v.w.width - 1) {
    case 1: LAUNCH((convolve_in_registers<1>), grid, THREADS, 0, g, v, s); break;
    case 2: LAUNCH((convolve_in_registers<2>), grid, THREADS, 0, g, v, s); break;
    case BEFORE_MAX: LAUNCH((convolve_in_registers<BEFORE_MAX>), grid, THREADS, 0, g, v, s); break;
    default: LAUNCH(convolve, grid, THREADS, 0, g, v, s);
    }
}

CUDA_KERNEL(conv, NULL, NULL, run)

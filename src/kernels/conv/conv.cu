/* conv.cu -- see conv.h. A thread has a channel and ROWS rows of a sequence, with the BEFORE rows before them in registers.
 *
 *     rows |  [ part 0 ] [ part 0 ]     the parts of a block of threads have rows that follow each other, read before any
 *          v  [ part 1 ] [ part 1 ]     of them is written, as y may be x; the last ones before the next rows are carried
 *               channel    channel      in shared memory
 *
 * Where more rows are before, they stay in the state, and a thread goes through a channel's rows.
 */
#include "kernels/activate/activate_cuda.h"

enum { ROWS = 8, PARTS_MAX = 16, CHANNELS_MAX = 64, FEW = 2, USUAL = 3 };     /* FEW, USUAL: rows before */

typedef struct Conv {
    Rows y, x, w;
    const float *bias;
    Activation f;
} Conv;

static __device__ __noinline__ float activated_else(Activation f, float x) { return (float)activation_at(f, x); }

template <int BEFORE> static __device__ inline float sum_at(const float *x, const float *w, float bias)
{
#pragma unroll
    for (int j = 0; j <= BEFORE; j++)
        bias = fmaf(w[j], x[j], bias);
    return bias;
}

/* Rows [first, first + count) of y. x begins BEFORE rows earlier. */
template <int BEFORE>
static __device__ inline void put_rows(const Conv &c, const float *x, const float *w, float bias, int first, int count,
                                       int channel)
{
#pragma unroll
    for (int u = 0; u < ROWS; u++) {
        float sum = sum_at<BEFORE>(x + u, w, bias);
        if (u < count)
            row(c.y, first + u)[channel] = c.f == SILU ? activation_near(SILU, sum) : activated_else(c.f, sum);
    }
}

/* x[count + j], by places that are known. */
static __device__ inline float last_of(const float *x, int count)
{
    float last = x[0];
#pragma unroll
    for (int u = 1; u <= ROWS; u++)
        last = u == count ? x[u] : last;
    return last;
}

template <int BEFORE>
static __global__ void __launch_bounds__(32 * PARTS_MAX) convolve_parts(const __grid_constant__ Conv c, States s)
{
    __shared__ float carried[BEFORE][CHANNELS_MAX];
    int lane = threadIdx.x, channel = blockIdx.x * blockDim.x + lane, part = threadIdx.y, tile = blockDim.y * ROWS;
    int64_t width = c.y.width;
    bool there = channel < width;
    float w[BEFORE + 1], x[BEFORE + ROWS], bias = there && c.bias ? c.bias[channel] : 0;
#pragma unroll
    for (int j = 0; j <= BEFORE; j++)
        w[j] = there ? row(c.w, channel)[j] : 0;
    previous_later();
    StateSpan run = state_span(s, blockIdx.y);
    previous_ended();
    for (int j = 0; part == 0 && j < BEFORE; j++)
        carried[j][lane] = there && run.from ? run.from[j * width + channel] : 0;
    for (int from = run.first; from < run.end; from += tile) {
        int first = from + part * ROWS, count = there ? min(ROWS, run.end - first) : 0;
#pragma unroll
        for (int u = 0; u < BEFORE + ROWS; u++)
            if (u < BEFORE && part == 0)
                x[u] = carried[u][lane];
            else
                x[u] = there && u - BEFORE < count ? row(c.x, first - BEFORE + u)[channel] : 0;
        __syncthreads();
        put_rows<BEFORE>(c, x, w, bias, first, count, channel);
#pragma unroll
        for (int j = 0; j < BEFORE; j++) {
            if (part == blockDim.y - 1)
                carried[j][lane] = x[ROWS + j];
            if (count > 0 && first + count == run.end)
                run.to[j * width + channel] = last_of(x + j, count);
        }
        __syncthreads();
    }
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

template <int BEFORE> static void launch_parts(const Conv &v, const States &s, const CudaRun *g)
{
    unsigned parts = blocks_for(s.rows, (int64_t)s.seqs * ROWS), channels = parts == 1 ? CHANNELS_MAX : 32;
    dim3 threads(channels, parts < PARTS_MAX ? parts : PARTS_MAX);
    LAUNCH(convolve_parts<BEFORE>, dim3(blocks_for(v.y.width, channels), s.seqs), threads, 0, g, v, s);
}

static void run(const OpCall *c, const CudaRun *g)
{
    enum { THREADS = 64 };
    Conv v = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]), rows_of(c->in[2]).at, c->activation};
    States s = states_of(c, 3);
    if (v.w.width == USUAL + 1)
        launch_parts<USUAL>(v, s, g);
    else if (v.w.width == FEW + 1)
        launch_parts<FEW>(v, s, g);
    else
        LAUNCH(convolve, dim3(blocks_for(v.y.width, THREADS), s.seqs), THREADS, 0, g, v, s);
}

CUDA_KERNEL(conv, NULL, NULL, run)

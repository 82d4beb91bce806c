/* selective_scan.cu -- see selective_scan.h.
 *
 *     a channel's N states      PARTS neighbours of a warp have EACH of them each in registers while all rows of a sequence
 *                               go by; CHANNELS channels a block of threads
 *
 * x, dt, B and C of the next rows are on their way to shared memory while these are computed. What the parts have of y is
 * added up always in the same order. A channel of more states is one thread's, which leaves them in memory.
 */
#include "kernels/kit/rows_ahead_cuda.h"

enum { EACH = 4, PARTS = 4, N_MAX = EACH * PARTS, CHANNELS = 32, THREADS = CHANNELS * PARTS, AHEAD = 8 };

typedef struct Scan {
    Rows y, x, dt, B, C, A;
    const float *D;
} Scan;

typedef struct Staged { float x[CHANNELS], dt[CHANNELS], B[N_MAX], C[N_MAX]; } Staged;

/* Rows [first, first + count), a warp for each. */
static __device__ inline void stage(Staged *to, const Scan &m, int first, int count)
{
    int lane = threadIdx.x % 32, channel = blockIdx.x * CHANNELS, there = min((int)CHANNELS, m.y.width - channel);
    for (int j = threadIdx.x / 32; j < count; j += THREADS / 32) {
        copy_row<CHANNELS, false>(to[j].x, row(m.x, first + j) + channel, there, lane);
        copy_row<CHANNELS, false>(to[j].dt, row(m.dt, first + j) + channel, there, lane);
        copy_row<N_MAX, false>(to[j].B, row(m.B, first + j), m.A.width, lane);
        copy_row<N_MAX, false>(to[j].C, row(m.C, first + j), m.A.width, lane);
    }
}

/* One row goes by; what this thread has of y. rates: A log2(e). */
static __device__ inline float advance(float *h, const float *rates, const Staged &r, int own, int n)
{
    float dt = r.dt[own], x = dt * r.x[own], y = 0;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        h[i] = fmaf(exp2f(dt * rates[i]), h[i], x * r.B[n + i]);
        y = fmaf(r.C[n + i], h[i], y);
    }
    return y;
}

static __global__ void __launch_bounds__(THREADS) scan_parts(const __grid_constant__ Scan m, States s)
{
    __shared__ Staged staged[2][AHEAD];
    int own = threadIdx.x / 32 * (32 / PARTS) + threadIdx.x % (32 / PARTS), n = threadIdx.x % 32 / (32 / PARTS) * EACH;
    int channel = blockIdx.x * CHANNELS + own, states = m.A.width;
    bool there = channel < m.y.width;
    int64_t width = m.y.width;
    float h[EACH], rates[EACH], D = there && m.D ? m.D[channel] : 0;
#pragma unroll
    for (int i = 0; i < EACH; i++)
        rates[i] = there && n + i < states ? row(m.A, channel)[n + i] * 1.44269504088896340736f : 0;
    for (int i = threadIdx.x; i < (int)(sizeof staged / sizeof(float)); i += THREADS)
        ((float *)staged)[i] = 0;      /* there may be fewer states, and fewer channels */
    previous_later();
    StateSpan run = state_span(s, blockIdx.y);
    previous_ended();
    __syncthreads();
    stage(staged[0], m, run.first, min((int)AHEAD, run.end - run.first));
#pragma unroll
    for (int i = 0; i < EACH; i++)
        h[i] = run.from && there && n + i < states ? run.from[(n + i) * width + channel] : 0;
    for (int r = run.first, turn = 0; r < run.end; r += AHEAD, turn ^= 1) {
        int count = min((int)AHEAD, run.end - r);
        copies_ended();
        __syncthreads();
        stage(staged[turn ^ 1], m, r + AHEAD, min((int)AHEAD, run.end - r - AHEAD));
#pragma unroll 4
        for (int j = 0; j < count; j++) {
            float y = advance(h, rates, staged[turn][j], own, n);
            for (int i = 32 / PARTS; i < 32; i *= 2)
                y += __shfl_xor_sync(0xffffffff, y, i);
            if (n == 0 && there)
                row(m.y, r + j)[channel] = fmaf(D, staged[turn][j].x[own], y);
        }
    }
#pragma unroll
    for (int i = 0; i < EACH; i++)
        if (there && n + i < states)
            run.to[(n + i) * width + channel] = h[i];
}

static __global__ void scan_channels(Scan m, States s)
{
    previous();
    StateSpan run = state_span(s, blockIdx.y);
    int channel = blockIdx.x * blockDim.x + threadIdx.x, states = m.A.width;
    int64_t width = m.y.width;
    if (channel >= width)
        return;
    const float *A = row(m.A, channel);
    double D = m.D ? m.D[channel] : 0;
    float *h = run.to + channel;
    for (int n = 0; n < states; n++)
        h[n * width] = run.from ? run.from[n * width + channel] : 0;
    for (int r = run.first; r < run.end; r++) {
        double x = row(m.x, r)[channel], dt = row(m.dt, r)[channel], y = D * x;
        for (int n = 0; n < states; n++) {
            float next = (float)(exp(dt * A[n]) * h[n * width] + dt * x * row(m.B, r)[n]);
            h[n * width] = next;
            y += (double)row(m.C, r)[n] * next;
        }
        row(m.y, r)[channel] = (float)y;
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Scan m = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]), rows_of(c->in[2]), rows_of(c->in[3]),
              rows_of(c->in[4]), rows_of(c->in[5]).at};
    States s = states_of(c, 6);
    if (m.A.width <= N_MAX)
        LAUNCH(scan_parts, dim3(blocks_for(m.y.width, CHANNELS), s.seqs), THREADS, 0, g, m, s);
    else
        LAUNCH(scan_channels, dim3(blocks_for(m.y.width, 64), s.seqs), 64, 0, g, m, s);
}

CUDA_KERNEL(selective_scan, NULL, NULL, run)

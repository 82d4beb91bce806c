/* linear_scan.cu -- see linear_scan.h. A thread has a channel of a sequence, and AHEAD rows of it on their way while as many
 * others go by. */
#include "kernels/kit/cuda_kit.h"

typedef struct Scan {
    Rows y, a, b;
    bool keeps_size;
} Scan;

/* The channel in some rows. */
template <int AHEAD> struct Some { float a[AHEAD], b[AHEAD]; };

template <int AHEAD> static __device__ inline void ask(Some<AHEAD> *to, const Scan &m, int first, int end, int i)
{
#pragma unroll
    for (int j = 0; j < AHEAD; j++)
        if (first + j < end) {
            to->a[j] = row(m.a, first + j)[i];
            to->b[j] = row(m.b, first + j)[i];
        }
}

template <int AHEAD, int THREADS>
static __global__ void __launch_bounds__(THREADS) scan_channels(const __grid_constant__ Scan m, States s)
{
    previous_later();
    StateSpan run = state_span(s, blockIdx.y);
    previous_ended();
    int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= m.y.width)
        return;
    float h = run.from ? run.from[i] : 0;
    Some<AHEAD> now, next;
    ask(&now, m, run.first, run.end, i);
    for (int r = run.first; r < run.end; r += AHEAD) {
        ask(&next, m, r + AHEAD, run.end, i);
#pragma unroll
        for (int j = 0; j < AHEAD; j++) {
            float a = now.a[j], b = now.b[j];
            if (m.keeps_size && (run.from || r + j > run.first))
                b *= sqrtf(fmaf(-a, a, 1));
            if (r + j < run.end)
                row(m.y, r + j)[i] = h = fmaf(a, h, b);
        }
        now = next;
    }
    run.to[i] = h;
}

template <int AHEAD, int THREADS> static void launch(const Scan &m, const States &s, const CudaRun *g)
{
    LAUNCH((scan_channels<AHEAD, THREADS>), dim3(blocks_for(m.y.width, THREADS), s.seqs), THREADS, 0, g, m, s);
}

static void run(const OpCall *c, const CudaRun *g)
{
    Scan m = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]), c->scan.keeps_size};
    States s = states_of(c, 2);
    if (s.rows > s.seqs)
        launch<16, 32>(m, s, g);
    else
        launch<1, 64>(m, s, g);
}

CUDA_KERNEL(linear_scan, NULL, NULL, run)

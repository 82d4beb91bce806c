/* shift_scan.cu -- see shift_scan.h. A thread has a channel of a sequence. */
#include "kernels/kit/cuda_kit.h"

typedef struct Scan {
    Rows y, x, b, c;
    const float *skip;
} Scan;

static __global__ void scan_channels(Scan m, States s)
{
    previous();
    StateSpan run = state_span(s, blockIdx.y);
    int64_t i = blockIdx.x * blockDim.x + threadIdx.x, N = m.b.width;
    if (i >= m.x.width)
        return;
    const float *b = row(m.b, i), *c = row(m.c, i);
    float *h = run.to + i * N;
    for (int n = 0; n < N; n++)
        h[n] = run.from ? run.from[i * N + n] : 0;
    for (int r = run.first; r < run.end; r++) {
        double x = row(m.x, r)[i], y = m.skip ? m.skip[i] * x : 0;
        for (int n = (int)N - 1; n >= 0; n--) {
            h[n] = (float)((n > 0 ? h[n - 1] : 0) + b[n] * x);
            y += (double)c[n] * h[n];
        }
        row(m.y, r)[i] = (float)y;
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Scan m = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]), rows_of(c->in[2]), rows_of(c->in[3]).at};
    States s = states_of(c, 4);
    LAUNCH(scan_channels, dim3(blocks_for(m.x.width, 64), s.seqs), 64, 0, g, m, s);
}

CUDA_KERNEL(shift_scan, NULL, NULL, run)

/* complex_scan.cu -- see complex_scan.h. A thread has a channel of a sequence. */
#include "kernels/kit/cuda_kit.h"

typedef struct Scan {
    Rows y, x, lambda, c;
    const float *skip;
    int modes;
} Scan;

static __global__ void scan_channels(Scan m, States s)
{
    previous();
    StateSpan run = state_span(s, blockIdx.y);
    int64_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= m.x.width)
        return;
    const float *lambda = row(m.lambda, i), *c = row(m.c, i);
    float *h = run.to + i * 2 * m.modes;
    for (int n = 0; n < 2 * m.modes; n++)
        h[n] = run.from ? run.from[i * 2 * m.modes + n] : 0;
    for (int r = run.first; r < run.end; r++) {
        double x = row(m.x, r)[i], y = m.skip ? m.skip[i] * x : 0;
        for (int n = 0; n < 2 * m.modes; n += 2) {
            double re = lambda[n], im = lambda[n + 1], was_re = h[n], was_im = h[n + 1];
            h[n] = (float)(re * was_re - im * was_im + x);
            h[n + 1] = (float)(re * was_im + im * was_re);
            y += (double)c[n] * h[n] - (double)c[n + 1] * h[n + 1];
        }
        row(m.y, r)[i] = (float)y;
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Scan m = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]), rows_of(c->in[2]), rows_of(c->in[3]).at, 0};
    m.modes = m.lambda.width / 2;
    States s = states_of(c, 4);
    LAUNCH(scan_channels, dim3(blocks_for(m.x.width, 64), s.seqs), 64, 0, g, m, s);
}

CUDA_KERNEL(complex_scan, NULL, NULL, run)

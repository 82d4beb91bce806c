/* selective_scan.cu -- see selective_scan.h. A thread has a channel of a sequence and goes through its rows. */
#include "kernels/kit/cuda_kit.h"

typedef struct Scan {
    Rows y, x, dt, B, C, A;
    const float *D;
} Scan;

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
    LAUNCH(scan_channels, dim3(blocks_for(m.y.width, 64), s.seqs), 64, 0, g, m, s);
}

CUDA_KERNEL(selective_scan, NULL, NULL, run)

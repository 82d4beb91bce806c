/* linear_scan.cu -- see linear_scan.h. A thread has a channel of a sequence. */
#include "kernels/kit/cuda_kit.h"

static __global__ void scan_channels(Rows y, Rows as, Rows bs, States s, bool keeps_size)
{
    previous();
    StateSpan run = state_span(s, blockIdx.y);
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= y.width)
        return;
    float h = run.from ? run.from[i] : 0;
    for (int r = run.first; r < run.end; r++) {
        double a = row(as, r)[i], b = row(bs, r)[i];
        bool begins = !run.from && r == run.first;
        h = (float)(a * h + (keeps_size && !begins ? sqrt(1 - a * a) : 1) * b);
        row(y, r)[i] = h;
    }
    run.to[i] = h;
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows y = rows_of(c->out[0]);
    States s = states_of(c, 2);
    LAUNCH(scan_channels, dim3(blocks_for(y.width, 64), s.seqs), 64, 0, g, y, rows_of(c->in[0]), rows_of(c->in[1]), s,
           c->scan.keeps_size);
}

CUDA_KERNEL(linear_scan, NULL, NULL, run)

/* wkv_scan.cu -- see wkv_scan.h. A thread has a channel of a sequence. */
#include "kernels/kit/cuda_kit.h"

typedef struct Mean { float num, den, most; } Mean;      /* num and den relative to e^most */

static __device__ Mean mean_add(Mean m, double exponent, double v)
{
    double most = fmax((double)m.most, exponent), older = exp(m.most - most), newer = exp(exponent - most);
    Mean sum = {(float)(older * m.num + newer * v), (float)(older * m.den + newer), (float)most};
    return sum;
}

static __global__ void scan_channels(Rows y, Rows ks, Rows vs, const float *decays, const float *firsts, States s)
{
    previous();
    StateSpan run = state_span(s, blockIdx.y);
    int64_t i = blockIdx.x * blockDim.x + threadIdx.x, C = y.width;
    if (i >= C)
        return;
    double decay = decays[i], first = firsts[i];
    Mean m = {0, 0, -1e38f};      /* WKV_NOTHING */
    if (run.from && run.from[C + i] != 0) {
        m.num = run.from[i];
        m.den = run.from[C + i];
        m.most = run.from[2 * C + i];
    }
    for (int r = run.first; r < run.end; r++) {
        double k = row(ks, r)[i], v = row(vs, r)[i];
        Mean now = mean_add(m, first + k, v);
        m.most = (float)(m.most + decay);
        m = mean_add(m, k, v);
        row(y, r)[i] = now.num / now.den;
    }
    run.to[i] = m.num;
    run.to[C + i] = m.den;
    run.to[2 * C + i] = m.most;
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows y = rows_of(c->out[0]);
    States s = states_of(c, 4);
    LAUNCH(scan_channels, dim3(blocks_for(y.width, 64), s.seqs), 64, 0, g, y, rows_of(c->in[0]), rows_of(c->in[1]),
           rows_of(c->in[2]).at, rows_of(c->in[3]).at, s);
}

CUDA_KERNEL(wkv_scan, NULL, NULL, run)

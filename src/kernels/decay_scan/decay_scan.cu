/* decay_scan.cu -- see decay_scan.h and scan_strips_cuda.h. */
#include "kernels/decay_scan/scan_strips_cuda.h"

/* More than N_MAX numbers of n: the state stays in memory, and a thread has a column of it. */
static __global__ void scan_in_memory(Scan m, States s)
{
    previous();
    StateSpan run = state_span(s, blockIdx.y);
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= m.heads * m.P)
        return;
    int h = column / m.P, p = column % m.P, group = h / (m.heads / m.groups) * m.N;
    int64_t at = (int64_t)h * m.N * m.P + p;
    float *S = run.to + at;
    for (int n = 0; n < m.N; n++)
        S[(int64_t)n * m.P] = run.from ? run.from[at + (int64_t)n * m.P] : 0;
    for (int r = run.first; r < run.end; r++) {
        const float *q = row(m.q, r) + group, *k = row(m.k, r) + group;
        double decay = row(m.decay, r)[h], v = row(m.v, r)[column], y = 0;
        for (int n = 0; n < m.N; n++) {
            float next = (float)(decay * S[(int64_t)n * m.P] + k[n] * v);
            S[(int64_t)n * m.P] = next;
            y += (double)q[n] * next;
        }
        row(m.y, r)[column] = (float)y;
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Scan m = scan_of(c);
    States s = states_of(c, 4);
    if (m.N > N_MAX)
        LAUNCH(scan_in_memory, dim3(blocks_for(m.heads * m.P, 64), s.seqs), 64, 0, g, m, s);
    else
        launch_scan<false>(m, s, g);
}

CUDA_KERNEL(decay_scan, NULL, NULL, run)

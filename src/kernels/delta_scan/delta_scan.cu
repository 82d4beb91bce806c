/* delta_scan.cu -- see delta_scan.h. A thread has a column of a head's state. */
#include "kernels/kit/cuda_kit.h"

typedef struct Scan {
    Rows y, q, k, v, decay, beta;
    int heads, shared, N, P;
    bool per_channel;
} Scan;

static __global__ void scan_columns(Scan m, States s)
{
    previous();
    StateSpan run = state_span(s, blockIdx.y);
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= m.heads * m.P)
        return;
    int h = column / m.P, p = column % m.P;
    int64_t at = (int64_t)h * m.N * m.P + p, key = (int64_t)(h / m.shared) * m.N;
    float *S = run.to + at;
    for (int n = 0; n < m.N; n++)
        S[(int64_t)n * m.P] = run.from ? run.from[at + (int64_t)n * m.P] : 0;
    for (int r = run.first; r < run.end; r++) {
        const float *q = row(m.q, r) + key, *k = row(m.k, r) + key;
        const float *decay = row(m.decay, r) + (m.per_channel ? (int64_t)h * m.N : h);
        double known = 0, y = 0;
        for (int n = 0; n < m.N; n++)
            known += (double)decay[m.per_channel ? n : 0] * S[(int64_t)n * m.P] * k[n];
        double correction = row(m.beta, r)[h] * (row(m.v, r)[column] - known);
        for (int n = 0; n < m.N; n++) {
            float next = (float)((double)decay[m.per_channel ? n : 0] * S[(int64_t)n * m.P] + k[n] * correction);
            S[(int64_t)n * m.P] = next;
            y += (double)q[n] * next;
        }
        row(m.y, r)[column] = (float)y;
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Scan m = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]), rows_of(c->in[2]), rows_of(c->in[3]),
              rows_of(c->in[4]), c->in[2].dim[1], c->in[2].dim[1] / c->in[1].dim[1], c->in[1].dim[2], c->in[2].dim[2],
              tensor_width(c->in[3]) != c->in[2].dim[1]};
    States s = states_of(c, 5);
    LAUNCH(scan_columns, dim3(blocks_for(m.heads * m.P, 64), s.seqs), 64, 0, g, m, s);
}

CUDA_KERNEL(delta_scan, NULL, NULL, run)

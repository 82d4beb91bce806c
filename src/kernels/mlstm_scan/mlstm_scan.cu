/* mlstm_scan.cu -- see mlstm_scan.h. A block of threads has a head of a sequence; all of it knows m. */
#include "kernels/kit/cuda_kit.h"

typedef struct Scan {
    Rows y, q, k, v, input, forget;
    int heads, N, P;
    double eps;
} Scan;

static __device__ double log_sigmoid(double x) { return fmin(x, 0.0) - log1p(exp(-fabs(x))); }

static __device__ void begin(const StateSpan &run, int64_t at, int64_t n)
{
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
        run.to[at + i] = run.from ? run.from[at + i] : 0;
}

static __global__ void scan_heads(Scan s, States states)
{
    previous();
    __shared__ double shared[32];
    StateSpan run = state_span(states, blockIdx.y);
    int64_t h = blockIdx.x, at_C = h * s.N * s.P, at_n = (int64_t)s.heads * s.N * s.P + h * s.N;
    int64_t at_m = (int64_t)s.heads * (s.N * (int64_t)s.P + s.N) + h;
    float *C = run.to + at_C, *n = run.to + at_n, m = run.from ? run.from[at_m] : 0;
    begin(run, at_C, (int64_t)s.N * s.P);
    begin(run, at_n, s.N);
    __syncthreads();
    for (int r = run.first; r < run.end; r++) {
        const float *q = row(s.q, r) + h * s.N, *k = row(s.k, r) + h * s.N;
        double input = row(s.input, r)[h], kept = log_sigmoid(row(s.forget, r)[h]) + m, dot = 0;
        m = (float)fmax(kept, input);
        double f = exp(kept - m), i = exp(input - m);
        for (int at = threadIdx.x; at < s.N; at += blockDim.x) {
            n[at] = (float)(f * n[at] + i * k[at]);
            dot += (double)q[at] * n[at];
        }
        double divisor = fmax(fabs(block_sum(dot, shared)), exp(-(double)m)) + s.eps;
        for (int p = threadIdx.x; p < s.P; p += blockDim.x) {
            double sum = 0, value = row(s.v, r)[h * s.P + p];
            for (int at = 0; at < s.N; at++) {
                float next = (float)(f * C[(int64_t)at * s.P + p] + i * k[at] * value);
                C[(int64_t)at * s.P + p] = next;
                sum += (double)q[at] * next;
            }
            row(s.y, r)[h * s.P + p] = (float)(sum / divisor);
        }
    }
    if (threadIdx.x == 0)
        run.to[at_m] = m;
}

static void run(const OpCall *c, const CudaRun *g)
{
    Scan s = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]), rows_of(c->in[2]), rows_of(c->in[3]),
              rows_of(c->in[4]), c->in[2].dim[1], c->in[1].dim[2], c->in[2].dim[2], c->eps};
    States states = states_of(c, 5);
    LAUNCH(scan_heads, dim3(s.heads, states.seqs), 128, 0, g, s, states);
}

CUDA_KERNEL(mlstm_scan, NULL, NULL, run)

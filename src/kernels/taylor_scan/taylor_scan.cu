/* taylor_scan.cu -- see taylor_scan.h. A block of threads has a head of a sequence; the features of the row lie in
 * shared memory. */
#include "kernels/kit/cuda_kit.h"

typedef struct Scan {
    Rows y, q, k, v;
    int heads, F, P, M;
    double eps;
} Scan;

/* Feature `at` of x; square: what multiplies x_i x_i. */
static __device__ float feature(const float *x, int F, int at, float square)
{
    if (at == 0)
        return 1;
    if (at <= F)
        return x[at - 1];
    int i = 0;
    for (at -= F + 1; at >= F - i; i++)
        at -= F - i;
    return at == 0 ? square * x[i] * x[i] : x[i] * x[i + at];
}

static __global__ void scan_heads(Scan s, States states)
{
    previous();
    extern __shared__ float features[];
    __shared__ double shared[32];
    float *f = features, *g = features + s.M;
    StateSpan run = state_span(states, blockIdx.y);
    int64_t h = blockIdx.x, at_S = h * s.M * s.P, at_n = (int64_t)s.heads * s.M * s.P + h * s.M;
    float *S = run.to + at_S, *n = run.to + at_n;
    for (int64_t i = threadIdx.x; i < (int64_t)s.M * s.P; i += blockDim.x)
        S[i] = run.from ? run.from[at_S + i] : 0;
    for (int i = threadIdx.x; i < s.M; i += blockDim.x)
        n[i] = run.from ? run.from[at_n + i] : 0;
    for (int r = run.first; r < run.end; r++) {
        double part = 0;
        __syncthreads();
        for (int m = threadIdx.x; m < s.M; m += blockDim.x) {
            f[m] = feature(row(s.q, r) + h * s.F, s.F, m, 0.5f);
            g[m] = feature(row(s.k, r) + h * s.F, s.F, m, 1);
            n[m] = (float)((double)n[m] + g[m]);
            part += (double)f[m] * n[m];
        }
        double divisor = s.eps + block_sum(part, shared);
        for (int p = threadIdx.x; p < s.P; p += blockDim.x) {
            double sum = 0, value = row(s.v, r)[h * s.P + p];
            for (int m = 0; m < s.M; m++) {
                float next = (float)(S[(int64_t)m * s.P + p] + g[m] * value);
                S[(int64_t)m * s.P + p] = next;
                sum += (double)f[m] * next;
            }
            row(s.y, r)[h * s.P + p] = (float)(sum / divisor);
        }
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Scan s = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]), rows_of(c->in[2]), c->in[2].dim[1],
              c->in[1].dim[2], c->in[2].dim[2], 0, c->eps};
    s.M = 1 + s.F + s.F * (s.F + 1) / 2;
    States states = states_of(c, 3);
    LAUNCH(scan_heads, dim3(s.heads, states.seqs), 128, 2 * sizeof(float) * s.M, g, s, states);
}

static const char *refuses(const OpCall *c)
{
    int F = c->in[1].dim[2];
    return 8 * (1 + F + F * (F + 1) / 2) > 40000 ? "has more features than fit into shared memory" : NULL;
}

CUDA_KERNEL(taylor_scan, refuses, NULL, run)

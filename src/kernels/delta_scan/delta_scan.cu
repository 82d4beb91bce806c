/* delta_scan.cu -- see delta_scan.h.
 *
 *     a column of a head's state     PARTS threads of a warp have EACH numbers of it each, in fours, in registers while all
 *                                    rows of a sequence go by; COLUMNS columns of one head a block of threads
 *
 * q, k, v, the decays and beta of the next rows are on their way to shared memory while these are computed. The parts of a
 * sum are added up always in the same order. A column of more numbers is one thread's, which leaves them in memory.
 */
#include "kernels/kit/rows_ahead_cuda.h"

enum { PARTS = 8, THREADS = 256, COLUMNS = THREADS / PARTS, AHEAD = THREADS / 32, N_MAX = 128 };

typedef struct Scan {
    Rows y, q, k, v, decay, beta;
    int heads, shared, N, P;
    bool per_channel;
    int pieces;                /* blocks of threads for a head */
} Scan;

template <int EACH> struct __align__(16) Staged {
    float q[PARTS * EACH], k[PARTS * EACH], decay[PARTS * EACH], v[COLUMNS], beta;
};

/* Row r, by a warp. */
template <int EACH> static __device__ inline void stage(Staged<EACH> *to, const Scan &m, int h, int first, int r, int lane)
{
    enum { N = PARTS * EACH };
    int64_t key = (int64_t)(h / m.shared) * m.N;
    copy_row<N, false>(to->q, row(m.q, r) + key, m.N, lane);
    copy_row<N, false>(to->k, row(m.k, r) + key, m.N, lane);
    if (m.per_channel)
        copy_row<N, false>(to->decay, row(m.decay, r) + (int64_t)h * m.N, m.N, lane);
    else
        copy_row<1, false>(to->decay, row(m.decay, r) + h, 1, lane);
    copy_row<COLUMNS, false>(to->v, row(m.v, r) + (int64_t)h * m.P + first, m.P - first, lane);
    copy_row<1, false>(&to->beta, row(m.beta, r) + h, 1, lane);
}

/* The sum over the parts of a column. */
static __device__ inline float over_parts(float x)
{
    for (int i = 32 / PARTS; i < 32; i *= 2)
        x += __shfl_xor_sync(0xffffffff, x, i);
    return x;
}

/* One row goes by: y of this column. The part has n = PARTS 4 i + 4 part + (0 to 3). */
template <int EACH>
static __device__ inline float advance(float *S, const Staged<EACH> &r, bool per_channel, int part, int column)
{
    float known[4] = {0, 0, 0, 0}, y[4] = {0, 0, 0, 0}, k[EACH];
#pragma unroll
    for (int i = 0; i < EACH; i += 4) {
        *(float4 *)(k + i) = *(const float4 *)(r.k + (i * PARTS + part * 4));
        float4 own = *(const float4 *)(r.decay + (per_channel ? i * PARTS + part * 4 : 0));
        const float decay[4] = {own.x, per_channel ? own.y : own.x, per_channel ? own.z : own.x, per_channel ? own.w : own.x};
#pragma unroll
        for (int u = 0; u < 4; u++) {
            S[i + u] *= decay[u];
            known[u] = fmaf(S[i + u], k[i + u], known[u]);
        }
    }
    float correction = r.beta * (r.v[column] - over_parts((known[0] + known[1]) + (known[2] + known[3])));
#pragma unroll
    for (int i = 0; i < EACH; i += 4) {
        float4 four = *(const float4 *)(r.q + (i * PARTS + part * 4));
        const float q[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
        for (int u = 0; u < 4; u++) {
            S[i + u] = fmaf(k[i + u], correction, S[i + u]);
            y[u] = fmaf(q[u], S[i + u], y[u]);
        }
    }
    return over_parts((y[0] + y[1]) + (y[2] + y[3]));
}

template <int EACH> static __global__ void __launch_bounds__(THREADS) scan_parts(const __grid_constant__ Scan m, States s)
{
    __shared__ Staged<EACH> staged[2][AHEAD];
    int h = blockIdx.x / m.pieces, first = blockIdx.x % m.pieces * COLUMNS, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int column = warp * (32 / PARTS) + lane % (32 / PARTS), part = lane / (32 / PARTS), p = first + column;
    int64_t at = (int64_t)h * m.N * m.P + p;
    float S[EACH];
    for (int i = threadIdx.x; i < (int)(sizeof staged / sizeof(float)); i += THREADS)
        ((float *)staged)[i] = 0;      /* N may end before its parts do */
    previous_later();
    StateSpan run = state_span(s, blockIdx.y);
    previous_ended();
    __syncthreads();
    if (run.first + warp < run.end)
        stage(&staged[0][warp], m, h, first, run.first + warp, lane);
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        int n = i / 4 * 4 * PARTS + part * 4 + i % 4;
        S[i] = run.from && p < m.P && n < m.N ? run.from[at + (int64_t)n * m.P] : 0;
    }
    for (int r = run.first, turn = 0; r < run.end; r += AHEAD, turn ^= 1) {
        copies_ended();
        __syncthreads();
        if (r + AHEAD + warp < run.end)
            stage(&staged[turn ^ 1][warp], m, h, first, r + AHEAD + warp, lane);
#pragma unroll 2
        for (int j = 0; j < min((int)AHEAD, run.end - r); j++) {
            float y = advance(S, staged[turn][j], m.per_channel, part, column);
            if (part == 0 && p < m.P)
                row(m.y, r + j)[(int64_t)h * m.P + p] = y;
        }
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        int n = i / 4 * 4 * PARTS + part * 4 + i % 4;
        if (p < m.P && n < m.N)
            run.to[at + (int64_t)n * m.P] = S[i];
    }
}

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
              tensor_width(c->in[3]) != c->in[2].dim[1], (int)blocks_for(c->in[2].dim[2], COLUMNS)};
    States s = states_of(c, 5);
    dim3 grid(m.heads * m.pieces, s.seqs);
    if (m.N <= N_MAX / 2)
        LAUNCH((scan_parts<N_MAX / 2 / PARTS>), grid, THREADS, 0, g, m, s);
    else if (m.N <= N_MAX)
        LAUNCH((scan_parts<N_MAX / PARTS>), grid, THREADS, 0, g, m, s);
    else
        LAUNCH(scan_columns, dim3(blocks_for(m.heads * m.P, 64), s.seqs), 64, 0, g, m, s);
}

CUDA_KERNEL(delta_scan, NULL, NULL, run)

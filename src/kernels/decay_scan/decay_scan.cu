/* decay_scan.cu -- see decay_scan.h.
 *
 *     a head's state [N, P]      SPLIT threads have a column: EACH numbers of it each, in registers, through all rows
 *                                COLUMNS columns a block of threads
 *
 * What the threads of a block share of a row (q, k, the decay and its values) lies in shared memory, ROWS rows at a time,
 * while the ones after them come. A column of more than SPLIT EACH_MAX numbers stays in memory, a thread for each.
 */
#include "kernels/kit/cuda_kit.h"

enum { THREADS = 256, SPLIT = 4, COLUMNS = THREADS / SPLIT, LANES = 32 / SPLIT, ROWS = 8, EACH_MAX = 64 };

typedef struct Scan {
    Rows y, q, k, v, decay;
    int heads, groups, N, P;
    int pieces;                /* blocks of threads for a head */
} Scan;

/* Parts of q and k begin at other banks, as they are read side by side. */
template <int EACH> struct Staged {
    float q[ROWS][SPLIT][EACH + 4], k[ROWS][SPLIT][EACH + 4], v[ROWS][COLUMNS], decay[ROWS];
};

static __device__ inline void begin_copy(float *to, const float *from)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"((unsigned)__cvta_generic_to_shared(to)), "l"(from) : "memory");
}
static __device__ inline void end_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

/* A warp for each of the rows [first, first + ROWS). */
template <int EACH>
static __device__ inline void stage(Staged<EACH> *to, const Scan &m, int h, int column, int first, int end)
{
    int j = threadIdx.x / 32, lane = threadIdx.x % 32, r = first + j, group = h / (m.heads / m.groups) * m.N;
    static_assert(ROWS == THREADS / 32, "a warp for each row");
    if (r >= end)
        return;
    for (int n = lane; n < m.N; n += 32) {
        begin_copy(&to->q[j][n / EACH][n % EACH], row(m.q, r) + group + n);
        begin_copy(&to->k[j][n / EACH][n % EACH], row(m.k, r) + group + n);
    }
    for (int p = lane; p < COLUMNS && column + p < m.P; p += 32)
        begin_copy(&to->v[j][p], row(m.v, r) + (int64_t)h * m.P + column + p);
    if (lane == 0)
        begin_copy(&to->decay[j], row(m.decay, r) + h);
}

/* What of a row's sum this thread's part of the column gives. */
template <int EACH>
static __device__ inline float advance(float *state, const float *q, const float *k, float decay, float v)
{
    float sums[4] = {0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < EACH; i += 4) {
        float4 four_k = *(const float4 *)(k + i), four_q = *(const float4 *)(q + i);
        const float ks[4] = {four_k.x, four_k.y, four_k.z, four_k.w}, qs[4] = {four_q.x, four_q.y, four_q.z, four_q.w};
#pragma unroll
        for (int u = 0; u < 4; u++) {
            state[i + u] = fmaf(decay, state[i + u], ks[u] * v);
            sums[u] = fmaf(qs[u], state[i + u], sums[u]);
        }
    }
    return sums[0] + sums[1] + (sums[2] + sums[3]);
}

template <int EACH> static __global__ void __launch_bounds__(THREADS) scan_in_registers(const __grid_constant__ Scan m, States s)
{
    __shared__ Staged<EACH> staged[2];
    int h = blockIdx.x / m.pieces, first_column = blockIdx.x % m.pieces * COLUMNS;
    int own = threadIdx.x / 32 * LANES + threadIdx.x % LANES, part = threadIdx.x % 32 / LANES, p = first_column + own;
    for (int i = threadIdx.x; i < (int)(sizeof staged / sizeof(float)); i += THREADS)      /* where N ends before its parts do */
        ((float *)staged)[i] = 0;
    previous();
    StateSpan run = state_span(s, blockIdx.y);
    int64_t at = ((int64_t)h * m.N + part * EACH) * m.P + p;
    int mine = p < m.P ? min(EACH, m.N - part * EACH) : 0;
    float state[EACH];
#pragma unroll
    for (int i = 0; i < EACH; i++)
        state[i] = i < mine && run.from ? run.from[at + (int64_t)i * m.P] : 0;
    __syncthreads();
    stage<EACH>(&staged[0], m, h, first_column, run.first, run.end);
    for (int r = run.first, turn = 0; r < run.end; r += ROWS, turn ^= 1) {
        const Staged<EACH> &now = staged[turn];
        end_copies();
        __syncthreads();
        stage<EACH>(&staged[turn ^ 1], m, h, first_column, r + ROWS, run.end);
        for (int j = 0; j < ROWS && r + j < run.end; j++) {
            float y = advance<EACH>(state, now.q[j][part], now.k[j][part], now.decay[j], now.v[j][own]);
            for (int i = LANES; i < 32; i *= 2)
                y += __shfl_xor_sync(0xffffffff, y, i);
            if (part == 0 && mine > 0)
                row(m.y, r + j)[(int64_t)h * m.P + p] = y;
        }
    }
#pragma unroll
    for (int i = 0; i < EACH; i++)
        if (i < mine)
            run.to[at + (int64_t)i * m.P] = state[i];
}

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

template <int EACH> static void launch(const Scan &m, const States &s, const CudaRun *g)
{
    LAUNCH((scan_in_registers<EACH>), dim3(m.heads * m.pieces, s.seqs), THREADS, 0, g, m, s);
}

static void run(const OpCall *c, const CudaRun *g)
{
    Scan m = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]), rows_of(c->in[2]), rows_of(c->in[3]),
              c->out[0].dim[1], c->in[0].dim[1], c->in[0].dim[2], c->out[0].dim[2]};
    States s = states_of(c, 4);
    m.pieces = (m.P + COLUMNS - 1) / COLUMNS;
    if (m.N > SPLIT * EACH_MAX)
        LAUNCH(scan_in_memory, dim3(blocks_for(m.heads * m.P, 64), s.seqs), 64, 0, g, m, s);
    else if (m.N > SPLIT * 32)
        launch<64>(m, s, g);
    else if (m.N > SPLIT * 16)
        launch<32>(m, s, g);
    else
        launch<16>(m, s, g);
}

CUDA_KERNEL(decay_scan, NULL, NULL, run)

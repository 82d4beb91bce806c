/* scan_strips_cuda.h -- the scan of decay_scan.h in strips of columns, and what may go with it in its launch.
 *
 *     a head's state [N, P]     a thread keeps EACH x 4 numbers of it in registers while all rows of a sequence go by;
 *     n | [Ex4][Ex4] ...        GROUPS threads below each other have four columns, a block of threads QUADS such fours
 *       v [Ex4][Ex4] ...
 *
 * q, k, v and the decay of the next rows are on their way to shared memory while these are computed. What each thread
 * has of y lies there side by side, and is added up for some rows at a time: always in the same order, so that a row has
 * the same bits however a prompt is cut and however broad strips are. Floor: 3 operations of f32 for each number of the
 * state and each row; with few rows the bytes of the state.
 */
#ifndef KERNELS_DECAY_SCAN_SCAN_STRIPS_CUDA_H
#define KERNELS_DECAY_SCAN_SCAN_STRIPS_CUDA_H

#include "kernels/activate/activate_cuda.h"
#include "kernels/kit/rows_ahead_cuda.h"

enum { N_MAX = 256 };

/* What a layer of Mamba-2 (model/mamba2.h) does with the rows before and after the scan, in its launch:
 *     dt = clamp(softplus(dt + bias));  decay = exp(dt A);  v = dt u;  y = (y + D u) silu(z) */
typedef struct Layer {
    Rows dt, z;                    /* z.at NULL: y is not gated */
    const float *bias, *A, *D;     /* a number for each head */
    float low, high;               /* of dt */
} Layer;

typedef struct Scan {
    Rows y, q, k, v, decay;        /* in a layer v is u, and there is no decay yet */
    Layer layer;
    int heads, groups, N, P;
    int pieces;                    /* blocks of threads for a head */
    int ahead;                     /* AHEAD, or 1 where no sequence has more rows */
} Scan;

/* A block of threads has QUADS fours of columns, and GROUPS times EACH numbers of each. AHEAD rows are staged together. WIDE:
 * four numbers are one piece. */
template <int QUADS_, int GROUPS_, int EACH_, int AHEAD_, bool WIDE_, bool LAYER_ = false> struct Way {
    enum {
        QUADS = QUADS_, GROUPS = GROUPS_, EACH = EACH_, AHEAD = AHEAD_, COLUMNS = 4 * QUADS, N = EACH * GROUPS,
        THREADS = QUADS * GROUPS, BLOCKS = 640 / THREADS,                            /* a multiprocessor should hold */
        K = N, DECAY = 2 * N, DT = DECAY + 1, V = DECAY + 4, ROW = V + COLUMNS,      /* where a staged row has what; q first */
        Y = COLUMNS * (GROUPS + 1),                                                  /* what all threads have of a row's y */
        Y_ROWS = GROUPS / 4, PASSES = (AHEAD + Y_ROWS - 1) / Y_ROWS,                 /* rows that are added up at a time */
        PAIRS = N / 8,                                                               /* sums over eight numbers of n */
    };
    static constexpr bool WIDE = WIDE_, LAYER = LAYER_;
    /* The thread's i-th n: fours of neighbours. */
    static __device__ int n_at(int i) { return (i / 4 * GROUPS + threadIdx.x / QUADS) * 4 + i % 4; }
    static __host__ __device__ int floats(int ahead) { return ahead * (2 * ROW + Y); }
};

/* Where a warp finds what it stages: a row of the first `ahead`, and every so many rows a next one. */
template <class W> struct Feed {
    const float *q, *k, *v, *decay;
    int columns;

    __device__ Feed(const Scan &m, int first)
    {
        int h = blockIdx.x / m.pieces, r = first + threadIdx.x / 32, p = blockIdx.x % m.pieces * W::COLUMNS;
        int64_t group = h / (m.heads / m.groups) * m.N;
        q = row(m.q, r) + group;
        k = row(m.k, r) + group;
        v = row(m.v, r) + (int64_t)h * m.P + p;
        decay = row(m.decay, r) + h;
        columns = min((int)W::COLUMNS, m.P - p);
    }

    /* The next rows, of which there are `count`. */
    __device__ void stage(float *to, const Scan &m, int count)
    {
        enum { WARPS = W::THREADS / 32 };
        int lane = threadIdx.x % 32, j = threadIdx.x / 32;
        const float *q_at = q, *k_at = k, *v_at = v, *decay_at = decay;
#pragma unroll 1
        for (float *at = to + j * W::ROW; j < count; j += WARPS, at += WARPS * W::ROW) {
            copy_row<W::N, W::WIDE>(at, q_at, m.N, lane);
            copy_row<W::N, W::WIDE>(at + W::K, k_at, m.N, lane);
            copy_row<W::COLUMNS, W::WIDE>(at + W::V, v_at, columns, lane);
            if (!W::LAYER && lane == 0)
                begin_copy<sizeof(float)>(at + W::DECAY, decay_at);
            q_at += WARPS * m.q.step;
            k_at += WARPS * m.k.step;
            v_at += WARPS * m.v.step;
            decay_at += WARPS * m.decay.step;
        }
        q += m.ahead * m.q.step;
        k += m.ahead * m.k.step;
        v += m.ahead * m.v.step;
        decay += m.ahead * m.decay.step;
    }
};

static __device__ inline float4 operator*(float a, float4 b) { return make_float4(a * b.x, a * b.y, a * b.z, a * b.w); }

/* What a thread needs of a row. */
template <class W> struct Needs {
    float4 q[W::EACH / 4], k[W::EACH / 4], v;
    float decay;

    __device__ void read(const float *staged)
    {
        const float4 *at = (const float4 *)staged + threadIdx.x / W::QUADS;
#pragma unroll
        for (int i = 0; i < W::EACH / 4; i++) {
            q[i] = at[i * W::GROUPS];
            k[i] = at[i * W::GROUPS + W::K / 4];
        }
        v = ((const float4 *)(staged + W::V))[threadIdx.x % W::QUADS];
        decay = staged[W::DECAY];
        if (W::LAYER)
            v = staged[W::DT] * v;
    }
};

/* One row goes by: S = decay S + k v; what this thread has of y = q S. */
template <class W> static __device__ inline float4 advance(float4 *S, const Needs<W> &r)
{
    float4 y[W::EACH / 4], v = r.v;
    const float *q = (const float *)r.q, *k = (const float *)r.k;
#pragma unroll
    for (int i = 0; i < W::EACH; i++) {
        float4 &sum = y[i / 4];
        S[i] = make_float4(fmaf(r.decay, S[i].x, k[i] * v.x), fmaf(r.decay, S[i].y, k[i] * v.y),
                           fmaf(r.decay, S[i].z, k[i] * v.z), fmaf(r.decay, S[i].w, k[i] * v.w));
        if (i % 4 == 0)
            sum = q[i] * S[i];
        else
            sum = make_float4(fmaf(q[i], S[i].x, sum.x), fmaf(q[i], S[i].y, sum.y), fmaf(q[i], S[i].z, sum.z),
                              fmaf(q[i], S[i].w, sum.w));
    }
    return W::EACH == 4 ? y[0] : y[0] + y[W::EACH / 4 - 1];
}

/* `count` staged rows go by; a row is read while the one before it is computed. */
template <class W> static __device__ inline void advance_rows(float4 *S, const float *staged, float *y, int count)
{
    Needs<W> now, next;
    now.read(staged);
#pragma unroll 4
    for (int j = 0; j < count; j++) {
        next.read(staged + min(j + 1, count - 1) * W::ROW);
        ((float4 *)(y + j * W::Y))[threadIdx.x] = advance<W>(S, now);
        now = next;
    }
}

/* What a thread does beside the scan: one column of y of some rows; in a layer also the dt of a row. */
template <class W> struct Side {
    float *y;                  /* its place in the first of the rows that are staged */
    const float *z, *dt;
    float bias, A, D, gates[W::PASSES], next_dt;
    bool there;

    __device__ Side(const Scan &m, int h, int column, int first)
    {
        there = column < m.P;
        y = row(m.y, first + threadIdx.x / W::COLUMNS) + (int64_t)h * m.P + column;
        if (W::LAYER) {
            z = row(m.layer.z, first + threadIdx.x / W::COLUMNS) + (int64_t)h * m.P + column;
            dt = row(m.layer.dt, first + threadIdx.x) + h;
            bias = m.layer.bias[h];
            A = m.layer.A[h];
            D = m.layer.D[h];
        }
    }

    /* Of `count` rows: asked for before they are wanted. */
    __device__ void ask_dt(const Scan &m, int count)
    {
        if (W::LAYER && (int)threadIdx.x < count)
            next_dt = *dt;
        if (W::LAYER)
            dt += m.ahead * m.layer.dt.step;
    }
    __device__ void ask_gates(const Scan &m, int count)
    {
#pragma unroll
        for (int i = 0; i < W::PASSES; i++)
            if (W::LAYER && m.layer.z.at && there && (int)threadIdx.x / W::COLUMNS + i * W::Y_ROWS < count)
                gates[i] = z[i * W::Y_ROWS * m.layer.z.step];
        if (W::LAYER)
            z += m.ahead * m.layer.z.step;
    }

    __device__ void put_dt(float *staged, const Scan &m, int count)
    {
        if (!W::LAYER || (int)threadIdx.x >= count)
            return;
        float x = next_dt + bias, step = fmaxf(x, 0) + log1pf(expf(-fabsf(x)));
        step = step < m.layer.low ? m.layer.low : step > m.layer.high ? m.layer.high : step;
        staged[threadIdx.x * W::ROW + W::DT] = step;
        staged[threadIdx.x * W::ROW + W::DECAY] = expf(step * A);
    }

    __device__ void add_up(const float *staged, const float *parts, const Scan &m, int count)
    {
        enum { CHAINS = 4 };
#pragma unroll
        for (int i = 0; i < W::PASSES; i++) {
            int j = threadIdx.x / W::COLUMNS + i * W::Y_ROWS, column = threadIdx.x % W::COLUMNS;
            const float *part = parts + j * W::Y + column;
            float sum[CHAINS] = {0, 0, 0, 0};
            if (!there || j >= count)
                break;
#pragma unroll
            for (int g = 0; g < W::PAIRS; g++) {
                float eight = part[g * W::COLUMNS];
                if (W::EACH == 4)
                    eight += part[(g + W::PAIRS) * W::COLUMNS];
                sum[g % CHAINS] += eight;
            }
            float all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
            if (W::LAYER)
                all = fmaf(D, staged[j * W::ROW + W::V + column], all);
            if (W::LAYER && m.layer.z.at)
                all *= activation_near(SILU, gates[i]);
            y[i * W::Y_ROWS * m.y.step] = all;
        }
        y += m.ahead * m.y.step;
    }
};

template <class W>
static __global__ void __launch_bounds__(W::THREADS, W::BLOCKS) scan_strips(const __grid_constant__ Scan m, States s)
{
    extern __shared__ float4 shared[];
    float *parts = (float *)shared, *staged = parts + m.ahead * W::Y;
    int h = blockIdx.x / m.pieces, first = blockIdx.x % m.pieces * W::COLUMNS, room = m.ahead * W::ROW;
    int p = first + threadIdx.x % W::QUADS * 4;
    int64_t at = (int64_t)h * m.N * m.P;
    for (int i = threadIdx.x; m.N < W::N && i < W::floats(m.ahead); i += W::THREADS)
        parts[i] = 0;
    previous_later();
    StateSpan run = state_span(s, blockIdx.y);
    int count = min(m.ahead, run.end - run.first);
    Feed<W> feed(m, run.first);
    Side<W> side(m, h, first + threadIdx.x % W::COLUMNS, run.first);
    float4 S[W::EACH];
    previous_ended();
    __syncthreads();
    feed.stage(staged, m, count);
    side.ask_dt(m, count);
#pragma unroll
    for (int i = 0, n; i < W::EACH; i++)
        S[i] = (n = W::n_at(i)) < m.N && run.from && p < m.P ? four_at<W::WIDE>(run.from + at + n * m.P, p, m.P)
                                                             : make_float4(0, 0, 0, 0);
    side.put_dt(staged, m, count);
    for (int r = run.first, turn = 0; r < run.end; r += m.ahead, turn ^= 1) {
        int next = min(m.ahead, run.end - r - m.ahead);
        copies_ended();
        __syncthreads();
        feed.stage(staged + (turn ^ 1) * room, m, next);
        side.ask_gates(m, count);
        side.ask_dt(m, next);
        advance_rows<W>(S, staged + turn * room, parts, count);
        side.put_dt(staged + (turn ^ 1) * room, m, next);
        __syncthreads();
        side.add_up(staged + turn * room, parts, m, count);
        count = next;
    }
#pragma unroll
    for (int i = 0, n; i < W::EACH; i++)
        if ((n = W::n_at(i)) < m.N && p < m.P)
            put_four<W::WIDE>(run.to + at + n * m.P, p, m.P, S[i]);
}

static Scan scan_of(const OpCall *c)
{
    Scan m = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]), rows_of(c->in[2]), rows_of(c->in[3]), {},
              c->out[0].dim[1], c->in[0].dim[1], c->in[0].dim[2], c->out[0].dim[2]};
    return m;
}

static bool is_wide(const Scan &m, const States &s)
{
    bool rows = in_fours(m.y) && in_fours(m.q) && in_fours(m.k) && in_fours(m.v);
    return rows && m.N % 4 == 0 && m.P % 4 == 0 && s.step % 4 == 0 && (uintptr_t)s.state % 16 == 0;
}

template <class W> static void launch(Scan m, const States &s, const CudaRun *g)
{
    m.pieces = blocks_for(m.P, W::COLUMNS);
    m.ahead = s.rows > s.seqs ? W::AHEAD : 1;
    size_t bytes = W::floats(m.ahead) * sizeof(float);
    cudaFuncSetAttribute(scan_strips<W>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    LAUNCH(scan_strips<W>, dim3(m.heads * m.pieces, s.seqs), W::THREADS, bytes, g, m, s);
}

/* Narrow strips, where broad ones would leave multiprocessors without: a prompt alone. Both give the same bits. */
template <int N, bool LAYER> static void launch_strips(const Scan &m, const States &s, const CudaRun *g)
{
    enum { NARROW = 4, BROAD = 8, BLOCKS = 2, AHEAD = N > 128 ? 8 : 16 };      /* room that any GPU has */
    int64_t blocks = (int64_t)m.heads * blocks_for(m.P, 4 * BROAD) * s.seqs;
    if (!is_wide(m, s))
        launch<Way<NARROW, N / 4, 4, AHEAD, false>>(m, s, g);
    else if (s.rows > s.seqs && blocks <= BLOCKS * g->multiprocessors)
        launch<Way<NARROW, N / 4, 4, AHEAD, true, LAYER>>(m, s, g);
    else
        launch<Way<BROAD, N / 8, 8, 8, true, LAYER>>(m, s, g);
}

template <bool LAYER> static void launch_scan(const Scan &m, const States &s, const CudaRun *g)
{
    if (m.N > 128)
        launch_strips<256, LAYER>(m, s, g);
    else if (m.N > 64)
        launch_strips<128, LAYER>(m, s, g);
    else
        launch_strips<64, LAYER>(m, s, g);
}

#endif

/* flow_cuda.h -- products of one to four rows on Hopper: weights flow through shared memory as fast as memory gives them.
 *
 * The outputs of all products of a launch stand in one line, and each multiprocessor has one block of threads with an equal
 * piece of it: so many rows of weights, which lie one behind the other. One warp asks for them, some rows at a time, by
 * bulk copies into a ring of stages:
 *
 *     memory    | row | row | row | row | row | row | ...
 *     ring      [ stage 0 ][ stage 1 ][ stage 2 ]        each: low | high | fine | coarse, or plain rows
 *
 * It fills the ring before the kernel that writes x has ended, so memory works on while one kernel follows another: two
 * blocks of threads have room on a multiprocessor, this launch's and the next one's. All other threads have columns: a thread
 * keeps its piece of x in registers (rounded to 8 bits where the format says so) and meets the same columns of each row.
 * Sums go over the warp, and those of all warps wait in shared memory until the block's last row: the threads
 * wait for each other once.
 *
 * x may be a norm of what is given: each block of threads computes it for itself, and the first one writes it. Two products
 * may be a gate and what it opens: h = act(gate) * up is what is written.
 */
#ifndef KERNELS_LINEAR_FLOW_CUDA_H
#define KERNELS_LINEAR_FLOW_CUDA_H

#include "kernels/activate/activate_cuda.h"
#include "kernels/linear/flow.h"

enum {
    FLOW_THREADS = 480 /* that have columns, at most */, FLOW_WISH = 384 /* where groups of them have a row each */,
    FLOW_STAGES = 8, FLOW_RING_BYTES = 100 << 10 /* two blocks of threads have room */,
    FLOW_OUTS = 256 /* of a block */, FLOW_PLANES = 4, FLOW_ALIGN = 128, FLOW_ROWS = 1
};

typedef struct Flow {
    Product p[PRODUCTS];
    int products, total;       /* outputs: of all, or of each that is gated */
    int columns;               /* that a thread has, in chunks of a row */
    int column_threads, groups;      /* threads for a row; rows at a time */
    int stages, stage_bytes, stage_rows, row_groups;      /* groups of rows in a stage */
    int row_bytes[FLOW_PLANES], plane_at[FLOW_PLANES];
    int ahead;                 /* pieces that are asked into L2 besides */
    bool gated, norms;
    Activation activation;
    const float *gain;         /* of the norm: NULL: ones */
    float *normed;
    double eps;
} Flow;

/* Rows of one product that a stage holds; their sums are from `at` on. */
typedef struct FlowPiece {
    int which, row, rows;
} FlowPiece;

/* The piece that begins at `at` of the block's outputs first .. end. */
static __device__ inline FlowPiece flow_piece(const Flow &f, int first, int end, int at)
{
    FlowPiece piece;
    if (f.gated) {
        piece.which = at / (end - first);
        piece.row = first + at % (end - first);
        piece.rows = min(f.stage_rows, end - piece.row);
        return piece;
    }
    int begin = 0, line = first + at;
    piece.which = 0;
    while (piece.which < f.products - 1 && line >= begin + f.p[piece.which].out)
        begin += f.p[piece.which++].out;
    piece.row = line - begin;
    piece.rows = min(f.stage_rows, min(end - line, f.p[piece.which].out - piece.row));
    return piece;
}

/* So many elements of a row are a chunk, and a thread has C of them. */
template <int K> static __host__ __device__ constexpr int flow_chunk() { return K < W_PLAIN_KINDS ? plain_in_16<K>() : PLANE_BLOCK; }

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
/* ---- copies in bulk ---- */

static __device__ inline unsigned flow_shared(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }
static __device__ inline void barrier_open(uint64_t *b, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(flow_shared(b)), "r"(arrivals) : "memory");
}
static __device__ inline void barrier_expect(uint64_t *b, unsigned bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(flow_shared(b)), "r"(bytes) : "memory");
}
static __device__ inline void barrier_arrive(uint64_t *b)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(flow_shared(b)) : "memory");
}
static __device__ inline void barrier_wait(uint64_t *b, unsigned parity)
{
    asm volatile("{\n\t.reg .pred p;\n"
                 "again: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n\t@!p bra again;\n\t}" ::"r"(flow_shared(b)),
                 "r"(parity)
                 : "memory");
}
static __device__ inline void bulk_copy(void *to, const void *from, unsigned bytes, uint64_t *b, uint64_t policy)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::"r"(
                     flow_shared(to)),
                 "l"(from), "r"(bytes), "r"(flow_shared(b)), "l"(policy)
                 : "memory");
}
static __device__ inline void bulk_prefetch(const void *from, unsigned bytes)
{
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
}
static __device__ inline uint64_t read_once()
{
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}

/* ---- the warp that asks ---- */

typedef struct FlowRing {
    uint64_t full[FLOW_STAGES], empty[FLOW_STAGES];
} FlowRing;

template <int K> static __device__ inline const uint8_t *flow_plane(const Product &p, int i)
{
    if (K < W_PLAIN_KINDS)
        return p.w;
    return i == 0 ? p.planes.low : i == 1 ? p.planes.high : i == 2 ? p.planes.fine : p.planes.coarse;
}
/* What lies between the multiple of 16 before a row and its begin. */
static __device__ inline int flow_skew(const Flow &f, int plane, int row) { return row * f.row_bytes[plane] & 15; }

template <int K> static __device__ inline void flow_ask(const Flow &f, const FlowPiece &piece, uint8_t *stage, uint64_t *full,
                                                        uint64_t policy)
{
    unsigned bytes[FLOW_PLANES], all = 0;
#pragma unroll
    for (int i = 0; i < (K < W_PLAIN_KINDS ? 1 : FLOW_PLANES); i++) {
        int skew = i > 1 ? flow_skew(f, i, piece.row) : 0;
        bytes[i] = f.row_bytes[i] ? (unsigned)(skew + piece.rows * f.row_bytes[i] + 15) / 16 * 16 : 0;
        all += bytes[i];
    }
    if (stage)
        barrier_expect(full, all);
#pragma unroll
    for (int i = 0; i < (K < W_PLAIN_KINDS ? 1 : FLOW_PLANES); i++) {
        int skew = i > 1 ? flow_skew(f, i, piece.row) : 0;
        const uint8_t *from = flow_plane<K>(f.p[piece.which], i) + (int64_t)piece.row * f.row_bytes[i] - skew;
        if (bytes[i] == 0)
            continue;
        if (stage)
            bulk_copy(stage + f.plane_at[i], from, bytes[i], full, policy);
        else
            bulk_prefetch(from, bytes[i]);
    }
}

template <int K> static __device__ inline void flow_feed(const Flow &f, int first, int end, uint8_t *room, FlowRing *ring)
{
    int items = f.gated ? (end - first) * f.products : end - first, at = 0, stage = 0, ahead = 0;
    unsigned parity = 1;
    uint64_t policy = read_once();
    for (; at < items; stage++) {
        if (stage == f.stages) {
            stage = 0, parity ^= 1;
            for (int far = at; ahead < f.ahead && far < items; ahead++) {
                FlowPiece piece = flow_piece(f, first, end, far);
                flow_ask<K>(f, piece, NULL, NULL, policy);
                far += piece.rows;
            }
            ahead = f.ahead;
        }
        FlowPiece piece = flow_piece(f, first, end, at);
        barrier_wait(&ring->empty[stage], parity);
        flow_ask<K>(f, piece, room + stage * f.stage_bytes, &ring->full[stage], policy);
        at += piece.rows;
    }
}

/* ---- x, in the registers of the threads that have columns ---- */

static __device__ inline void flow_wait(const Flow &f) { asm volatile("bar.sync 1, %0;" ::"r"(f.column_threads * f.groups) : "memory"); }

/* The factor of the norm: over all threads of a group. */
static __device__ inline float flow_factor(const Flow &f, double squares, double *shared)
{
    int warps = f.column_threads / 32, warp = threadIdx.x / 32 % warps;
    squares = warp_sum(squares);
    flow_wait(f);
    if (threadIdx.x % 32 == 0 && threadIdx.x / 32 < warps)
        shared[warp] = squares;
    flow_wait(f);
    double all = warp_sum((int)threadIdx.x % 32 < warps ? shared[threadIdx.x % 32] : 0.0);
    return (float)rsqrt(all / f.p[0].in + f.eps);
}

template <int N> static __device__ inline void load_floats(float *to, const float *from)
{
#pragma unroll
    for (int i = 0; i < N; i += 4) {
        float4 v = __ldcg((const float4 *)(from + i));
        to[i] = v.x, to[i + 1] = v.y, to[i + 2] = v.z, to[i + 3] = v.w;
    }
}
template <int N> static __device__ inline void store_floats(float *to, const float *from)
{
#pragma unroll
    for (int i = 0; i < N; i += 4)
        *(float4 *)(to + i) = make_float4(from[i], from[i + 1], from[i + 2], from[i + 3]);
}

/* 32 activations in 8 bits, as round_rows() has them. */
static __device__ inline void flow_round(XBlock8 *to, const float *x)
{
    unsigned bits = 0;
#pragma unroll
    for (int i = 0; i < PLANE_BLOCK; i++)
        bits = max(bits, __float_as_uint(x[i]) & 0x7fffffff);
    float amax = __uint_as_float(bits);
    bool none = bits >= 0x7f800000 || amax < 0x1p-100f;      /* A8_AMAX_MIN */
    float factor = none ? 0 : __fdiv_rn(127, amax);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int sum = 0;
#pragma unroll
        for (int i = 4 * h; i < 4 * h + 4; i++) {
            unsigned word = 0;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                int q = none ? 0 : __float2int_rn(__fmul_rn(x[4 * i + j], factor));
                sum += q;
                word |= (unsigned)(q & 255) << 8 * j;
            }
            to->q[i] = (int)word;
        }
        to->sum[h] = (short)sum;
    }
    to->d = none ? bits >= 0x7f800000 ? __uint_as_float(0x7fc00000) : 0 : __fdiv_rn(amax, 127);
}

template <int K, int C> struct FlowX {
    static constexpr int V = flow_chunk<K>();
    float x[K < W_PLAIN_KINDS ? C : 1][V];
    XBlock8 b[K < W_PLAIN_KINDS ? 1 : C];
};

template <int K, int C> struct FlowRow {
    static constexpr int V = flow_chunk<K>();
    static constexpr bool held = C * V <= 32;      /* else x is read twice where it is normed */
};

/* The gain is a weight: it need not be waited for. It is left in the cache, not in registers. */
template <int K, int C> static __device__ inline void flow_touch(const Flow &f, int column)
{
    constexpr int V = flow_chunk<K>();
    if (!f.norms || !f.gain)
        return;
#pragma unroll
    for (int c = 0; c < C; c++) {
        int chunk = column + c * f.column_threads;
        if (chunk < f.p[0].in / V)
#pragma unroll
            for (int i = 0; i < V; i += 8)
                asm volatile("" ::"f"(__ldg(f.gain + chunk * V + i)));
    }
}

template <int K, int C>
static __device__ inline void flow_x(FlowX<K, C> *to, const Flow &f, int row, int column, double *shared)
{
    constexpr int V = flow_chunk<K>(), HELD = FlowRow<K, C>::held ? C : 1;
    const Product &p = f.p[0];
    int chunks = p.in / V;
    const float *from = p.x + (int64_t)min(row, p.pairs - 1) * p.x_step;
    float v[HELD][V], factor = 1;
    if (f.norms || HELD == C) {
        double squares = 0;
#pragma unroll
        for (int c = 0; c < C; c++) {
            int chunk = column + c * f.column_threads;
            float *own = v[HELD == C ? c : 0];
#pragma unroll
            for (int i = 0; i < V; i++)
                own[i] = 0;
            if (chunk < chunks)
                load_floats<V>(own, from + chunk * V);
            if (f.norms)
#pragma unroll
                for (int i = 0; i < V; i++)
                    squares += (double)own[i] * own[i];
        }
        if (f.norms)
            factor = flow_factor(f, squares, shared);
    }
#pragma unroll
    for (int c = 0; c < C; c++) {
        int chunk = column + c * f.column_threads;
        float *own = v[HELD == C ? c : 0];
        if (HELD < C) {
#pragma unroll
            for (int i = 0; i < V; i++)
                own[i] = 0;
            if (chunk < chunks)
                load_floats<V>(own, from + chunk * V);
        }
        if (f.norms && chunk < chunks) {
#pragma unroll
            for (int i = 0; i < V; i += 4) {
                float4 gain = f.gain ? __ldg((const float4 *)(f.gain + chunk * V + i)) : make_float4(1, 1, 1, 1);
                own[i] = own[i] * factor * gain.x, own[i + 1] = own[i + 1] * factor * gain.y;
                own[i + 2] = own[i + 2] * factor * gain.z, own[i + 3] = own[i + 3] * factor * gain.w;
            }
            if (blockIdx.x == 0 && (int)threadIdx.x < f.column_threads && row < p.pairs)
                store_floats<V>(f.normed + (int64_t)row * p.in + chunk * V, own);
        }
        if constexpr (K < W_PLAIN_KINDS) {
#pragma unroll
            for (int i = 0; i < V; i++)
                to->x[c][i] = own[i];
        } else
            flow_round(&to->b[c], own);
    }
}

/* ---- rows that are there ---- */

template <int K> static __device__ inline float flow_dot(const Block &w, const XBlock8 &x)
{
    int dot[2] = {-Kind<K>::offset * x.sum[0], -Kind<K>::offset * x.sum[1]};
#pragma unroll
    for (int i = 0; i < 8; i++)
        dot[i / 4] = __dp4a(w.q[i], x.q[i], dot[i / 4]);
    float sum;
    if (Kind<K>::halves) {
        sum = w.s[0] * (float)dot[0] + w.s[1] * (float)dot[1];
        if (Kind<K>::mins)
            sum -= w.m[0] * (float)x.sum[0] + w.m[1] * (float)x.sum[1];
    } else {
        sum = w.s[0] * (float)(dot[0] + dot[1]);
        if (Kind<K>::mins)
            sum -= w.m[0] * (float)(x.sum[0] + x.sum[1]);
    }
    return x.d * sum;
}

/* Adds a row's columns of this thread. */
template <int K, int C, int R>
static __device__ inline void flow_row(float *sums, const FlowX<K, C> *x, const Flow &f, const uint8_t *stage, int row,
                                       const int *skew, int column)
{
    constexpr int V = flow_chunk<K>();
    int chunks = f.p[0].in / V;
#pragma unroll
    for (int r = 0; r < R; r++)
        sums[r] = 0;
    Planes planes = {stage + row * f.row_bytes[0], stage + f.plane_at[1] + row * f.row_bytes[1],
                     stage + f.plane_at[2] + skew[0] + row * f.row_bytes[2],
                     stage + f.plane_at[3] + skew[1] + row * f.row_bytes[3]};
#pragma unroll
    for (int c = 0; c < C; c++) {
        int chunk = min(column + c * f.column_threads, chunks - 1);
        bool there = column + c * f.column_threads < chunks;
        if constexpr (K < W_PLAIN_KINDS) {
            float w[V];
            plain_expand<K>(w, *(const uint4 *)(stage + row * f.row_bytes[0] + chunk * 16));
#pragma unroll
            for (int r = 0; r < R; r++) {
                float sum = 0;
#pragma unroll
                for (int i = 0; i < V; i++)
                    sum = fmaf(w[i], x[r].x[c][i], sum);
                sums[r] += there ? sum : 0;
            }
        } else {
            Block w;
            block_load<K>(&w, planes, chunk);
#pragma unroll
            for (int r = 0; r < R; r++)
                sums[r] += there ? flow_dot<K>(w, x[r].b[c]) : 0;
        }
    }
}

/* N sums of each lane become one: of number lane / (32 / N). */
template <int N> static __device__ inline float flow_lanes(float *v)
{
    int lane = threadIdx.x % 32, bit = 16;
#pragma unroll
    for (int half = N / 2; half > 0; half /= 2, bit /= 2)
#pragma unroll
        for (int i = 0; i < half; i++) {
            bool upper = lane & bit;
            float keep = upper ? v[i + half] : v[i], send = upper ? v[i] : v[i + half];
            v[i] = keep + __shfl_xor_sync(0xffffffff, send, bit);
        }
#pragma unroll
    for (bit = 16 / N; bit > 0; bit /= 2)
        v[0] += __shfl_xor_sync(0xffffffff, v[0], bit);
    return v[0];
}

/* sums: [output of the block, row of x, warp of the group] */
template <int K, int C, int J, int R>
static __device__ inline void flow_rows(const Flow &f, const FlowX<K, C> *x, int first, int end, const uint8_t *room,
                                        FlowRing *ring, float *sums, int group, int column)
{
    int items = f.gated ? (end - first) * f.products : end - first, stage = 0, lane = threadIdx.x % 32;
    int warps = f.column_threads / 32;
    unsigned parity = 0;
    for (int at = 0; at < items;) {
        FlowPiece piece = flow_piece(f, first, end, at);
        const int skew[2] = {flow_skew(f, 2, piece.row), flow_skew(f, 3, piece.row)};
        barrier_wait(&ring->full[stage], parity);
        float v[J * R];
#pragma unroll
        for (int j = 0; j < J; j++) {
            int row = min(j * f.groups + group, piece.rows - 1);
            flow_row<K, C, R>(v + j * R, x, f, room + stage * f.stage_bytes, row, skew, column);
        }
        __syncwarp();
        if (lane == 0)
            barrier_arrive(&ring->empty[stage]);
        float sum = flow_lanes<J * R>(v);
        int id = lane / (32 / (J * R)), row = id / R * f.groups + group;
        if (lane % (32 / (J * R)) == 0 && row < piece.rows)
            sums[((at + row) * R + id % R) * warps + column / 32] = sum;
        at += piece.rows;
        if (++stage == f.stages)
            stage = 0, parity ^= 1;
    }
}

static __device__ inline float flow_sum(const float *sums, int warps)
{
    float sum = 0;
    for (int i = 0; i < warps; i++)
        sum += sums[i];
    return sum;
}

/* The outputs of the block, each by a thread. */
static __device__ inline void flow_put(const Flow &f, int rows, int first, int end, const float *sums)
{
    int n = end - first, warps = f.column_threads / 32;
    for (int i = threadIdx.x; i < n * rows; i += f.column_threads * f.groups) {
        int at = i / rows, r = i % rows;
        float sum = flow_sum(sums + (at * rows + r) * warps, warps);
        if (r >= f.p[0].pairs)
            continue;
        if (f.gated) {
            float up = flow_sum(sums + ((n + at) * rows + r) * warps, warps);
            if (f.p[0].bias)
                sum += f.p[0].bias[first + at];
            if (f.p[1].bias)
                up += f.p[1].bias[first + at];
            y_at(f.p[0], r)[first + at] = activation_near(f.activation, sum) * up;
            continue;
        }
        int which = 0, o = first + at;
        while (which < f.products - 1 && o >= f.p[which].out)
            o -= f.p[which++].out;
        put(f.p[which], r, 0, o, sum);
    }
}
#endif

/* Two blocks of threads have room on a multiprocessor where registers allow it. */
template <int K, int C, int R> static __host__ __device__ constexpr int flow_fits()
{
    return C * R * (K < W_PLAIN_KINDS ? flow_chunk<K>() : 10) <= 32 ? 2 : 1;
}

template <int K, int C, int J, int R>
static __global__ void __launch_bounds__(FLOW_THREADS + 32, (flow_fits<K, C, R>())) flow(const __grid_constant__ Flow f)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    extern __shared__ __align__(128) uint8_t room[];
    __shared__ FlowRing ring;
    __shared__ double shared[32];
    previous_later();
    int threads = f.column_threads * f.groups, first = (int)((int64_t)f.total * blockIdx.x / gridDim.x);
    int end = (int)((int64_t)f.total * (blockIdx.x + 1) / gridDim.x);
    if (threadIdx.x == 0) {
        for (int i = 0; i < f.stages; i++) {
            barrier_open(&ring.full[i], 1);
            barrier_open(&ring.empty[i], threads / 32);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    if ((int)threadIdx.x >= threads) {
        if ((int)threadIdx.x == threads)
            flow_feed<K>(f, first, end, room, &ring);
        return;
    }
    int group = threadIdx.x / f.column_threads, column = threadIdx.x % f.column_threads;
    flow_touch<K, C>(f, column);
    previous_ended();
    FlowX<K, C> x[R];
#pragma unroll
    for (int r = 0; r < R; r++)
        flow_x<K, C>(&x[r], f, r, column, shared);
    float *sums = (float *)(room + f.stages * f.stage_bytes);
    flow_rows<K, C, J, R>(f, x, first, end, room, &ring, sums, group, column);
    flow_wait(f);
    flow_put(f, R, first, end, sums);
#endif
}

/* ---- launches ---- */

void flow_floats(const Flow *, WeightKind, const CudaRun *);
void flow_blocks(const Flow *, WeightKind, const CudaRun *);

template <int K, int C, int J> static void flow_launch(const Flow &f, const CudaRun *g)
{
    int most = (int)blocks_for(f.total, FLOW_OUTS), blocks = most > g->multiprocessors ? most : g->multiprocessors;
    blocks = blocks < f.total ? blocks : f.total;
    size_t outs = blocks_for(f.total, blocks) * (f.gated ? 2 : 1);
    size_t bytes = (size_t)f.stages * f.stage_bytes + outs * (f.column_threads / 32) * sizeof(float);
    cudaFuncSetAttribute(flow<K, C, J, FLOW_ROWS>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    LAUNCH((flow<K, C, J, FLOW_ROWS>), blocks, f.column_threads * f.groups + 32, bytes, g, f);
}

template <int K, int C> static void flow_columns(const Flow &f, const CudaRun *g)
{
    switch (f.row_groups) {
    case 1: flow_launch<K, C, 1>(f, g); break;
    case 2: flow_launch<K, C, 2>(f, g); break;
    default: flow_launch<K, C, 4>(f, g); break;
    }
}

#endif

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
    FLOW_THREADS = 896 /* that have columns, at most */, FLOW_WISH = 640 /* where groups of them have a row each */,
    FLOW_STAGES = 16, FLOW_ROOM_BYTES = 200 << 10 /* one block of threads has room on a multiprocessor */,
    FLOW_STATIC_BYTES = 2 << 10 /* that are not asked for by size */,
    FLOW_OUTS = 256 /* of a block */, FLOW_HALF = PLANE_BLOCK / 2, FLOW_PLANES = 4, FLOW_ALIGN = 128, FLOW_ROWS = 1
};

typedef struct Flow {
    Product p[PRODUCTS];
    int products, total;       /* outputs: of all, or of each that is gated */
    int columns;               /* that a thread has, in chunks of a row */
    int column_threads, groups;      /* threads for a row; rows at a time */
    int blocks;                /* of threads */
    int x_bytes, sums_bytes;   /* of shared memory: x in 8 bits, sums */
    int stages, stage_bytes, stage_rows, row_groups;      /* groups of rows in a stage */
    int row_bytes[FLOW_PLANES], plane_at[FLOW_PLANES];
    bool gated, norms;
    Activation activation;
    const float *gain;         /* of the norm: NULL: ones */
    float *normed;
    double eps;
#ifdef FLOW_TRACE
    unsigned long long *trace;
#endif
} Flow;

#ifdef FLOW_TRACE
#define STAMP(i) stamp(f.trace, i)
static __device__ inline void stamp(unsigned long long *to, int i)
{
    unsigned long long now; unsigned sm;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now) :: "memory");
    asm volatile("mov.u32 %0, %smid;" : "=r"(sm));
    if (to && threadIdx.x == 0) to[blockIdx.x * 8 + i] = now, to[blockIdx.x * 8 + 7] = sm;
}
#else
#define STAMP(i)
#endif
/* Rows of one product that a stage holds: of those from `row` on, `left` belong to the block. */
typedef struct FlowPiece {
    int which, row, rows, left;
} FlowPiece;

/* Goes on to rows `line` .. end of the line. */
static __device__ inline void flow_enter(FlowPiece *p, const Flow &f, int which, int row, int most)
{
    p->which = which;
    p->row = row;
    p->left = f.gated ? most : min(most, f.p[which].out - row);
    p->rows = min(f.stage_rows, p->left);
}
static __device__ inline FlowPiece flow_begin(const Flow &f, int first, int end)
{
    FlowPiece p;
    int which = 0, row = first;
    while (!f.gated && which < f.products - 1 && row >= f.p[which].out)
        row -= f.p[which++].out;
    flow_enter(&p, f, which, row, end - first);
    return p;
}
/* at: of the block's outputs, behind the piece. */
static __device__ inline void flow_next(FlowPiece *p, const Flow &f, int first, int end, int at)
{
    p->row += p->rows;
    p->left -= p->rows;
    p->rows = min(f.stage_rows, p->left);
    if (p->left == 0 && p->which < f.products - 1)
        flow_enter(p, f, p->which + 1, f.gated ? first : 0, f.gated ? end - first : end - first - at);
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
    barrier_expect(full, all);
#pragma unroll
    for (int i = 0; i < (K < W_PLAIN_KINDS ? 1 : FLOW_PLANES); i++) {
        int skew = i > 1 ? flow_skew(f, i, piece.row) : 0;
        const uint8_t *from = flow_plane<K>(f.p[piece.which], i) + (int64_t)piece.row * f.row_bytes[i] - skew;
        if (bytes[i] > 0)
            bulk_copy(stage + f.plane_at[i], from, bytes[i], full, policy);
    }
}

template <int K> static __device__ inline void flow_feed(const Flow &f, int first, int end, uint8_t *room, FlowRing *ring)
{
    int items = f.gated ? (end - first) * f.products : end - first, stage = 0;
    unsigned parity = 1;
    uint64_t policy = read_once();
    FlowPiece piece = flow_begin(f, first, end);
    for (int at = 0; at < items; flow_next(&piece, f, first, end, at)) {
        barrier_wait(&ring->empty[stage], parity);
        flow_ask<K>(f, piece, room + stage * f.stage_bytes, &ring->full[stage], policy);
        at += piece.rows;
        if (++stage == f.stages)
            stage = 0, parity ^= 1;
    }
}

/* ---- x, in the registers of the threads that have columns ---- */

static __device__ inline void flow_wait(const Flow &f) { asm volatile("bar.sync 1, %0;" ::"r"(f.column_threads * f.groups) : "memory"); }

/* The factor of the norm, out of the sums of `warps` warps. */
static __device__ inline float flow_factor(const Flow &f, float squares, int warps, float *shared)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    squares = warp_sum(squares);
    if (lane == 0 && warp < warps)
        shared[warp] = squares;
    flow_wait(f);
    float all = warp_sum(lane < warps ? shared[lane] : 0);
    return __frsqrt_rn(all / f.p[0].in + f.eps);
}

template <int N> static __device__ inline void load_floats(float *to, const float *from)
{
#pragma unroll
    for (int i = 0; i < N; i += 4) {
        float4 v = *(const float4 *)(from + i);
        to[i] = v.x, to[i + 1] = v.y, to[i + 2] = v.z, to[i + 3] = v.w;
    }
}
template <int N> static __device__ inline void store_floats(float *to, const float *from)
{
#pragma unroll
    for (int i = 0; i < N; i += 4)
        *(float4 *)(to + i) = make_float4(from[i], from[i + 1], from[i + 2], from[i + 3]);
}

template <int K, int C> struct FlowX {
    static constexpr int V = flow_chunk<K>();
    float x[K < W_PLAIN_KINDS ? C : 1][V];
    XBlock8 b[K < W_PLAIN_KINDS ? 1 : C];
};

static __device__ inline float flow_larger(float a, float b)      /* a NaN stays one */
{
    float c;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
    return c;
}

/* Half a block of 32 activations becomes 8 bits; the next lane has the other half. A float of 1.5 * 2^23 more has the
 * nearest whole number as its lowest bits. */
static __device__ inline void flow_round(XBlock8 *to, const float *x, int half)
{
    float amax = 0;
#pragma unroll
    for (int i = 0; i < FLOW_HALF; i++)
        amax = flow_larger(amax, fabsf(x[i]));
    amax = flow_larger(amax, __shfl_xor_sync(0xffffffff, amax, 1));
    bool numbers = amax < __uint_as_float(0x7f800000), none = !(numbers && amax >= 0x1p-100f);      /* A8_AMAX_MIN */
    float factor = none ? 0 : __fdiv_rn(127, amax);
    int sum = 0;
#pragma unroll
    for (int i = 0; i < FLOW_HALF; i += 4) {
        unsigned q[4];
#pragma unroll
        for (int j = 0; j < 4; j++)
            q[j] = __float_as_uint(__fadd_rn(none ? 0 : __fmul_rn(x[i + j], factor), 12582912.0f));
        unsigned word = __byte_perm(__byte_perm(q[0], q[1], 0x0040), __byte_perm(q[2], q[3], 0x0040), 0x5410);
        sum = __dp4a((int)word, 0x01010101, sum);
        to->q[(FLOW_HALF * half + i) / 4] = (int)word;
    }
    to->sum[half] = (short)sum;
    if (half == 0)
        to->d = numbers ? none ? 0 : __fdiv_rn(amax, 127) : __uint_as_float(0x7fc00000);
}

/* Half a block of the norm: times its gain, and written for whoever else reads it. */
static __device__ inline void flow_norm(float *x, const Flow &f, int row, int at, float factor)
{
#pragma unroll
    for (int i = 0; i < FLOW_HALF; i += 4) {
        float4 gain = f.gain ? __ldg((const float4 *)(f.gain + at + i)) : make_float4(1, 1, 1, 1);
        x[i] = x[i] * factor * gain.x, x[i + 1] = x[i + 1] * factor * gain.y;
        x[i + 2] = x[i + 2] * factor * gain.z, x[i + 3] = x[i + 3] * factor * gain.w;
    }
    if (blockIdx.x == 0)
        store_floats<FLOW_HALF>(f.normed + (int64_t)row * f.p[0].in + at, x);
}

/* A row of x in 8 bits, by all threads; behind it a block that nobody reads. */
static __device__ inline void flow_round_row(XBlock8 *to, const Flow &f, int row, float *shared)
{
    constexpr int HELD = 2;
    int threads = f.column_threads * f.groups, halves = f.p[0].in / FLOW_HALF;
    const float *x = f.p[0].x + row * f.p[0].x_step;
    float held[HELD][FLOW_HALF], factor = 1, squares = 0;
#pragma unroll
    for (int i = 0; i < HELD; i++)
        if (threadIdx.x + i * threads < halves)
            load_floats<FLOW_HALF>(held[i], x + (threadIdx.x + i * threads) * FLOW_HALF);
        else
#pragma unroll
            for (int j = 0; j < FLOW_HALF; j++)
                held[i][j] = 0;
    if (f.norms) {
#pragma unroll
        for (int i = 0; i < HELD * FLOW_HALF; i++)
            squares = fmaf(held[i / FLOW_HALF][i % FLOW_HALF], held[i / FLOW_HALF][i % FLOW_HALF], squares);
        for (int at = threadIdx.x + HELD * threads; at < halves; at += threads)
            for (int j = 0; j < FLOW_HALF; j++)
                squares = fmaf(x[at * FLOW_HALF + j], x[at * FLOW_HALF + j], squares);
        factor = flow_factor(f, squares, threads / 32, shared);
    }
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int at = threadIdx.x + i * threads;
        if (at - (int)threadIdx.x % 32 >= halves)
            return;
        if (f.norms && at < halves)
            flow_norm(held[i], f, row, at * FLOW_HALF, factor);
        flow_round(to + min(at, halves) / 2, held[i], at % 2);
    }
    for (int at = threadIdx.x + HELD * threads; at - (int)threadIdx.x % 32 < halves; at += threads) {
        load_floats<FLOW_HALF>(held[0], x + min(at, halves - 1) * FLOW_HALF);
        if (f.norms && at < halves)
            flow_norm(held[0], f, row, at * FLOW_HALF, factor);
        flow_round(to + min(at, halves) / 2, held[0], at % 2);
    }
}

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
    if (K >= W_PLAIN_KINDS) {
        for (int at = threadIdx.x; at < f.p[0].in / 8; at += f.column_threads * f.groups)
            asm volatile("" ::"f"(__ldg(f.gain + 8 * at)));
        return;
    }
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
static __device__ inline void flow_x(FlowX<K, C> *to, const Flow &f, int row, int column, float *shared)
{
    constexpr int V = flow_chunk<K>(), HELD = FlowRow<K, C>::held ? C : 1;
    const Product &p = f.p[0];
    int chunks = p.in / V;
    const float *from = p.x + (int64_t)min(row, p.pairs - 1) * p.x_step;
    float v[HELD][V], factor = 1;
    if (f.norms || HELD == C) {
        float squares = 0;
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
                    squares = fmaf(own[i], own[i], squares);
        }
        if (f.norms)
            factor = flow_factor(f, squares, f.column_threads / 32, shared);
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
#pragma unroll
        for (int i = 0; i < V; i++)
            to->x[c][i] = own[i];
    }
}

/* What a thread keeps of a row in 8 bits. */
template <int K, int C> static __device__ inline void flow_keep(FlowX<K, C> *to, const Flow &f, const XBlock8 *row, int column)
{
    int chunks = f.p[0].in / PLANE_BLOCK;
#pragma unroll
    for (int c = 0; c < C; c++)
        to->b[c] = row[min(column + c * f.column_threads, chunks - 1)];
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
                float even = 0, odd = 0;
#pragma unroll
                for (int i = 0; i < V; i += 2) {
                    even = fmaf(w[i], x[r].x[c][i], even);
                    odd = fmaf(w[i + 1], x[r].x[c][i + 1], odd);
                }
                sums[r] += there ? even + odd : 0;
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
    FlowPiece piece = flow_begin(f, first, end);
    for (int at = 0; at < items; flow_next(&piece, f, first, end, at)) {
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

template <int K, int C, int J, int R>
static __global__ void __launch_bounds__(FLOW_THREADS + 32) flow(const __grid_constant__ Flow f)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    extern __shared__ __align__(128) uint8_t room[];
    __shared__ FlowRing ring;
    __shared__ float shared[32];
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
    STAMP(0);
    flow_touch<K, C>(f, column);
    previous_ended();
    STAMP(1);
    float *sums = (float *)(room + f.stages * f.stage_bytes + f.x_bytes);
    FlowX<K, C> x[R];
    if constexpr (K < W_PLAIN_KINDS) {
#pragma unroll
        for (int r = 0; r < R; r++)
            flow_x<K, C>(&x[r], f, r, column, shared);
    } else {
        XBlock8 *rows = (XBlock8 *)(room + f.stages * f.stage_bytes);
        int blocks = f.p[0].in / PLANE_BLOCK;
        for (int r = 0; r < R; r++)
            flow_round_row(rows + r * (blocks + 1), f, min(r, f.p[0].pairs - 1), shared + 16 * (r % 2));
        flow_wait(f);
#pragma unroll
        for (int r = 0; r < R; r++)
            flow_keep<K, C>(&x[r], f, rows + r * (blocks + 1), column);
    }
    STAMP(2);
    flow_rows<K, C, J, R>(f, x, first, end, room, &ring, sums, group, column);
    STAMP(3);
    flow_wait(f);
    flow_put(f, R, first, end, sums);
    STAMP(4);
#endif
}

/* ---- launches ---- */

void flow_floats(const Flow *, WeightKind, const CudaRun *);
void flow_blocks(const Flow *, WeightKind, const CudaRun *);

template <int K, int C, int J> static void flow_launch(const Flow &f, const CudaRun *g)
{
    size_t bytes = (size_t)f.stages * f.stage_bytes + f.x_bytes + f.sums_bytes;
    cudaFuncSetAttribute(flow<K, C, J, FLOW_ROWS>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    LAUNCH((flow<K, C, J, FLOW_ROWS>), f.blocks, f.column_threads * f.groups + 32, bytes, g, f);
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

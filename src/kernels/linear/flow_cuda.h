/* flow_cuda.h -- products of one row on Hopper: weights flow through shared memory as fast as memory gives them.
 *
 * The outputs of all products of a launch stand in one line and are cut into pieces: some rows of weights, which lie one
 * behind the other in memory. Each multiprocessor has one block of threads, and in it
 *
 *     one warp      asks for pieces, by bulk copies into a ring of stages
 *     most warps    have columns: a thread keeps its columns of x in registers and meets those of each row that comes
 *     two warps     have every other piece: they add what the columns have and write outputs
 *
 *     a stage       | low of some rows | high | fine | coarse |        or | plain rows |
 *
 * Barriers in shared memory say of each stage that it is full, that its sums are done, that it is empty; the block waits
 * nowhere as a whole. The ring is filled before the kernel that writes x has ended, so that memory works on between
 * launches; piece by piece, so that who still reads does not stand in line behind all of it. Multiprocessors do not get equal
 * shares of the memory's speed: only the first pieces of a block of threads are fixed, for the others it draws tickets.
 *
 * x in 8 bits is made by all threads at the begin of each block of threads, and so is x that is a norm: each computes it for
 * itself, and the first one writes it as well. Two products may be a gate and what it opens: a stage has rows of both, and
 * h = act(gate) * up is what is written.
 */
#ifndef KERNELS_LINEAR_FLOW_CUDA_H
#define KERNELS_LINEAR_FLOW_CUDA_H

#include "kernels/activate/activate_cuda.h"
#include "kernels/kit/async_cuda.h"
#include "kernels/linear/flow.h"

enum {
    FLOW_THREADS = 896 /* that have columns, at most */, FLOW_WISH = 640 /* where groups of them have a row each */,
    FLOW_STAGES = 16, FLOW_ROOM_BYTES = 216 << 10 /* one block of threads has room on a multiprocessor */,
    FLOW_STATIC_BYTES = 2 << 10 /* that are not asked for by size */,
    FLOW_WRITERS = 2, FLOW_BESIDE = 32 + 32 * FLOW_WRITERS /* threads that ask, that write */,
    FLOW_HALF = PLANE_BLOCK / 2, FLOW_PLANES = 4, FLOW_ALIGN = 128,
    FLOW_DRAWN = 3 /* pieces drawn ahead */, FLOW_END = -1
};

typedef struct Flow {
    Product p[PRODUCTS];
    int products, pieces_end[PRODUCTS], pieces;      /* of the line of pieces; of all */
    int fixed;                 /* pieces of each block of threads that are no tickets */
    int columns;               /* that a thread has, in chunks of a row */
    int column_threads, groups;      /* threads for a row; rows at a time */
    int blocks;                /* of threads */
    int row_groups, piece_rows;      /* groups of rows in a stage; rows of a piece: half of them where it has gates too */
    int stages, stage_bytes, sums_pitch;
    int x_bytes, sums_bytes;   /* of shared memory: x in 8 bits, sums */
    int row_bytes[FLOW_PLANES], plane_at[FLOW_PLANES], upper_at[FLOW_PLANES];      /* the upper half of a stage's rows */
    bool gated, norms;
    Activation activation;
    const float *gain;         /* of the norm: NULL: ones */
    float *normed;
    float eps;
    unsigned *counters;        /* tickets, blocks of threads that have ended: zeros between launches */
} Flow;

/* Rows of a product that a stage holds, or of two, of which the first is the gate. */
typedef struct FlowPiece {
    int which, row, rows;
} FlowPiece;

static __device__ inline FlowPiece flow_piece(const Flow &f, int id)
{
    FlowPiece piece;
    int begin = 0;
    piece.which = 0;
    while (piece.which < f.products - 1 && id >= f.pieces_end[piece.which])
        begin = f.pieces_end[piece.which++];
    piece.row = (id - begin) * f.piece_rows;
    piece.rows = min(f.piece_rows, f.p[piece.which].out - piece.row);
    return piece;
}

/* So many elements of a row are a chunk, and a thread has C of them. */
template <int K> static __host__ __device__ constexpr int flow_chunk()
{
    return K < W_PLAIN_KINDS ? plain_in_16<K>() : PLANE_BLOCK;
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
/* ---- the warp that asks ---- */

typedef struct FlowRing {
    Barrier full[FLOW_STAGES], done[FLOW_STAGES], empty[FLOW_STAGES];
    int piece[FLOW_STAGES];                  /* FLOW_END: there is none any more */
    int skew[FLOW_STAGES][FLOW_PLANES];      /* flow_skew() of its first row */
    int begun;                               /* x is there */
} FlowRing;

template <int K> static __device__ inline const uint8_t *flow_plane(const Product &p, int i)
{
    if (K < W_PLAIN_KINDS)
        return p.w;
    return i == 0 ? p.planes.low : i == 1 ? p.planes.high : i == 2 ? p.planes.fine : p.planes.coarse;
}
/* What lies between the multiple of 16 before a row and its begin. */
static __device__ inline int flow_skew(const Flow &f, int plane, int row) { return (unsigned)(row * f.row_bytes[plane]) % 16; }

template <int K>
static __device__ inline void flow_ask(const Flow &f, int id, uint8_t *stage, FlowRing *ring, int at)
{
    constexpr int planes = K < W_PLAIN_KINDS ? 1 : FLOW_PLANES;
    FlowPiece piece = flow_piece(f, id);
    unsigned bytes[FLOW_PLANES], all = 0;
#pragma unroll
    for (int i = 0; i < planes; i++) {
        bytes[i] = f.row_bytes[i] ? (unsigned)(flow_skew(f, i, piece.row) + piece.rows * f.row_bytes[i] + 15) / 16 * 16 : 0;
        all += bytes[i];
    }
    ring->piece[at] = id;
#pragma unroll
    for (int i = 1; i < planes; i++)
        ring->skew[at][i] = flow_skew(f, i, piece.row);
    barrier_expect(shared_place(&ring->full[at]), f.gated ? 2 * all : all);
    for (int half = 0; half < 1 + f.gated; half++)
#pragma unroll
        for (int i = 0; i < planes; i++)
            if (bytes[i] > 0)
                bulk_copy(stage + f.plane_at[i] + (half ? f.upper_at[i] : 0),
                          flow_plane<K>(f.p[piece.which + half], i) + (int64_t)piece.row * f.row_bytes[i] -
                              flow_skew(f, i, piece.row),
                          bytes[i], &ring->full[at], READ_ONCE);
}

/* Number n of this block of threads: the first ones are fixed, so that nothing waits for tickets. */
static __device__ inline int flow_take(const Flow &f, int n)
{
    if (n < f.fixed)
        return blockIdx.x + n * gridDim.x;
    if (n == f.fixed)
        previous_ended();      /* the launch before may have the tickets still */
    return f.fixed * gridDim.x + (int)atomicAdd(f.counters, 1);
}

/* Until x is there only one piece is on its way at a time: that keeps memory busy, and what the kernel before still reads, and
 * x, do not stand in line behind a whole ring. parity: of the empty stage. */
static __device__ inline void flow_hold_back(const Flow &f, FlowRing *ring, int stage, unsigned parity)
{
    if (*(volatile int *)&ring->begun)
        return;
    int last = stage > 0 ? stage - 1 : f.stages - 1;
    barrier_wait(shared_place(&ring->full[last]), stage > 0 ? !parity : parity);
}

template <int K> static __device__ inline void flow_feed(const Flow &f, uint8_t *room, FlowRing *ring)
{
    int id = flow_take(f, 0), second = flow_take(f, 1), third = flow_take(f, 2), stage = 0;
    unsigned parity = 1;
    for (int n = FLOW_DRAWN; id < f.pieces; n++) {
        barrier_wait(shared_place(&ring->empty[stage]), parity);
        if (n > FLOW_DRAWN)
            flow_hold_back(f, ring, stage, parity);
        flow_ask<K>(f, id, room + stage * f.stage_bytes, ring, stage);
        if (++stage == f.stages)
            stage = 0, parity ^= 1;
        id = second, second = third, third = flow_take(f, n);
    }
    for (int i = 0; i < FLOW_WRITERS; i++) {      /* an end for each warp that writes */
        barrier_wait(shared_place(&ring->empty[stage]), parity);
        ring->piece[stage] = FLOW_END;
        barrier_arrive(shared_place(&ring->full[stage]));
        if (++stage == f.stages)
            stage = 0, parity ^= 1;
    }
    previous_ended();
    __threadfence();
    if (atomicAdd(f.counters + 1, 1) == gridDim.x - 1)
        f.counters[0] = f.counters[1] = 0;
}

/* ---- x, in the registers of the threads that have columns ---- */

/* For all threads that have columns. */
static __device__ inline void flow_wait(const Flow &f) { threads_meet(1, f.column_threads * f.groups); }

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

/* Half a block of the gain. */
static __device__ inline void flow_gain(float *to, const Flow &f, int at)
{
#pragma unroll
    for (int i = 0; i < FLOW_HALF; i++)
        to[i] = 1;
    if (f.gain && at < f.p[0].in)
        load_floats<FLOW_HALF>(to, f.gain + at);
}

/* Half a block of the norm; it is written for whoever else reads it. */
static __device__ inline void flow_norm(float *x, const Flow &f, int at, float factor, const float *gain)
{
#pragma unroll
    for (int i = 0; i < FLOW_HALF; i++)
        x[i] = x[i] * factor * gain[i];
    if (blockIdx.x == 0)
        store_floats<FLOW_HALF>(f.normed + at, x);
}

/* x in 8 bits, by all threads; behind it a block that nobody reads. beside: the gain of a thread's first half block; where
 * there is no norm, room for its second one. */
static __device__ inline void flow_round_row(XBlock8 *to, const Flow &f, float *beside, float *shared)
{
    int threads = f.column_threads * f.groups, halves = f.p[0].in / FLOW_HALF, first = threadIdx.x, lane = first % 32;
    const float *x = f.p[0].x;
    float own[FLOW_HALF], factor = 1, squares = 0;
#pragma unroll
    for (int i = 0; i < FLOW_HALF; i++)
        own[i] = 0;
    if (first < halves)
        load_floats<FLOW_HALF>(own, x + first * FLOW_HALF);
    if (!f.norms && first + threads < halves)
        load_floats<FLOW_HALF>(beside, x + (first + threads) * FLOW_HALF);
    if (f.norms) {
#pragma unroll
        for (int i = 0; i < FLOW_HALF; i++)
            squares = fmaf(own[i], own[i], squares);
        for (int at = first + threads; at < halves; at += threads)
            for (int i = 0; i < FLOW_HALF; i++)
                squares = fmaf(x[at * FLOW_HALF + i], x[at * FLOW_HALF + i], squares);
        factor = flow_factor(f, squares, threads / 32, shared);
    }
    for (int at = first, next; at - lane < halves; at = next) {
        if (f.norms && at < halves)
            flow_norm(own, f, at * FLOW_HALF, factor, beside);
        flow_round(to + min(at, halves) / 2, own, at % 2);
        next = at + threads;
        if (f.norms)
            flow_gain(beside, f, next * FLOW_HALF);
        if (!f.norms && at < threads) {
#pragma unroll
            for (int i = 0; i < FLOW_HALF; i++)
                own[i] = beside[i];
        } else if (next < halves)
            load_floats<FLOW_HALF>(own, x + next * FLOW_HALF);
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
static __device__ inline void flow_x(FlowX<K, C> *to, const Flow &f, int column, float *shared)
{
    constexpr int V = flow_chunk<K>(), HELD = FlowRow<K, C>::held ? C : 1;
    const Product &p = f.p[0];
    int chunks = p.in / V;
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
                load_floats<V>(own, p.x + chunk * V);
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
                load_floats<V>(own, p.x + chunk * V);
        }
        if (f.norms && chunk < chunks) {
#pragma unroll
            for (int i = 0; i < V; i += 4) {
                float4 gain = f.gain ? __ldg((const float4 *)(f.gain + chunk * V + i)) : make_float4(1, 1, 1, 1);
                own[i] = own[i] * factor * gain.x, own[i + 1] = own[i + 1] * factor * gain.y;
                own[i + 2] = own[i + 2] * factor * gain.z, own[i + 3] = own[i + 3] * factor * gain.w;
            }
            if (blockIdx.x == 0 && (int)threadIdx.x < f.column_threads)
                store_floats<V>(f.normed + chunk * V, own);
        }
#pragma unroll
        for (int i = 0; i < V; i++)
            to->x[c][i] = own[i];
    }
}

/* What a thread keeps of x in 8 bits. */
template <int K, int C> static __device__ inline void flow_keep(FlowX<K, C> *to, const Flow &f, const XBlock8 *x, int column)
{
    int chunks = f.p[0].in / PLANE_BLOCK;
#pragma unroll
    for (int c = 0; c < C; c++)
        to->b[c] = x[min(column + c * f.column_threads, chunks - 1)];
}

/* ---- rows that are there ---- */

template <int K> static __device__ inline float flow_dot(const Planes &row, int chunk, const XBlock8 &x)
{
    float s[2], m[2], sum;
    block_scales<K>(s, m, row, chunk);
    if constexpr (Kind<K>::halves) {
        int q[8], dot[2] = {-Kind<K>::offset * x.sum[0], -Kind<K>::offset * x.sum[1]};
        block_quants<K>(q, row, chunk);
#pragma unroll
        for (int i = 0; i < 8; i++)
            dot[i / 4] = __dp4a(q[i], x.q[i], dot[i / 4]);
        sum = s[0] * (float)dot[0] + s[1] * (float)dot[1];
        if (Kind<K>::mins)
            sum -= m[0] * (float)x.sum[0] + m[1] * (float)x.sum[1];
    } else {
        int all = x.sum[0] + x.sum[1];
        sum = s[0] * (float)quants_dot<K>(row, chunk, x.q, -Kind<K>::offset * all);
        if (Kind<K>::mins)
            sum -= m[0] * (float)all;
    }
    return x.d * sum;
}

/* Where this thread's rows of a stage lie: the first, from one to the next, from the lower half to the upper one; and its
 * chunks of a row. Those beyond its end count nothing: no bit of them is kept. */
template <int K, int C> struct FlowPlaces {
    static constexpr int planes = K < W_PLAIN_KINDS ? 1 : FLOW_PLANES;
    int first[planes], step[planes], upper[planes], chunk[C];
    unsigned bits[C];
};

template <int K, int C> static __device__ inline FlowPlaces<K, C> flow_places(const Flow &f, int group, int column)
{
    FlowPlaces<K, C> places;
    int chunks = f.p[0].in / flow_chunk<K>();
#pragma unroll
    for (int i = 0; i < FlowPlaces<K, C>::planes; i++) {
        places.first[i] = f.plane_at[i] + group * f.row_bytes[i];
        places.step[i] = f.groups * f.row_bytes[i];
        places.upper[i] = f.upper_at[i];
    }
#pragma unroll
    for (int c = 0; c < C; c++) {
        int chunk = column + c * f.column_threads;
        places.chunk[c] = min(chunk, chunks - 1);
        places.bits[c] = chunk < chunks ? 0xffffffff : 0;
    }
    return places;
}

/* A row's columns of this thread. */
template <int K, int C>
static __device__ inline float flow_row(const FlowX<K, C> &x, const Planes &row, const FlowPlaces<K, C> &places)
{
    constexpr int V = flow_chunk<K>();
    float sum = 0;
#pragma unroll
    for (int c = 0; c < C; c++) {
        float part;
        if constexpr (K < W_PLAIN_KINDS) {
            float w[V];
            plain_expand<K>(w, *(const uint4 *)(row.low + places.chunk[c] * 16));
            float even = 0, odd = 0;
#pragma unroll
            for (int i = 0; i < V; i += 2) {
                even = fmaf(w[i], x.x[c][i], even);
                odd = fmaf(w[i + 1], x.x[c][i + 1], odd);
            }
            part = even + odd;
        } else
            part = flow_dot<K>(row, places.chunk[c], x.b[c]);
        sum += __uint_as_float(__float_as_uint(part) & places.bits[c]);
    }
    return sum;
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

/* This thread's columns of its rows of a stage. */
template <int K, int C, int J>
static __device__ inline void flow_stage_rows(float *v, const FlowX<K, C> &x, const FlowPlaces<K, C> &places,
                                              const uint8_t *at, const int *skew)
{
    constexpr int planes = FlowPlaces<K, C>::planes;
    const uint8_t *first[planes];
#pragma unroll
    for (int i = 0; i < planes; i++)
        first[i] = at + places.first[i] + (i ? skew[i] : 0);
#pragma unroll
    for (int j = 0; j < J; j++) {
        const uint8_t *plane[FLOW_PLANES];
#pragma unroll
        for (int i = 0; i < FLOW_PLANES; i++) {
            int of = i < planes ? i : 0;
            plane[i] = first[of] + (J > 1 && j >= J / 2 ? (j - J / 2) * places.step[of] + places.upper[of]
                                                        : j * places.step[of]);
        }
        Planes row = {plane[0], plane[1], plane[2], plane[3]};
        v[j] = flow_row<K, C>(x, row, places);
    }
}

/* sums: [stage, row of it, warp of the group] */
template <int K, int C, int J>
static __device__ inline void flow_rows(const Flow &f, const FlowX<K, C> &x, const uint8_t *room, FlowRing *ring, float *sums,
                                        int group, int column)
{
    int stage = 0, lane = threadIdx.x % 32;
    unsigned parity = 0;
    FlowPlaces<K, C> places = flow_places<K, C>(f, group, column);
    sums += (lane / (32 / J) * f.groups + group) * f.sums_pitch + column / 32;
    bool keeps = lane % (32 / J) == 0;
    for (;;) {
        barrier_wait(shared_place(&ring->full[stage]), parity);
        if (ring->piece[stage] == FLOW_END)
            return;
        float v[J];
        flow_stage_rows<K, C, J>(v, x, places, room + stage * f.stage_bytes, ring->skew[stage]);
        float sum = flow_lanes<J>(v);
        if (keeps)
            sums[stage * J * f.groups * f.sums_pitch] = sum;
        __syncwarp();
        if (lane == 0) {
            barrier_arrive(shared_place(&ring->done[stage]));
            barrier_arrive(shared_place(&ring->empty[stage]));
        }
        if (++stage == f.stages)
            stage = 0, parity ^= 1;
    }
}

static __device__ inline float flow_sum(const float *sums, int warps)
{
    float sum = 0;
#pragma unroll 4
    for (int i = 0; i < warps; i++)
        sum += sums[i];
    return sum;
}

/* One copy for all kernels: most activations are long. */
static __device__ __noinline__ float flow_activation(Activation f, float x) { return activation_near(f, x); }

/* The sums of a stage, a lane for each row: what is added to is on its way while the columns are summed. */
static __device__ inline void flow_put(const Flow &f, int id, Barrier *done, unsigned parity, const float *sums)
{
    int lane = threadIdx.x % 32, warps = f.column_threads / 32;
    FlowPiece piece = flow_piece(f, id);
    const Product &p = f.p[piece.which], &up = f.p[f.gated ? 1 : 0];
    for (int first = 0; first < piece.rows; first += 32) {
        int i = first + lane, o = piece.row + i;
        bool there = i < piece.rows;
        float more = there && p.adds ? p.y[o] : 0, bias = there && p.bias ? p.bias[o] : 0;
        if (first == 0)
            barrier_wait(shared_place(done), parity);
        if (!there)
            continue;
        float sum = flow_sum(sums + i * f.sums_pitch, warps) + bias;
        if (f.gated) {
            float gated = flow_sum(sums + (f.piece_rows + i) * f.sums_pitch, warps) + (up.bias ? up.bias[o] : 0);
            sum = flow_activation(f.activation, sum) * gated;
        }
        p.y[o] = sum + more;
    }
}

/* One of the warps that write. */
static __device__ inline void flow_write(const Flow &f, FlowRing *ring, const float *sums, int writer)
{
    int stage = writer, lane = threadIdx.x % 32, rows = f.row_groups * f.groups;
    unsigned parity = 0;
    for (;;) {
        barrier_wait(shared_place(&ring->full[stage]), parity);
        int id = ring->piece[stage];
        if (id == FLOW_END)
            return;
        flow_put(f, id, &ring->done[stage], parity, sums + stage * rows * f.sums_pitch);
        __syncwarp();
        if (lane == 0)
            barrier_arrive(shared_place(&ring->empty[stage]));
        stage += FLOW_WRITERS;
        if (stage >= f.stages)
            stage -= f.stages, parity ^= 1;
    }
}
#endif

template <int K, int C, int J>
static __global__ void __launch_bounds__(FLOW_THREADS + FLOW_BESIDE) flow(const __grid_constant__ Flow f)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    extern __shared__ __align__(128) uint8_t room[];
    __shared__ FlowRing ring;
    __shared__ float shared[32];
    previous_later();
    int threads = f.column_threads * f.groups;
    if (threadIdx.x == 0) {
        ring.begun = 0;
        for (int i = 0; i < f.stages; i++) {
            barrier_open(shared_place(&ring.full[i]), 1);
            barrier_open(shared_place(&ring.done[i]), threads / 32);
            barrier_open(shared_place(&ring.empty[i]), threads / 32 + 1);
        }
        barriers_opened();
    }
    __syncthreads();
    float *sums = (float *)(room + f.stages * f.stage_bytes + f.x_bytes);
    if ((int)threadIdx.x >= threads + 32) {
        previous_ended();
        flow_write(f, &ring, sums, (threadIdx.x - threads) / 32 - 1);
        return;
    }
    if ((int)threadIdx.x >= threads) {
        if ((int)threadIdx.x == threads)
            flow_feed<K>(f, room, &ring);
        return;
    }
    int group = threadIdx.x / f.column_threads, column = threadIdx.x % f.column_threads;
    FlowX<K, C> x;
    if constexpr (K < W_PLAIN_KINDS) {
        flow_touch<K, C>(f, column);
        previous_ended();
        flow_x<K, C>(&x, f, column, shared);
    } else {
        XBlock8 *rounded = (XBlock8 *)(room + f.stages * f.stage_bytes);
        float beside[FLOW_HALF] = {0};
        if (f.norms)      /* a weight: it need not be waited for */
            flow_gain(beside, f, threadIdx.x * FLOW_HALF);
        previous_ended();
        flow_round_row(rounded, f, beside, shared);
        flow_wait(f);
        flow_keep<K, C>(&x, f, rounded, column);
    }
    if (threadIdx.x == 0)
        *(volatile int *)&ring.begun = 1;
    flow_rows<K, C, J>(f, x, room, &ring, sums, group, column);
#endif
}

/* ---- launches ---- */

void flow_floats(const Flow *, WeightKind, const CudaRun *);
void flow_blocks(const Flow *, WeightKind, const CudaRun *);

template <int K, int C, int J> static void flow_launch(const Flow &f, const CudaRun *g)
{
    size_t bytes = (size_t)f.stages * f.stage_bytes + f.x_bytes + f.sums_bytes;
    cudaFuncSetAttribute(flow<K, C, J>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    LAUNCH((flow<K, C, J>), f.blocks, f.column_threads * f.groups + FLOW_BESIDE, bytes, g, f);
}

template <int K, int C> static void flow_row_groups(const Flow &f, const CudaRun *g)
{
    switch (f.row_groups) {
    case 1: flow_launch<K, C, 1>(f, g); break;
    case 2: flow_launch<K, C, 2>(f, g); break;
    case 4: flow_launch<K, C, 4>(f, g); break;
    default: flow_launch<K, C, 8>(f, g); break;
    }
}

/* Chunks that a thread can have. */
static constexpr int flow_columns_most(int kind) { return kind <= W_BF16 ? 4 : 2; }

template <int K> static void flow_columns(const Flow &f, const CudaRun *g)
{
    switch (f.columns) {
    case 1: flow_row_groups<K, 1>(f, g); break;
    case 2: flow_row_groups<K, 2>(f, g); break;
    default: flow_row_groups<K, flow_columns_most(K)>(f, g); break;
    }
}

#endif

/* hopper_many_cuda.h -- products of many rows on Hopper: of x and weights as numbers or pairs of f16 (pairs_cuda.h), or of rows
 * that have experts, with x in parts of bf16 (kernels/expert_linear/hopper_experts.cu).
 *
 * Tiles of 128 rows by WIDE outputs, of all products of a launch, are dealt out to pairs of blocks of threads. The two have
 * the same outputs and rows over each other (or, where 128 rows are all, the same rows and outputs beside each other), and
 * each asks the copy engine for half of what both need, for both:
 *
 *              outputs
 *            +---------+
 *      rows  | block 0 |  x of 0,  w  [ half asked for by 0 ]
 *            +---------+              [ half asked for by 1 ]
 *            | block 1 |  x of 1
 *            +---------+
 *
 * In a block one thread asks for 64 k at a time, as far ahead as shared memory has room, and across the ends of tiles. Two
 * groups of four warps multiply (wgmma) 64 rows each, all parts into the same sums, which stay in registers. Of gate and up a
 * tile has half its outputs each, and what is written is silu(gate) * up. Of pairs of a row and an expert a tile has those of
 * one expert (expert_groups.h), whose x lies in their order.
 */
#ifndef KERNELS_LINEAR_HOPPER_MANY_CUDA_H
#define KERNELS_LINEAR_HOPPER_MANY_CUDA_H

#include <math.h>

#include "kernels/activate/activate_cuda.h"
#include "kernels/kit/tensor_map.h"
#include "kernels/linear/hopper_cuda.h"
#include "kernels/linear/wgmma_cuda.h"

enum {
    GROUPS = 2, GROUP_ROWS = 64, GROUP_THREADS = 128, TILE_ROWS = GROUPS * GROUP_ROWS, MULTIPLIERS = GROUPS * GROUP_THREADS,
    MANY_THREADS = MULTIPLIERS + 32, STAGES_MOST = 8, BAND = 8 /* tiles of rows, whose x stays in the L2 cache */,
    HALVES = 2 /* of the weights of a tile */, CLUSTER = 2, PART_BYTES = GROUP_ROWS * SWIZZLE_ROW,
    SHARED_LEAST = 200 << 10
};

typedef struct Many {
    CUtensorMap w[PRODUCTS], x;
    Product p[PRODUCTS];
    Factors factors;
    int tiles_end[PRODUCTS];       /* of the line of tiles of outputs */
    int products, rows, chunks, stages;
    int over, beside;              /* blocks of a cluster: with the same weights; with the same rows */
    int row_groups, out_groups;    /* of tiles that a cluster has at a time */
} Many;

/* The widths that there are. */
#define EACH_WIDTH(DO) DO(96) DO(128) DO(160) DO(192) DO(224) DO(256)

template <int OUTS, bool GATE_UP, int PARTS_OF_X, int PARTS_OF_W, bool OF_EXPERTS = false> struct Tile {
    static constexpr int WIDE = OUTS, X_PARTS = PARTS_OF_X, W_PARTS = PARTS_OF_W;
    static constexpr bool GATES = GATE_UP, EXPERTS = OF_EXPERTS, F16 = !EXPERTS;
    static constexpr int GROUP_BYTES = X_PARTS * PART_BYTES, X_BYTES = GROUPS * GROUP_BYTES;
    static constexpr int HALF = WIDE / HALVES, HALF_BYTES = HALF * SWIZZLE_ROW, W_BYTES = HALVES * HALF_BYTES;
    static constexpr int STAGE_BYTES = X_BYTES + W_PARTS * W_BYTES;
    static constexpr int OWN = GATES ? HALF : WIDE;      /* outputs of a product */
    typedef float Sums[WIDE / 2];
};

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

/* This block of threads in its cluster. */
struct Seat {
    int row, column;               /* among those over each other, beside each other */
    unsigned same_x, same_w;       /* blocks that take the same, by bits */

    __device__ inline Seat(const Many &s)
    {
        int rank = cluster_rank();
        row = rank / s.beside, column = rank % s.beside;
        same_x = s.beside > 1 ? (1 << CLUSTER) - 1 : 1 << rank;
        same_w = s.over > 1 ? (1 << CLUSTER) - 1 : 1 << rank;
    }
};

/* A tile: its first row, how many there are from there on, and its first output of a product or an expert. */
struct Spot { int row, rows, which, expert, o; };

/* Clusters go down the rows of a band, then on to the next outputs; with experts through the outputs of a tile. */
template <class T> static __device__ inline Spot spot_of(const Many &s, const Seat &seat, int item)
{
    if (T::EXPERTS) {
        PairTile t = s.p[0].tiles[item / s.out_groups];
        return {t.first, t.count, 0, t.expert, (item % s.out_groups * s.beside + seat.column) * T::OWN};
    }
    int band = item / (BAND * s.out_groups), within = item - band * BAND * s.out_groups;
    int tall = min((int)BAND, s.row_groups - band * BAND), out_group = within / tall, row_group = band * BAND + within % tall;
    int tile = out_group * s.beside + seat.column, row = (row_group * s.over + seat.row) * TILE_ROWS;
    Spot spot = {row, s.rows - row, 0, 0, 0};
    while (spot.which < s.products - 1 && tile >= s.tiles_end[spot.which])
        spot.which++;
    spot.o = (tile - (spot.which ? s.tiles_end[spot.which - 1] : 0)) * T::OWN;
    return spot;
}
template <class T> static __device__ inline bool has_products(const Many &s, const Spot &spot)
{
    return !T::EXPERTS || (spot.rows > 0 && spot.expert < s.p[0].experts);
}

/* ---- the thread that asks ---- */

template <class T>
static __device__ void ask_weights(const Many &s, const Seat &seat, const Spot &spot, uint8_t *stage, int chunk, Barrier *full)
{
    int o = spot.expert * s.p[0].out + spot.o;
    for (int i = 0; i < HALVES; i++)
        for (int part = 0; part < T::W_PARTS && (s.over == 1 || i == seat.row); part++)
            tile_copy_to(seat.same_w, stage + T::X_BYTES + part * T::W_BYTES + i * T::HALF_BYTES,
                         &s.w[T::GATES ? i : spot.which], chunk * SWIZZLE_K, o + (T::GATES ? 0 : i * T::HALF), part, full,
                         READ_AGAIN);
}

template <class T>
static __device__ void ask_x(const Many &s, const Seat &seat, const Spot &spot, uint8_t *stage, int chunk, Barrier *full)
{
    for (int i = 0; i < GROUPS; i++)
        if (s.beside == 1 || i == seat.column)
            tile_copy_to(seat.same_x, stage + i * T::GROUP_BYTES, &s.x, chunk * SWIZZLE_K, spot.row + i * GROUP_ROWS, 0, full,
                         READ_AGAIN);
}

/* ready: weights of so many chunks were asked for before x was there. */
template <class T>
static __device__ void ask(const Many &s, const Seat &seat, uint8_t *room, Barrier *full, Barrier *empty, int ready)
{
    int stage = 0, phase = 1, clusters = gridDim.x / CLUSTER;
    for (int item = blockIdx.x / CLUSTER; item < s.row_groups * s.out_groups; item += clusters) {
        Spot spot = spot_of<T>(s, seat, item);
        for (int chunk = 0; chunk < s.chunks && has_products<T>(s, spot); chunk++) {
            uint8_t *to = room + stage * T::STAGE_BYTES;
            if (ready-- <= 0) {
                barrier_wait(shared_place(empty + stage), phase);
                barrier_expect(shared_place(full + stage), T::STAGE_BYTES);
                ask_weights<T>(s, seat, spot, to, chunk, full + stage);
            }
            ask_x<T>(s, seat, spot, to, chunk, full + stage);
            stage = stage + 1 == s.stages ? 0 : stage + 1;
            phase ^= stage == 0;
        }
    }
}

/* ---- the threads that multiply ---- */

/* Of a thread: columns 2 t and 2 t + 1 of each eight, in rows r and r + 8 of its warp's 16. */
struct Place {
    int o, outs, rows;             /* its first output; so many outputs and rows are left from there on */
    float *y[2], of_row[2];        /* of each row: where that output belongs, its factor */

    template <class T> __device__ inline void find(const Many &s, const Spot &spot)
    {
        const Product &p = s.p[spot.which];
        int lane = threadIdx.x % 32, r = threadIdx.x / 32 * 16 + lane / 4;
        o = spot.o + lane % 4 * 2, outs = p.out - o, rows = spot.rows - r;
        for (int e = 0; e < 2; e++) {
            int row = spot.row + (8 * e < rows ? r + 8 * e : 0);
            y[e] = (T::EXPERTS ? y_at(p, p.order[row]) : p.y + row * p.y_step) + o;
            of_row[e] = s.factors.of_row && 8 * e < rows ? s.factors.of_row[row] : 1;
        }
    }
    __device__ inline bool has(int n, int e) const { return 8 * n < outs && 8 * e < rows; }
};

static __device__ inline float2 two_of(const float *v, int o, float otherwise)
{
    return v ? *(const float2 *)(v + o) : make_float2(otherwise, otherwise);
}
/* What two neighbouring sums come to. */
static __device__ inline float2 whole(const float *sum, float of_row, float2 of_output, float2 bias)
{
    return make_float2(sum[0] * of_row * of_output.x + bias.x, sum[1] * of_row * of_output.y + bias.y);
}

template <class T> static __device__ void put_rows(const Many &s, const Spot &spot, const float *sums)
{
    enum { AT_ONCE = 4 };
    const Product &p = s.p[spot.which];
    const float *bias = p.bias ? p.bias + spot.expert * p.out : NULL, *factor = s.factors.of_output[spot.which];
    Place to;
    to.find<T>(s, spot);
    bool adds = p.adds;
#pragma unroll
    for (int n = 0; n < T::WIDE / 8; n += AT_ONCE) {
        float2 before[AT_ONCE][2];
#pragma unroll
        for (int i = 0; i < 2 * AT_ONCE; i++) {
            bool reads = adds && to.has(n + i / 2, i % 2);
            before[i / 2][i % 2] = reads ? *(const float2 *)(to.y[i % 2] + 8 * (n + i / 2)) : make_float2(0, 0);
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            if (8 * (n + i) >= to.outs)
                break;
            float2 b = two_of(bias, to.o + 8 * (n + i), 0), f = two_of(factor, to.o + 8 * (n + i), 1);
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float2 sum = whole(sums + 4 * (n + i) + 2 * e, to.of_row[e], f, b);
                if (8 * e < to.rows)
                    *(float2 *)(to.y[e] + 8 * (n + i)) = make_float2(sum.x + before[i][e].x, sum.y + before[i][e].y);
            }
        }
    }
}

/* Pairs whose expert there is not. */
template <class T> static __device__ void put_zeros(const Many &s, const Spot &spot)
{
    const Product &p = s.p[0];
    for (int i = threadIdx.x; i < spot.rows * T::OWN; i += MULTIPLIERS)
        if (spot.o + i % T::OWN < p.out)
            y_at(p, p.order[spot.row + i / T::OWN])[spot.o + i % T::OWN] = 0;
}

template <class T> static __device__ void put_gates(const Many &s, const Spot &spot, const float *sums)
{
    Place to;
    to.find<T>(s, spot);
#pragma unroll
    for (int n = 0; n < T::HALF / 8; n++) {
        if (8 * n >= to.outs)
            break;
        int o = to.o + 8 * n;
        float2 gate_bias = two_of(s.p[0].bias, o, 0), up_bias = two_of(s.p[1].bias, o, 0);
        float2 gate_factor = two_of(s.factors.of_output[0], o, 1), up_factor = two_of(s.factors.of_output[1], o, 1);
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const float *sum = sums + 4 * n + 2 * e;
            float2 gate = whole(sum, to.of_row[e], gate_factor, gate_bias);
            float2 up = whole(sum + T::WIDE / 4, to.of_row[e], up_factor, up_bias);
            float2 h = make_float2(activation_near(SILU, gate.x) * up.x, activation_near(SILU, gate.y) * up.y);
            if (8 * e < to.rows)
                *(float2 *)(to.y[e] + 8 * n) = h;
        }
    }
}

/* This warp has read a place: so it tells both who fill it. */
static __device__ inline void free_place(Barrier *empty)
{
    int lane = threadIdx.x % 32;
    if (lane < CLUSTER)
        barrier_arrive_at(shared_place(empty), lane);
}

/* 64 k of a tile; the small parts first. */
template <class T> static __device__ inline void multiply_chunk(float *sums, const uint8_t *x, const uint8_t *w, bool adds)
{
    products_begin();
#pragma unroll
    for (int k = 0; k < SWIZZLE_ROW; k += 32) {
        if (T::W_PARTS > 1) {
            multiply_16<T::WIDE, T::F16>(sums, tile_place(x + k), tile_place(w + T::W_BYTES + k), adds);
            adds = true;
        }
#pragma unroll
        for (int part = T::X_PARTS - 1; part >= 0; part--) {
            multiply_16<T::WIDE, T::F16>(sums, tile_place(x + part * PART_BYTES + k), tile_place(w + k), adds);
            adds = true;
        }
    }
    products_sent();
}

template <class T>
static __device__ void multiply(const Many &s, const Seat &seat, uint8_t *room, Barrier *full, Barrier *empty)
{
    int stage = 0, phase = 0, group = threadIdx.x / GROUP_THREADS, clusters = gridDim.x / CLUSTER;
    for (int item = blockIdx.x / CLUSTER; item < s.row_groups * s.out_groups; item += clusters) {
        typename T::Sums sums;
        int before = -1;
        Spot spot = spot_of<T>(s, seat, item);
        if (!has_products<T>(s, spot)) {
            put_zeros<T>(s, spot);
            continue;
        }
        bool works = !T::EXPERTS || group * GROUP_ROWS < spot.rows;
        for (int chunk = 0; chunk < s.chunks; chunk++) {
            const uint8_t *at = room + stage * T::STAGE_BYTES;
            barrier_wait(shared_place(full + stage), phase);
            if (works)
                multiply_chunk<T>(sums, at + group * T::GROUP_BYTES, at + T::X_BYTES, chunk > 0);
            products_wait<1>();
            if (before >= 0)
                free_place(empty + before);
            before = stage;
            stage = stage + 1 == s.stages ? 0 : stage + 1;
            phase ^= stage == 0;
        }
        products_wait<0>();
        free_place(empty + before);
        if (T::GATES)
            put_gates<T>(s, spot, sums);
        else if (works)
            put_rows<T>(s, spot, sums);
    }
}
#endif

template <class T> static __global__ void __launch_bounds__(MANY_THREADS, 1) many_rows(const __grid_constant__ Many s)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    extern __shared__ uint8_t tile_memory[];
    __shared__ Barrier full[STAGES_MOST], empty[STAGES_MOST];
    uint8_t *room = tile_memory + (SWIZZLE_ALIGN - shared_place(tile_memory) % SWIZZLE_ALIGN) % SWIZZLE_ALIGN;
    Seat seat(s);
    bool asks = threadIdx.x == MULTIPLIERS;
    int ready = s.factors.late ? 0 : min(s.stages, s.chunks);
    previous_later();
    if (asks) {
        for (int i = 0; i < s.stages; i++) {
            barrier_open(shared_place(full + i), 1);
            barrier_open(shared_place(empty + i), MULTIPLIERS / 32 * CLUSTER);
        }
        barriers_opened();
    }
    __syncthreads();
    cluster_meets();
    if (asks && ready > 0) {
        Spot spot = spot_of<T>(s, seat, blockIdx.x / CLUSTER);
        for (int i = 0; i < ready; i++) {
            barrier_expect(shared_place(full + i), T::STAGE_BYTES);
            ask_weights<T>(s, seat, spot, room + i * T::STAGE_BYTES, i, full + i);
        }
    }
    previous_ended();
    if (threadIdx.x < MULTIPLIERS)
        multiply<T>(s, seat, room, full, empty);
    else if (asks)
        ask<T>(s, seat, room, full, empty, ready);
    __syncthreads();
    cluster_meets();      /* nobody brings anything to a block that has ended */
#endif
}

template <class T> static void launch_many(Many s, const CudaRun *g)
{
    int clusters = g->multiprocessors / CLUSTER, items = s.row_groups * s.out_groups;
    s.stages = (int)((g->shared_bytes - 2 * SWIZZLE_ALIGN) / T::STAGE_BYTES);
    s.stages = s.stages < STAGES_MOST ? s.stages : (int)STAGES_MOST;
    size_t bytes = (size_t)s.stages * T::STAGE_BYTES + SWIZZLE_ALIGN;
    cudaFuncSetAttribute(many_rows<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    LAUNCH_CLUSTERS(many_rows<T>, CLUSTER, (items < clusters ? items : clusters) * CLUSTER, MANY_THREADS, bytes, g, s);
}

/* So that outputs can be written by twos, on a GPU that can do this. */
static inline bool many_fits(const Product *p, const CudaRun *g)
{
    return p->in % 8 == 0 && p->out % 8 == 0 && (uintptr_t)p->y % 8 == 0 && p->y_step % 2 == 0 && (uintptr_t)p->bias % 8 == 0 &&
           g->shared_bytes >= SHARED_LEAST && tensor_maps_here();
}

/* What a multiprocessor takes: turns of tiles, each 64 k of which take what is multiplied and AROUND, as was measured, or as
 * long as they are on their way where few places fit. */
static inline double many_cycles(int wide, int64_t items, int in, int x_parts, int w_parts, const CudaRun *g)
{
    const double A_COLUMN = 4, AROUND = 320, ON_THE_WAY = 1700, END = 2500;
    int places = (int)g->shared_bytes / (x_parts * GROUPS * PART_BYTES + w_parts * wide * SWIZZLE_ROW);
    double turns = blocks_for(items, g->multiprocessors / CLUSTER), multiplied = A_COLUMN * wide * (x_parts + w_parts - 1);
    double chunk = fmax(AROUND + multiplied, (ON_THE_WAY + multiplied) / (places - 1));
    return turns * (END + blocks_for(in, SWIZZLE_K) * chunk);
}

/* The width that takes the fewest cycles(width). */
template <class Cycles> static int best_width(Cycles cycles)
{
#define DO(N) N,
    const int widths[] = {EACH_WIDTH(DO)};
#undef DO
    int best = widths[0];
    for (int wide : widths)
        if (cycles(wide) < cycles(best))
            best = wide;
    return best;
}

#endif

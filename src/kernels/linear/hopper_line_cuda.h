/* hopper_line_cuda.h -- what a block of threads does with its piece of the line (hopper_cuda.h), for all numbers of rows. */
#ifndef KERNELS_LINEAR_HOPPER_LINE_CUDA_H
#define KERNELS_LINEAR_HOPPER_LINE_CUDA_H

#include "kernels/kit/tensor_map.h"
#include "kernels/linear/hopper_cuda.h"
#include "kernels/linear/wgmma_cuda.h"

enum {
    GROUPS = 2, GROUP_THREADS = 128, CONSUMERS = GROUPS * GROUP_THREADS, HOPPER_THREADS = CONSUMERS + 32,
    HALF = 64, BOX = GROUPS * HALF /* outputs */, STAGES_MOST = 12
};

typedef struct Line {
    CUtensorMap w[PRODUCTS], x;
    CUtensorMap high[PRODUCTS], fine[PRODUCTS];      /* of weights in blocks: the other planes */
    const uint8_t *x_units;        /* what they meet: x as units of it lie in a stage */
    const float *of_row;           /* factors of rows of sums; NULL: 1 */
    Product p[PRODUCTS];
    int tiles_end[PRODUCTS];       /* of the line of tiles */
    int units, chunks;             /* of all tiles; of one */
    int stages;                    /* units that a block has room for */
    int products, rows;
    float4 *sums;                  /* of tiles that several blocks have: [block, 2, eight of rows, thread] */
    unsigned *counters;            /* [tile], zeros between launches */
} Line;

/* Of products with weights of so many bytes, of which a unit has 128 a row; and x, in so many parts. */
Line hopper_line(const Product *, int n, int w_bytes, const unsigned short *x, int parts, void *sums, const CudaRun *);

/* For such products, by rows. */
void hopper_near(const Line &, const CudaRun *);       /* x in one part */
void hopper_exact(const Line &, const CudaRun *);      /* x in three */

/* Block b of n has the units from first_unit(b) on; block_of() is the one that has a unit. */
static __device__ inline int first_unit(const Line &l, int b) { return l.units * b / (int)gridDim.x; }
static __device__ inline int block_of(const Line &l, int unit) { return ((unit + 1) * (int)gridDim.x - 1) / l.units; }

/* Whose a tile is, and its first output there. */
static __device__ inline int product_of(const Line &l, int tile, int *o)
{
    int which = 0;
    while (which < PRODUCTS - 1 && tile >= l.tiles_end[which])
        which++;
    *o = (tile - (which ? l.tiles_end[which - 1] : 0)) * BOX;
    return which;
}

/* ---- what a unit is ---- */

/* A Way says how units come and what is done with them:
 *
 *     EIGHTS, Sums                           rows / 8; what a thread adds to
 *     STAGE_BYTES, BYTES                     of a stage, that come into it
 *     ask_weights(), ask_x()                 start the copies of a unit
 *     early()                                what a thread reads of it before all has come
 *     add()                                  adds a unit to the sums, or sets them; all threads that multiply
 *     LATE                                   ... which reads its stage until the next unit is there, or end()
 *
 * This one: N rows of x in so many parts of bf16, or of f16. */
template <int N, int X_PARTS, bool F16 = false> struct Way {
    static constexpr int EIGHTS = N / 8, PARTS = X_PARTS;
    static constexpr int W_BYTES = BOX * SWIZZLE_ROW, PART_BYTES = N * SWIZZLE_ROW;
    static constexpr int BYTES = W_BYTES + PARTS * PART_BYTES, STAGE_BYTES = BYTES;
    static constexpr bool LATE = true;
    typedef float Sums[4 * EIGHTS];
    struct Early {};

    static __device__ void ask_weights(const Line &l, uint8_t *stage, int which, int o, int chunk, Barrier *full)
    {
        tile_copy(stage, &l.w[which], chunk * SWIZZLE_K, o, 0, full, READ_ONCE);
    }
    static __device__ void ask_x(const Line &l, uint8_t *stage, int chunk, Barrier *full)
    {
        tile_copy(stage + W_BYTES, &l.x, chunk * SWIZZLE_K, 0, 0, full, READ_AGAIN);
    }
    static __device__ Early early(const Line &, int, int, int) { return {}; }
    static __device__ void add(Sums &sums, const uint8_t *stage, const Early &, bool adds)
    {
        const uint8_t *w = stage + threadIdx.x / GROUP_THREADS * HALF * SWIZZLE_ROW, *x = stage + W_BYTES;
        products_begin();
#pragma unroll
        for (int k = 0; k < SWIZZLE_ROW; k += 32)
#pragma unroll
            for (int part = PARTS - 1; part >= 0; part--)      /* the small ones first */
                multiply_16<N, F16>(sums, tile_place(w + k), tile_place(x + part * PART_BYTES + k),
                                    adds || k > 0 || part < PARTS - 1);
        products_sent();
        products_wait<1>();
    }
    static __device__ void end() { products_wait<0>(); }
};

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
/* ---- the thread that asks for units ---- */

template <class W> static __device__ void ask_weights(const Line &l, uint8_t *stage, int unit, Barrier *full)
{
    int o, tile = unit / l.chunks, which = product_of(l, tile, &o);
    W::ask_weights(l, stage, which, o, unit - tile * l.chunks, full);
}

/* Before x is there: as many weights as there is room for. */
template <class W> static __device__ void ask_first(const Line &l, uint8_t *room, Barrier *full, int unit, int end)
{
    for (int i = 0; i < l.stages && unit + i < end; i++) {
        barrier_expect(shared_place(full + i), W::BYTES);
        ask_weights<W>(l, room + i * W::STAGE_BYTES, unit + i, full + i);
    }
}

template <class W>
static __device__ void ask(const Line &l, uint8_t *room, Barrier *full, Barrier *empty, int unit, int end)
{
    int stage = 0, phase = 1;
    for (int i = 0; i < l.stages && unit + i < end; i++)
        W::ask_x(l, room + i * W::STAGE_BYTES, (unit + i) % l.chunks, full + i);
    for (unit += l.stages; unit < end; unit++) {
        uint8_t *to = room + stage * W::STAGE_BYTES;
        barrier_wait(shared_place(empty + stage), phase ^ 1);
        barrier_expect(shared_place(full + stage), W::BYTES);
        ask_weights<W>(l, to, unit, full + stage);
        W::ask_x(l, to, unit % l.chunks, full + stage);
        stage = stage + 1 == l.stages ? 0 : stage + 1;
        phase ^= stage == 0;
    }
}

/* ---- the threads that multiply ---- */

static __device__ inline void consumers_meet() { threads_meet(1, CONSUMERS); }

/* Some eights of rows of a tile, from the n-th on, as the tensor cores leave them to a thread: the numbers of outputs o and
 * o + 8, in rows r and r + 1 of each eight. */
template <class W> struct Eights {
    static constexpr int MOST = W::EIGHTS < 4 ? W::EIGHTS : 4;
    float at[MOST][4];
};

/* Where a thread's numbers of a tile belong. Looked up once: parameters are slow to read. */
struct Place {
    float *y;                      /* of output o in row r of the first eight */
    int64_t step;
    const float *bias;             /* of output o; NULL: none */
    const float *of_row;           /* of row r; NULL: 1 */
    int outs, rows;                /* that are left from there on */
    bool adds;

    __device__ inline Place(const Line &l, int tile)
    {
        int lane = threadIdx.x % 32, which = product_of(l, tile, &outs), o = outs + threadIdx.x / 32 * 16 + lane / 4;
        const Product &p = l.p[which];
        int r = lane % 4 * 2;
        outs = p.out - o, rows = l.rows - r, adds = p.adds, step = p.y_step;
        bias = p.bias ? p.bias + o : NULL, of_row = l.of_row ? l.of_row + r : NULL;
        y = p.y + r * step + o;
    }
    __device__ inline bool has(int n, int i) const { return i / 2 * 8 < outs && 8 * n + i % 2 < rows; }
    __device__ inline float factor(int n, int i) const { return of_row ? of_row[8 * n + i % 2] : 1; }
    __device__ inline int64_t at(int n, int i) const { return (8 * n + i % 2) * step + i / 2 * 8; }
};

/* What the sums are added to. */
template <class W> static __device__ inline void begin_eights(const Place &to, int n, int count, Eights<W> *begin)
{
#pragma unroll
    for (int k = 0; k < Eights<W>::MOST * 4; k++) {
        int j = k / 4, i = k % 4;
        bool has = j < count && to.has(n + j, i);
        begin->at[j][i] = has && to.bias ? to.bias[i / 2 * 8] : 0;
        if (has && to.adds)
            begin->at[j][i] += to.y[to.at(n + j, i)];
    }
}

template <class W>
static __device__ inline void put_eights(const Place &to, int n, int count, const Eights<W> &sums, const Eights<W> &begin)
{
#pragma unroll
    for (int k = 0; k < Eights<W>::MOST * 4; k++) {
        int j = k / 4, i = k % 4;
        if (j < count && to.has(n + j, i))
            to.y[to.at(n + j, i)] = sums.at[j][i] * to.factor(n + j, i) + begin.at[j][i];
    }
}

/* Where a block keeps the sums of its first tile, or of its last. */
template <class W> static __device__ inline float4 *kept(const Line &l, int block, int tile)
{
    int last = first_unit(l, block) / l.chunks != tile;
    return l.sums + (size_t)(2 * block + last) * (W::EIGHTS * CONSUMERS) + threadIdx.x;
}

/* The blocks that have a tile. */
static __device__ inline int first_of(const Line &l, int tile) { return block_of(l, tile * l.chunks); }
static __device__ inline int last_of(const Line &l, int tile) { return block_of(l, (tile + 1) * l.chunks - 1); }

/* This block's part of a tile that others have too. */
template <class W> static __device__ void keep(const Line &l, int tile, typename W::Sums &sums)
{
    float4 *own = kept<W>(l, blockIdx.x, tile);
#pragma unroll
    for (int n = 0; n < W::EIGHTS; n++) {
        const float *v = sums + 4 * n;
        __stcg(own + n * CONSUMERS, make_float4(v[0], v[1], v[2], v[3]));
    }
    __threadfence();
    consumers_meet();
    if (threadIdx.x == 0)
        atomicAdd(l.counters + tile, 1);
}

/* When all parts of a tile are kept: each of its blocks ends a share of the rows. */
template <class W> static __device__ void join(const Line &l, int tile)
{
    constexpr int MOST = Eights<W>::MOST;
    int first = first_of(l, tile), last = last_of(l, tile), blocks = last - first + 1, share = blockIdx.x - first;
    if (first == last)
        return;
    int n = W::EIGHTS * share / blocks, end = W::EIGHTS * (share + 1) / blocks;
    Place to(l, tile);
    Eights<W> begin;
    begin_eights<W>(to, n, end - n, &begin);
    if (threadIdx.x == 0)
        counter_wait(l.counters + tile, blocks);
    consumers_meet();
    for (; n < end; n += MOST) {
        Eights<W> sums = {};
#pragma unroll 2
        for (int block = first; block <= last; block++) {
            const float4 *from = kept<W>(l, block, tile) + n * CONSUMERS;
#pragma unroll
            for (int i = 0; i < MOST; i++) {
                float4 v = n + i < end ? __ldcg(from + i * CONSUMERS) : make_float4(0, 0, 0, 0);
                sums.at[i][0] += v.x, sums.at[i][1] += v.y, sums.at[i][2] += v.z, sums.at[i][3] += v.w;
            }
        }
        put_eights<W>(to, n, end - n, sums, begin);
        if (n + MOST < end)
            begin_eights<W>(to, n + MOST, end - n - MOST, &begin);
    }
    if (threadIdx.x == 0 && atomicAdd(l.counters + tile, 1) == 2 * blocks - 1)      /* nobody waits any more */
        atomicExch(l.counters + tile, 0);
}

template <class W> static __device__ void end_tile(const Line &l, int tile, typename W::Sums &sums)
{
    constexpr int MOST = Eights<W>::MOST;
    if (first_of(l, tile) != last_of(l, tile)) {
        keep<W>(l, tile, sums);
        return;
    }
    Place to(l, tile);
#pragma unroll
    for (int n = 0; n < W::EIGHTS; n += MOST) {
        Eights<W> begin, some;
        begin_eights<W>(to, n, MOST, &begin);
#pragma unroll
        for (int i = 0; i < MOST * 4; i++)
            some.at[i / 4][i % 4] = sums[4 * n + i];
        put_eights<W>(to, n, MOST, some, begin);
    }
}

template <class W>
static __device__ void multiply(const Line &l, uint8_t *room, Barrier *full, Barrier *empty, int unit, int end)
{
    int stage = 0, phase = 0;
    bool tells = threadIdx.x % 32 == 0;
    typename W::Sums sums;
    int first_tile = unit / l.chunks, last_tile = (end - 1) / l.chunks;
    while (unit < end) {
        int o, tile = unit / l.chunks, stop = min(end, (tile + 1) * l.chunks), before = -1, which = product_of(l, tile, &o);
        for (bool adds = false; unit < stop; unit++, adds = true) {
            typename W::Early early = W::early(l, which, o, unit - tile * l.chunks);
            barrier_wait(shared_place(full + stage), phase);
            W::add(sums, room + stage * W::STAGE_BYTES, early, adds);
            int done = W::LATE ? before : stage;
            if (done >= 0 && tells)
                barrier_arrive(shared_place(empty + done));
            before = stage;
            stage = stage + 1 == l.stages ? 0 : stage + 1;
            phase ^= stage == 0;
        }
        W::end();
        if (W::LATE && tells)
            barrier_arrive(shared_place(empty + before));
        end_tile<W>(l, tile, sums);
    }
    join<W>(l, first_tile);
    if (last_tile != first_tile)
        join<W>(l, last_tile);
}
#endif

template <class W>
static __global__ void __launch_bounds__(HOPPER_THREADS, 1) along_line(const __grid_constant__ Line l)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    extern __shared__ uint8_t tile_memory[];
    __shared__ Barrier full[STAGES_MOST], empty[STAGES_MOST];
    uint8_t *room = tile_memory + (SWIZZLE_ALIGN - shared_place(tile_memory) % SWIZZLE_ALIGN) % SWIZZLE_ALIGN;
    int unit = first_unit(l, blockIdx.x), end = first_unit(l, blockIdx.x + 1);
    bool asks = threadIdx.x == CONSUMERS;
    previous_later();
    if (asks) {
        for (int i = 0; i < l.stages; i++) {
            barrier_open(shared_place(full + i), 1);
            barrier_open(shared_place(empty + i), CONSUMERS / 32);
        }
        barriers_opened();
        ask_first<W>(l, room, full, unit, end);
    }
    __syncthreads();
    previous_ended();
    if (threadIdx.x < CONSUMERS)
        multiply<W>(l, room, full, empty, unit, end);
    else if (asks)
        ask<W>(l, room, full, empty, unit, end);
#endif
}

/* Whole tiles for each block of threads, or equal pieces of one, where that leaves few multiprocessors idle. */
static inline int blocks_for_tiles(int tiles, int multiprocessors)
{
    int turns = blocks_for(tiles, multiprocessors), pieces = tiles < multiprocessors ? multiprocessors / tiles : 1;
    int blocks = tiles < multiprocessors ? tiles * pieces : (int)blocks_for(tiles, turns);
    return 6 * blocks >= 5 * multiprocessors ? blocks : multiprocessors;
}

template <class W> static void launch_line(Line l, const CudaRun *g)
{
    int tiles = 0;
    for (int i = 0; i < PRODUCTS; i++) {
        tiles += i < l.products ? (int)blocks_for(l.p[i].out, BOX) : 0;
        l.tiles_end[i] = tiles;
    }
    l.units = tiles * l.chunks;
    l.stages = (int)((g->shared_bytes - 2 * SWIZZLE_ALIGN) / W::STAGE_BYTES);
    l.stages = l.stages < STAGES_MOST ? l.stages : STAGES_MOST;
    size_t bytes = (size_t)l.stages * W::STAGE_BYTES + SWIZZLE_ALIGN;
    int blocks = blocks_for_tiles(tiles, g->multiprocessors);
    cudaFuncSetAttribute(along_line<W>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    LAUNCH_WAITING(along_line<W>, blocks < l.units ? blocks : l.units, HOPPER_THREADS, bytes, g, l);
}

template <int PARTS, bool F16 = false> static void by_rows(const Line &l, const CudaRun *g)
{
    switch (hopper_rows(l.rows)) {
    case 8: launch_line<Way<8, PARTS, F16>>(l, g); break;
    case 16: launch_line<Way<16, PARTS, F16>>(l, g); break;
    case 32: launch_line<Way<32, PARTS, F16>>(l, g); break;
    default: launch_line<Way<64, PARTS, F16>>(l, g); break;
    }
}

#endif

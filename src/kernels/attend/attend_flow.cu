/* attend_flow.cu -- attention of single rows on Hopper, whose heads may share keys: the cache flows through shared memory.
 *
 * The work is cut into items: a row, a kv head, a part of the positions. Each multiprocessor has one block of threads,
 * which draws items as it comes to them, so that long and short ones are shared evenly, and in it
 *
 *     one warp      finds boxes of 16 keys and of 16 values through the table and asks the copy engine for them, as far
 *                   ahead as there is room, across the ends of items: memory is never without requests
 *     six warps     take turns at stages of 32 keys: each has a softmax and sums of its own, by tensor cores as in
 *                   attend_cores.h, up to eight heads of a group as columns; where an item ends these are joined
 *
 *     shared memory   | stage | stage | ... | sums of the warps | their softmaxes | barriers | items |
 *                       K, V of 32 positions, in rows of 128 bytes as the copy engine swizzles them
 *
 * The first item's boxes are asked for before the kernel before has ended, where they were there before this step.
 * Floor: each seen key and value once from memory.
 */
#include "kernels/attend/attend_products.h"
#include "kernels/attend/attend_wgmma.h"
#include "kernels/kit/tensor_map.h"

enum {
    WARPS = 6, THREADS = 32 * (WARPS + 1), HEADS_MOST = 8, BOX_ROWS = 16, BOXES = 2, KEYS = BOXES * BOX_ROWS,
    ITEMS = 8 /* told ahead */, HALF = BOX_ROWS * ROW_BYTES, ALL_WARPS = 1 /* a barrier's number */,
    ALONE_MOST = 16 /* for each multiprocessor */
};

/* W: width of keys and values. */
template <bool EXACT, int W> struct Room {
    static constexpr bool exact = EXACT;
    static constexpr int width = W, query = Split<W_BF16, EXACT>::query, power = Split<W_BF16, EXACT>::power;
    static constexpr int box = BOX_ROWS * W * 2, factor = BOXES * box, stage = 2 * factor;
    static constexpr int pitch = W + 4;      /* so that neighbours lie in different banks */
    static constexpr int sums_bytes = WARPS * HEADS_MOST * pitch * 4, soft_bytes = WARPS * HEADS_MOST * 8;
    /* A place is always the same warp's: one that waited for another's could take what was there a turn before for it. */
    static constexpr int stages = ((220 << 10) - sums_bytes - soft_bytes) / stage / WARPS * WARPS;
    static constexpr int sums = stages * stage, soft = sums + sums_bytes, barriers = soft + soft_bytes;
    static constexpr int items = barriers + 2 * (stages + ITEMS) * 8, bytes = items + ITEMS * 128 + EIGHT_ROWS;
};

#if HOPPER
/* What the warp that asks tells the others of an item. */
typedef struct Item {
    TileBlock block;           /* heads 0: there are no more items */
    Query query;               /* what its heads see */
    int stage;                 /* where its first stage is, counted over all items */
} Item;
static_assert(sizeof(Item) <= 128, "");

template <class R> struct Places {
    uint8_t *memory;
    unsigned base;
    __device__ Item *item(int i) const { return (Item *)(memory + R::items + i % ITEMS * 128); }
    __device__ unsigned stage(int n) const { return base + n % R::stages * R::stage; }
    __device__ unsigned full(int n) const { return base + R::barriers + n % R::stages * 8; }
    __device__ unsigned empty(int n) const { return full(n) + 8 * R::stages; }
    __device__ unsigned told(int i) const { return base + R::barriers + (2 * R::stages + i % ITEMS) * 8; }
    __device__ unsigned heard(int i) const { return told(i) + 8 * ITEMS; }
    __device__ float *sums(int warp, int query) const
    {
        return (float *)(memory + R::sums) + (warp * HEADS_MOST + query) * R::pitch;
    }
    __device__ float2 *soft(int warp, int query) const { return (float2 *)(memory + R::soft) + warp * HEADS_MOST + query; }
};
static __device__ inline unsigned turn_of(int n, int places) { return n / places & 1; }

/* ---- the warp that asks ---- */

static __device__ inline Item item_at(const Attention &a, int n)
{
    Item item;
    int heads = a.kv_heads * a.head_blocks, x = n % heads, r = n / heads % a.pieces, skip = x % a.head_blocks * a.per_block;
    TileBlock *b = &item.block;
    b->kv_head = x / a.head_blocks;
    b->first_head = b->kv_head * a.group + skip;
    b->heads = min(a.per_block, a.group - skip);
    b->first_row = r, b->rows = 1, b->part = n / heads / a.pieces;
    item.query = query_of(a, *b, 0, 0);
    int from = item.query.from / BOX_ROWS * BOX_ROWS, to = item.query.to;
    int each = ((to - from + a.count - 1) / a.count + KEYS - 1) / KEYS * KEYS;
    b->lo = min(from + b->part * each, to);
    b->hi = min(b->lo + each, to);
    b->table = a.tables + a.row_seq[r] * a.table_step;
    b->shift = __popc(a.tokens) == 1 ? __ffs(a.tokens) - 1 : -1;
    return item;
}
static __device__ inline int stages_of(const TileBlock &b) { return (b.hi - b.lo + KEYS - 1) / KEYS; }

template <class R>
static __device__ inline void ask_stage(const Places<R> &p, int n, int boxes, int first_lane, int2 place,
                                        const CUtensorMap *keys, const CUtensorMap *values)
{
    int lane = threadIdx.x % 32, box = lane - first_lane;
    unsigned at = p.stage(n) + box * R::box;
    barrier_wait(p.empty(n), turn_of(n, R::stages) ^ 1);
    if (lane == 0)
        barrier_expect(p.full(n), boxes * 2 * R::box);
    __syncwarp();
    if (box >= 0 && box < boxes) {
        copy_pieces(at, keys, place.y, place.x, p.full(n));
        copy_pieces(at + R::factor, values, place.y, place.x, p.full(n));
    }
}

template <class R>
static __device__ inline void ask(const Attention &a, const Places<R> &p, int items, unsigned *counters,
                                  const CUtensorMap *keys, const CUtensorMap *values)
{
    int lane = threadIdx.x % 32, stage = 0, item = blockIdx.x, told = 0;
    bool waits = true;
    for (int next = 0; item < items; told++) {
        Item it = item_at(a, item);
        bool draws = !waits;
        if (draws && lane == 0)
            next = gridDim.x + atomicAdd(counters, 1);
        const TileBlock &b = it.block;
        int boxes = (b.hi - b.lo + BOX_ROWS - 1) / BOX_ROWS;
        bool older = waits && is_alone(a, b.first_row);
        it.stage = stage;
        barrier_wait(p.heard(told), turn_of(told, ITEMS) ^ 1);
        if (lane == 0) {
            *p.item(told) = it;
            barrier_arrive(p.told(told));
        }
        __syncwarp();
        for (int first = 0; first < boxes; first += 32) {
            int2 place = place_of(a, b, b.lo + (first + lane) * BOX_ROWS);
            for (int box = first; box < min(boxes, first + 32); box += BOXES, stage++) {
                if (waits && !(older && stage < R::stages && b.lo + (box + BOXES) * BOX_ROWS <= it.query.pos)) {
                    previous_ended();
                    waits = false;
                }
                ask_stage<R>(p, stage, min((int)BOXES, boxes - box), box - first, place, keys, values);
            }
        }
        if (waits)
            previous_ended();
        waits = false;
        if (!draws && lane == 0)
            next = gridDim.x + atomicAdd(counters, 1);
        item = __shfl_sync(0xffffffff, next, 0);
    }
    barrier_wait(p.heard(told), turn_of(told, ITEMS) ^ 1);
    if (lane == 0) {
        p.item(told)->block.heads = 0;
        barrier_arrive(p.told(told));
        if (atomicAdd(counters + 1, 1) == gridDim.x - 1)      /* nobody draws any more */
            counters[0] = counters[1] = 0;
    }
}

/* ---- the warps that compute ---- */

/* A thread's query is lane / 4, of each 16 numbers it has the pairs from 2 (lane % 4) and 8 further on. */
template <class R>
static __device__ inline void load_query(uint2 (*q)[R::width / STEP], const Attention &a, const TileBlock &b)
{
    int lane = threadIdx.x % 32, head = b.first_head + lane / 4;
    bool there = lane / 4 < b.heads;
    const float *from = row(a.q, b.first_row) + (int64_t)head * R::width + lane % 4 * 2;
    float unit = a.how.softcap > 0 ? a.how.scale / a.how.softcap : a.how.scale * LOG2_E;
    float2 x[2 * R::width / STEP];
#pragma unroll
    for (int i = 0; i < 2 * R::width / STEP; i++)
        x[i] = there ? *(const float2 *)(from + i * 8) : make_float2(0, 0);
#pragma unroll
    for (int i = 0; i < 2 * R::width / STEP; i++) {
        x[i].x *= unit, x[i].y *= unit;
#pragma unroll
        for (int part = 0; part < R::query; part++) {
            unsigned pair = pair_of<W_BF16>(x[i].x, x[i].y);
            (i % 2 ? q[part][i / 2].y : q[part][i / 2].x) = pair;
            x[i].x -= first_of<W_BF16>(pair), x[i].y -= second_of<W_BF16>(pair);
        }
    }
}

/* s: of 16 keys of each box. */
template <class R>
static __device__ inline void score_stage(float (*s)[1][4], const uint2 (*q)[R::width / STEP], unsigned keys)
{
    int lane = threadIdx.x % 32, r = lane % 16;
    float sum[R::query][BOXES][4] = {};
#pragma unroll
    for (int step = 0; step < R::width / STEP; step++)
#pragma unroll
        for (int m = 0; m < BOXES; m++) {
            unsigned k[4], eight = (step % 4 * 2 + lane / 16) ^ r % 8;
            load_matrices(k, keys + m * R::box + step / 4 * HALF + r * ROW_BYTES + eight * 16);
#pragma unroll
            for (int part = 0; part < R::query; part++)
                multiply<W_BF16>(sum[part][m], k, q[part][step]);
        }
#pragma unroll
    for (int m = 0; m < BOXES; m++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float all = sum[R::query - 1][m][i];
#pragma unroll
            for (int part = R::query - 2; part >= 0; part--)
                all += sum[part][m][i];
            s[m][0][i] = all;
        }
}

/* Products become scores; what is not seen is minus infinity. */
template <bool EXACT>
static __device__ inline void bend_stage(float (*s)[1][4], const Attention &a, const Item &it, int j0)
{
    int lane = threadIdx.x % 32, from = it.query.from, to = it.block.hi;
    if (j0 >= from && j0 + KEYS <= to && a.how.softcap <= 0 && !a.slopes)
        return;
#pragma unroll
    for (int m = 0; m < BOXES; m++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int j = j0 + m * BOX_ROWS + lane / 4 + i / 2 * 8, head = lane % 4 * 2 + i % 2;
            float x = s[m][0][i];
            if (a.how.softcap > 0)
                x = a.how.softcap * LOG2_E * tanh_of<EXACT>(x);
            if (a.slopes && head < it.block.heads)
                x += LOG2_E * lean(a, it.block.first_head + head, j, it.query.pos);
            s[m][0][i] = j >= from && j < to ? x : -INFINITY;
        }
}

/* What lies behind the last position may be no numbers at all: zeros. n: positions of the stage that are there. */
template <class R> static __device__ inline void clear_stage(unsigned values, int n)
{
    constexpr int EIGHTS = R::width / 8;
    if (n >= KEYS)
        return;
    for (int i = threadIdx.x % 32; i < (KEYS - n) * EIGHTS; i += 32) {
        int r = n + i / EIGHTS, eight = i % EIGHTS;
        put_zeros(values + r / BOX_ROWS * R::box + eight / 8 * HALF + r % BOX_ROWS * ROW_BYTES + eight % 8 * 16);
    }
    show_to_products();      /* the copy engine writes there next */
    __syncwarp();
}

template <class R>
static __device__ inline void sum_stage(float (*sums)[4], const Softmax<1> &f, unsigned values, const uint2 (*p)[BOXES][1])
{
    int lane = threadIdx.x % 32, r = lane % 8 + lane / 16 * 8;
#pragma unroll
    for (int mt = 0; mt < R::width / 16; mt++) {
        float sum[4] = {};
#pragma unroll
        for (int m = 0; m < BOXES; m++) {
            unsigned v[4], eight = (mt % 4 * 2 + lane / 8 % 2) ^ r % 8;
            load_turned(v, values + m * R::box + mt / 4 * HALF + r * ROW_BYTES + eight * 16);
#pragma unroll
            for (int part = R::power - 1; part >= 0; part--)
                multiply<W_BF16>(sum, v, p[part][m][0]);
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
            sums[mt][i] = fmaf(sums[mt][i], f.older[0][i % 2], sum[i]);
    }
}

/* The warps' softmaxes and sums become one of each head. */
template <class R>
static __device__ inline void join_warps(const Attention &a, const Places<R> &p, const Item &it, Softmax<1> f,
                                         const float (*sums)[4])
{
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, heads = it.block.heads;
    join_totals(&f);
    threads_meet(ALL_WARPS, 32 * WARPS);      /* nobody reads the last item's any more */
#pragma unroll
    for (int e = 0; e < 2; e++) {
        int query = lane % 4 * 2 + e;
        if (query >= heads)
            continue;
        if (lane < 4)
            *p.soft(warp, query) = make_float2(f.most[0][e], f.total[0][e]);
#pragma unroll
        for (int mt = 0; mt < R::width / 16; mt++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                p.sums(warp, query)[mt * 16 + lane / 4 + 8 * h] = sums[mt][2 * h + e];
    }
    threads_meet(ALL_WARPS, 32 * WARPS);
    for (int i = threadIdx.x; i < heads * (R::width / 2); i += 32 * WARPS) {
        int query = i / (R::width / 2), column = i % (R::width / 2) * 2;
        float most = -INFINITY, total = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++)
            most = fmaxf(most, p.soft(w, query)->x);
        float base = most == -INFINITY ? 0 : most;
        float2 sum = make_float2(0, 0);
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
            float2 soft = *p.soft(w, query), part = *(const float2 *)(p.sums(w, query) + column);
            float share = power2(soft.x - base);
            total = fmaf(soft.y, share, total);
            sum.x = fmaf(part.x, share, sum.x), sum.y = fmaf(part.y, share, sum.y);
        }
        Query q = it.query;
        q.head = it.block.first_head + query;
        Columns c = columns_of(a, q, most, total, it.block.part, column == 0);
        put_two_of_y(a, c.at + column, c.cut + column, c.cut != NULL, make_float2(sum.x * c.factor, sum.y * c.factor));
    }
}

template <class R> static __device__ inline void attend_items(const Attention &a, const Places<R> &p)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    for (int i = 0;; i++) {
        barrier_wait(p.told(i), turn_of(i, ITEMS));
        Item it = *p.item(i);
        __syncwarp();
        if (lane == 0)
            barrier_arrive(p.heard(i));
        if (it.block.heads == 0)
            break;
        uint2 q[R::query][R::width / STEP], powers[R::power][BOXES][1];
        float sums[R::width / 16][4] = {}, s[BOXES][1][4], largest[1][2];
        Softmax<1> f;
        begin_softmax(&f);
        load_query<R>(q, a, it.block);
        int stages = stages_of(it.block);
        for (int n = (warp - it.stage % WARPS + WARPS) % WARPS; n < stages; n += WARPS) {
            int at = it.stage + n, j0 = it.block.lo + n * KEYS;
            unsigned keys = p.stage(at), values = keys + R::factor;
            barrier_wait(p.full(at), turn_of(at, R::stages));
            score_stage<R>(s, q, keys);
            bend_stage<R::exact>(s, a, it, j0);
            clear_stage<R>(values, it.block.hi - j0);
            largest_scores<BOXES, 1>(largest, s);
            soften<BOXES, 1>(s, &f, largest);
            split_powers<W_BF16, R::power, BOXES, 1>(powers, s);
            sum_stage<R>(sums, f, values, powers);
            __syncwarp();
            if (lane == 0)
                barrier_arrive(p.empty(at));
        }
        join_warps<R>(a, p, it, f, sums);
    }
}
#endif

template <bool EXACT, int W>
static __global__ void __launch_bounds__(THREADS, 1) flowing(const __grid_constant__ Attention a, unsigned *counters,
                                                            const __grid_constant__ CUtensorMap keys,
                                                            const __grid_constant__ CUtensorMap values)
{
#if HOPPER
    using R = Room<EXACT, W>;
    previous_later();
    unsigned memory = shared_address(tile_memory), base = (memory + EIGHT_ROWS - 1) / EIGHT_ROWS * EIGHT_ROWS;
    Places<R> p = {tile_memory + (base - memory), base};
    if (threadIdx.x == 0) {
        for (int i = 0; i < R::stages; i++)
            barrier_open(p.full(i), 1), barrier_open(p.empty(i), 1);
        for (int i = 0; i < ITEMS; i++)
            barrier_open(p.told(i), 1), barrier_open(p.heard(i), WARPS);
        barriers_opened();
    }
    __syncthreads();
    if (threadIdx.x >= 32 * WARPS) {
        ask<R>(a, p, a.kv_heads * a.head_blocks * a.pieces * a.count, counters, &keys, &values);
    } else {
        previous_ended();
        attend_items<R>(a, p);
    }
#endif
}

/* ---- choosing ---- */

/* A pool as [blocks, pieces of 64 numbers, rows of all heads, 64], in boxes of 16 rows with all pieces. */
static bool map_past(CUtensorMap *map, const Past &past, const Attention *a)
{
    int pieces = past.width / ROW_NUMBERS;
    MapShape s = {4, {ROW_NUMBERS, (int64_t)a->kv_heads * a->tokens, pieces, past.blocks},
                  {0, past.width * 2, ROW_BYTES, past.block_bytes}, {ROW_NUMBERS, BOX_ROWS, pieces, 1}, 256, 128};
    return tensor_map(map, past.at, &s);
}

static int queries(const Attention *) { return HEADS_MOST; }
static int resident(const Attention *) { return 1; }

/* Very many heads that share nothing, and little to compute: a block of threads for each reads them faster, without copies. */
static bool many_alone(const Attention *a)
{
    return !a->exact && a->group == 1 && (int64_t)a->rows * a->heads >= ALONE_MOST * multiprocessors_here();
}

static bool takes(const Attention *a)
{
    CUtensorMap map;
    return !many_alone(a) && a->kind == W_BF16 && (known_width(a, 64) || known_width(a, 128)) && a->k.width == a->key_width &&
           a->v.width == a->value_width && a->tokens % BOX_ROWS == 0 && attend_together(a) == a->group &&
           a->group <= HEADS_MOST && !a->how.bidirectional && pairs_fit(a->q) && pairs_fit(a->y) && tensor_maps_here() &&
           map_past(&map, a->k, a) && map_past(&map, a->v, a);
}

template <bool EXACT, int W> static void launch(const Attention *a, const CudaRun *g)
{
    constexpr int BYTES = Room<EXACT, W>::bytes;
    void (*kernel)(Attention, unsigned *, CUtensorMap, CUtensorMap) = flowing<EXACT, W>;
    int64_t items = (int64_t)a->kv_heads * a->head_blocks * a->pieces * a->count;
    unsigned blocks = (unsigned)(items < g->multiprocessors ? items : g->multiprocessors);
    CUtensorMap keys, values;
    map_past(&keys, a->k, a), map_past(&values, a->v, a);
    cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, BYTES);
    LAUNCH(kernel, dim3(blocks), THREADS, BYTES, g, *a, g->counters, keys, values);
}

static void run(const Attention *a, const CudaRun *g)
{
    if (a->key_width == 64)
        a->exact ? launch<true, 64>(a, g) : launch<false, 64>(a, g);
    else
        a->exact ? launch<true, 128>(a, g) : launch<false, 128>(a, g);
}

const AttendWay attend_flow = {takes, queries, resident, false, HEADS_MOST, 1, 1, 8, run};

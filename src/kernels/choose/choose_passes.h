/* choose_passes.h -- passes over a row's logits and over the list of those that may be chosen, by a block of threads on the
 * GPU. What each means stands in choose_scan.h and choose_pick.h, whose bits these have. All threads call all of them.
 */
#ifndef KERNELS_CHOOSE_CHOOSE_PASSES_H
#define KERNELS_CHOOSE_CHOOSE_PASSES_H

#include <float.h>

#include "kernels/choose/choose.h"

#define PICK_PARTS 0x1p40f      /* choose_pick.h */

enum { CHOOSE_THREADS = 512, CHOOSE_WARPS = CHOOSE_THREADS / 32, SUM_BLOCK = 512, SUM_LANES = 16, DIGIT_BITS = 4,
       DIGITS = 1 << DIGIT_BITS, AHEAD = 8 /* numbers that a thread fetches before it looks at them */, NEIGHBOURS = 8 };
enum { CHOOSE_VOCABULARY_MAX = DIGITS * CHOOSE_THREADS * SUM_BLOCK };

/* What the launch is about. */
typedef struct Calls {
    const float *logits;
    int64_t logits_step, hows_step, mask_step, out_step;
    const int32_t *hows;
    const ChooseEdit *edits;
    const uint32_t *masks;
    int32_t *out;
    float *scratch;
    int rows, vocabulary;
} Calls;

typedef struct List {
    const float *z;            /* [vocabulary] */
    int32_t *id;
    float *weight;
    int count, vocabulary;
    float peak, scale;
} List;

/* Shared memory of the block. */
typedef struct Room {
    union {
        uint64_t bins[DIGITS][CHOOSE_THREADS];
        double sums[DIGITS * CHOOSE_THREADS];
        float block[SUM_BLOCK];
    };
    uint64_t warps[CHOOSE_WARPS], word;
    double total;
    int number;
} Room;

/* ---- over all threads ---- */

template <typename Join> static __device__ uint64_t all_join(uint64_t x, Join join, Room *room)
{
    for (int i = 16; i > 0; i /= 2)
        x = join(x, __shfl_xor_sync(0xffffffff, x, i));
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        room->warps[threadIdx.x / 32] = x;
    __syncthreads();
    x = room->warps[0];
    for (int w = 1; w < CHOOSE_WARPS; w++)
        x = join(x, room->warps[w]);
    return x;
}
static __device__ inline uint64_t all_sum(uint64_t x, Room *room)
{
    return all_join(x, [](uint64_t a, uint64_t b) { return a + b; }, room);
}
static __device__ inline uint64_t all_most(uint64_t x, Room *room)
{
    return all_join(x, [](uint64_t a, uint64_t b) { return a > b ? a : b; }, room);
}

/* The sum of what the threads before this one have; *all: of all. */
static __device__ uint64_t sum_before(uint64_t x, uint64_t *all, Room *room)
{
    uint64_t sum = x, before = 0;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (int i = 1; i < 32; i *= 2) {
        uint64_t other = __shfl_up_sync(0xffffffff, sum, i);
        sum += lane >= i ? other : 0;
    }
    __syncthreads();
    if (lane == 31)
        room->warps[warp] = sum;
    __syncthreads();
    *all = 0;
    for (int w = 0; w < CHOOSE_WARPS; w++) {
        before += w < warp ? room->warps[w] : 0;
        *all += room->warps[w];
    }
    return before + sum - x;
}

/* ---- numbers ---- */

/* An unsigned number that orders as the float does; -0 and 0 are equals. */
static __device__ inline uint32_t rank_of(float key)
{
    uint32_t bits = __float_as_uint(__fadd_rn(key, 0.0f));
    return bits & 0x80000000 ? ~bits : bits | 0x80000000;
}
static __device__ inline float float_of(uint32_t rank)
{
    return __uint_as_float(rank & 0x80000000 ? rank ^ 0x80000000 : ~rank);
}

/* choose_scan_cpu.c has the argument. */
static __device__ inline float exp_below(float x)
{
    const float least = -87, to_integer = 0x1.8p23f;
    if (!(x > least))
        return 0;
    float shifted = __fadd_rn(__fmul_rn(x, 0x1.715476p0f), to_integer), n = __fsub_rn(shifted, to_integer);
    float r = __fsub_rn(__fsub_rn(x, __fmul_rn(n, 0x1.62e4p-1f)), __fmul_rn(n, 0x1.7f7d1cp-20f));
    float p = __fadd_rn(__fmul_rn(r, 1.0f / 5040), 1.0f / 720);
    p = __fadd_rn(__fmul_rn(p, r), 1.0f / 120);
    p = __fadd_rn(__fmul_rn(p, r), 1.0f / 24);
    p = __fadd_rn(__fmul_rn(p, r), 1.0f / 6);
    p = __fadd_rn(__fmul_rn(p, r), 0.5f);
    p = __fadd_rn(__fmul_rn(p, r), 1);
    p = __fadd_rn(__fmul_rn(p, r), 1);
    return __fmul_rn(p, __int_as_float((__float_as_int(shifted) - 0x4b400000 + 127) << 23));
}

static __device__ inline float key_of(const List &l, int i)
{
    float x = __fmul_rn(__fsub_rn(l.z[l.id[i]], l.peak), l.scale);
    return x > -FLT_MAX ? x : -FLT_MAX;
}

/* ---- over logits ---- */

typedef struct Peak {
    float value;
    int id, broken;
} Peak;

static __device__ Peak find_peak(const float *z, int n, Room *room)
{
    uint64_t most = 0;
    int broken = INT32_MAX;
    for (int first = threadIdx.x; first < n; first += AHEAD * CHOOSE_THREADS) {
        float v[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            v[i] = first + i * CHOOSE_THREADS < n ? z[first + i * CHOOSE_THREADS] : -INFINITY;
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int at = first + i * CHOOSE_THREADS;
            uint64_t own = (uint64_t)rank_of(v[i]) << 32 | (uint32_t)~at;
            most = own > most && at < n ? own : most;
            broken = v[i] <= FLT_MAX ? broken : min(broken, at);
        }
    }
    most = all_most(most, room);
    broken = (int)~(uint32_t)all_most((uint32_t)~broken, room);
    return {float_of((uint32_t)(most >> 32)), (int)~(uint32_t)most, broken == INT32_MAX ? -1 : broken};
}

/* The sum of n numbers that value(i) gives, in the order of choose_scan.h. */
template <typename Value> static __device__ double sum_in_order(int n, Value value, Room *room)
{
    int lane = threadIdx.x % SUM_LANES, half = threadIdx.x / SUM_LANES, blocks = (n + SUM_BLOCK - 1) / SUM_BLOCK;
    __syncthreads();
    for (int first = 0; first < blocks; first += CHOOSE_THREADS / SUM_LANES) {
        int block = first + half;
        float sum = 0;
#pragma unroll 8
        for (int i = 0; i < SUM_BLOCK / SUM_LANES; i++) {
            int at = block * SUM_BLOCK + i * SUM_LANES + lane;
            sum = __fadd_rn(sum, at < n ? value(at) : 0);
        }
        double lanes = 0;
        for (int l = 0; l < SUM_LANES; l++)
            lanes += (double)__shfl_sync(0xffffffff, sum, l, SUM_LANES);
        if (lane == 0 && block < blocks)
            room->sums[block] = lanes;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        double total = 0;
        for (int b = 0; b < blocks; b++)
            total += room->sums[b];
        room->total = total;
    }
    __syncthreads();
    return room->total;
}

static __device__ inline double exp_sum(const float *z, int n, float peak, float scale, Room *room)
{
    return sum_in_order(n, [&](int i) { return exp_below(__fmul_rn(__fsub_rn(z[i], peak), scale)); }, room);
}
static __device__ inline double weight_sum(const List &l, Room *room)
{
    return sum_in_order(l.count, [&](int i) { return l.weight[i]; }, room);
}

/* ---- the list ---- */

/* One of a list on its way into a shorter one. */
typedef enum Fate { OUT, IN, TIED } Fate;
typedef struct Item {
    int32_t id;
    float weight;
    Fate fate;
    uint64_t amount;           /* of a tied one */
} Item;

/* look(i) for all i below n: those that stay become the list, in order; of the tied ones the first, until their amounts reach
 * `rest`. A thread has some neighbours. All of them look before any writes, since it may write where they were. */
template <typename Look> static __device__ void compact(List &l, int n, bool weights, uint64_t rest, Look look, Room *room)
{
    uint64_t kept = 0, taken = 0, all;
    for (int chunk = 0; chunk < n; chunk += CHOOSE_THREADS * NEIGHBOURS) {
        int first = chunk + (int)threadIdx.x * NEIGHBOURS;
        Item item[NEIGHBOURS];
        uint64_t tied = 0, stay = 0;
#pragma unroll
        for (int i = 0; i < NEIGHBOURS; i++) {
            item[i] = look(min(first + i, n - 1));
            item[i].fate = first + i < n ? item[i].fate : OUT;
            tied += item[i].fate == TIED ? item[i].amount : 0;
        }
        if (rest > 0) {
            uint64_t before = taken + sum_before(tied, &all, room);
            taken += all;
#pragma unroll
            for (int i = 0; i < NEIGHBOURS; i++)
                if (item[i].fate == TIED) {
                    item[i].fate = before < rest ? IN : OUT;
                    before += item[i].amount;
                }
        }
#pragma unroll
        for (int i = 0; i < NEIGHBOURS; i++)
            stay += item[i].fate == IN;
        uint64_t to = kept + sum_before(stay, &all, room);
        kept += all;
#pragma unroll
        for (int i = 0; i < NEIGHBOURS; i++)
            if (item[i].fate == IN) {
                l.id[to] = item[i].id;
                if (weights)
                    l.weight[to] = item[i].weight;
                to++;
            }
    }
    l.count = (int)kept;
    __syncthreads();
}

/* All with z > bound. -infinity: all there are. */
static __device__ void gather(List &l, float bound, Room *room)
{
    if (bound == -INFINITY) {
        for (int i = threadIdx.x; i < l.vocabulary; i += CHOOSE_THREADS)
            l.id[i] = i;
        l.count = l.vocabulary;
        __syncthreads();
        return;
    }
    compact(l, l.vocabulary, false, 0, [&](int i) { return Item{i, 0, l.z[i] > bound ? IN : OUT, 0}; }, room);
}

/* The weights of the list. */
static __device__ void weigh(List &l)
{
    for (int first = threadIdx.x; first < l.count; first += AHEAD * CHOOSE_THREADS) {
        float x[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            x[i] = key_of(l, min(first + i * CHOOSE_THREADS, l.count - 1));
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            if (first + i * CHOOSE_THREADS < l.count)
                l.weight[first + i * CHOOSE_THREADS] = exp_below(x[i]);
    }
    __syncthreads();
}

enum { BY_LOGIT, BY_WEIGHT, BY_TYPICAL };

static __device__ inline uint32_t list_rank(const List &l, int by, float mean, int i)
{
    return rank_of(by == BY_LOGIT ? l.z[l.id[i]] : by == BY_WEIGHT ? l.weight[i] : -fabsf(__fsub_rn(key_of(l, i), mean)));
}
static __device__ inline uint64_t list_amount(const List &l, int by, int i)
{
    return by == BY_LOGIT ? 1 : __float2ull_rz(__fmul_rn(l.weight[i], PICK_PARTS));
}

/* See choose_pick.c. */
typedef struct Cut { uint32_t rank; uint64_t rest; } Cut;

static __device__ void count_digits(const List &l, int by, float mean, Cut cut, uint32_t known, int shift, Room *room)
{
    for (int first = threadIdx.x; first < l.count; first += AHEAD * CHOOSE_THREADS) {
        uint32_t rank[AHEAD];
        uint64_t amount[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int at = min(first + i * CHOOSE_THREADS, l.count - 1);
            rank[i] = list_rank(l, by, mean, at);
            amount[i] = list_amount(l, by, at);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            if (first + i * CHOOSE_THREADS < l.count && (rank[i] & known) == cut.rank)
                room->bins[rank[i] >> shift & (DIGITS - 1)][threadIdx.x] += amount[i];
    }
}

static __device__ Cut find_cut(const List &l, int by, float mean, uint64_t need, Room *room)
{
    Cut cut = {0, need};
    uint32_t known = 0;
    for (int shift = 32 - DIGIT_BITS; shift >= 0; shift -= DIGIT_BITS) {
        __syncthreads();
        for (int d = 0; d < DIGITS; d++)
            room->bins[d][threadIdx.x] = 0;
        count_digits(l, by, mean, cut, known, shift, room);      /* each thread in its own column */
        __syncthreads();
        int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        static_assert(CHOOSE_WARPS == DIGITS, "a warp adds up a bin");
        uint64_t sum = 0;
        for (int i = lane; i < CHOOSE_THREADS; i += 32)
            sum += room->bins[warp][i];
        for (int i = 16; i > 0; i /= 2)
            sum += __shfl_xor_sync(0xffffffff, sum, i);
        if (lane == 0)
            room->warps[warp] = sum;
        __syncthreads();
        uint32_t digit = DIGITS - 1;
        for (; digit > 0 && room->warps[digit] < cut.rest; digit--)
            cut.rest -= room->warps[digit];
        cut.rank |= digit << shift;
        known |= (uint32_t)(DIGITS - 1) << shift;
    }
    __syncthreads();
    return cut;
}

static __device__ void apply_cut(List &l, int by, float mean, Cut cut, Room *room)
{
    compact(l, l.count, by != BY_LOGIT, cut.rest, [&](int i) {
        uint32_t rank = list_rank(l, by, mean, i);
        return Item{l.id[i], by != BY_LOGIT ? l.weight[i] : 0, rank > cut.rank ? IN : rank == cut.rank ? TIED : OUT,
                    list_amount(l, by, i)};
    }, room);
}

static __device__ void keep_above(List &l, float least, Room *room)
{
    compact(l, l.count, true, 0, [&](int i) { return Item{l.id[i], l.weight[i], l.weight[i] >= least ? IN : OUT, 0}; }, room);
}

static __device__ float most_weight(const List &l, Room *room)
{
    uint64_t most = rank_of(-INFINITY);
    for (int i = threadIdx.x; i < l.count; i += CHOOSE_THREADS)
        most = max(most, (uint64_t)rank_of(l.weight[i]));
    return float_of((uint32_t)all_most(most, room));
}

/* The k-th best of the threads' own best, k <= CHOOSE_THREADS: k logits at least are as good. */
static __device__ float best_bound(const List &l, int k, Room *room)
{
    float own = -INFINITY;
    for (int first = threadIdx.x; first < l.vocabulary; first += AHEAD * CHOOSE_THREADS)
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            if (first + i * CHOOSE_THREADS < l.vocabulary)      /* each logit is one thread's */
                own = fmaxf(own, l.z[first + i * CHOOSE_THREADS]);
    __syncthreads();
    room->block[threadIdx.x] = own;
    __syncthreads();
    int before = 0;
    for (int i = 0; i < CHOOSE_THREADS; i++)
        before += room->block[i] > own || (room->block[i] == own && i < (int)threadIdx.x);
    if (before == k - 1)
        room->total = own;
    __syncthreads();
    return (float)room->total;
}

/* The k best, -infinity never. */
static __device__ void gather_best(List &l, int k, Room *room)
{
    float bound = k <= CHOOSE_THREADS ? best_bound(l, k, room) : -INFINITY;
    compact(l, l.vocabulary, false, 0, [&](int i) {
        return Item{i, 0, l.z[i] >= bound && l.z[i] > -INFINITY ? IN : OUT, 0};
    }, room);
    if (l.count > k)
        apply_cut(l, BY_LOGIT, 0, find_cut(l, BY_LOGIT, 0, (uint64_t)k, room), room);
}

/* The id at which the sum of weights passes the target; should rounding say that none does, the last with a weight. Behind
 * weight_sum() of the list, whose blocks it goes by. */
static __device__ int find_at(const List &l, double target, Room *room)
{
    int blocks = (l.count + SUM_BLOCK - 1) / SUM_BLOCK, block = 0;
    double before = 0;
    if (threadIdx.x == 0)
        room->number = -1;
    for (;; block++) {
        if (threadIdx.x == 0)
            for (; block < blocks && before + room->sums[block] <= target; block++)
                before += room->sums[block];
        if (threadIdx.x == 0)
            room->word = (uint64_t)block;
        __syncthreads();
        block = (int)room->word;
        if (block >= blocks)
            break;
        if (threadIdx.x == 0) {
            double sum = before;
            before += room->sums[block];
            for (int i = block * SUM_BLOCK; i < min(l.count, (block + 1) * SUM_BLOCK) && room->number < 0; i++) {
                sum += (double)l.weight[i];
                if (sum > target && l.weight[i] > 0)
                    room->number = i;
            }
        }
        __syncthreads();
        if (room->number >= 0)
            return l.id[room->number];
    }
    uint64_t last = 0;
    for (int i = threadIdx.x; i < l.count; i += CHOOSE_THREADS)
        last = l.weight[i] > 0 ? max(last, (uint64_t)i) : last;
    return l.id[all_most(last, room)];
}

#endif

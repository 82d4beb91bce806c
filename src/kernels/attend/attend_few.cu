/* attend_few.cu -- attention for heads of 64, 128 or 256 numbers of 16 bits, a row at a time.
 *
 * L lanes have a key: 16 bytes each of it and of its value, and 8 columns of the sums. A warp has 32 / L such groups,
 * which go over keys of their own with a running softmax of their own: nothing is shared until the end, and a thread has
 * STEPS keys and as many values on their way at a time: more where blocks of threads are many, as fewer fit at a time then.
 * Two query heads of a group meet a key while it is in registers; the others read it from the L2 cache. Floor: each seen key
 * and value once from memory.
 */
#include "kernels/attend/attend_cuda.h"

enum { WARPS = 4, FEW_STEPS = 4, MANY_STEPS = 8, MANY_BLOCKS = 12, APART_BLOCKS = 4 };      /* for each multiprocessor */

/* What a group of lanes knows of a head. */
template <int H> struct Running {
    float most[H], total[H], sums[H][8];
};

static __device__ inline float power(float x) { return power2(x * LOG2_E); }

template <int K, int H, int STEPS>
static __device__ inline void take_keys(Running<H> &run, const float (*q)[8], const uint4 *keys, const uint4 *values,
                                        const Attention &a, int first_head, int j0, int stride, int n, int pos, int L)
{
#pragma unroll
    for (int h = 0; h < H; h++) {
        float s[STEPS], most = run.most[h];
#pragma unroll
        for (int u = 0; u < STEPS; u++) {
            float k[8], dot = 0;
            plain_expand<K>(k, keys[u]);
#pragma unroll
            for (int i = 0; i < 8; i++)
                dot = fmaf(q[h][i], k[i], dot);
            for (int i = L / 2; i > 0; i /= 2)
                dot += __shfl_xor_sync(0xffffffff, dot, i);
            s[u] = u < n ? bend(a, dot, first_head + h, j0 + u * stride, pos) : -INFINITY;
            most = fmaxf(most, s[u]);
        }
        float older = most == -INFINITY ? 0 : power(run.most[h] - most);
        run.total[h] *= older;
#pragma unroll
        for (int i = 0; i < 8; i++)
            run.sums[h][i] *= older;
#pragma unroll
        for (int u = 0; u < STEPS; u++) {
            float v[8], p = u < n ? power(s[u] - most) : 0;
            plain_expand<K>(v, values[u]);      /* not before: they would take registers that other blocks need */
            run.total[h] += p;
#pragma unroll
            for (int i = 0; i < 8; i++)
                run.sums[h][i] = fmaf(p, v[i], run.sums[h][i]);
        }
        run.most[h] = most;
    }
}

/* One head: the groups' softmaxes become one; the result, or this part of it, is written. */
template <int L>
static __device__ void fold_groups(const Attention &a, float most, float total, const float *sums, float *shared, int r,
                                   int head, int part)
{
    enum { GROUPS = WARPS * 32 / L, WIDTH = 8 * L };
    float *mosts = shared, *totals = mosts + GROUPS, *columns = totals + GROUPS;
    int group = threadIdx.x / L, lane = threadIdx.x % L;
    __syncthreads();
    if (lane == 0)
        mosts[group] = most, totals[group] = total;
    for (int i = 0; i < 8; i++)
        columns[group * WIDTH + lane * 8 + i] = sums[i];
    __syncthreads();
    float largest = a.count == 1 && a.sinks ? a.sinks[head] : -INFINITY;
    for (int g = 0; g < GROUPS; g++)
        largest = fmaxf(largest, mosts[g]);
    float all = a.count == 1 && a.sinks ? power(a.sinks[head] - largest) : 0;
    for (int g = 0; g < GROUPS; g++)
        all += mosts[g] == -INFINITY ? 0 : totals[g] * power(mosts[g] - largest);
    float *to = a.parts + (((int64_t)r * a.heads + head) * a.count + part) * (WIDTH + 2);
    for (int i = threadIdx.x; i < WIDTH; i += WARPS * 32) {
        float sum = 0;
        for (int g = 0; g < GROUPS; g++)
            sum += mosts[g] == -INFINITY ? 0 : columns[g * WIDTH + i] * power(mosts[g] - largest);
        if (a.count > 1)
            to[2 + i] = sum;
        else
            put_y_at(a, r, (int64_t)head * WIDTH + i, sum / all);
    }
    if (a.count > 1 && threadIdx.x == 0)
        to[0] = largest, to[1] = all;
}

/* STEPS keys and values of a group of lanes; n of them are there. */
template <int STEPS> struct Tile {
    uint4 keys[STEPS], values[STEPS];
    int n;
};

template <int L, int GROUPS, int STEPS>
static __device__ inline void load_tile(Tile<STEPS> *t, const Attention &a, const int32_t *table, int kv_head, int shift,
                                        int j0, int to, int from, int group, int lane)
{
    int first = j0 + group;
    t->n = first < to ? min(STEPS, (to - first + GROUPS - 1) / GROUPS) : 0;
    if (j0 >= to)      /* of the whole block of threads: nothing is left */
        return;
#pragma unroll
    for (int u = 0; u < STEPS; u++) {
        int j = u < t->n ? first + u * GROUPS : from;
        int i = shift >= 0 ? j >> shift : j / a.tokens;
        int64_t block = table[i], at = (int64_t)kv_head * a.tokens + (j - i * a.tokens);
        t->keys[u] = __ldg((const uint4 *)(a.k.at + block * a.k.block_bytes) + at * L + lane);
        t->values[u] = __ldg((const uint4 *)(a.v.at + block * a.v.block_bytes) + at * L + lane);
    }
}

template <int K, int L, int H, int STEPS>
static __global__ void __launch_bounds__(WARPS * 32) few(const __grid_constant__ Attention a)
{
    previous();
    enum { GROUPS = WARPS * 32 / L };
    __shared__ float shared[GROUPS * (2 + 8 * L)];
    int r = blockIdx.x, kv_head = blockIdx.y / a.head_blocks, skip = blockIdx.y % a.head_blocks * a.per_block;
    int first_head = kv_head * a.group + skip, heads = min(H, a.group - skip), part = blockIdx.z;
    int group = threadIdx.x / L, lane = threadIdx.x % L, pos = a.positions[r];
    int2 keys = part_of(a, sees(a, r), part, GROUPS * STEPS);
    int from = keys.x, to = keys.y;
    const int32_t *table = a.tables + a.row_seq[r] * a.table_step;
    const int shift = __popc(a.tokens) == 1 ? __ffs(a.tokens) - 1 : -1;
    float q[H][8];
    Running<H> run;
#pragma unroll
    for (int h = 0; h < H; h++) {
        run.most[h] = -INFINITY, run.total[h] = 0;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            q[h][i] = h < heads ? row(a.q, r)[(int64_t)(first_head + h) * (8 * L) + lane * 8 + i] : 0;
            run.sums[h][i] = 0;
        }
    }
    /* All lanes of a warp go as often, since they ask each other. With several heads the next keys come while these are
     * computed with. */
    Tile<STEPS> now, next;
    load_tile<L, GROUPS, STEPS>(&now, a, table, kv_head, shift, from, to, from, group, lane);
    for (int j0 = from; j0 < to; j0 += GROUPS * STEPS) {
        if (H > 1)
            load_tile<L, GROUPS, STEPS>(&next, a, table, kv_head, shift, j0 + GROUPS * STEPS, to, from, group, lane);
        take_keys<K, H, STEPS>(run, q, now.keys, now.values, a, first_head, j0 + group, GROUPS, now.n, pos, L);
        if (H == 1)
            load_tile<L, GROUPS, STEPS>(&next, a, table, kv_head, shift, j0 + GROUPS * STEPS, to, from, group, lane);
        now = next;
    }
#pragma unroll
    for (int h = 0; h < H; h++)
        if (h < heads)
            fold_groups<L>(a, run.most[h], run.total[h], run.sums[h], shared, r, first_head + h, part);
}

static bool takes(const Attention *a)
{
    int w = a->key_width;
    return (a->kind == W_F16 || a->kind == W_BF16) && (w == 64 || w == 128 || w == 256) && a->value_width == w &&
           a->k.width == w && a->v.width == w && ((uintptr_t)a->k.at | (uintptr_t)a->v.at) % 16 == 0;
}

/* What is on its way has its place in the L1 cache, and how much of a multiprocessor that is does not change while any block
 * of threads runs there: these are let in when the kernel before, which may have left it little, has ended. */
template <int K, int L> static void launch(const Attention *a, const CudaRun *run)
{
    dim3 grid(a->rows, a->kv_heads * a->head_blocks, a->count);
    bool many = run->same || (int64_t)grid.x * grid.y * grid.z >= (int64_t)MANY_BLOCKS * run->multiprocessors;
    CudaRun apart = *run, *g = &apart;
    apart.overlaps = run->overlaps && (int64_t)grid.x * grid.y < (int64_t)APART_BLOCKS * run->multiprocessors;
    if (a->per_block > 1)
        LAUNCH((few<K, L, 2, FEW_STEPS>), grid, WARPS * 32, 0, g, *a);
    else if (!many)
        LAUNCH((few<K, L, 1, FEW_STEPS>), grid, WARPS * 32, 0, g, *a);
    else
        LAUNCH((few<K, L, 1, MANY_STEPS>), grid, WARPS * 32, 0, g, *a);
}

template <int K> static void launch_kind(const Attention *a, const CudaRun *g)
{
    if (a->key_width == 64)
        launch<K, 8>(a, g);
    else if (a->key_width == 128)
        launch<K, 16>(a, g);
    else
        launch<K, 32>(a, g);
}

/* More heads cost more registers than they save reading, as the blocks of a group run side by side and the L2 cache gives
 * all but the first what they read. */
static int queries(const Attention *a) { return a->group > 1 ? 2 : 1; }
static int resident(const Attention *) { return 6; }

static void run(const Attention *a, const CudaRun *g)
{
    if (a->kind == W_F16)
        launch_kind<W_F16>(a, g);
    else
        launch_kind<W_BF16>(a, g);
}

const AttendWay attend_few = {takes, queries, resident, false, 2, 6, PART_COST, 4, run};

/* attend.cu -- see attend.h.
 *
 * A block of threads has a row, some query heads that share a kv head, and a part of the positions. It goes over tiles
 * of keys through the block table: warps find the scores of a tile, then each thread sums its columns of the values for
 * all of its heads, so that a key and a value are read once for the whole group. Parts are folded by a second kernel.
 * This takes heads of any width and any plain format; the other ways (attend_cuda.h) are faster for the usual ones.
 */
#include "kernels/attend/attend_cuda.h"
#include "kernels/kit/later_calls.h"
#include "kernels/linear/lt.h"
#include "kernels/linear/parts_cuda.h"

enum { HEADS = 8, KEYS = 64, THREADS = 128, COLUMNS_MAX = 8, PARTS_MOST = 64 };

static __device__ inline int64_t past_at(const Attention &a, const int32_t *table, int j, int kv_head, int64_t *in_block)
{
    *in_block = (int64_t)kv_head * a.tokens + j % a.tokens;
    return table[j / a.tokens];
}

/* Scores of the keys [j0, j0 + n) for all heads of the block: a warp has a key. */
template <int K>
static __device__ void score_tile(const Attention &a, const float *q, float (*scores)[KEYS], const int32_t *table,
                                  int kv_head, int first_head, int heads, int j0, int n, int pos)
{
    int lane = threadIdx.x % 32;
    for (int j = threadIdx.x / 32; j < n; j += THREADS / 32) {
        int64_t in_block, block = past_at(a, table, j0 + j, kv_head, &in_block);
        const uint8_t *key = a.k.at + block * a.k.block_bytes;
        float dot[HEADS] = {0};
        for (int i = lane; i < a.key_width; i += 32) {
            float v = plain_value<K>(key, in_block * a.k.width + i);
#pragma unroll
            for (int h = 0; h < HEADS; h++)
                dot[h] = fmaf(h < heads ? q[h * a.key_width + i] : 0, v, dot[h]);
        }
#pragma unroll
        for (int h = 0; h < HEADS; h++) {
            if (h >= heads)
                break;
            float s = warp_sum(dot[h]);
            if (lane == 0)
                scores[h][j] = bend(a, s, first_head + h, j0 + j, pos);
        }
    }
}

/* The tile's scores become e^(s - most); what was summed before is to be multiplied by `older`. A warp has some heads. */
static __device__ void soften_tile(float (*scores)[KEYS], float *most, float *total, float *older, int heads, int n)
{
    int lane = threadIdx.x % 32;
    for (int h = threadIdx.x / 32; h < heads; h += THREADS / 32) {
        float largest = most[h], sum = 0;
        for (int j = lane; j < n; j += 32)
            largest = fmaxf(largest, scores[h][j]);
        for (int i = 16; i > 0; i /= 2)
            largest = fmaxf(largest, __shfl_xor_sync(0xffffffff, largest, i));
        for (int j = lane; j < n; j += 32) {
            float p = expf(scores[h][j] - largest);
            scores[h][j] = p;
            sum += p;
        }
        sum = warp_sum(sum);
        if (lane == 0) {
            older[h] = most[h] == -INFINITY ? 0 : expf(most[h] - largest);
            total[h] = total[h] * older[h] + sum;
            most[h] = largest;
        }
    }
}

/* C columns of the values are this thread's: threadIdx.x, + THREADS, ... */
template <int K, int C>
static __device__ void sum_tile(const Attention &a, float (*sums)[C], float (*scores)[KEYS], const float *older,
                                const int32_t *table, int kv_head, int heads, int j0, int n)
{
#pragma unroll
    for (int h = 0; h < HEADS; h++)
#pragma unroll
        for (int c = 0; c < C; c++)
            sums[h][c] *= h < heads ? older[h] : 0;
#pragma unroll 4
    for (int j = 0; j < n; j++) {
        int64_t in_block, block = past_at(a, table, j0 + j, kv_head, &in_block);
        const uint8_t *value = a.v.at + block * a.v.block_bytes;
#pragma unroll
        for (int c = 0; c < C; c++) {
            int i = threadIdx.x + c * THREADS;
            float v = i < a.value_width ? plain_value<K>(value, in_block * a.v.width + i) : 0;
#pragma unroll
            for (int h = 0; h < HEADS; h++)
                sums[h][c] = fmaf(h < heads ? scores[h][j] : 0, v, sums[h][c]);
        }
    }
}

typedef struct Where { int r, kv_head, first_head, heads, part; } Where;

static __device__ Where where(const Attention &a)
{
    Where w;
    w.r = blockIdx.x;
    w.kv_head = blockIdx.y / a.head_blocks;
    int skip = blockIdx.y % a.head_blocks * HEADS;
    w.first_head = w.kv_head * a.group + skip;
    w.heads = min(HEADS, a.group - skip);
    w.part = blockIdx.z;
    return w;
}

/* The only part gives y; else parts are kept for fold_parts(). */
template <int C>
static __device__ void finish(const Attention &a, Where w, float (*sums)[C], const float *most, const float *total)
{
    for (int h = 0; h < HEADS; h++) {
        if (h >= w.heads)
            break;
        int head = w.first_head + h;
        float *part = a.parts + (((int64_t)w.r * a.heads + head) * a.count + w.part) * (a.value_width + 2);
        float divisor = a.count > 1 ? 1 : total[h] + (a.sinks ? expf(a.sinks[head] - most[h]) : 0);
        for (int c = 0; c < C; c++) {
            int i = threadIdx.x + c * THREADS;
            if (i >= a.value_width)
                break;
            if (a.count > 1)
                part[2 + i] = sums[h][c];
            else
                put_y_at(a, w.r, (int64_t)head * a.value_width + i, sums[h][c] / divisor);
        }
        if (a.count > 1 && threadIdx.x == 0)
            part[0] = most[h], part[1] = total[h];
    }
}

template <int K, int C> static __global__ void attend_rows(Attention a)
{
    previous();
    extern __shared__ float q[];
    __shared__ float scores[HEADS][KEYS], most[HEADS], total[HEADS], older[HEADS];
    Where w = where(a);
    int2 part = part_of(a, sees(a, w.r), w.part, KEYS);
    int from = part.x, to = part.y, pos = a.positions[w.r];
    const int32_t *table = a.tables + a.row_seq[w.r] * a.table_step;
    for (int i = threadIdx.x; i < w.heads * a.key_width; i += THREADS)
        q[i] = row(a.q, w.r)[(int64_t)w.first_head * a.key_width + i];
    if (threadIdx.x < HEADS)
        most[threadIdx.x] = -INFINITY, total[threadIdx.x] = 0;
    float sums[HEADS][C];
#pragma unroll
    for (int h = 0; h < HEADS; h++)
#pragma unroll
        for (int c = 0; c < C; c++)
            sums[h][c] = 0;
    for (int j0 = from; j0 < to; j0 += KEYS) {
        int n = min(KEYS, to - j0);
        __syncthreads();
        score_tile<K>(a, q, scores, table, w.kv_head, w.first_head, w.heads, j0, n, pos);
        __syncthreads();
        soften_tile(scores, most, total, older, w.heads, n);
        __syncthreads();
        sum_tile<K, C>(a, sums, scores, older, table, w.kv_head, w.heads, j0, n);
    }
    __syncthreads();
    finish<C>(a, w, sums, most, total);
}

/* A block of threads has a row and a head: what each part weighs is found by a warp, a lane for a part. */
static __global__ void fold_parts(const __grid_constant__ Attention a)
{
    __shared__ float weights[PARTS_MOST];
    int64_t r = blockIdx.x, head = blockIdx.y, step = a.value_width + 2;
    const float *parts = a.parts + (r * a.heads + head) * a.count * step;
    previous();
    if (threadIdx.x < 32) {
        float mine[PARTS_MOST / 32], most = a.sinks ? a.sinks[head] : -INFINITY, total = 0;
        for (int i = 0; i < PARTS_MOST / 32; i++) {
            int p = threadIdx.x + 32 * i;
            mine[i] = p < a.count ? parts[p * step] : -INFINITY;
            most = fmaxf(most, mine[i]);
        }
        for (int i = 16; i > 0; i /= 2)
            most = fmaxf(most, __shfl_xor_sync(0xffffffff, most, i));
        for (int i = 0; i < PARTS_MOST / 32; i++) {
            int p = threadIdx.x + 32 * i;
            mine[i] = mine[i] == -INFINITY ? 0 : expf(mine[i] - most);
            total += mine[i] > 0 ? mine[i] * parts[p * step + 1] : 0;
        }
        total = warp_sum(total) + (a.sinks ? expf(a.sinks[head] - most) : 0);
        for (int i = 0; i < PARTS_MOST / 32; i++)
            weights[threadIdx.x + 32 * i] = mine[i] / total;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < a.value_width; i += blockDim.x) {
        float sum = 0;
#pragma unroll 8
        for (int p = 0; p < a.count; p++)
            sum = fmaf(weights[p], parts[p * step + 2 + i], sum);
        put_y_at(a, r, head * a.value_width + i, sum);
    }
}

static Past past_of(const Tensor &t)
{
    Past p = {(const uint8_t *)t.data, (int64_t)format_row_bytes(t.format, t.row_elems), t.dim[3], t.dim[0]};
    return p;
}

template <int K, int C> static void launch(const Attention &a, const CudaRun *g)
{
    dim3 grid(a.rows, a.kv_heads * a.head_blocks, a.count);
    LAUNCH((attend_rows<K, C>), grid, THREADS, sizeof(float) * HEADS * a.key_width, g, a);
}

template <int K> static void launch_kind(const Attention &a, const CudaRun *g)
{
    if (a.value_width <= THREADS)
        launch<K, 1>(a, g);
    else if (a.value_width <= 2 * THREADS)
        launch<K, 2>(a, g);
    else if (a.value_width <= 4 * THREADS)
        launch<K, 4>(a, g);
    else
        launch<K, COLUMNS_MAX>(a, g);
}

static bool takes(const Attention *) { return true; }
static int queries(const Attention *) { return HEADS; }
static int resident(const Attention *) { return 4; }

static void run_rows(const Attention *a, const CudaRun *g)
{
    switch (a->kind) {
#define DO(K) case K: launch_kind<K>(*a, g); break;
        EACH_PLAIN_KIND(DO)
#undef DO
    default: break;
    }
}

static const AttendWay attend_any = {takes, queries, resident, false, HEADS, 4, PART_COST, 8, run_rows};
static const AttendWay *const ways[] = {&attend_hopper, &attend_prompt, &attend_flow, &attend_group, &attend_few, &attend_any};
enum { ROWS_ALONE = 4 };      /* from here on ways compute a row alike, whatever the others are */

/* ---- choosing ---- */

/* Into how many parts of KEYS positions each, or some times that, they are split: so that all waves of blocks of threads over
 * the GPU together are short. A part costs as much as way->part_cost KEYS. */
static int64_t parts_for(const AttendWay *way, int64_t blocks, int64_t slots, int64_t all)
{
    int64_t best = 1, least = INT64_MAX;
    for (int64_t n = 1; n <= all && n <= PARTS_MOST && (n == 1 || blocks * n <= way->waves * slots); n++) {
        int64_t each = (all + n - 1) / n, parts = (all + each - 1) / each;
        int64_t time = (blocks * parts + slots - 1) / slots * (each + way->part_cost);
        if (time < least)
            best = parts, least = time;
    }
    return best;
}

static void plan(Attention *a, const AttendWay *way, int64_t capacity, const CudaRun *g)
{
    int n = way->queries(a);
    a->per_block = a->group < n ? a->group : n;
    a->head_blocks = (a->group + a->per_block - 1) / a->per_block;
    a->rows_each = way->rows_together && a->rows > a->seqs ? n / a->per_block : 1;
    int64_t pieces = (a->rows + a->rows_each - 1) / a->rows_each + (int64_t)a->seqs - 1;
    a->pieces = (int)(pieces < a->rows ? pieces : a->rows);
    int64_t blocks = (int64_t)a->pieces * a->kv_heads * a->head_blocks, all = (capacity + KEYS - 1) / KEYS;
    a->count = g->same ? 1 : (int)parts_for(way, blocks, (int64_t)way->resident(a) * g->multiprocessors, all);
}

static Attention attention_of(const OpCall *c, const CudaRun *g, const AttendWay **way)
{
    Tensor y = c->out[0], q = c->in[0], k = c->in[1], v = tensor_is_none(c->in[2]) ? k : c->in[2], tables = c->in[3];
    Attention a = {c->attend, rows_of(y), rows_of(q), past_of(k), past_of(v), ids_of(tables), ids_of(c->in[4]),
                   ids_of(c->in[5]), tables.row_elems, rows_of(c->in[6]).at, rows_of(c->in[7]).at, (float *)g->scratch};
    a.heads = q.dim[1], a.kv_heads = k.dim[1], a.group = a.heads / a.kv_heads;
    a.key_width = q.dim[2], a.value_width = y.dim[2], a.tokens = k.dim[2], a.rows = q.dim[0], a.seqs = tables.dim[0];
    a.kind = weight_kind(k.format), a.exact = g->exact;
    int i = g->same ? ROWS_ALONE : 0;
    while (!ways[i]->takes(&a))
        i++;
    plan(&a, ways[i], (int64_t)tables.dim[1] * a.tokens, g);
    *way = ways[i];
    return a;
}

/* For these rows or fewer, which another way may take: parts are many where blocks of threads are few. */
static size_t scratch_bytes(const OpCall *c, const CudaRun *g)
{
    int64_t most = 0;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int64_t kept = (int64_t)ways[i]->waves * ways[i]->resident_most * g->multiprocessors * ways[i]->queries_most;
        most = kept > most ? kept : most;
    }
    return (size_t)most * (size_t)(c->out[0].dim[2] + 2) * sizeof(float);
}

static void attend(const Attention *a, const AttendWay *way, const CudaRun *g)
{
    way->run(a, g);
    if (a->count > 1)
        LAUNCH(fold_parts, dim3(a->rows, a->heads), 128, 0, g, *a);
}

static void run(const OpCall *c, const CudaRun *g)
{
    const AttendWay *way;
    Attention a = attention_of(c, g, &way);
    attend(&a, way, g);
}

/* The product that reads y may take it in parts of bf16, which then lie behind its workspace: parts of positions must not. */
static int run_several(const OpCall *c, int count, const CudaRun *g)
{
    const OpCall *next = c + 1;
    if (count < 2 || next->op != OP_LINEAR || !same_rows(next->in[0], c->out[0]) ||
        is_read_later(next + 1, count - 2, c->out[0]))
        return 0;
    const AttendWay *way;
    Attention a = attention_of(c, g, &way);
    a.cut = parts_place_of(next, g), a.cut_parts = parts_of(g);
    size_t parts_bytes = (size_t)a.rows * a.heads * a.count * (size_t)(a.value_width + 2) * sizeof(float);
    if (!a.cut || a.y.width % 2 != 0 || (a.count > 1 && parts_bytes > LT_WORKSPACE_BYTES))
        return 0;
    attend(&a, way, g);
    return 1 + parts_run_calls(next, count - 1, g);
}

static const char *refuses(const OpCall *c)
{
    if (weight_kind(c->in[1].format) >= W_PLAIN_KINDS)
        return "cannot read a cache of this format";
    return c->out[0].dim[2] > COLUMNS_MAX * THREADS || c->in[0].dim[2] > 1024 ? "takes heads of 1024 values at most" : NULL;
}

CUDA_KERNEL(attend, refuses, scratch_bytes, run, run_several)

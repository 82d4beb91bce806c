/* attend_stream.cu -- attention of a row a sequence whose heads share keys, on tensor cores: the cache as one line.
 *
 * All keys and values that are to be read lie in a line, 16 positions after 16: of the first row and the first kv head, of
 * the next head, ..., of the next row. Each multiprocessor has one block of threads, and an equal share of the line:
 *
 *     row, head    | 0, 0         | 0, 1         | 1, 0                | 1, 1                |
 *     blocks           0        |        1        |        2        |        3        |  ...
 *
 * Its warps take units of 16 positions in turn, with a running softmax and sums of their own (as attend_cores.h has them:
 * keys are rows, the heads of a group columns), and some units on their way into shared memory, whatever head those are of.
 * Where a head ends the warps' sums become one. What several blocks of threads have of a head is kept, and added up in
 * order by the one that comes last. Floor: each seen key and value once from memory.
 */
#include "kernels/attend/attend_cores.h"

#ifndef TRIAL_DEEP
#define TRIAL_DEEP 3
#define TRIAL_WARPS 8
#define TRIAL_BLOCKS 1
#define TRIAL_GROUP 2
#endif

enum {
    WARPS = TRIAL_WARPS, THREADS = 32 * WARPS, UNIT = 16, QUERIES = 8, DEEP = TRIAL_DEEP, ROWS_MOST = 1024, BLOCKS = TRIAL_BLOCKS,
    APART = 4,                 /* numbers between the sums of queries, so that they meet different banks */
};

/* Shared memory: | units of each warp: keys, values | units of all rows up to each | what warps tell each other | */
typedef struct Told {
    float most[WARPS][QUERIES], total[WARPS][QUERIES];      /* of a warp's units */
    int sums[WARPS];                                        /* where it put its sums */
} Told;

template <int W> struct StreamShape {
    static constexpr int unit = 2 * UNIT * W * 2, ends = WARPS * DEEP * unit, told = ends + (ROWS_MOST + 1) * (int)sizeof(int);
    static constexpr int bytes = told + (int)sizeof(Told);
};

#ifdef __CUDACC__
/* The row's first and last position, the first as units have it. */
static __device__ inline int2 range_of(const Attention &a, int r)
{
    int2 seen = sees(a, r);
    return make_int2(seen.x / UNIT * UNIT, seen.y);
}
static __device__ inline int units_of(int2 range) { return (range.y - range.x + UNIT - 1) / UNIT; }

/* ends[r]: units of one head of the rows before r. */
static __device__ inline void measure_rows(const Attention &a, int *ends)
{
    __shared__ int of_warp[WARPS];
    constexpr int EACH = ROWS_MOST / THREADS;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, mine[EACH], sum = 0;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        int r = threadIdx.x * EACH + i;
        sum += mine[i] = r < a.rows ? units_of(range_of(a, r)) : 0;
    }
    int before = sum;
    for (int i = 1; i < 32; i *= 2) {
        int x = __shfl_up_sync(0xffffffff, before, i);
        before += lane >= i ? x : 0;
    }
    if (lane == 31)
        of_warp[warp] = before;
    before -= sum;
    __syncthreads();
    for (int w = 0; w < warp; w++)
        before += of_warp[w];
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        ends[threadIdx.x * EACH + i] = before;
        before += mine[i];
    }
    if (threadIdx.x == THREADS - 1)
        ends[ROWS_MOST] = before;
    __syncthreads();
}

/* The line, of which a block of threads has [begin, end). */
typedef struct Line {
    int64_t units, begin, end;
    int blocks;                /* that have some of it */
} Line;

static __device__ inline int64_t first_unit(const Line &l, int block) { return l.units * block / l.blocks; }
static __device__ inline int block_of(const Line &l, int64_t unit) { return (int)(((unit + 1) * l.blocks - 1) / l.units); }

static __device__ inline Line line_of(const Attention &a, const int *ends)
{
    Line l;
    l.units = (int64_t)ends[a.rows] * a.kv_heads;
    l.blocks = (int)min((int64_t)gridDim.x, l.units);
    l.begin = first_unit(l, blockIdx.x), l.end = first_unit(l, blockIdx.x + 1);
    return l;
}

/* A place in the line. */
typedef struct Spot {
    int64_t at, first;         /* unit; the first one of this row and head */
    int r, head, units;        /* kv head; units of this row and head */
} Spot;

static __device__ inline Spot spot_at(const Attention &a, const int *ends, int64_t at)
{
    Spot s;
    int row_at = (int)(at / a.kv_heads);
    s.r = first_at_least(ends, a.rows + 1, row_at + 1) - 1;
    s.units = ends[s.r + 1] - ends[s.r];
    s.head = (int)((at - (int64_t)ends[s.r] * a.kv_heads) / s.units);
    s.at = at, s.first = (int64_t)ends[s.r] * a.kv_heads + (int64_t)s.head * s.units;
    return s;
}

static __device__ inline void next_head(Spot *s, const Attention &a, const int *ends)
{
    s->first += s->units;
    if (++s->head == a.kv_heads) {
        s->head = 0;
        s->r++;
        s->units = s->r < a.rows ? ends[s->r + 1] - ends[s->r] : INT_MAX;
    }
}

/* ---- copies ---- */

/* What a warp asks for next. */
typedef struct Asked {
    Spot spot;
    int position, block, to;   /* of the unit: its first position, block of the cache, where the row ends */
} Asked;

static __device__ inline void look_ahead(Asked *n, const Attention &a, const int *ends, int64_t end)
{
    if (n->spot.at >= end)
        return;
    while (n->spot.at >= n->spot.first + n->spot.units)
        next_head(&n->spot, a, ends);
    int2 range = range_of(a, n->spot.r);
    n->position = range.x + (int)(n->spot.at - n->spot.first) * UNIT, n->to = range.y;
    n->block = a.tables[a.row_seq[n->spot.r] * a.table_step + n->position / a.tokens];
}

template <int W> static __device__ inline void copy_unit(unsigned to, const Past &past, const Asked &n, int tokens)
{
    constexpr int PIECES = W / 8;
    const uint8_t *from = past.at + (int64_t)n.block * past.block_bytes +
                          (int64_t)(n.spot.head * tokens + n.position % tokens) * (W * 2);
#pragma unroll
    for (int i = 0; i < UNIT * PIECES / 32; i++) {
        int piece = i * 32 + threadIdx.x % 32, r = piece / PIECES, c = piece % PIECES;
        copy_16(to + (r * PIECES + (c ^ (r & 7))) * 16, from + piece * 16, n.block >= 0 && n.position + r < n.to);
    }
}

template <int W>
static __device__ inline void ask(Asked *n, unsigned to, const Attention &a, const int *ends, int64_t end)
{
    if (n->spot.at < end) {
        copy_unit<W>(to, a.k, *n, a.tokens);
        copy_unit<W>(to + UNIT * W * 2, a.v, *n, a.tokens);
        n->spot.at += WARPS;
        look_ahead(n, a, ends, end);
    }
    copies_sent();
}

/* ---- computing ---- */

template <bool EXACT, int W> struct Heads {
    static constexpr int query = Split<W_BF16, EXACT>::query, power = Split<W_BF16, EXACT>::power;
    uint2 q[query][W / STEP];
    float most[2], total[2], sums[W / STEP][4];
};

template <bool EXACT, int W>
static __device__ inline void begin_heads(Heads<EXACT, W> *f, const Attention &a, const Spot &s)
{
    int lane = threadIdx.x % 32, head = lane / 4;
    const float *from = row(a.q, s.r) + (int64_t)(s.head * a.group + head) * W + lane % 4 * 2;
    float unit = a.how.scale * LOG2_E;
#pragma unroll
    for (int k = 0; k < W / STEP; k++) {
        float2 x[2] = {};
        if (head < a.group)
            x[0] = *(const float2 *)(from + k * STEP), x[1] = *(const float2 *)(from + k * STEP + 8);
#pragma unroll
        for (int i = 0; i < 2; i++)
            x[i].x *= unit, x[i].y *= unit;
#pragma unroll
        for (int part = 0; part < f->query; part++) {
            f->q[part][k] = make_uint2(pair_of<W_BF16>(x[0].x, x[0].y), pair_of<W_BF16>(x[1].x, x[1].y));
            x[0].x -= first_of<W_BF16>(f->q[part][k].x), x[0].y -= second_of<W_BF16>(f->q[part][k].x);
            x[1].x -= first_of<W_BF16>(f->q[part][k].y), x[1].y -= second_of<W_BF16>(f->q[part][k].y);
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
            f->sums[k][i] = 0;
    }
    f->most[0] = f->most[1] = -INFINITY, f->total[0] = f->total[1] = 0;
}

/* Of 16 keys that begin at a position. */
template <bool EXACT, int W>
static __device__ inline void score_unit(float *s, const Heads<EXACT, W> &f, unsigned keys, int position, int2 seen)
{
    int lane = threadIdx.x % 32;
    float sum[f.query][4] = {};
    unsigned at = keys + lane % 16 * W * 2;
#pragma unroll
    for (int k = 0; k < W / STEP; k++) {
        unsigned key[4];
        load_matrices(key, at + ((2 * k + lane / 16) ^ (lane & 7)) * 16);
#pragma unroll
        for (int part = 0; part < f.query; part++)
            multiply<W_BF16>(sum[part], key, f.q[part][k]);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int j = position + lane / 4 + i / 2 * 8;
        s[i] = sum[f.query - 1][i];
#pragma unroll
        for (int part = f.query - 2; part >= 0; part--)
            s[i] += sum[part][i];
        if (j < seen.x || j >= seen.y)
            s[i] = -INFINITY;
    }
}

template <bool EXACT, int W> static __device__ inline void take_unit(Heads<EXACT, W> *f, unsigned keys, int position, int2 seen)
{
    float s[4], older[2];
    uint2 p[f->power];
    score_unit<EXACT, W>(s, *f, keys, position, seen);
#pragma unroll
    for (int e = 0; e < 2; e++) {
        float most = fmaxf(s[e], s[2 + e]);
        for (int i = 4; i < 32; i *= 2)
            most = fmaxf(most, __shfl_xor_sync(0xffffffff, most, i));
        most = fmaxf(most, f->most[e]);
        float base = most == -INFINITY ? 0 : most;
        older[e] = power2(f->most[e] - base);
        s[e] = power2(s[e] - base), s[2 + e] = power2(s[2 + e] - base);
        f->total[e] = fmaf(f->total[e], older[e], s[e] + s[2 + e]);
        f->most[e] = most;
    }
#pragma unroll
    for (int part = 0; part < f->power; part++) {
        unsigned low = pair_of<W_BF16>(s[0], s[1]), high = pair_of<W_BF16>(s[2], s[3]);
        p[part] = make_uint2(turn(low), turn(high));
        s[0] -= first_of<W_BF16>(low), s[1] -= second_of<W_BF16>(low);
        s[2] -= first_of<W_BF16>(high), s[3] -= second_of<W_BF16>(high);
    }
    int lane = threadIdx.x % 32, r = lane % 8 + lane / 16 * 8;
    unsigned values = keys + UNIT * W * 2 + r * W * 2;
#pragma unroll
    for (int m = 0; m < W / STEP; m++) {
        unsigned v[4];
        float sum[4] = {};
        load_turned(v, values + ((2 * m + lane / 8 % 2) ^ (lane & 7)) * 16);
#pragma unroll
        for (int part = f->power - 1; part >= 0; part--)
            multiply<W_BF16>(sum, v, p[part]);
#pragma unroll
        for (int i = 0; i < 4; i++)
            f->sums[m][i] = fmaf(f->sums[m][i], older[i % 2], sum[i]);
    }
}

/* ---- where a head ends ---- */

/* A warp's sums go into the place of the unit that it took last. */
template <bool EXACT, int W> static __device__ inline void tell(Told *told, Heads<EXACT, W> *f, int place)
{
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int e = 0; e < 2; e++) {
        float total = f->total[e];
        for (int i = 4; i < 32; i *= 2)
            total += __shfl_xor_sync(0xffffffff, total, i);
        if (lane < 4)
            told->most[warp][lane * 2 + e] = f->most[e], told->total[warp][lane * 2 + e] = total;
    }
    if (lane == 0)
        told->sums[warp] = place;
    if (f->most[0] == -INFINITY)      /* it had none */
        return;
    float *sums = (float *)(tile_memory + place) + lane / 4;
#pragma unroll
    for (int m = 0; m < W / STEP; m++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            sums[(lane % 4 * 2 + i % 2) * (W + APART) + m * STEP + i / 2 * 8] = f->sums[m][i];
}

/* What a block of threads has of a head that it shares with others: of the first or of the last one of its share. */
template <int W> static __device__ inline float *kept(const Attention &a, const Line &l, int b, const Spot &s)
{
    return a.parts + (int64_t)(2 * b + (first_unit(l, b) < s.first)) * QUERIES * (W + 2);
}

/* All warps' sums of a query's column: to y, or kept. */
template <int W> static __device__ inline void join_warps(const Attention &a, const Spot &s, const Told *told, float *parts)
{
    for (int i = threadIdx.x; i < a.group * W; i += THREADS) {
        int query = i / W, column = i % W, head = s.head * a.group + query;
        float most = !parts && a.sinks ? a.sinks[head] * LOG2_E : -INFINITY, total, sum = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++)
            most = fmaxf(most, told->most[w][query]);
        total = !parts && a.sinks ? power2(a.sinks[head] * LOG2_E - most) : 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
            if (told->most[w][query] == -INFINITY)
                continue;
            float weight = power2(told->most[w][query] - most);
            total = fmaf(weight, told->total[w][query], total);
            sum = fmaf(weight, ((const float *)(tile_memory + told->sums[w]))[query * (W + APART) + column], sum);
        }
        if (!parts)
            row(a.y, s.r)[(int64_t)head * W + column] = sum / total;
        else {
            float *part = parts + query * (W + 2);
            part[2 + column] = sum;
            if (column == 0)
                part[0] = most, part[1] = total;
        }
    }
}

/* Of all blocks of threads that had some of the head; the last one of them does it. */
template <int W> static __device__ inline void join_blocks(const Attention &a, const Spot &s, const Line &l)
{
    __shared__ bool last;
    int from = block_of(l, s.first), to = block_of(l, s.first + s.units - 1);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0)
        last = atomicAdd(&a.counters[from], 1) == (unsigned)(to - from);
    __syncthreads();
    if (!last)
        return;
    __threadfence();
    for (int i = threadIdx.x; i < a.group * W; i += THREADS) {
        int query = i / W, column = i % W, head = s.head * a.group + query;
        float most = a.sinks ? a.sinks[head] * LOG2_E : -INFINITY, total = a.sinks ? 1 : 0, sum = 0;
#pragma unroll 4
        for (int b = from; b <= to; b++) {
            const float *part = kept<W>(a, l, b, s) + query * (W + 2);
            float its = __ldcg(part), all = __ldcg(part + 1), x = __ldcg(part + 2 + column);
            float larger = fmaxf(most, its), base = larger == -INFINITY ? 0 : larger;
            float older = power2(most - base), weight = power2(its - base);
            total = fmaf(total, older, weight * all), sum = fmaf(sum, older, weight * x), most = larger;
        }
        row(a.y, s.r)[(int64_t)head * W + column] = sum / total;
    }
    if (threadIdx.x == 0)
        a.counters[from] = 0;
}

template <int W> static __device__ inline void end_head(const Attention &a, const Spot &s, const Line &l)
{
    const Told *told = (const Told *)(tile_memory + StreamShape<W>::told);
    bool whole = l.begin <= s.first && l.end >= s.first + s.units;
    __syncthreads();
    join_warps<W>(a, s, told, whole ? NULL : kept<W>(a, l, blockIdx.x, s));
    if (!whole)
        join_blocks<W>(a, s, l);
    __syncthreads();
}
#endif

template <bool EXACT, int W> static __global__ void __launch_bounds__(THREADS, BLOCKS) stream_keys(const __grid_constant__ Attention a)
{
    using Shape = StreamShape<W>;
    int *ends = (int *)(tile_memory + Shape::ends);
    previous();
    measure_rows(a, ends);
    Line l = line_of(a, ends);
    if ((int)blockIdx.x >= l.blocks)
        return;
    int64_t mine = l.begin + threadIdx.x / 32;
    int place = threadIdx.x / 32 * DEEP * Shape::unit, stage = 0;
    Asked next;
    next.spot = spot_at(a, ends, l.begin), next.spot.at = mine;
    look_ahead(&next, a, ends, l.end);
    for (int i = 0; i < DEEP - 1; i++)
        ask<W>(&next, shared_address(tile_memory + place + i * Shape::unit), a, ends, l.end);
    for (Spot s = spot_at(a, ends, l.begin); s.first < l.end; next_head(&s, a, ends)) {
        Heads<EXACT, W> f;
        int2 seen = sees(a, s.r);
        int from = seen.x / UNIT * UNIT, used = 0;
        int64_t to = s.first + s.units < l.end ? s.first + s.units : l.end;
        begin_heads<EXACT, W>(&f, a, s);
        for (; mine < to; mine += WARPS) {
            copies_wait<DEEP - 2>();
            __syncwarp();
            ask<W>(&next, shared_address(tile_memory + place + (stage + DEEP - 1) % DEEP * Shape::unit), a, ends, l.end);
            used = place + stage * Shape::unit;
            take_unit<EXACT, W>(&f, shared_address(tile_memory + used), from + (int)(mine - s.first) * UNIT, seen);
            stage = (stage + 1) % DEEP;
        }
        tell<EXACT, W>((Told *)(tile_memory + Shape::told), &f, used);
        end_head<W>(a, s, l);
    }
}

/* ---- choosing ---- */

static int queries(const Attention *) { return QUERIES; }
static int resident(const Attention *) { return BLOCKS; }

static bool takes(const Attention *a)
{
    return a->kind == W_BF16 && (known_width(a, 64) || known_width(a, 128)) && a->k.width == a->key_width &&
           a->v.width == a->value_width && ((uintptr_t)a->k.at | (uintptr_t)a->v.at) % 16 == 0 && a->tokens % UNIT == 0 &&
           a->rows <= a->seqs && a->rows <= ROWS_MOST && a->group >= TRIAL_GROUP && a->group <= QUERIES && !a->slopes && a->how.softcap <= 0 &&
           (uintptr_t)a->q.at % 8 == 0 && a->q.step % 2 == 0;
}

template <bool EXACT, int W> static void launch(const Attention *a, const CudaRun *g)
{
    constexpr int BYTES = StreamShape<W>::bytes;
    cudaFuncSetAttribute((const void *)stream_keys<EXACT, W>, cudaFuncAttributeMaxDynamicSharedMemorySize, BYTES);
    LAUNCH((stream_keys<EXACT, W>), dim3(g->multiprocessors * BLOCKS), THREADS, BYTES, g, *a);
}

static void run(const Attention *a, const CudaRun *g)
{
    if (a->key_width == 64)
        a->exact ? launch<true, 64>(a, g) : launch<false, 64>(a, g);
    else
        a->exact ? launch<true, 128>(a, g) : launch<false, 128>(a, g);
}

const AttendWay attend_stream = {takes, queries, resident, false, true, QUERIES, BLOCKS, 2, run};

/* attend_hopper.cu -- attention of many rows with Hopper's products of four warps (attend_wgmma.h).
 *
 * A block of threads has 128 queries and goes over tiles of keys, and then on to other queries, one block of threads a
 * multiprocessor. Three groups of four warps share the work:
 *
 *     group 0      one warp asks for tiles, some ahead, box by box through the table of the sequence
 *     group 1, 2   64 queries each: scores = Q K^T of this tile, and sums += P V of the tile before it, are sent off
 *                  together; then the softmax of this tile, while products of both groups run
 *
 * Groups 1 and 2 take turns at sending, so that one computes powers while the other multiplies. Powers and sums stay in
 * registers. As in attend_cores.h a query is three numbers of BF16 and a power two, where bf16 is not enough.
 * Floor: operations as attend.h has them, times 2.5 exactly; of a causal mask half of the last tile is computed in vain.
 */
#include "kernels/attend/attend_products.h"
#include "kernels/attend/attend_wgmma.h"
#include "kernels/kit/tensor_map.h"

enum {
    GROUP = 128, GROUP_QUERIES = 64, THREADS = 3 * GROUP, QUERIES = 2 * GROUP_QUERIES, QUERIES_LEAST = 64,
    BOX_ROWS = 16, SEQS_MOST = 128, SLACK = 8,
};

/* W: width of keys and values. Shared memory: | stages of keys, values | queries of both groups | barriers | spans | */
template <bool EXACT, int W> struct Room {
    static constexpr bool exact = EXACT;
    static constexpr int width = W, keys = EXACT ? 64 : 128, stages = EXACT ? 3 : 2;
    static constexpr int query = Split<W_BF16, EXACT>::query, power = Split<W_BF16, EXACT>::power;
    static constexpr int piece = keys * ROW_BYTES, factor = keys * W * 2, stage = 2 * factor;
    static constexpr int query_piece = GROUP_QUERIES * ROW_BYTES, query_part = GROUP_QUERIES * W * 2;
    static constexpr int queries = stages * stage, barriers = queries + 2 * query * query_part;
    static constexpr int spans = barriers + 4 * stages * 8, bytes = spans + (SEQS_MOST + 1) * 8 + EIGHT_ROWS;
};

#if HOPPER
/* Keys have barriers of their own, as their place is free again sooner. */
typedef struct Line {
    unsigned keys, values;                    /* where a tile's are */
    unsigned keys_came, values_came, keys_used, values_used;
    unsigned parity;
} Line;

template <class R> static __device__ inline Line line_at(unsigned base, int step)
{
    int stage = step % R::stages;
    unsigned at = base + R::barriers + stage * 8;
    Line l = {base + stage * R::stage, base + stage * R::stage + R::factor, at, at + 8 * R::stages, at + 16 * R::stages,
              at + 24 * R::stages, (unsigned)(step / R::stages) & 1};
    return l;
}

/* A sequence's first row and first piece; of the one behind the last, all of them. */
typedef struct Span { int row, piece; } Span;

/* All threads. Sequences may be without rows. */
static __device__ inline void find_spans(Span *spans, const Attention &a)
{
    for (int s = threadIdx.x; s <= a.seqs; s += THREADS)
        spans[s].row = a.rows;
    __syncthreads();
    for (int r = threadIdx.x; r < a.rows; r += THREADS)
        if (r == 0 || a.row_seq[r] != a.row_seq[r - 1])
            spans[a.row_seq[r]].row = r;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int s = a.seqs - 1; s >= 0; s--)
            spans[s].row = min(spans[s].row, spans[s + 1].row);
        spans[0].piece = 0;
        for (int s = 0; s < a.seqs; s++)
            spans[s + 1].piece = spans[s].piece + (spans[s + 1].row - spans[s].row + a.rows_each - 1) / a.rows_each;
    }
    __syncthreads();
}

/* The rows of piece p, and how many: none, where there are fewer pieces. */
static __device__ inline int2 span_rows(const Span *spans, const Attention &a, int p)
{
    int low = 0, high = a.seqs;
    while (low < high) {      /* the first sequence that ends behind it */
        int middle = (low + high) / 2;
        if (spans[middle + 1].piece > p)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == a.seqs)
        return make_int2(0, 0);
    int first = spans[low].row + (p - spans[low].piece) * a.rows_each;
    return make_int2(first, min(a.rows_each, spans[low + 1].row - first));
}

/* Blocks of threads go over items forth and back, so that each has some of the large ones, which come first. */
static __device__ inline int item_of(int round)
{
    return round * (int)gridDim.x + (round % 2 ? (int)gridDim.x - 1 - (int)blockIdx.x : (int)blockIdx.x);
}
/* Which rows and positions a block of threads has; tiles begin where boxes do. False: none. */
static __device__ inline bool choose_block(TileBlock *b, const Attention &a, const Span *spans, int item, int keys, int *last)
{
    int heads = a.kv_heads * a.head_blocks, x = item % heads, piece = item / heads % a.pieces, part = item / heads / a.pieces;
    int2 rows = make_int2(0, 0);
    if (part < a.count)
        rows = span_rows(spans, a, a.pieces - 1 - piece);      /* those that see most come first */
    int skip = x % a.head_blocks * a.per_block;
    b->kv_head = x / a.head_blocks;
    b->first_head = b->kv_head * a.group + skip;
    b->heads = min(a.per_block, a.group - skip);
    b->first_row = rows.x, b->rows = rows.y, b->part = part;
    if (b->rows == 0)
        return false;
    *last = 0;
    if (a.how.bidirectional)
        *last = __reduce_max_sync(0xffffffff, last_position(a, a.row_seq[b->first_row], threadIdx.x % 32, 32));
    int from = INT_MAX, to = 0;
    for (int r = threadIdx.x % 32; r < b->rows; r += 32) {
        int2 seen = sees_from(a, a.positions[b->first_row + r], *last);
        from = min(from, seen.x), to = max(to, seen.y);
    }
    from = __reduce_min_sync(0xffffffff, from) / BOX_ROWS * BOX_ROWS, to = __reduce_max_sync(0xffffffff, to);
    int each = ((to - from + a.count - 1) / a.count + keys - 1) / keys * keys;
    b->lo = from + part * each;
    b->hi = min(to, b->lo + each);
    b->table = a.tables + a.row_seq[b->first_row] * a.table_step;
    b->shift = __popc(a.tokens) == 1 ? __ffs(a.tokens) - 1 : -1;
    return true;
}

static __device__ inline int tiles_of(const TileBlock &b, int keys)
{
    return b.hi > b.lo ? (b.hi - b.lo + keys - 1) / keys : 0;
}

/* ---- group 0 ---- */

/* A warp: a lane has a box of 16 positions and 64 numbers, of keys and of values. */
template <class R>
static __device__ inline void ask_tiles(const Attention &a, const TileBlock &b, const CUtensorMap *keys,
                                        const CUtensorMap *values, unsigned base, int *step)
{
    constexpr int DEEP = R::keys / BOX_ROWS, BOXES = DEEP * R::width / ROW_NUMBERS;
    static_assert(BOXES <= 32, "");
    int lane = threadIdx.x % 32, deep = lane % DEEP, across = lane / DEEP;
    unsigned offset = across * R::piece + deep * BOX_ROWS * ROW_BYTES;
    for (int tile = 0, tiles = tiles_of(b, R::keys); tile < tiles; tile++, ++*step) {
        Line l = line_at<R>(base, *step);
        int2 place = place_of(a, b, b.lo + tile * R::keys + deep * BOX_ROWS);
        barrier_wait(l.keys_used, l.parity ^ 1);
        if (lane == 0)
            barrier_expect(l.keys_came, R::factor);
        __syncwarp();
        if (lane < BOXES)
            copy_box(l.keys + offset, keys, across * ROW_NUMBERS, place.y, place.x, l.keys_came);
        barrier_wait(l.values_used, l.parity ^ 1);
        if (lane == 0)
            barrier_expect(l.values_came, R::factor);
        __syncwarp();
        if (lane < BOXES)
            copy_box(l.values + offset, values, across * ROW_NUMBERS, place.y, place.x, l.values_came);
    }
}

template <class R>
static __device__ inline void ask_items(const Attention &a, const Span *spans, int items, const CUtensorMap *keys,
                                        const CUtensorMap *values, unsigned base)
{
    TileBlock b;
    int step = 0, last;
    for (int round = 0; round * (int)gridDim.x < items; round++)
        if (choose_block(&b, a, spans, item_of(round), R::keys, &last))
            ask_tiles<R>(a, b, keys, values, base, &step);
}

/* ---- groups 1 and 2 ---- */

/* A thread's two queries: rows g and g + 8 of its warp's 16. */
typedef struct Pair {
    Query query[2];
    float most[2], total[2], older[2];
    int all_from, all_to;      /* what all queries of the warp see */
} Pair;

static __device__ inline Pair pair_of_queries(const Attention &a, const TileBlock &b, int first, int last)
{
    Pair p;
    int all_from = 0, all_to = INT_MAX;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        p.query[h] = query_of(a, b, first + threadIdx.x % 32 / 4 + 8 * h, last);
        p.most[h] = -INFINITY, p.total[h] = 0;
        if (p.query[h].row >= 0)
            all_from = max(all_from, p.query[h].from), all_to = min(all_to, p.query[h].to);
    }
    p.all_from = __reduce_max_sync(0xffffffff, all_from), p.all_to = __reduce_min_sync(0xffffffff, all_to);
    return p;
}

/* Queries into shared memory, as keys lie there, scaled so that scores come as powers of two. */
template <class R> static __device__ inline void put_group(unsigned queries, const Attention &a, const Pair &p, int group)
{
    constexpr int EIGHTS = R::width / 8;
    float unit = a.how.scale * LOG2_E;
    int i = threadIdx.x % 4, r = threadIdx.x % GROUP / 32 * 16 + threadIdx.x % 32 / 4;
    threads_meet(3 + group, GROUP);      /* nobody multiplies by the last ones any more */
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const Query &query = p.query[h];
        const float *from = query.row < 0 ? NULL : query_values(a, query) + i * 2;
        float2 x[EIGHTS];
#pragma unroll
        for (int c = 0; c < EIGHTS; c++)
            x[c] = from ? *(const float2 *)(from + c * 8) : make_float2(0, 0);
#pragma unroll
        for (int c = 0; c < EIGHTS; c++) {
            unsigned at = queries + c / 8 * R::query_piece + (r + 8 * h) * ROW_BYTES + (c % 8 ^ r % 8) * 16 + i * 4;
            x[c].x *= unit, x[c].y *= unit;
#pragma unroll
            for (int part = 0; part < R::query; part++) {
                unsigned pair = pair_of<W_BF16>(x[c].x, x[c].y);
                put_word(at + part * R::query_part, pair);
                x[c].x -= first_of<W_BF16>(pair), x[c].y -= second_of<W_BF16>(pair);
            }
        }
    }
    show_to_products();
    threads_meet(3 + group, GROUP);
}

template <int KEYS> static __device__ inline void mask_scores(float *s, const Pair &p, int j0, int hi)
{
    if (j0 >= p.all_from && j0 + KEYS <= min(p.all_to, hi))
        return;
    j0 += threadIdx.x % 4 * 2;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int from = p.query[h].from, to = min(p.query[h].to, hi);
#pragma unroll
        for (int c = 0; c < KEYS / 8; c++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                int j = j0 + c * 8 + e;
                if (j < from || j >= to)
                    s[c * 4 + 2 * h + e] = -INFINITY;
            }
    }
}

/* Scores become 2^(score - largest so far). Where bf16 is enough, it stays until another is larger by SLACK: the sums
 * seldom shrink then, and numbers up to 2^SLACK are as near. */
template <class R> static __device__ inline void soften_scores(float *s, Pair *p)
{
    constexpr int KEYS = R::keys;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float most = p->most[h], sum = 0;
#pragma unroll
        for (int c = 0; c < KEYS / 8; c++)
            most = fmaxf(most, fmaxf(s[c * 4 + 2 * h], s[c * 4 + 2 * h + 1]));
        most = fmaxf(most, __shfl_xor_sync(0xffffffff, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffff, most, 2));
        if (!R::exact && most <= p->most[h] + SLACK)
            most = p->most[h];
        float base = most == -INFINITY ? 0 : most;
        p->older[h] = power2(p->most[h] - base);
#pragma unroll
        for (int c = 0; c < KEYS / 8; c++)
#pragma unroll
            for (int e = 0; e < 2; e++)
                sum += s[c * 4 + 2 * h + e] = power2(s[c * 4 + 2 * h + e] - base);
        p->total[h] = fmaf(p->total[h], p->older[h], sum);
        p->most[h] = most;
    }
}

/* Powers as left factors: p[part of the power][16 keys]. */
template <class R> static __device__ inline void pack_powers(unsigned (*p)[R::keys / STEP][4], const float *s)
{
#pragma unroll
    for (int i = 0; i < R::keys / 4; i++) {
        float x = s[2 * i], y = s[2 * i + 1];
#pragma unroll
        for (int part = 0; part < R::power; part++) {
            unsigned pair = p[part][i / 4][i % 4] = pair_of<W_BF16>(x, y);
            x -= first_of<W_BF16>(pair), y -= second_of<W_BF16>(pair);
        }
    }
}

/* The byte that step k of the products of queries and keys begins with. */
static __device__ constexpr int step_byte(int piece, int k) { return k / 4 * piece + k % 4 * STEP * 2; }

/* The smallest part of the queries first. */
template <class R> static __device__ inline void send_scores(float *s, unsigned queries, unsigned keys)
{
    constexpr int STEPS = R::width / STEP;
    Factor q = factor_at(queries, 0), k = factor_at(keys, 0);
    multiply_keys<R::keys, false>(s, from_byte(q, (R::query - 1) * R::query_part), from_byte(k, 0));
#pragma unroll
    for (int i = 1; i < R::query * STEPS; i++)
        multiply_keys<R::keys, true>(s, from_byte(q, (R::query - 1 - i / STEPS) * R::query_part +
                                                     step_byte(R::query_piece, i % STEPS)),
                                     from_byte(k, step_byte(R::piece, i % STEPS)));
    products_sent();
}
/* ADDS: to what is there. */
template <class R, bool ADDS>
static __device__ inline void send_sums(float *sums, const unsigned (*p)[R::keys / STEP][4], unsigned values)
{
    constexpr int STEPS = R::keys / STEP;
    Factor v = factor_at(values, R::piece);
    multiply_values<R::width, ADDS>(sums, p[R::power - 1][0], from_byte(v, 0));
#pragma unroll
    for (int i = 1; i < R::power * STEPS; i++)
        multiply_values<R::width, true>(sums, p[R::power - 1 - i / STEPS][i % STEPS],
                                        from_byte(v, i % STEPS * STEP * ROW_BYTES));
    products_sent();
}

/* What lies behind the last position may be no numbers at all: zeros. */
template <class R> static __device__ inline void clear_rest(unsigned values, int n, int group)
{
    constexpr int EIGHTS = R::width / 8;
    int end = (n + BOX_ROWS - 1) / BOX_ROWS * BOX_ROWS;
    if (n >= R::keys || n == end)
        return;
    for (int i = threadIdx.x % GROUP; i < (end - n) * EIGHTS; i += GROUP) {
        unsigned at = values + i % EIGHTS / 8 * R::piece + (n + i / EIGHTS) * ROW_BYTES + i % 8 * 16;
        put_zeros(at);
    }
    show_to_products();
    threads_meet(3 + group, GROUP);
}

static __device__ inline void turn_begins(int group) { threads_meet(1 + group, 2 * GROUP); }
static __device__ inline void turn_ends(int group) { warps_arrive(2 - group, 2 * GROUP); }
static __device__ inline void release(unsigned barrier)
{
    if (threadIdx.x % 32 == 0)
        barrier_arrive(barrier);
}

/* What a group is at. */
template <class R> struct Work {
    Pair pair;
    unsigned p[R::power][R::keys / STEP][4];      /* powers of the last tile */
    float sums[R::width / 2];                     /* without the last tile */
    unsigned base, queries;
    int group, step;                              /* step: tiles before this one, of all items */
};

/* Tensor cores round sums towards zero: exactly, those of a tile are added to the others outside. Else they go on. */
template <class R> static __device__ inline void send_tile_sums(Work<R> *w, float *fresh, unsigned values)
{
    hold<R::keys / 4 * R::power>(w->p[0][0]);
    if constexpr (R::exact)
        send_sums<R, false>(fresh, w->p, values);
    else
        send_sums<R, true>(w->sums, w->p, values);
}
/* older: what the sums before that tile shrink by. */
template <class R> static __device__ inline void add_tile_sums(Work<R> *w, float *fresh, const float *older)
{
    hold<R::keys / 4 * R::power>(w->p[0][0]);
    if constexpr (R::exact) {
        hold<R::width / 2>(fresh);
#pragma unroll
        for (int i = 0; i < R::width / 2; i++)
            w->sums[i] = fmaf(w->sums[i], older[i % 4 / 2], fresh[i]);
    } else
        hold<R::width / 2>(w->sums);
}

/* The first tile's powers. */
template <class R> static __device__ inline void first_tile(Work<R> *w, const TileBlock &b)
{
    Line l = line_at<R>(w->base, w->step);
    float s[R::keys / 2];
    barrier_wait(l.keys_came, l.parity);
    hold<R::keys / 2>(s);
    products_begin();
    send_scores<R>(s, w->queries, l.keys);
    products_wait<0>();
    hold<R::keys / 2>(s);
    release(l.keys_used);
    mask_scores<R::keys>(s, w->pair, b.lo, b.hi);
    soften_scores<R>(s, &w->pair);
    pack_powers<R>(w->p, s);
}

/* The tile's scores and the sums of the one before it; then the tile's powers. */
template <class R> static __device__ inline void next_tile(Work<R> *w, const TileBlock &b, int j0)
{
    Line l = line_at<R>(w->base, w->step), before = line_at<R>(w->base, w->step - 1);
    float s[R::keys / 2], fresh[R::exact ? R::width / 2 : 1], older[2] = {w->pair.older[0], w->pair.older[1]};
    barrier_wait(l.keys_came, l.parity);
    barrier_wait(before.values_came, before.parity);
    turn_begins(w->group);
    hold<R::keys / 2>(s), hold<R::width / 2>(w->sums);
    products_begin();
    send_scores<R>(s, w->queries, l.keys);
    send_tile_sums<R>(w, fresh, before.values);
    turn_ends(w->group);
    products_wait<1>();
    hold<R::keys / 2>(s);
    release(l.keys_used);
    mask_scores<R::keys>(s, w->pair, j0, b.hi);
    soften_scores<R>(s, &w->pair);
    settle(w->pair.total[0] + w->pair.total[1]);
    products_wait<0>();
    add_tile_sums<R>(w, fresh, older);
    release(before.values_used);
    if (!R::exact && __any_sync(0xffffffff, w->pair.older[0] != 1 || w->pair.older[1] != 1))
#pragma unroll
        for (int i = 0; i < R::width / 2; i++)
            w->sums[i] *= w->pair.older[i % 4 / 2];
    pack_powers<R>(w->p, s);
}

template <class R> static __device__ inline void last_sums(Work<R> *w, int rest)
{
    Line l = line_at<R>(w->base, w->step);
    float fresh[R::exact ? R::width / 2 : 1];
    barrier_wait(l.values_came, l.parity);
    clear_rest<R>(l.values, rest, w->group);
    hold<R::width / 2>(w->sums);
    products_begin();
    send_tile_sums<R>(w, fresh, l.values);
    products_wait<0>();
    add_tile_sums<R>(w, fresh, w->pair.older);
    release(l.values_used);
}

template <class R> static __device__ inline void write_pair(const Attention &a, const TileBlock &b, const Work<R> &w)
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float total = w.pair.total[h];
        total += __shfl_xor_sync(0xffffffff, total, 1);
        total += __shfl_xor_sync(0xffffffff, total, 2);
        if (w.pair.query[h].row < 0)
            continue;
        Columns c = columns_of(a, w.pair.query[h], w.pair.most[h], total, b.part, threadIdx.x % 4 == 0);
#pragma unroll
        for (int k = 0; k < R::width / 8; k++) {
            int i = k * 8 + threadIdx.x % 4 * 2;
            float2 two = make_float2(w.sums[k * 4 + 2 * h] * c.factor, w.sums[k * 4 + 2 * h + 1] * c.factor);
            put_two_of_y(a, c.at + i, c.cut + i, c.cut != NULL, two);
        }
    }
}

template <class R>
static __device__ inline void attend_block(const Attention &a, const TileBlock &b, int last, unsigned base, int *step,
                                           int group)
{
    Work<R> w;
    int tiles = tiles_of(b, R::keys);
    w.pair = pair_of_queries(a, b, group * GROUP_QUERIES + threadIdx.x % GROUP / 32 * 16, last);
    w.base = base, w.queries = base + R::queries + group * R::query * R::query_part, w.group = group, w.step = *step;
#pragma unroll
    for (int i = 0; i < R::width / 2; i++)
        w.sums[i] = 0;
    if (tiles > 0) {
        put_group<R>(w.queries, a, w.pair, group);
        first_tile<R>(&w, b);
        for (int tile = 1; tile < tiles; tile++) {
            w.step = *step + tile;
            next_tile<R>(&w, b, b.lo + tile * R::keys);
        }
        last_sums<R>(&w, b.hi - b.lo - (tiles - 1) * R::keys);
        *step += tiles;
    }
    write_pair<R>(a, b, w);
}

template <class R>
static __device__ inline void attend_items(const Attention &a, const Span *spans, int items, unsigned base, int group)
{
    TileBlock b;
    int step = 0, last;
    if (group == 1)
        turn_ends(group);      /* the first turn is the other's */
    for (int round = 0; round * (int)gridDim.x < items; round++)
        if (choose_block(&b, a, spans, item_of(round), R::keys, &last))
            attend_block<R>(a, b, last, base, &step, group);
}
#endif

template <bool EXACT, int W>
static __global__ void __launch_bounds__(THREADS, 1) hopper(const __grid_constant__ Attention a,
                                                           const __grid_constant__ CUtensorMap keys,
                                                           const __grid_constant__ CUtensorMap values)
{
#if HOPPER
    using R = Room<EXACT, W>;
    int group = __shfl_sync(0xffffffff, (int)threadIdx.x / GROUP, 0) - 1;
    int items = a.kv_heads * a.head_blocks * a.pieces * a.count;
    unsigned memory = shared_address(tile_memory), base = (memory + EIGHT_ROWS - 1) / EIGHT_ROWS * EIGHT_ROWS;
    Span *spans = (Span *)(tile_memory + (base - memory) + R::spans);
    previous();
    if (threadIdx.x == 0)
        for (int i = 0; i < 4 * R::stages; i++)
            barrier_open(base + R::barriers + i * 8, i < 2 * R::stages ? 1 : 2 * GROUP / 32);
    barriers_opened();
    find_spans(spans, a);
    if (group < 0) {
        fewer_registers<40>();
        if (threadIdx.x / 32 == 0)
            ask_items<R>(a, spans, items, &keys, &values, base);
    } else {
        more_registers<232>();
        attend_items<R>(a, spans, items, base, group);
    }
#endif
}

/* ---- choosing ---- */

/* A pool as [blocks, rows of all heads, width], in boxes of 16 rows and 128 bytes. */
static bool map_past(CUtensorMap *map, const Past &past, const Attention *a)
{
    MapShape s = {3, {past.width, (int64_t)a->kv_heads * a->tokens, past.blocks}, {0, past.width * 2, past.block_bytes},
                  {ROW_NUMBERS, BOX_ROWS, 1}, 128, 128};
    return tensor_map(map, past.at, &s);
}

static int queries(const Attention *) { return QUERIES; }
static int resident(const Attention *) { return 1; }

static bool takes(const Attention *a)
{
    CUtensorMap map;
    return a->kind == W_BF16 && (known_width(a, 64) || known_width(a, 128)) && a->k.width == a->key_width &&
           a->v.width == a->value_width && a->tokens % BOX_ROWS == 0 && a->seqs <= SEQS_MOST &&
           attend_together(a) >= QUERIES_LEAST && !a->slopes && a->how.softcap <= 0 && pairs_fit(a->q) && pairs_fit(a->y) &&
           tensor_maps_here() && map_past(&map, a->k, a) && map_past(&map, a->v, a);
}

template <bool EXACT, int W> static void launch(const Attention *a, const CudaRun *g)
{
    constexpr int BYTES = Room<EXACT, W>::bytes;
    void (*kernel)(Attention, CUtensorMap, CUtensorMap) = hopper<EXACT, W>;
    int64_t items = (int64_t)a->kv_heads * a->head_blocks * a->pieces * a->count;
    unsigned blocks = (unsigned)(items < g->multiprocessors ? items : g->multiprocessors);
    CUtensorMap keys, values;
    map_past(&keys, a->k, a), map_past(&values, a->v, a);
    cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, BYTES);
    LAUNCH(kernel, dim3(blocks), THREADS, BYTES, g, *a, keys, values);
}

static void run(const Attention *a, const CudaRun *g)
{
    if (a->key_width == 64)
        a->exact ? launch<true, 64>(a, g) : launch<false, 64>(a, g);
    else
        a->exact ? launch<true, 128>(a, g) : launch<false, 128>(a, g);
}

const AttendWay attend_hopper = {takes, queries, resident, true, QUERIES, 1, PART_COST, 1, run};

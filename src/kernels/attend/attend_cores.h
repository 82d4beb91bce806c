/* attend_cores.h -- attention on tensor cores: what attend_prompt.cu and attend_group.cu share.
 *
 * A block of threads has some queries (rows of one sequence x heads that share a kv head) and goes over tiles of keys:
 *
 *     scores [keys, queries]   =  K [keys, width] . Q [width, queries]              scaled to powers of two
 *     sums   [columns, queries] = V [columns, keys] . 2^(scores - largest)          of each tile, added in F32
 *
 * Queries are columns, as they may be few: tensor cores multiply 16 rows by 8 columns. Keys and values come as they lie
 * in the cache, through the table, while the tile before is computed with:
 *
 *     shared memory   | tile | tile | ... | queries | what they see | places of keys | what a kernel has besides |
 *                       K, V: rows of 16 bits, 16 bytes apart, so that 8 rows lie in different banks
 *
 * Tensor cores multiply numbers of 16 bits and add in F32. So a query is several numbers that add up to it: three of
 * BF16 exactly, two of F16 to 22 bits; e^score two of either. Where bf16 is enough they are one each.
 */
#ifndef KERNELS_ATTEND_ATTEND_CORES_H
#define KERNELS_ATTEND_ATTEND_CORES_H

#include "kernels/attend/attend_cuda.h"

enum { TILE_WARPS = 4, TILE_THREADS = 32 * TILE_WARPS, TILE_EACH = TILE_THREADS / 8, ROW_APART = 16, STEP = 16 };

template <int K, bool EXACT> struct Split {
    static constexpr int pair = K == W_BF16 ? W_BF16 : W_F16;      /* what a cache of kind K is multiplied as */
    static constexpr int query = !EXACT ? 1 : K == W_BF16 ? 3 : 2, power = EXACT ? 2 : 1;
};
/* A cache of 8 bits is always multiplied exactly: the kernels for the other case are not worth their size. */
static inline bool is_exact(const Attention *a) { return a->exact || (a->kind != W_F16 && a->kind != W_BF16); }
static inline int query_parts(const Attention *a) { return a->kind == W_BF16 ? a->exact ? 3 : 1 : is_exact(a) ? 2 : 1; }

typedef struct Query {
    int row, head;             /* row -1: there is none */
    int from, to, pos;         /* sees [from, to) */
    float factor;              /* of its products: F16 keeps queries near 2^14 */
} Query;

/* Widths of keys and values that are known when a kernel is compiled, so that its loops are straight: W of both, or those
 * of a latent; 0: any. */
enum { LATENT = 576, LATENT_VALUE = 512 };
static inline bool known_width(const Attention *a, int w)
{
    bool latent = a->v.at == a->k.at;
    return w == LATENT ? latent && a->key_width == LATENT && a->value_width == LATENT_VALUE
                       : !latent && a->key_width == w && a->value_width == w;
}

typedef struct TileShape {
    int keys, queries, key_width, value_width, steps;      /* steps: of 16 along the width */
    int key_pitch, value_pitch, stage, bytes;
    int parts_at, query_at, place_at, own_at;
} TileShape;

template <int W>
static __host__ __device__ inline TileShape tile_shape(const Attention &a, int keys, int stages, int queries, int parts)
{
    TileShape t;
    bool latent = W ? W == LATENT : a.v.at == a.k.at;
    t.keys = keys, t.queries = queries;
    t.key_width = W ? W : a.key_width, t.value_width = W == LATENT ? LATENT_VALUE : W ? W : a.value_width;
    t.steps = (t.key_width + STEP - 1) / STEP;
    t.key_pitch = t.steps * STEP * 2 + ROW_APART;
    t.value_pitch = latent ? 0 : (t.value_width + STEP - 1) / STEP * STEP * 2 + ROW_APART;
    t.stage = keys * (t.key_pitch + t.value_pitch);
    t.parts_at = stages * t.stage;
    t.query_at = t.parts_at + parts * t.steps * STEP * 2 * queries;
    t.place_at = t.query_at + queries * (int)sizeof(Query);
    t.own_at = t.bytes = t.place_at + stages * keys * (int)sizeof(int2);
    return t;
}

/* ---- the host's side ---- */

/* A cache whose rows come in pieces of 16 bytes. */
static inline bool tiles_fit(const Attention *a, TileShape t)
{
    int device = 0, most = 0, piece = a->kind == W_F16 || a->kind == W_BF16 ? 8 : 16;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    return a->kind != W_F32 && a->kind < W_PLAIN_KINDS && a->key_width % piece == 0 && a->value_width % piece == 0 &&
           a->k.width % piece == 0 && a->v.width % piece == 0 && ((uintptr_t)a->k.at | (uintptr_t)a->v.at) % 16 == 0 &&
           a->k.block_bytes <= UINT_MAX && a->v.block_bytes <= UINT_MAX && t.bytes <= most;
}

static inline int multiprocessors_here(void)
{
    int device = 0, n = 1;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, device);
    return n;
}

/* By shared memory, of which a multiprocessor of compute capability 9 has 228 KB; a block of threads takes 1 KB besides. */
static inline int tiles_resident(TileShape t, int most)
{
    int n = (228 << 10) / (t.bytes + 1024);
    return n < 1 ? 1 : n > most ? most : n;
}
/* What n that are resident have at most, each. */
static inline int tiles_bytes(int n) { return (228 << 10) / n - 1024; }

static inline void tile_launch(void (*kernel)(Attention), const Attention &a, TileShape t, const CudaRun *g)
{
    cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, t.bytes);
    LAUNCH(kernel, dim3(a.kv_heads * a.head_blocks, a.pieces, a.count), TILE_THREADS, t.bytes, g, a);
}

#ifdef __CUDACC__
extern __shared__ __align__(16) uint8_t tile_memory[];

/* ---- what a block of threads has ---- */

typedef struct TileBlock {
    int kv_head, first_head, heads, first_row, rows;
    int part, lo, hi;          /* this part of the positions that its queries see together */
    const int32_t *table;
    int shift;                 /* tokens of a block of the cache: 2^shift, or -1 */
} TileBlock;

/* The first row of the next sequence. */
static __device__ inline int rows_end(const Attention &a, int first)
{
    int seq = a.row_seq[first], r = first + 1 + threadIdx.x % 32;
    unsigned others = __ballot_sync(0xffffffff, r >= a.rows || a.row_seq[r] != seq);
    return others ? first + __ffs(others) : first_at_least(a.row_seq, a.rows, seq + 1);
}

/* The rows of each sequence are cut into pieces of rows_each: which are those of piece p? None: there are fewer. */
static __device__ inline int2 piece_rows(const Attention &a, int p)
{
    if (a.rows_each == 1)
        return make_int2(p, 1);
    for (int first = 0, end; first < a.rows; first = end) {
        end = rows_end(a, first);
        int pieces = (end - first + a.rows_each - 1) / a.rows_each, skip = p * a.rows_each;
        if (p < pieces)
            return make_int2(first + skip, min(a.rows_each, end - first - skip));
        p -= pieces;
    }
    return make_int2(0, 0);
}

typedef struct Seen { int from, to, all_from, all_to; } Seen;      /* by any of some queries; by all of them */

static __device__ inline Seen seen_by(const Query *queries, int n)
{
    Seen s = {INT_MAX, 0, 0, INT_MAX};
    for (int i = threadIdx.x % 32; i < n; i += 32)
        if (queries[i].row >= 0) {
            s.from = min(s.from, queries[i].from), s.to = max(s.to, queries[i].to);
            s.all_from = max(s.all_from, queries[i].from), s.all_to = min(s.all_to, queries[i].to);
        }
    s.from = __reduce_min_sync(0xffffffff, s.from), s.to = __reduce_max_sync(0xffffffff, s.to);
    s.all_from = __reduce_max_sync(0xffffffff, s.all_from), s.all_to = __reduce_min_sync(0xffffffff, s.all_to);
    return s;
}

static __device__ inline Query query_of(const Attention &a, const TileBlock &b, int c, int last)
{
    int r = b.first_row + c / b.heads;
    Query q = {c < b.rows * b.heads ? r : -1, b.first_head + c % b.heads, 0, 0, 0, 1};
    if (q.row >= 0) {
        q.pos = a.positions[r];
        int2 seen = sees_from(a, q.pos, last);
        q.from = seen.x, q.to = seen.y;
    }
    return q;
}

/* Whether no other row of this step is of its sequence, so that all before its position was there before. */
static __device__ inline bool is_alone(const Attention &a, int r)
{
    int seq = a.row_seq[r];
    return (r == 0 || a.row_seq[r - 1] != seq) && (r + 1 == a.rows || a.row_seq[r + 1] != seq);
}

/* False: there is nothing to do. */
static __device__ inline bool begin_block(TileBlock *b, const Attention &a, const TileShape &t)
{
    Query *queries = (Query *)(tile_memory + t.query_at);
    int2 rows = piece_rows(a, a.pieces - 1 - (int)blockIdx.y);      /* those that see most come first */
    int skip = (int)blockIdx.x % a.head_blocks * a.per_block;
    b->kv_head = (int)blockIdx.x / a.head_blocks;
    b->first_head = b->kv_head * a.group + skip;
    b->heads = min(a.per_block, a.group - skip);
    b->first_row = rows.x, b->rows = rows.y, b->part = blockIdx.z;
    if (b->rows == 0)
        return false;
    int last = 0;
    if (a.how.bidirectional)
        last = __reduce_max_sync(0xffffffff, last_position(a, a.row_seq[b->first_row], threadIdx.x % 32, 32));
    for (int c = threadIdx.x; c < t.queries; c += TILE_THREADS)
        queries[c] = query_of(a, *b, c, last);
    __syncthreads();
    Seen seen = seen_by(queries, t.queries);
    int each = ((seen.to - seen.from + a.count - 1) / a.count + t.keys - 1) / t.keys * t.keys;
    b->lo = seen.from + b->part * each;
    b->hi = min(seen.to, b->lo + each);
    b->table = a.tables + a.row_seq[b->first_row] * a.table_step;
    b->shift = __popc(a.tokens) == 1 ? __ffs(a.tokens) - 1 : -1;
    return true;
}

/* ---- tiles ---- */

/* Where the key at a position lies: block, and row of the block. Block -1: it is not there. */
static __device__ inline int2 place_of(const Attention &a, const TileBlock &b, int j)
{
    if (j >= b.hi)
        return make_int2(-1, 0);
    int i = b.shift >= 0 ? j >> b.shift : j / a.tokens;
    return make_int2(b.table[i], b.kv_head * a.tokens + (j - i * a.tokens));
}

/* A row of the cache; a block has less than 4 GB (tiles_fit). */
static __device__ inline const uint8_t *past_row(const Past &past, int2 place, int bytes)
{
    return past.at + (uint64_t)(unsigned)place.x * (unsigned)past.block_bytes + (unsigned)(place.y * past.width * bytes);
}

/* Eight lanes have a key: 128 bytes at a time. */
template <int KEYS>
static __device__ inline void copy_rows(unsigned to, int pitch, const Past &past, int width, const int2 *places)
{
    int lane = threadIdx.x % 8, pieces = (width + STEP - 1) / STEP * 2;
    to += threadIdx.x / 8 * pitch;
#pragma unroll
    for (int n = 0; n < KEYS / TILE_EACH; n++) {
        int2 place = places[threadIdx.x / 8 + n * TILE_EACH];
        bool there = place.x >= 0;
        const uint8_t *from = there ? past_row(past, place, 2) : past.at;
#pragma unroll
        for (int i = lane; i < pieces; i += 8)
            copy_16(to + n * TILE_EACH * pitch + i * 16, from + i * 16, there && i * 8 < width);
    }
}

/* Numbers of 8 bits become F16 on their way, for which the threads wait. */
template <int K, int KEYS>
static __device__ inline void widen_rows(uint8_t *to, int pitch, const Past &past, int width, const int2 *places)
{
    for (int i = threadIdx.x % 8; i < width / STEP; i += 8) {
        uint4 from[KEYS / TILE_EACH];
#pragma unroll
        for (int n = 0; n < KEYS / TILE_EACH; n++) {
            int2 place = places[threadIdx.x / 8 + n * TILE_EACH];
            from[n] = make_uint4(0, 0, 0, 0);
            if (place.x >= 0)
                from[n] = __ldg((const uint4 *)past_row(past, place, 1) + i);
        }
#pragma unroll
        for (int n = 0; n < KEYS / TILE_EACH; n++) {
            uint4 f = from[n], *at = (uint4 *)(to + (threadIdx.x / 8 + n * TILE_EACH) * pitch + i * 32);
            at[0] = make_uint4(widen_pair<K>(f.x), widen_pair<K>(f.x >> 16), widen_pair<K>(f.y), widen_pair<K>(f.y >> 16));
            at[1] = make_uint4(widen_pair<K>(f.z), widen_pair<K>(f.z >> 16), widen_pair<K>(f.w), widen_pair<K>(f.w >> 16));
        }
    }
}

template <int K, int KEYS>
static __device__ inline void load_rows(uint8_t *to, int pitch, const Past &past, int width, const int2 *places)
{
    if constexpr (K == W_F16 || K == W_BF16)
        copy_rows<KEYS>(shared_address(to), pitch, past, width, places);
    else
        widen_rows<K, KEYS>(to, pitch, past, width, places);
}

template <int K, int KEYS, int STAGES>
static __device__ inline void load_tile(const Attention &a, const TileBlock &b, const TileShape &t, int tile)
{
    const int2 *places = (const int2 *)(tile_memory + t.place_at) + tile % STAGES * KEYS;
    uint8_t *to = tile_memory + tile % STAGES * t.stage;
    if (b.lo + tile * KEYS < b.hi) {
        load_rows<K, KEYS>(to, t.key_pitch, a.k, t.key_width, places);
        if (t.value_pitch)
            load_rows<K, KEYS>(to + KEYS * t.key_pitch, t.value_pitch, a.v, t.value_width, places);
    }
    copies_sent();
}

/* The first tiles are on their way. */
template <int K, int KEYS, int STAGES>
static __device__ inline void begin_tiles(const Attention &a, const TileBlock &b, const TileShape &t)
{
    int2 *places = (int2 *)(tile_memory + t.place_at);
    for (int i = threadIdx.x; i < STAGES * KEYS; i += TILE_THREADS)
        places[i] = place_of(a, b, b.lo + i);
    __syncthreads();
    for (int tile = 0; tile < STAGES - 1; tile++)
        load_tile<K, KEYS, STAGES>(a, b, t, tile);
}

/* The tile is there, for all threads; the one that takes the place of the one before it is on its way. */
template <int K, int KEYS, int STAGES>
static __device__ inline void next_tile(const Attention &a, const TileBlock &b, const TileShape &t, int tile)
{
    copies_wait<STAGES - 2>();
    __syncthreads();
    load_tile<K, KEYS, STAGES>(a, b, t, tile + STAGES - 1);
}

/* ---- queries ---- */

static __device__ inline const float *query_values(const Attention &a, const Query &q)
{
    return row(a.q, q.row) + (int64_t)q.head * a.key_width;
}

/* A power of two that brings the largest to about 2^14, where a number of F16 and what it leaves are both exact; its
 * inverse is the query's factor. */
static __device__ inline void fit_f16(const Attention &a, Query *q, float unit)
{
    float largest = 0;
    for (int d = threadIdx.x % 32; d < a.key_width; d += 32)
        largest = fmaxf(largest, fabsf(query_values(a, *q)[d] * unit));
    int exponent = (int)(__reduce_max_sync(0xffffffff, __float_as_uint(largest)) >> 23);
    int up = exponent == 0 || exponent == 255 ? 0 : min(127 + 14 - exponent, 126);
    if (threadIdx.x % 32 == 0)
        q->factor = __uint_as_float((unsigned)(127 - up) << 23);
}

/* Into shared memory, in the order in which threads hold them: [part][step][8 queries][lane] of two pairs. A warp has
 * every fourth query, some at a time, so that it waits for memory once. */
template <int K, int PARTS, int QUERIES>
static __device__ inline void put_queries(const Attention &a, const TileShape &t)
{
    constexpr int EACH = QUERIES / TILE_WARPS, ABREAST = EACH < 8 ? EACH : 8, EIGHTS = QUERIES / 8;
    Query *queries = (Query *)(tile_memory + t.query_at);
    unsigned *to = (unsigned *)(tile_memory + t.parts_at);
    float unit = a.how.softcap > 0 ? a.how.scale / a.how.softcap : a.how.scale * LOG2_E;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (int c = warp; K == W_F16 && c < QUERIES; c += TILE_WARPS)
        if (queries[c].row >= 0)
            fit_f16(a, &queries[c], unit);
    __syncwarp();
    for (int c0 = warp; c0 < QUERIES; c0 += ABREAST * TILE_WARPS)
        for (int d = 2 * lane; d < t.steps * STEP; d += 64) {
            float x[ABREAST][2];
#pragma unroll
            for (int n = 0; n < ABREAST; n++) {
                const Query &q = queries[c0 + n * TILE_WARPS];
                bool in = q.row >= 0 && d < t.key_width;
                float by = K == W_F16 ? unit / q.factor : unit;
                x[n][0] = in ? query_values(a, q)[d] * by : 0;
                x[n][1] = in ? query_values(a, q)[d + 1] * by : 0;
            }
#pragma unroll
            for (int n = 0; n < ABREAST; n++) {
                int c = c0 + n * TILE_WARPS;
                unsigned *at = to + ((d / STEP * EIGHTS + c / 8) * 32 + c % 8 * 4 + d % 8 / 2) * 2 + d % STEP / 8;
#pragma unroll
                for (int part = 0; part < PARTS; part++) {
                    unsigned pair = pair_of<K>(x[n][0], x[n][1]);
                    at[part * t.steps * EIGHTS * 64] = pair;
                    x[n][0] -= first_of<K>(pair), x[n][1] -= second_of<K>(pair);
                }
            }
        }
}
#endif

#endif

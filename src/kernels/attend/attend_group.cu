/* attend_group.cu -- attention of few rows whose heads share keys, on tensor cores: see attend_cores.h.
 *
 * The queries of a block of threads are the heads of a group (and some rows, where a sequence has several), so keys are
 * read once for all of them. The four warps share everything:
 *
 *     scores      a warp has 16 keys of the tile, all queries
 *     softmax     the largest of each query goes round through shared memory; so do the powers
 *     sums        a warp has every fourth 16 columns of the values, all keys of the tile
 *
 * so that wide values fit into registers: a latent of 512 with 16 heads (DeepSeek's, absorbed) as well. The context is
 * split over blocks of threads, and folded by fold_parts(). Floor: each seen key and value once from memory.
 */
#include "kernels/attend/attend_products.h"

enum { KEYS = 16 * TILE_WARPS, STAGES = 2, EIGHTS = 2, WIDTH_MOST = LATENT_VALUE, BLOCKS = 3 };

/* What the warps exchange:  | [part][warp][n][lane] powers | [warp][query] largest scores | */
template <int POWER, int N> static constexpr int own_bytes()
{
    return POWER * TILE_WARPS * N * 32 * (int)sizeof(uint2) + TILE_WARPS * N * 8 * (int)sizeof(float);
}
template <int POWER, int N> static __device__ inline float *exchanged(const TileShape &t)
{
    return (float *)(tile_memory + t.own_at + POWER * TILE_WARPS * N * 32 * sizeof(uint2));
}

/* Each warp tells a number for each query; the largest of them, or their sum. */
template <int N> static __device__ inline void tell(float *all, const float (*mine)[2])
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < N; n++)
        if (lane < 4)
            all[(warp * N + n) * 8 + lane * 2] = mine[n][0], all[(warp * N + n) * 8 + lane * 2 + 1] = mine[n][1];
}
template <int N, bool SUM> static __device__ inline void hear(float (*joined)[2], const float *all)
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const float *at = all + n * 8 + threadIdx.x % 4 * 2 + e;
            float x = at[0];
#pragma unroll
            for (int w = 1; w < TILE_WARPS; w++)
                x = SUM ? x + at[w * N * 8] : fmaxf(x, at[w * N * 8]);
            joined[n][e] = x;
        }
}

/* A warp's powers, which all warps multiply values by. */
template <int POWER, int N>
static __device__ inline void share_powers(uint2 (*p)[TILE_WARPS][N], const uint2 (*mine)[1][N], const TileShape &t)
{
    uint2 *all = (uint2 *)(tile_memory + t.own_at) + threadIdx.x % 32;
#pragma unroll
    for (int part = 0; part < POWER; part++)
#pragma unroll
        for (int n = 0; n < N; n++)
            all[((part * TILE_WARPS + threadIdx.x / 32) * N + n) * 32] = mine[part][0][n];
    __syncthreads();
#pragma unroll
    for (int part = 0; part < POWER; part++)
#pragma unroll
        for (int w = 0; w < TILE_WARPS; w++)
#pragma unroll
            for (int n = 0; n < N; n++)
                p[part][w][n] = all[((part * TILE_WARPS + w) * N + n) * 32];
}

/* Whether the first tile was there before this step. */
template <int K> static __device__ inline bool is_older(const Attention &a, const TileBlock &b)
{
    return (K == W_F16 || K == W_BF16) && is_alone(a, b.first_row) && b.lo + KEYS <= a.positions[b.first_row];
}

/* W: tile_shape(). */
template <int K, bool EXACT, int N, int W>
static __global__ void __launch_bounds__(TILE_THREADS, 2) group(const __grid_constant__ Attention a)
{
    previous_later();
    constexpr int PAIR = Split<K, EXACT>::pair, QUERY = Split<K, EXACT>::query, POWER = Split<K, EXACT>::power;
    constexpr int MT = (W == LATENT || W == 0 ? (int)WIDTH_MOST : W) / 16 / TILE_WARPS;
    const TileShape t = tile_shape<W>(a, KEYS, STAGES, N * 8, QUERY);
    int warp = threadIdx.x / 32;
    TileBlock b;
    bool some = begin_block(&b, a, t), early = some && is_older<K>(a, b);
    if (early)
        begin_tiles<K, KEYS, STAGES>(a, b, t);
    previous_ended();
    if (!some)
        return;
    if (!early)
        begin_tiles<K, KEYS, STAGES>(a, b, t);
    put_queries<PAIR, QUERY, N * 8>(a, t);
    const Query *queries = (const Query *)(tile_memory + t.query_at);
    float *told = exchanged<POWER, N>(t), sums[MT][N][4] = {};
    Seen seen = seen_by(queries, N * 8);
    Softmax<N> f;
    begin_softmax(&f);
    for (int tile = 0, j0 = b.lo; j0 < b.hi; tile++, j0 += KEYS) {
        float s[1][N][4], largest[N][2];
        uint2 mine[POWER][1][N], p[POWER][TILE_WARPS][N];
        next_tile<K, KEYS, STAGES>(a, b, t, tile);
        int2 place = place_of(a, b, b.lo + (tile + STAGES) * KEYS + threadIdx.x % KEYS);
        unsigned keys = shared_address(tile_memory) + tile % STAGES * t.stage;
        score_keys<PAIR, QUERY, 1, N, W == 64 || W == 128 ? 8 : 4>(s, t, keys + warp * 16 * t.key_pitch, 0);
        bool all = j0 >= seen.all_from && j0 + KEYS <= min(seen.all_to, b.hi);
        bend_scores<PAIR, EXACT, 1, N>(s, a, queries, j0 + warp * 16, b.hi, all);
        largest_scores<1, N>(largest, s);
        tell<N>(told, largest);
        __syncthreads();
        hear<N, false>(largest, told);
        soften<1, N>(s, &f, largest);
        split_powers<PAIR, POWER, 1, N>(mine, s);
        share_powers<POWER, N>(p, mine, t);
        int pitch = t.value_pitch ? t.value_pitch : t.key_pitch;
        unsigned values = values_at(t.value_pitch ? keys + KEYS * t.key_pitch : keys, pitch);
#pragma unroll
        for (int mt = 0; mt < MT; mt++)
            if ((mt * TILE_WARPS + warp) * 16 < t.value_width)
                sum_values<PAIR, POWER, TILE_WARPS, N>(sums[mt], f, values + (mt * TILE_WARPS + warp) * 32, pitch, p);
        if (threadIdx.x < KEYS)
            ((int2 *)(tile_memory + t.place_at))[tile % STAGES * KEYS + threadIdx.x] = place;
    }
    join_totals(&f);
    tell<N>(told, f.total);
    __syncthreads();
    hear<N, true>(f.total, told);
    write_columns<MT, N>(a, t, queries, f, sums, warp * 16, 16 * TILE_WARPS);
}

/* ---- choosing ---- */

static bool is_known(const Attention *a) { return known_width(a, 64) || known_width(a, 128); }

/* Wider heads are few, and a latent has many: eight queries are not worth a kernel there. */
static int queries(const Attention *a) { return attend_together(a) <= 8 && is_known(a) ? 8 : 8 * EIGHTS; }

static TileShape shape(const Attention *a)
{
    TileShape t = tile_shape<0>(*a, KEYS, STAGES, queries(a), query_parts(a));
    bool few = queries(a) == 8;
    if (is_exact(a))
        t.bytes += few ? own_bytes<2, 1>() : own_bytes<2, EIGHTS>();
    else
        t.bytes += few ? own_bytes<1, 1>() : own_bytes<1, EIGHTS>();
    return t;
}

/* Do so many blocks of threads at a time fill their waves? */
static bool fills(int64_t blocks, int64_t at_a_time, double share)
{
    return (double)blocks >= share * (double)((blocks + at_a_time - 1) / at_a_time * at_a_time);
}

/* Of a multiprocessor: as many as fit, or one less, where so many leave a wave half empty and fewer do not. */
static int resident(const Attention *a)
{
    int multiprocessors = multiprocessors_here(), most = tiles_resident(shape(a), BLOCKS);
    int64_t blocks = (int64_t)a->pieces * a->kv_heads * a->head_blocks;
    bool fewer = most > 2 && !fills(blocks, (int64_t)most * multiprocessors, 0.75) &&
                 blocks > (int64_t)most * multiprocessors && fills(blocks, (int64_t)(most - 1) * multiprocessors, 0.9);
    return fewer ? most - 1 : most;
}

/* With more shared memory than they need, so that no more than these fit. */
static TileShape launch_shape(const Attention *a)
{
    TileShape t = shape(a);
    int most = tiles_resident(t, BLOCKS), n = resident(a);
    t.bytes = n < most ? tiles_bytes(n) : t.bytes;
    return t;
}

static bool takes(const Attention *a)
{
    bool alone = attend_together(a) == 1 && attend_few.takes(a);     /* it reads as fast, without copies */
    return !alone && a->value_width <= WIDTH_MOST && tiles_fit(a, shape(a));
}

template <int K, bool EXACT, int N> static void launch_known(const Attention *a, const CudaRun *g)
{
    if (a->key_width == 64)
        tile_launch(group<K, EXACT, N, 64>, *a, launch_shape(a), g);
    else
        tile_launch(group<K, EXACT, N, 128>, *a, launch_shape(a), g);
}

template <int K, bool EXACT> static void launch(const Attention *a, const CudaRun *g)
{
    if (queries(a) == 8)
        launch_known<K, EXACT, 1>(a, g);
    else if (is_known(a))
        launch_known<K, EXACT, EIGHTS>(a, g);
    else if (known_width(a, LATENT))
        tile_launch(group<K, EXACT, EIGHTS, LATENT>, *a, launch_shape(a), g);
    else
        tile_launch(group<K, EXACT, EIGHTS, 0>, *a, launch_shape(a), g);
}

static void run(const Attention *a, const CudaRun *g)
{
    switch (a->kind) {
    case W_F16: a->exact ? launch<W_F16, true>(a, g) : launch<W_F16, false>(a, g); break;
    case W_BF16: a->exact ? launch<W_BF16, true>(a, g) : launch<W_BF16, false>(a, g); break;
    case W_E4M3: launch<W_E4M3, true>(a, g); break;
    case W_E5M2: launch<W_E5M2, true>(a, g); break;
    default: break;
    }
}

const AttendWay attend_group = {takes, queries, resident, true, 8 * EIGHTS, BLOCKS, PART_COST, 4, run};

/* attend_prompt.cu -- attention of many rows that follow each other, on tensor cores: see attend_tiles.h.
 *
 * Each of the four warps has queries of its own, and all keys: N times 8 queries, whose sums stay in its registers. The
 * warps share the tiles. Under a causal mask a warp leaves out the tiles that none of its queries sees.
 * Operations: as attend.h has them, times 2.5 where queries are three numbers of BF16 and powers two; this is what
 * holds it up, as a tile of keys is read once for 64 or 128 queries, mostly from the L2 cache.
 */
#include "kernels/attend/attend_tiles.h"

enum { STAGES = 2, BLOCKS_OF_A_MULTIPROCESSOR = 2, QUERIES_LEAST = 33, WIDTH_MOST = 256 };

/* MT: 16 columns of values each. More queries at once than registers hold would be slower. */
template <bool EXACT, int MT> struct PromptShape {
    static constexpr int n = EXACT || MT > 8 ? 2 : 4, keys = 32, queries = TILE_WARPS * n * 8;
};

template <int K, bool EXACT, int MT>
static __global__ void __launch_bounds__(TILE_THREADS, BLOCKS_OF_A_MULTIPROCESSOR) prompt(const __grid_constant__ Attention a)
{
    previous();
    constexpr int N = PromptShape<EXACT, MT>::n, KEYS = PromptShape<EXACT, MT>::keys, M = KEYS / 16;
    constexpr int QUERY = Split<K, EXACT>::query, POWER = Split<K, EXACT>::power;
    const TileShape t = tile_shape(a, KEYS, STAGES, PromptShape<EXACT, MT>::queries, QUERY);
    TileBlock b;
    if (!begin_block(&b, a, t))
        return;
    begin_tiles<KEYS, STAGES>(a, b, t);
    put_queries<K, QUERY>(a, t);
    int first = threadIdx.x / 32 * N * 8;
    const Query *queries = (const Query *)(tile_memory + t.query_at) + first;
    Seen seen = seen_by(queries, N * 8);
    Softmax<N> f;
    float sums[MT][N][4] = {};
    begin_softmax(&f);
    for (int tile = 0, j0 = b.lo; j0 < b.hi; tile++, j0 += KEYS) {
        next_tile<KEYS, STAGES>(a, b, t, tile);
        int2 place = place_of(a, b, b.lo + (tile + STAGES) * KEYS + threadIdx.x % KEYS);
        unsigned keys = shared_address(tile_memory) + tile % STAGES * t.stage;
        if (j0 < seen.to && j0 + KEYS > seen.from) {
            float s[M][N][4], largest[N][2];
            uint2 p[POWER][M][N];
            score_keys<K, QUERY, M, N>(s, t, keys, first / 8);
            bool all = j0 >= seen.all_from && j0 + KEYS <= min(seen.all_to, b.hi);
            bend_scores<K, EXACT, M, N>(s, a, queries, j0, b.hi, all);
            largest_scores<M, N>(largest, s);
            soften<M, N>(s, &f, largest);
            split_powers<K, POWER, M, N>(p, s);
            int pitch = t.value_pitch ? t.value_pitch : t.key_pitch;
            unsigned values = values_at(t.value_pitch ? keys + KEYS * t.key_pitch : keys, pitch);
#pragma unroll
            for (int mt = 0; mt < MT; mt++)
                if (mt * 16 < a.value_width)
                    sum_values<K, POWER, M, N>(sums[mt], f, values + mt * 32, pitch, p);
        }
        if (threadIdx.x < KEYS)
            ((int2 *)(tile_memory + t.place_at))[tile % STAGES * KEYS + threadIdx.x] = place;
    }
    join_totals(&f);
    write_columns<MT, N>(a, queries, f, sums, 0, 16);
}

template <int K, bool EXACT, int MT> static void launch(const Attention *a, const CudaRun *g)
{
    TileShape t = tile_shape(*a, PromptShape<EXACT, MT>::keys, STAGES, PromptShape<EXACT, MT>::queries, Split<K, EXACT>::query);
    tile_launch(prompt<K, EXACT, MT>, *a, t, g);
}

template <int K, bool EXACT> static void launch_width(const Attention *a, const CudaRun *g)
{
    if (a->value_width <= 64)
        launch<K, EXACT, 4>(a, g);
    else if (a->value_width <= 128)
        launch<K, EXACT, 8>(a, g);
    else
        launch<K, EXACT, 16>(a, g);
}

static int queries(const Attention *a, const CudaRun *g)
{
    return g->exact || a->value_width > 128 ? PromptShape<true, 8>::queries : PromptShape<false, 8>::queries;
}

static bool takes(const Attention *a, WeightKind kind, const CudaRun *g)
{
    int parts = !g->exact ? 1 : kind == W_BF16 ? 3 : 2;
    return attend_together(a) >= QUERIES_LEAST && a->key_width <= WIDTH_MOST && a->value_width <= WIDTH_MOST &&
           tiles_fit(a, kind, tile_shape(*a, PromptShape<true, 8>::keys, STAGES, queries(a, g), parts));
}

static void run(const Attention *a, WeightKind kind, const CudaRun *g)
{
    if (kind == W_F16)
        g->exact ? launch_width<W_F16, true>(a, g) : launch_width<W_F16, false>(a, g);
    else
        g->exact ? launch_width<W_BF16, true>(a, g) : launch_width<W_BF16, false>(a, g);
}

const AttendWay attend_prompt = {takes, queries, true, PromptShape<false, 8>::queries, 4, run};

/* attend_prompt.cu -- attention of many rows that follow each other, on tensor cores: see attend_cores.h.
 *
 * Each of the four warps has queries of its own, 16 or 32, and all keys; their sums stay in its registers. The warps share
 * the tiles. Under a causal mask a warp leaves out the tiles that none of its queries sees.
 * Operations: as attend.h has them, times 2.5 where queries are three numbers of BF16 and powers two; this is what
 * holds it up, as a tile of keys is read once for 64 or 128 queries, mostly from the L2 cache.
 */
#include "kernels/attend/attend_products.h"

enum { STAGES = 2, BLOCKS = 2, QUERIES_LEAST = 33, WIDTH_MOST = 256 };      /* BLOCKS: of a multiprocessor, for registers */

/* W: tile_shape(). More queries at once than registers hold would be slower. */
template <bool EXACT, int W> struct PromptShape {
    static constexpr bool many = !EXACT && W > 0;
    static constexpr int n = many ? 4 : 2, keys = many ? 64 : 32, queries = TILE_WARPS * n * 8;
    static constexpr int columns = (W ? W : WIDTH_MOST) / 16;
};

template <int K, bool EXACT, int W>
static __global__ void __launch_bounds__(TILE_THREADS, BLOCKS) prompt(const __grid_constant__ Attention a)
{
    previous();
    using Shape = PromptShape<EXACT, W>;
    constexpr int N = Shape::n, KEYS = Shape::keys, M = KEYS / 16, MT = Shape::columns;
    constexpr int PAIR = Split<K, EXACT>::pair, QUERY = Split<K, EXACT>::query, POWER = Split<K, EXACT>::power;
    const TileShape t = tile_shape<W>(a, KEYS, STAGES, Shape::queries, QUERY);
    TileBlock b;
    if (!begin_block(&b, a, t))
        return;
    begin_tiles<K, KEYS, STAGES>(a, b, t);
    put_queries<PAIR, QUERY, Shape::queries>(a, t);
    int first = threadIdx.x / 32 * N * 8;
    const Query *queries = (const Query *)(tile_memory + t.query_at) + first;
    Seen seen = seen_by(queries, N * 8);
    Softmax<N> f;
    float sums[MT][N][4] = {};
    begin_softmax(&f);
    for (int tile = 0, j0 = b.lo; j0 < b.hi; tile++, j0 += KEYS) {
        next_tile<K, KEYS, STAGES>(a, b, t, tile);
        int2 place = place_of(a, b, b.lo + (tile + STAGES) * KEYS + threadIdx.x % KEYS);
        unsigned keys = shared_address(tile_memory) + tile % STAGES * t.stage;
        if (j0 < seen.to && j0 + KEYS > seen.from) {
            float s[M][N][4], largest[N][2];
            uint2 p[POWER][M][N];
            score_keys<PAIR, QUERY, M, N, W ? 8 : 4>(s, t, keys, first / 8);
            bool all = j0 >= seen.all_from && j0 + KEYS <= min(seen.all_to, b.hi);
            bend_scores<PAIR, EXACT, M, N>(s, a, queries, j0, b.hi, all);
            largest_scores<M, N>(largest, s);
            soften<M, N>(s, &f, largest);
            split_powers<PAIR, POWER, M, N>(p, s);
            int pitch = t.value_pitch ? t.value_pitch : t.key_pitch;
            unsigned values = values_at(t.value_pitch ? keys + KEYS * t.key_pitch : keys, pitch);
#pragma unroll
            for (int mt = 0; mt < MT; mt++)
                if (mt * 16 < t.value_width)
                    sum_values<PAIR, POWER, M, N>(sums[mt], f, values + mt * 32, pitch, p);
        }
        if (threadIdx.x < KEYS)
            ((int2 *)(tile_memory + t.place_at))[tile % STAGES * KEYS + threadIdx.x] = place;
    }
    join_totals(&f);
    write_columns<MT, N>(a, t, queries, f, sums, 0, 16);
}

/* ---- choosing ---- */

static bool is_known(const Attention *a) { return known_width(a, 64) || known_width(a, 128); }

static int queries(const Attention *a)
{
    return is_exact(a) || !is_known(a) ? PromptShape<true, 0>::queries : PromptShape<false, 128>::queries;
}

static TileShape shape(const Attention *a)
{
    bool many = queries(a) > PromptShape<true, 0>::queries;
    int keys = many ? PromptShape<false, 128>::keys : PromptShape<true, 0>::keys;
    return tile_shape<0>(*a, keys, STAGES, queries(a), query_parts(a));
}

static int resident(const Attention *a) { return tiles_resident(shape(a), BLOCKS); }

static bool takes(const Attention *a)
{
    return attend_together(a) >= QUERIES_LEAST && a->key_width <= WIDTH_MOST && a->value_width <= WIDTH_MOST &&
           tiles_fit(a, shape(a));
}

template <int K, bool EXACT> static void launch(const Attention *a, const CudaRun *g)
{
    if (known_width(a, 64))
        tile_launch(prompt<K, EXACT, 64>, *a, shape(a), g);
    else if (known_width(a, 128))
        tile_launch(prompt<K, EXACT, 128>, *a, shape(a), g);
    else
        tile_launch(prompt<K, EXACT, 0>, *a, shape(a), g);
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

const AttendWay attend_prompt = {takes, queries, resident, true, PromptShape<false, 128>::queries, BLOCKS, PART_COST, 1, run};

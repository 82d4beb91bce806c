/* attend_near.h -- a stretch of attention whose factors are rounded to bf16: for who asked for it (--products bf16), by the
 * processor's tiles (tier amx). For attend_cpu.c.
 *
 * What limits many queries that share keys is f32: 2 products a cycle and lane, and keys that have to be turned. Tiles take
 * 16 x 16 x 32 products in 16 cycles, and want one factor as it lies and the other in pairs:
 *
 *     scores   keys [16 keys][32 d] as they lie,  queries [32 d in pairs][16 queries]   ->  [16 keys][16 queries], turned then
 *     sums     p [16 queries][32 positions],      values [32 positions in pairs][16 columns]  ->  [16 queries][16 columns]
 *
 * so keys in BF16 come from the cache without any work, queries are put in pairs once for an item, and values two rows at a
 * time. The softmax is that of attend_cpu.c, in F32. Values of a latent are made of its keys in bf16.
 *
 * A row of a tile is computed alone, so its bits depend neither on which queries share it nor on how many. A position that a
 * query does not see counts as p = 0 there: its value must be finite, as all that this program writes are that the model's
 * own numbers did not overflow in.
 */
#ifndef KERNELS_ATTEND_ATTEND_NEAR_H
#define KERNELS_ATTEND_ATTEND_NEAR_H

#include "kernels/attend/attend_tile.h"

#if defined(TIER_amx)

#include "formats/kept_bf16.h"
#include "kernels/kit/amx_tiles.h"

enum {
    NEAR_STEP = KEPT_BF16_STEP, NEAR_CHUNKS = WIDTH_MAX / NEAR_STEP, NEAR_TILE = 1024,
    NEAR_ROW = QUERIES + LANES,  /* pairs; an odd number of lines. A tile may go beyond the last query */
    NEAR_COLUMNS = 4 * LANES,    /* of the sums, at once: four tiles */
    PLACE_ROWS = 8, SOFTENED = 2,      /* lines are asked for after 32 values of so many rows, the softmax of so many queries */
};

typedef struct NearMemory {
    _Alignas(CACHE_LINE) uint32_t q[WIDTH_MAX / 2][NEAR_ROW];      /* of all queries of the item */
    uint8_t keys[GROUPS][NEAR_CHUNKS][LANES][CACHE_LINE];
    uint8_t values[4][2][LANES][CACHE_LINE];                       /* columns by 16, positions by 32, pairs */
    uint8_t p[QUERIES][2][CACHE_LINE];
    float scores[STRETCH][LANES], sums[LANES][NEAR_COLUMNS];
} NearMemory;

/* So many queries share a kv head that single rows lose nothing worth speaking of. Rows do not count: theirs are the same bits
 * alone and in a prompt. */
INLINE bool near_takes(const AttendCall *a)
{
    return a->group >= (kept_bf16_quick(kept_kind(a->k.format)) ? 4 : 8);
}
INLINE void near_begin(void) { tiles_configure_whole(); }
INLINE void near_end(void) { tiles_end(); }

/* Of all queries of an item. */
static void near_queries(NearMemory *m, const Query *query, int n, int key_width)
{
    for (int i = 0; i < n; i += LANES)
        for (int d = 0; d < key_width; d += NEAR_STEP) {
            Vf pairs[LANES];
            for (int r = 0; r < LANES; r++) {
                const float *q = query[i + r < n ? i + r : i].q + d;
                pairs[r] = vf_of_bits(bf16_of_two(vf_load(q), vf_load(q + LANES)));
            }
            vf_transpose(pairs);
            for (int r = 0; r < LANES; r++)
                vi_store(&m->q[d / 2 + r][i], vf_bits(pairs[r]));
        }
}

/* How often lines are asked for; also after each multiplication of tiles. */
INLINE int64_t near_places(KeptKind kind, int n, int key_width, int value_width)
{
    int64_t tiles = ceil_div(n, LANES), chunks = ceil_div(key_width, NEAR_STEP), columns = ceil_div(value_width, NEAR_STEP);
    int64_t keys = (kind == KEPT_BF16 ? 0 : STRETCH / PLACE_ROWS) + GROUPS * tiles, values = STRETCH / PLACE_ROWS + 4 * tiles;
    return keys * chunks + values * columns + n / SOFTENED * 2;
}

/* Keys */

/* What is left of a row, and zeros: 32 values. */
INLINE const uint8_t *near_whole(KeptKind kind, const uint8_t *p, int left, uint8_t *room)
{
    memset(room, 0, NEAR_STEP * sizeof(float));
    return memcpy(room, p, (size_t)(left * kept_bytes(kind)));
}

INLINE void near_expand_keys(KeptKind kind, const Bench *b, const uint8_t *keys, uint8_t (*to)[LANES][CACHE_LINE])
{
    uint8_t room[2][NEAR_STEP * sizeof(float)];
    for (int d = 0; d < b->key_width; d += NEAR_STEP) {
        const uint8_t *at = keys + kept_block_offset(kind, d);
        uint8_t *out = to[d / NEAR_STEP][0];
        int left = b->key_width - d;
        for (int r = 0; r < LANES; r += PLACE_ROWS) {
            UNROLL for (int i = 0; i < PLACE_ROWS; i += 2, at += 2 * b->key_bytes, out += 2 * CACHE_LINE) {
                const uint8_t *first = at, *second = at + b->key_bytes;
                Vi two[2];
                if (left < NEAR_STEP) {
                    first = near_whole(kind, first, left, room[0]);
                    second = near_whole(kind, second, left, room[1]);
                }
                kept_bf16_rows(kind, two, first, second);
                vi_store(out, two[0]);
                vi_store(out + CACHE_LINE, two[1]);
            }
            fetch_some(b->next);
        }
    }
}

/* 16 keys as tiles of 32 d. */
typedef struct NearKeys {
    const uint8_t *at;
    int64_t row, chunk;          /* bytes from one key to the next, and from 32 d to the next */
} NearKeys;

INLINE NearKeys near_keys(KeptKind kind, const Bench *b, NearMemory *m, int group)
{
    const uint8_t *at = keys_in_a_piece(b, group * LANES, 0);
    if (kind == KEPT_BF16 && b->key_width % NEAR_STEP == 0 && at != b->memory->copies[0])
        return (NearKeys){at, (int64_t)b->key_bytes, CACHE_LINE};
    near_expand_keys(kind, b, at, m->keys[group]);
    return (NearKeys){m->keys[group][0][0], CACHE_LINE, NEAR_TILE};
}

/* All keys of the stretch, 16 queries of the item from `first` on. */
static void near_multiply_keys(const NearKeys *k, NearMemory *m, int first, int chunks, Fetch *f)
{
    const uint8_t *q = (const uint8_t *)&m->q[0][first];
    enum { ROW = NEAR_ROW * sizeof(uint32_t) };
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    for (int c = 0; c < chunks; c++, q += LANES * ROW) {
        TILE_LOAD(4, q, ROW);
        TILE_LOAD(5, k[0].at + c * k[0].chunk, k[0].row);
        TILE_MULTIPLY_BF16(0, 5, 4);
        fetch_some(f);
        TILE_LOAD(6, k[1].at + c * k[1].chunk, k[1].row);
        TILE_MULTIPLY_BF16(1, 6, 4);
        fetch_some(f);
        TILE_LOAD(7, k[2].at + c * k[2].chunk, k[2].row);
        TILE_MULTIPLY_BF16(2, 7, 4);
        fetch_some(f);
        TILE_LOAD(5, k[3].at + c * k[3].chunk, k[3].row);
        TILE_MULTIPLY_BF16(3, 5, 4);
        fetch_some(f);
    }
    TILE_STORE(m->scores[0], 0, CACHE_LINE);
    TILE_STORE(m->scores[LANES], 1, CACHE_LINE);
    TILE_STORE(m->scores[2 * LANES], 2, CACHE_LINE);
    TILE_STORE(m->scores[3 * LANES], 3, CACHE_LINE);
}

static void near_turn_scores(const NearMemory *m, Query *query, int n)
{
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < n; i += 8) {
            Vf scores[8];
            vf_turn_8(scores, &m->scores[g * LANES][i], sizeof m->scores[0]);
            for (int r = 0; r < 8 && i + r < n; r++)
                vf_store(query[i + r].p + g * LANES, scores[r]);
        }
}

/* first: which query of the item b->query is. */
INLINE void near_score_as(KeptKind kind, const Bench *b, NearMemory *m, int first)
{
    NearKeys keys[GROUPS];
    int from = b->stretch->lo / LANES, to = (b->stretch->hi - 1) / LANES + 1;
    for (int g = from; g < to; g++)
        keys[g] = near_keys(kind, b, m, g);
    for (int g = 0; g < GROUPS; g++)      /* what nobody sees is anything */
        keys[g] = g < from || g >= to ? keys[from] : keys[g];
    for (int i = 0; i < b->n; i += LANES) {
        near_multiply_keys(keys, m, first + i, (int)ceil_div(b->key_width, NEAR_STEP), b->next);
        near_turn_scores(m, b->query + i, b->n - i < LANES ? b->n - i : LANES);
    }
}

/* Values */

static const _Alignas(CACHE_LINE) uint8_t near_nothing[NEAR_CHUNKS * NEAR_TILE];      /* as far as any row reaches */

/* Where the values of each position lie; those that nobody sees, which may be anything, are zeros. step: bytes from 32 values
 * to the next ones. */
typedef struct NearRows {
    const uint8_t *at[STRETCH];
    int step;
} NearRows;

INLINE void near_find_rows(KeptKind kind, const Bench *b, NearRows *out)
{
    const Stretch *s = b->stretch;
    out->step = kept_block_offset(kind, NEAR_STEP);
    for (int j = 0; j < STRETCH && s->hi - s->lo < STRETCH; j++)
        out->at[j] = near_nothing;
    for (const Run *run = s->runs; run < s->runs + s->n_runs; run++)
        for (int j = run->from > s->lo ? run->from : s->lo; j < run->to && j < s->hi; j++)
            out->at[j] = run->values + (size_t)(j - run->from) * b->value_bytes;
}

/* Of a latent whose keys have become bf16. */
INLINE void near_find_latent(const Bench *b, const NearMemory *m, NearRows *out)
{
    out->step = NEAR_TILE;
    for (int j = 0; j < STRETCH; j++)
        out->at[j] = j < b->stretch->lo || j >= b->stretch->hi ? near_nothing : m->keys[j / LANES][0][j % LANES];
}

/* 32 columns. */
INLINE void near_expand_values(KeptKind kind, const Bench *b, const NearRows *rows, int column, uint8_t *out)
{
    uint8_t room[2][NEAR_STEP * sizeof(float)];
    int left = b->value_width - column;
    int64_t at = (int64_t)column / NEAR_STEP * rows->step;
    for (int j = 0; j < STRETCH; j += PLACE_ROWS) {
        UNROLL for (int i = 0; i < PLACE_ROWS; i += 2, out += CACHE_LINE) {
            const uint8_t *first = rows->at[j + i] + at, *second = rows->at[j + i + 1] + at;
            Vi pairs[2];
            if (left < NEAR_STEP) {
                first = near_whole(kind, first, left, room[0]);
                second = near_whole(kind, second, left, room[1]);
            }
            kept_bf16_pairs(kind, pairs, first, second);
            vi_store(out, pairs[0]);
            vi_store(out + 2 * NEAR_TILE, pairs[1]);
        }
        fetch_some(b->next);
    }
}

#define NEAR_ADD(sum, tile)                                                                                            \
    do {                                                                                                               \
        TILE_ZERO(sum);                                                                                                \
        TILE_LOAD(6, m->values[tile][0], CACHE_LINE);                                                                  \
        TILE_MULTIPLY_BF16(sum, 4, 6);                                                                                 \
        fetch_some(f);                                                                                                 \
        TILE_LOAD(7, m->values[tile][1], CACHE_LINE);                                                                  \
        TILE_MULTIPLY_BF16(sum, 5, 7);                                                                                 \
        fetch_some(f);                                                                                                 \
        TILE_STORE(m->sums[0] + (tile) * LANES, sum, sizeof m->sums[0]);                                               \
    } while (0)

INLINE void near_add_columns(NearMemory *m, Fetch *f, Query *query, int i, int n, int column, int columns)
{
    TILE_LOAD(4, m->p[i][0], sizeof m->p[0]);
    TILE_LOAD(5, m->p[i][1], sizeof m->p[0]);
    NEAR_ADD(0, 0);
    NEAR_ADD(1, 1);
    if (columns > 2 * LANES) {
        NEAR_ADD(2, 2);
        NEAR_ADD(3, 3);
    }
    for (int r = 0; r < n; r++) {
        float *to = query[i + r].sums + column;
        for (int c = 0; c < columns; c += LANES)
            vf_store(to + c, vf_fma(vf_load(to + c), vf_all(query[i + r].shrink), vf_load(m->sums[r] + c)));
    }
}

INLINE void near_add_as(KeptKind kind, const Bench *b, NearMemory *m, const NearRows *rows)
{
    for (int i = 0; i < b->n; i++)
        for (int half = 0; half < 2; half++) {
            const float *p = b->query[i].p + half * NEAR_STEP;
            vi_store(m->p[i][half], bf16_of_two(vf_load(p), vf_load(p + LANES)));
        }
    for (int column = 0; column < b->value_width; column += NEAR_COLUMNS) {
        int columns = b->value_width - column > 2 * LANES ? 4 * LANES : 2 * LANES;
        for (int c = 0; c < columns && column + c < b->value_width; c += NEAR_STEP)
            near_expand_values(kind, b, rows, column + c, m->values[c / LANES][0][0]);
        for (int i = 0; i < b->n; i += LANES)
            near_add_columns(m, b->next, b->query, i, b->n - i < LANES ? b->n - i : LANES, column, columns);
    }
}

INLINE void near_add_from(KeptKind kind, const Bench *b, NearMemory *m)
{
    NearRows rows;
    if (kind != KEPT_BF16 && b->stretch->runs[0].keys == b->stretch->runs[0].values) {
        near_find_latent(b, m, &rows);
        near_add_as(KEPT_BF16, b, m, &rows);
    } else {
        near_find_rows(kind, b, &rows);
        near_add_as(kind, b, m, &rows);
    }
}

static void near_score(const Bench *b, NearMemory *m, KeptKind kind, int first)
{
#define SCORE(kind) case kind: near_score_as(kind, b, m, first); break;
    switch (kind) {
        EACH_KEPT(SCORE)
    case KEPT_OTHER: ASSERT(false);
    }
#undef SCORE
}

static void near_add(const Bench *b, NearMemory *m, KeptKind kind)
{
#define ADD(kind) case kind: near_add_from(kind, b, m); break;
    switch (kind) {
        EACH_KEPT(ADD)
    case KEPT_OTHER: ASSERT(false);
    }
#undef ADD
}

#else

/* Other tiers multiply exactly. */
typedef struct NearMemory { char nothing; } NearMemory;
INLINE bool near_takes(const AttendCall *a) { (void)a; return false; }
INLINE void near_begin(void) {}
INLINE void near_end(void) {}
INLINE void near_queries(NearMemory *m, const Query *q, int n, int w) { (void)m; (void)q; (void)n; (void)w; }
INLINE int64_t near_places(KeptKind kind, int n, int k, int v) { (void)kind; (void)n; (void)k; (void)v; return 1; }
enum { SOFTENED = 1 };
INLINE void near_score(const Bench *b, NearMemory *m, KeptKind kind, int first) { (void)b; (void)m; (void)kind; (void)first; }
INLINE void near_add(const Bench *b, NearMemory *m, KeptKind kind) { (void)b; (void)m; (void)kind; }

#endif
#endif

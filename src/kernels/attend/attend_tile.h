/* attend_tile.h -- a few queries (rows x heads that share a kv head) against a tile of keys and values (for attend_cpu.c).
 *
 *     keys     [TILE / 16][key width][16]    turned, so that 16 keys share a vector:  s += q[d] * keys[d]
 *     values   where they lie in the cache:                                           y += p[j] * values[j]
 *
 * Both stay in the format of the cache, which is less to move than F32, and become F32 as they meet ABREAST
 * queries. Where many queries follow each other they are widened once for all. Either way a product is of
 * the same numbers, in the same order.
 *
 * The next tile is fetched meanwhile, a line now and then: its blocks lie here and there, where the processor does
 * not see a stream by itself, and a core stops where it asks for more lines than it has places for.
 */
#ifndef KERNELS_ATTEND_ATTEND_TILE_H
#define KERNELS_ATTEND_ATTEND_TILE_H

#include "formats/kept_rows.h"
#include "kernels/attend/attend.h"
#include "kernels/kit/transpose.h"

enum {
    TILE = 2 * LANES, TILE_BITS = 5,
    QUERIES = 64,
    WIDTH_MAX = 576,             /* of a key or value: the latent of DeepSeek; a multiple of COLUMNS */
    CACHE_LINE = 64,
#if defined(TIER_avx512)
    ABREAST = 8, ACROSS = 2,     /* queries and vectors whose products' sums fit into registers together */
#else
    ABREAST = 4, ACROSS = 1,
#endif
    COLUMNS = ACROSS * LANES,    /* values of the output that are summed at once */
    WIDEN_FROM = 3 * ABREAST,    /* queries */
};

/* Sums that still need each other: relative to e^most. */
typedef struct Softmax { float most, total; } Softmax;

typedef struct Query {
    int32_t row, head;
    Sees sees;
    int lo, hi;                  /* what it sees of the present tile */
    float most, shrink;          /* of the segment: largest score; what a larger one does to the sums */
    _Alignas(CACHE_LINE) float total[LANES];
    float q[WIDTH_MAX], p[TILE], sums[WIDTH_MAX];
    Softmax folded;              /* of the segments before; the sums are in y */
} Query;

typedef struct Tile {
    int32_t start;
    int lo, hi;                  /* keys [lo, hi) are seen by someone; the others may not exist */
    const uint8_t *rows[2 * TILE];       /* of keys, then of values */
} Tile;

typedef struct TileMemory {
    _Alignas(CACHE_LINE) uint8_t turned[WIDTH_MAX * TILE * sizeof(float)];
    float scales[TILE / LANES][WIDTH_MAX / KEPT_BLOCK][LANES];     /* of turned blocks */
    _Alignas(CACHE_LINE) float keys[WIDTH_MAX * TILE], values[TILE][WIDTH_MAX];
} TileMemory;

/* The lines of the next tile that are not asked for yet, row by row. */
typedef struct Fetch {
    const uint8_t *const *row, *const *end;
    int line, bytes;             /* in the row; of a row */
} Fetch;

INLINE void fetch(Fetch *f)
{
    if (f->row == f->end)
        return;
    prefetch(*f->row + f->line);
    f->line += CACHE_LINE;
    if (f->line >= f->bytes) {
        f->line = 0;
        f->row++;
    }
}

INLINE void fetch_some(Fetch *f, int n)
{
    for (int i = 0; i < n; i++)
        fetch(f);
}

/* What works on a tile. */
typedef struct Bench {
    TileMemory *memory;
    const Tile *tile;
    Fetch *next;
    Query *query;
    int n, key_width, value_width;
} Bench;

/* How many lines go with each two turns of a loop over values, so that a quarter of a tile goes with all of them. */
INLINE int lines_of_two(KeptKind kind) { return kind == KEPT_F32 ? 2 : 1; }

/* Keys */

/* 16 values of 16 rows, from byte `at` on. */
INLINE void turn(KeptKind kind, uint8_t *to, const uint8_t *const *rows, int at)
{
    if (kind == KEPT_F16 || kind == KEPT_BF16) {
        turn_16(to, rows, at);
    } else if (kind == KEPT_F32) {
        Vf m[LANES];
        for (int i = 0; i < LANES; i++)
            m[i] = vf_load((const float *)(rows[i] + at));
        vf_transpose(m);
        for (int i = 0; i < LANES; i++)
            vf_store((float *)to + i * LANES, m[i]);
    } else {
        turn_8(to, rows, at);
    }
}

/* Fewer than 16 values at the end of rows: nothing beyond them may be touched. */
INLINE void turn_rest(KeptKind kind, uint8_t *to, const uint8_t *const *rows, int at, int n)
{
    float copies[LANES][LANES] = {0}, turned[LANES][LANES];
    const uint8_t *copy[LANES];
    for (int i = 0; i < LANES; i++) {
        memcpy(copies[i], rows[i] + at, (size_t)(n * kept_bytes(kind)));
        copy[i] = (const uint8_t *)copies[i];
    }
    turn(kind, (uint8_t *)turned, copy, 0);
    memcpy(to, turned, (size_t)(n * LANES * kept_bytes(kind)));
}

INLINE void turn_keys(KeptKind kind, const Bench *b)
{
    int bytes = kept_bytes(kind);
    for (int g = 0; g < TILE / LANES; g++) {
        const uint8_t *const *keys = b->tile->rows + g * LANES;
        for (int d = 0; d < b->key_width; d += LANES) {
            uint8_t *to = b->memory->turned + (size_t)(g * b->key_width + d) * (size_t)(LANES * bytes);
            int at = kept_offset(kind, d);
            if (kept_scaled(kind) && d % KEPT_BLOCK == 0)
                vf_store(b->memory->scales[g][d / KEPT_BLOCK], kept_scales(keys, d / KEPT_BLOCK));
            if (b->key_width - d >= LANES)
                turn(kind, to, keys, at);
            else
                turn_rest(kind, to, keys, at, b->key_width - d);
            fetch_some(b->next, 4 * lines_of_two(kind));
        }
    }
}

/* Value d of the 16 keys of group g. */
INLINE Vf key_lanes(KeptKind kind, const TileMemory *m, const uint8_t *turned, int g, int d, int width)
{
    Vf k = kept_lanes(kind, turned + (size_t)(g * width + d) * (size_t)(LANES * kept_bytes(kind)));
    return kept_scaled(kind) ? vf_mul(vf_load(m->scales[g][d / KEPT_BLOCK]), k) : k;
}

/* n queries abreast; n is a constant after inlining. */
INLINE void dot_keys(KeptKind kind, int n, const Bench *b, const uint8_t *turned, Query *query)
{
    Fetch next = *b->next;
    for (int g = 0; g < TILE / LANES; g += ACROSS) {
        Vf s[ABREAST][ACROSS];
        UNROLL for (int r = 0; r < n; r++)
            for (int i = 0; i < ACROSS; i++)
                s[r][i] = vf_zero();
        for (int d = 0; d < b->key_width; d++) {
            Vf k[ACROSS];
            for (int i = 0; i < ACROSS; i++)
                k[i] = key_lanes(kind, b->memory, turned, g + i, d, b->key_width);
            if (d % 2)
                fetch_some(&next, lines_of_two(kind));
            UNROLL for (int r = 0; r < n; r++) {
                Vf q = vf_all(query[r].q[d]);
                for (int i = 0; i < ACROSS; i++)
                    s[r][i] = vf_fma(q, k[i], s[r][i]);
            }
        }
        UNROLL for (int r = 0; r < n; r++)
            for (int i = 0; i < ACROSS; i++)
                vf_store(query[r].p + (g + i) * LANES, s[r][i]);
    }
    *b->next = next;
}

INLINE void dot_all(KeptKind kind, const Bench *b, const uint8_t *turned)
{
    int i = 0;
    for (; i + ABREAST <= b->n; i += ABREAST)
        dot_keys(kind, ABREAST, b, turned, b->query + i);
    for (; ABREAST > 4 && i + 4 <= b->n; i += 4)
        dot_keys(kind, 4, b, turned, b->query + i);
    for (; i + 2 <= b->n; i += 2)
        dot_keys(kind, 2, b, turned, b->query + i);
    if (i < b->n)
        dot_keys(kind, 1, b, turned, b->query + i);
}

static void dot_wide(const Bench *b) { dot_all(KEPT_F32, b, (const uint8_t *)b->memory->keys); }

INLINE void score_as(KeptKind kind, const Bench *b)
{
    TileMemory *m = b->memory;
    turn_keys(kind, b);
    if (kind == KEPT_F32 || b->n < WIDEN_FROM) {
        dot_all(kind, b, m->turned);
        return;
    }
    for (int g = 0; g < TILE / LANES; g++)
        for (int d = 0; d < b->key_width; d++)
            vf_store(m->keys + (g * b->key_width + d) * LANES, key_lanes(kind, m, m->turned, g, d, b->key_width));
    dot_wide(b);
}

/* Values */

INLINE void add_value(KeptKind kind, Vf sum[ACROSS], const Query *q, int j, const uint8_t *row, int column)
{
    Vf p = vf_all(q->p[j]);
    for (int i = 0; i < ACROSS; i++)
        sum[i] = vf_fma(p, kept_load(kind, row, column + i * LANES), sum[i]);
}

/* What all n see is read once for all; before and after it each goes alone, in ascending order. */
INLINE void add_columns(KeptKind kind, int n, const Bench *b, const uint8_t *const *rows, Query *query, int column)
{
    Fetch next = *b->next;
    int from = 0, to = TILE;
    Vf sum[ABREAST][ACROSS];
    UNROLL for (int r = 0; r < n; r++) {
        Vf shrink = vf_all(query[r].shrink);
        for (int i = 0; i < ACROSS; i++)
            sum[r][i] = vf_mul(vf_load(query[r].sums + column + i * LANES), shrink);
        from = query[r].lo > from ? query[r].lo : from;
        to = query[r].hi < to ? query[r].hi : to;
    }
    to = to < from ? from : to;
    UNROLL for (int r = 0; r < n; r++)
        for (int j = query[r].lo; j < from && j < query[r].hi; j++)
            add_value(kind, sum[r], &query[r], j, rows[j], column);
    for (int j = from; j < to; j++) {
        Vf value[ACROSS];
        for (int i = 0; i < ACROSS; i++)
            value[i] = kept_load(kind, rows[j], column + i * LANES);
        if (j % 2)
            fetch_some(&next, lines_of_two(kind));
        UNROLL for (int r = 0; r < n; r++) {
            Vf p = vf_all(query[r].p[j]);
            for (int i = 0; i < ACROSS; i++)
                sum[r][i] = vf_fma(p, value[i], sum[r][i]);
        }
    }
    UNROLL for (int r = 0; r < n; r++) {
        for (int j = to; j < query[r].hi; j++)
            add_value(kind, sum[r], &query[r], j, rows[j], column);
        for (int i = 0; i < ACROSS; i++)
            vf_store(query[r].sums + column + i * LANES, sum[r][i]);
    }
    *b->next = next;
}

INLINE void add_all(KeptKind kind, const Bench *b, const uint8_t *const *rows, int column)
{
    int i = 0;
    for (; i + ABREAST <= b->n; i += ABREAST)
        add_columns(kind, ABREAST, b, rows, b->query + i, column);
    for (; ABREAST > 4 && i + 4 <= b->n; i += 4)
        add_columns(kind, 4, b, rows, b->query + i, column);
    for (; i + 2 <= b->n; i += 2)
        add_columns(kind, 2, b, rows, b->query + i, column);
    if (i < b->n)
        add_columns(kind, 1, b, rows, b->query + i, column);
}

static void add_wide(const Bench *b)
{
    const uint8_t *rows[TILE];
    for (int j = 0; j < TILE; j++)
        rows[j] = (const uint8_t *)b->memory->values[j];
    for (int column = 0; column < b->value_width; column += COLUMNS)
        add_all(KEPT_F32, b, rows, column);
}

INLINE void add_as(KeptKind kind, const Bench *b)
{
    int width = b->value_width;
    const Tile *t = b->tile;
    const uint8_t *const *values = t->rows + TILE;
    if (width % COLUMNS == 0 && (kind == KEPT_F32 || b->n < WIDEN_FROM)) {
        for (int column = 0; column < width; column += COLUMNS)
            add_all(kind, b, values, column);
        return;
    }
    for (int j = t->lo; j < t->hi; j++) {
        float *out = b->memory->values[j];
        int d = 0;
        for (; d + LANES <= width; d += LANES)
            vf_store(out + d, kept_load(kind, values[j], d));
        for (; d < width || d % COLUMNS; d += LANES)
            vf_store(out + d, d < width ? kept_load_n(kind, values[j], d, width - d) : vf_zero());
    }
    add_wide(b);
}

/* For each format code of its own; both hold the queries' scores or probabilities in p. */

static void score_keys(const Bench *b, KeptKind kind)
{
#define SCORE(kind) case kind: score_as(kind, b); break;
    switch (kind) {
        EACH_KEPT(SCORE)
    case KEPT_OTHER: ASSERT(false);
    }
#undef SCORE
}

static void add_values(const Bench *b, KeptKind kind)
{
#define ADD(kind) case kind: add_as(kind, b); break;
    switch (kind) {
        EACH_KEPT(ADD)
    case KEPT_OTHER: ASSERT(false);
    }
#undef ADD
}

#endif

/* attend_tile.h -- a few queries (rows x heads that share a kv head) against some tiles of keys and values (for attend_cpu.c).
 *
 *     keys     [key width][groups][16]   turned, so that 16 keys share a vector:  s += q[d] * keys[d]
 *     values   where they lie in the cache:                                       y += p[j] * values[j]
 *
 * Both stay in the format of the cache, which is less to move than F32, and become F32 as they meet ABREAST
 * queries. Where many queries follow each other they are widened once for all. Either way a product is of
 * the same numbers, in the same order.
 *
 * Each sum waits for itself, so there are always about SUMS of them at once: of many queries over few keys, or of few over
 * many. That is what a stretch of two tiles is for; only the softmax goes tile by tile.
 *
 * The next stretch is fetched meanwhile, some lines now and then: its blocks lie here and there, where the processor does
 * not see a stream by itself, and a core stops where it asks for more lines than it has places for.
 */
#ifndef KERNELS_ATTEND_ATTEND_TILE_H
#define KERNELS_ATTEND_ATTEND_TILE_H

#include "formats/kept_rows.h"
#include "kernels/attend/attend.h"
#include "kernels/kit/transpose.h"

enum {
    TILE = 2 * LANES, TILES = 2, STRETCH = TILES * TILE, GROUPS_OF_TILE = TILE / LANES,
    QUERIES = 64,
    WIDTH_MAX = 576,             /* of a key or value: the latent of DeepSeek; a multiple of COLUMNS */
    WIDE = 256,                  /* wider keys are turned a tile at a time, to stay in the first cache */
    CACHE_LINE = 64,
#if defined(TIER_avx512)
    ABREAST = 8, ACROSS = 2,     /* queries and vectors whose products' sums fit into registers together */
#else
    ABREAST = 4, ACROSS = 1,
#endif
    SUMS = ABREAST * ACROSS, ACROSS_MAX = 4,
    COLUMNS = ACROSS * LANES,    /* values of the output that are summed at once, or more */
    WIDEN_FROM = 3 * ABREAST,    /* queries */
};

/* How many vectors go with n queries. */
INLINE int across_of(int n) { return SUMS / n < ACROSS_MAX ? SUMS / n : ACROSS_MAX; }

/* Sums that still need each other: relative to e^most. */
typedef struct Softmax { float most, total; } Softmax;

typedef struct Query {
    int32_t row, head;
    Sees sees;
    int lo, hi;                  /* what it sees of the present stretch */
    float most, shrink[TILES];   /* of the segment: largest score; what a larger one in a tile does to the sums */
    _Alignas(CACHE_LINE) float total[LANES];
    float q[WIDTH_MAX + 4], p[STRETCH], sums[WIDTH_MAX];     /* q: zeros behind, as keys have in their last line */
    Softmax folded;              /* of the segments before; the sums are in y */
} Query;

typedef struct Run { const uint8_t *at; int64_t bytes; } Run;      /* of memory, in one piece */

typedef struct Stretch {
    int32_t start;
    int lo, hi;                  /* keys [lo, hi) are seen by someone; the others may not exist */
    int n_runs;
    int64_t bytes;               /* of all runs */
    const uint8_t *keys[STRETCH], *values[STRETCH];
    Run runs[2 * STRETCH];
} Stretch;

typedef struct StretchMemory {
    _Alignas(CACHE_LINE) uint8_t turned[WIDTH_MAX * TILE * sizeof(float)];      /* at least WIDE * STRETCH */
    float scales[WIDTH_MAX / KEPT_BLOCK][STRETCH / LANES][LANES];     /* of turned blocks */
    _Alignas(CACHE_LINE) float keys[WIDTH_MAX * TILE], values[STRETCH][WIDTH_MAX];
} StretchMemory;

/* What of the next stretch is not asked for yet. Each step of each loop earns lines for the time that it takes, so that they
 * are asked for evenly. */
typedef struct Fetch {
    const uint8_t *at, *run_end;
    const Run *next, *end;
    int64_t rate, earned;        /* for an operation on a vector, and by now: of a line, with LINE_BITS behind the point */
} Fetch;

enum { LINE_BITS = 16, TURN_TIME = 32, SOFTEN_TIME = 128 };    /* times in operations on vectors */
enum { STEPS = 4 };              /* of a loop over values, before it asks for lines */

INLINE void fetch(Fetch *f, int operations)
{
    int64_t earned = f->earned + f->rate * operations;
    for (; earned > 0; earned -= 1 << LINE_BITS) {
        if (f->at >= f->run_end) {
            if (f->next == f->end)
                break;
            f->at = f->next->at;
            f->run_end = f->at + f->next++->bytes;
        }
        prefetch_far(f->at);
        f->at += CACHE_LINE;
    }
    f->earned = earned;
}

/* What works on a stretch. */
typedef struct Bench {
    StretchMemory *memory;
    const Stretch *stretch;
    Fetch *next;
    Query *query;
    int n, key_width, value_width;
    size_t key_bytes;            /* of a row */
} Bench;

/* Values of a key in a line of 64 bytes that has them of 16 keys, and in the 16 bytes that are turned at once. */
INLINE int of_line(KeptKind kind) { return 4 / kept_bytes(kind); }
INLINE int of_turn(KeptKind kind) { return 16 / kept_bytes(kind); }

INLINE int64_t fetch_rate(KeptKind kind, int64_t bytes, int n, int key_width, int value_width)
{
    int64_t turns = STRETCH / LANES * ceil_div(key_width, of_turn(kind));
    int64_t operations = TURN_TIME * turns + n * (SOFTEN_TIME + STRETCH / LANES * (key_width + value_width));
    return (bytes << LINE_BITS) / (operations * CACHE_LINE) + 1;
}

/* Keys */

/* 16 bytes of 16 rows, to lines that lie `apart`. */
INLINE void turn(KeptKind kind, uint8_t *to, size_t apart, const uint8_t *rows, size_t bytes)
{
    switch (kept_bytes(kind)) {
    case 4: turn_32(to, apart, rows, bytes); break;
    case 2: turn_16(to, apart, rows, bytes); break;
    default: turn_8(to, apart, rows, bytes);
    }
}

/* n < 16 bytes at the end of rows: nothing beyond them may be touched. */
INLINE void turn_rest(KeptKind kind, uint8_t *to, size_t apart, const uint8_t *rows, size_t bytes, size_t n)
{
    uint8_t copies[LANES][16] = {0};
    for (size_t i = 0; i < LANES; i++)
        memcpy(copies[i], rows + i * bytes, n);
    turn(kind, to, apart, copies[0], sizeof copies[0]);
}

/* 16 keys in one piece: as they lie in the cache, or copied. */
INLINE const uint8_t *keys_in_a_piece(const Bench *b, int first)
{
    const uint8_t *const *keys = b->stretch->keys + first;
    uint8_t *copies = (uint8_t *)b->memory->keys;
    bool together = true;
    for (size_t i = 1; i < LANES; i++)
        together = together && keys[i] == keys[0] + i * b->key_bytes;
    for (size_t i = 0; i < LANES && !together; i++)
        memcpy(copies + i * b->key_bytes, keys[i], b->key_bytes);
    return together ? keys[0] : copies;
}

/* Some groups of 16 keys. */
INLINE void turn_keys(KeptKind kind, const Bench *b, int first, int groups)
{
    size_t apart = (size_t)groups * CACHE_LINE;
    for (int g = 0; g < groups; g++) {
        const uint8_t *keys = keys_in_a_piece(b, (first + g) * LANES);
        uint8_t *to = b->memory->turned + g * CACHE_LINE;
        for (int d = 0; d < b->key_width; d += of_turn(kind), to += 4 * apart) {
            const uint8_t *at = keys + kept_offset(kind, d);
            int left = b->key_width - d;
            if (kept_scaled(kind) && d % KEPT_BLOCK == 0)
                vf_store(b->memory->scales[d / KEPT_BLOCK][g], kept_scales(keys, b->key_bytes, d / KEPT_BLOCK));
            if (left >= of_turn(kind))
                turn(kind, to, apart, at, b->key_bytes);
            else
                turn_rest(kind, to, apart, at, b->key_bytes, (size_t)(left * kept_bytes(kind)));
            fetch(b->next, TURN_TIME);
        }
    }
}

/* Some groups of keys that are turned: where they lie, and the group whose scores come first. */
typedef struct Turned { const uint8_t *at; int first; } Turned;

/* Value `part` of a line of group g, of keys whose scales are given. */
INLINE Vf key_lanes(KeptKind kind, const uint8_t *line, int part, const float *scales)
{
    Vf k = kept_lanes(kind, line + part * LANES * kept_bytes(kind));
    return kept_scaled(kind) ? vf_mul(vf_load(scales), k) : k;
}

/* n queries abreast, with `across` groups of all; these three are constants after inlining. */
INLINE void dot_keys(KeptKind kind, int n, int across, int groups, const Bench *b, Turned t, Query *query)
{
    for (int g = 0; g < groups; g += across) {
        const uint8_t *line = t.at + g * CACHE_LINE;
        Vf s[ABREAST][ACROSS_MAX];
        UNROLL for (int r = 0; r < n; r++)
            for (int i = 0; i < across; i++)
                s[r][i] = vf_zero();
        for (int d = 0; d < b->key_width; d += of_line(kind), line += groups * CACHE_LINE) {
            if (d % STEPS == 0)
                fetch(b->next, n * across * STEPS);
            UNROLL for (int part = 0; part < of_line(kind); part++) {
                Vf k[ACROSS_MAX];
                for (int i = 0; i < across; i++)
                    k[i] = key_lanes(kind, line + i * CACHE_LINE, part, b->memory->scales[d / KEPT_BLOCK][g + i]);
                UNROLL for (int r = 0; r < n; r++) {
                    Vf q = vf_all(query[r].q[d + part]);
                    for (int i = 0; i < across; i++)
                        s[r][i] = vf_fma(q, k[i], s[r][i]);
                }
            }
        }
        UNROLL for (int r = 0; r < n; r++)
            for (int i = 0; i < across; i++)
                vf_store(query[r].p + (t.first + g + i) * LANES, s[r][i]);
    }
}

INLINE void dot_all(KeptKind kind, int groups, const Bench *b, Turned t)
{
    int i = 0;
#define DOT(n) dot_keys(kind, n, across_of(n) < groups ? across_of(n) : groups, groups, b, t, b->query + i)
    for (; i + ABREAST <= b->n; i += ABREAST)
        DOT(ABREAST);
    for (; ABREAST > 4 && i + 4 <= b->n; i += 4)
        DOT(4);
    for (; i + 2 <= b->n; i += 2)
        DOT(2);
    if (i < b->n)
        DOT(1);
#undef DOT
}

static void dot_wide(const Bench *b, Turned t) { dot_all(KEPT_F32, GROUPS_OF_TILE, b, t); }

INLINE void dot_turned(KeptKind kind, int groups, const Bench *b, Turned t)
{
    StretchMemory *m = b->memory;
    if (kind == KEPT_F32 || groups != GROUPS_OF_TILE || b->n < WIDEN_FROM) {
        dot_all(kind, groups, b, t);
        return;
    }
    const uint8_t *line = t.at;
    for (int d = 0; d < b->key_width; d += of_line(kind))
        for (int g = 0; g < groups; g++, line += CACHE_LINE)
            for (int part = 0; part < of_line(kind); part++)
                vf_store(m->keys + ((d + part) * groups + g) * LANES,
                         key_lanes(kind, line, part, m->scales[d / KEPT_BLOCK][g]));
    dot_wide(b, (Turned){(const uint8_t *)m->keys, t.first});
}

INLINE void score_groups(KeptKind kind, int groups, const Bench *b, int first)
{
    turn_keys(kind, b, first, groups);
    dot_turned(kind, groups, b, (Turned){b->memory->turned, first});
}

/* Few queries meet the whole stretch at once; many, one tile after the other. Scores of keys that nobody sees are anything. */
INLINE void score_as(KeptKind kind, const Bench *b)
{
    int first = b->stretch->lo / TILE * GROUPS_OF_TILE, end = (b->stretch->hi + LANES - 1) / LANES;
    if (b->n < ABREAST && b->key_width <= WIDE && end - first > GROUPS_OF_TILE)
        score_groups(kind, TILES * GROUPS_OF_TILE, b, first);
    else
        for (; first < end; first += GROUPS_OF_TILE)
            score_groups(kind, GROUPS_OF_TILE, b, first);
}

/* Values */

/* Vector i from a column on, which mostly begins a block: then only one address has to be computed. */
INLINE Vf value_lanes(KeptKind kind, const uint8_t *row, int column, int i)
{
    if (COLUMNS % KEPT_BLOCK == 0 || i > 0)
        return kept_load(kind, row + kept_block_offset(kind, column), i * LANES);
    return kept_load(kind, row, column);
}

/* n queries abreast, `across` vectors of the output; both are constants after inlining. */
INLINE void add_columns(KeptKind kind, int n, int across, Fetch *next, const uint8_t *const *rows, Query *query, int column,
                        Sees range)
{
    Vf sum[ABREAST][ACROSS_MAX];
    UNROLL for (int r = 0; r < n; r++)
        for (int i = 0; i < across; i++)
            sum[r][i] = vf_load(query[r].sums + column + i * LANES);
    for (int j = range.from; j < range.to; ) {
        int end = j / TILE * TILE + TILE < range.to ? j / TILE * TILE + TILE : range.to;
        UNROLL for (int r = 0; r < n; r++) {
            Vf shrink = vf_all(query[r].shrink[j / TILE]);
            for (int i = 0; i < across; i++)
                sum[r][i] = vf_mul(sum[r][i], shrink);
        }
        for (; j < end; j++) {
            Vf value[ACROSS_MAX];
            for (int i = 0; i < across; i++)
                value[i] = value_lanes(kind, rows[j], column, i);
            if (j % STEPS == 0)
                fetch(next, n * across * STEPS);
            UNROLL for (int r = 0; r < n; r++) {
                Vf p = vf_all(query[r].p[j]);
                for (int i = 0; i < across; i++)
                    sum[r][i] = vf_fma(p, value[i], sum[r][i]);
            }
        }
    }
    UNROLL for (int r = 0; r < n; r++)
        for (int i = 0; i < across; i++)
            vf_store(query[r].sums + column + i * LANES, sum[r][i]);
}

/* All columns. What shrinks has shrunk then. */
INLINE void add_range(KeptKind kind, int n, const Bench *b, const uint8_t *const *rows, Query *query, Sees range)
{
    int column = 0, across = across_of(n);
    if (range.from >= range.to)
        return;
    for (; across > ACROSS && column + across * LANES <= b->value_width; column += across * LANES)
        add_columns(kind, n, across, b->next, rows, query, column, range);
    for (; column < b->value_width; column += COLUMNS)
        add_columns(kind, n, ACROSS, b->next, rows, query, column, range);
    for (int r = 0; r < n; r++)
        for (int tile = range.from / TILE; tile * TILE < range.to; tile++)
            query[r].shrink[tile] = 1;
}

INLINE Sees seen_in_tile(const Query *q, int tile)
{
    int first = tile * TILE, end = first + TILE;
    return (Sees){q->lo > first ? q->lo : first, q->hi < end ? q->hi : end};
}

/* Of a tile, what all n see is read once for all; before and after it each goes alone, in ascending order. */
INLINE void add_tile(KeptKind kind, int n, const Bench *b, const uint8_t *const *rows, Query *query, int tile)
{
    Sees all = {tile * TILE, tile * TILE + TILE};
    for (int r = 0; r < n; r++) {
        Sees sees = seen_in_tile(&query[r], tile);
        all.from = sees.from > all.from ? sees.from : all.from;
        all.to = sees.to < all.to ? sees.to : all.to;
    }
    for (int r = 0; r < n; r++) {
        Sees sees = seen_in_tile(&query[r], tile);
        add_range(kind, 1, b, rows, &query[r], (Sees){sees.from, sees.to < all.from ? sees.to : all.from});
    }
    add_range(kind, n, b, rows, query, all);
    int done = all.to > all.from ? all.to : all.from;
    for (int r = 0; r < n; r++) {
        Sees sees = seen_in_tile(&query[r], tile);
        add_range(kind, 1, b, rows, &query[r], (Sees){sees.from > done ? sees.from : done, sees.to});
    }
}

/* Mostly all of them see the same. */
INLINE void add_each(KeptKind kind, int n, const Bench *b, const uint8_t *const *rows, Query *query)
{
    bool alike = true;
    for (int r = 1; r < n; r++)
        alike = alike && query[r].lo == query->lo && query[r].hi == query->hi;
    if (alike)
        add_range(kind, n, b, rows, query, (Sees){query->lo, query->hi});
    else
        for (int tile = 0; tile < TILES; tile++)
            add_tile(kind, n, b, rows, query, tile);
}

INLINE void add_all(KeptKind kind, const Bench *b, const uint8_t *const *rows)
{
    int i = 0;
    for (; i + ABREAST <= b->n; i += ABREAST)
        add_each(kind, ABREAST, b, rows, b->query + i);
    for (; ABREAST > 4 && i + 4 <= b->n; i += 4)
        add_each(kind, 4, b, rows, b->query + i);
    for (; i + 2 <= b->n; i += 2)
        add_each(kind, 2, b, rows, b->query + i);
    if (i < b->n)
        add_each(kind, 1, b, rows, b->query + i);
}

static void add_wide(const Bench *b)
{
    const uint8_t *rows[STRETCH];
    for (int j = 0; j < STRETCH; j++)
        rows[j] = (const uint8_t *)b->memory->values[j];
    add_all(KEPT_F32, b, rows);
}

INLINE void add_as(KeptKind kind, const Bench *b)
{
    int width = b->value_width;
    const Stretch *s = b->stretch;
    if (width % COLUMNS == 0 && (kind == KEPT_F32 || b->n < WIDEN_FROM)) {
        add_all(kind, b, s->values);
        return;
    }
    for (int j = s->lo; j < s->hi; j++) {
        float *out = b->memory->values[j];
        int d = 0;
        for (; d + LANES <= width; d += LANES)
            vf_store(out + d, kept_load(kind, s->values[j], d));
        for (; d < width || d % COLUMNS; d += LANES)
            vf_store(out + d, d < width ? kept_load_n(kind, s->values[j], d, width - d) : vf_zero());
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

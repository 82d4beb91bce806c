/* attend_tile.h -- a few queries (rows x heads that share a kv head) and a stretch of 64 keys and values (for attend_cpu.c).
 *
 *     keys     turned, so that 16 of them share a vector:   s += q[d] * keys[d]
 *     values   as they lie in the cache:                    y += p[j] * values[j]
 *
 * ABREAST queries, or a CROWD with less keys, meet keys in the registers in which these are turned and become F32. Where more
 * queries follow each other, keys are written down turned, [key width][groups of 16][16], and values as F32, and MANY at a time
 * meet whole stretches. Either way a product is of the same numbers, in the same order.
 *
 * The next stretch is fetched meanwhile, a line now and then: its blocks lie here and there, where the
 * processor does not see a stream by itself, and a core stops where it asks for more lines than it has places for.
 */
#ifndef KERNELS_ATTEND_ATTEND_TILE_H
#define KERNELS_ATTEND_ATTEND_TILE_H

#include "formats/kept_rows.h"
#include "kernels/attend/attend.h"

enum {
    STRETCH = 4 * LANES, GROUPS = STRETCH / LANES,      /* keys of a running softmax's step; vectors of their scores */
    PAIR = 2,                    /* groups of keys that are turned side by side */
    QUERIES = 64,
    WIDTH_MAX = 576,             /* of a key or value: the latent of DeepSeek; a multiple of COLUMNS */
    TURN_MAX = 32,               /* values of a key that are turned together, at most */
    CACHE_LINE = 64,
#if defined(TIER_avx512)
    ABREAST = 8, ACROSS = 2, MANY = 6, SUMS = 24, CROWD = 16,
#else
    ABREAST = 4, ACROSS = 1, MANY = 4, SUMS = 4, CROWD = 8,
#endif
    ACROSS_MAX = 4,
    COLUMNS = ACROSS * LANES,    /* values of the output that are summed at once, or more */
    WIDEN_FROM = 3 * ABREAST,    /* queries */
};

/* How many vectors go with n queries, so that their products' sums fit into registers together. */
INLINE int across_of(int n) { return n == ABREAST ? ACROSS : SUMS / n < ACROSS_MAX ? SUMS / n : ACROSS_MAX; }

/* Sums that still need each other: relative to e^most. */
typedef struct Softmax { float most, total; } Softmax;

typedef struct Query {
    int32_t row, head;
    Sees sees;
    int lo, hi;                  /* what it sees of the present stretch */
    float most, shrink;          /* of the segment: largest score; what a larger one in the stretch does to the sums */
    _Alignas(CACHE_LINE) float total[LANES];
    float q[WIDTH_MAX + TURN_MAX], p[STRETCH], sums[WIDTH_MAX];     /* q: zeros behind, as keys have in their last turn */
    Softmax folded;              /* of the segments before; the sums are in y */
    _Alignas(CACHE_LINE) uint8_t odd[CACHE_LINE];     /* an odd number of lines: queries do not displace each other */
} Query;

/* Positions [from, to) of a stretch, which follow each other in memory: those that a block of the cache has, seen or not. */
typedef struct Run {
    const uint8_t *keys, *values;
    int from, to;
} Run;

typedef struct Piece { const uint8_t *at; int64_t bytes; } Piece;      /* of what is seen of a run */

typedef struct Stretch {
    int32_t start;
    int lo, hi;                  /* keys [lo, hi) are seen by someone; the others may not exist */
    int n_runs, n_pieces;
    int64_t bytes;               /* of all pieces */
    Run runs[STRETCH];
    Piece pieces[2 * STRETCH + QUERIES];      /* those of keys, then those of values; of an item's first stretch, its queries */
} Stretch;

typedef struct StretchMemory {
    _Alignas(CACHE_LINE) float keys[WIDTH_MAX * STRETCH];             /* turned */
    float values[STRETCH][WIDTH_MAX];
    uint8_t copies[PAIR][LANES * WIDTH_MAX * sizeof(float)];     /* of keys that lie in several blocks */
} StretchMemory;

/* What of the next stretch is not asked for yet. Each step of each loop earns lines for the time that it takes, so that they
 * are asked for evenly. */
typedef struct Fetch {
    const uint8_t *at, *run_end;
    const Piece *next, *end;
    int64_t rate, earned;        /* for an operation on a vector, and by now: of a line, with LINE_BITS behind the point */
    int each;                    /* lines for each of fetch_some(), where that is what fetches; else 0 */
} Fetch;

enum { LINE_BITS = 16, TURN_TIME = 48, SOFTEN_TIME = 128 };    /* times in operations on vectors */
enum { STEPS = 4 };              /* of a loop over values for few queries, before it asks for lines */

INLINE void fetch(Fetch *f, int operations)
{
    int64_t earned = f->earned + f->rate * operations;
    const uint8_t *at = f->at, *end = f->run_end;
    while (earned > 0) {
        if (__builtin_expect(at >= end, 0)) {
            if (f->next == f->end)
                break;
            at = f->next->at;
            end = at + f->next++->bytes;
        }
        prefetch_far(at);
        at += CACHE_LINE;
        earned -= 1 << LINE_BITS;
    }
    f->at = at;
    f->run_end = end;
    f->earned = earned;
}

/* About as many lines at each of a known number of places, without a loop whose length a processor cannot foresee: a line may
 * be asked for twice. */
INLINE Fetch fetch_in_parts(const Stretch *next, int64_t places)
{
    int64_t lines = next->bytes / CACHE_LINE + next->n_pieces, rate = (lines << LINE_BITS) / places + 1;
    return (Fetch){.next = next->pieces, .end = next->pieces + next->n_pieces, .rate = rate,
                   .each = (int)ceil_div(rate, 1 << LINE_BITS)};
}

INLINE void fetch_some(Fetch *f)
{
    const uint8_t *at = f->at;
    f->earned = (f->earned & ((1 << LINE_BITS) - 1)) + f->rate;
    int64_t bytes = (f->earned >> LINE_BITS) * CACHE_LINE;
    if (__builtin_expect(f->run_end - at >= f->each * CACHE_LINE, 1)) {
        for (int i = 0; i < f->each; i++)
            prefetch_far(at + i * CACHE_LINE);
        f->at = at + bytes;
        return;
    }
    for (; bytes > 0; bytes -= CACHE_LINE, at += CACHE_LINE) {
        if (at >= f->run_end) {
            if (f->next == f->end)
                break;
            at = f->next->at;
            f->run_end = at + f->next++->bytes;
        }
        prefetch_far(at);
    }
    f->at = at;
}

/* What works on a stretch. */
typedef struct Bench {
    StretchMemory *memory;
    const Stretch *stretch;
    Fetch *next;
    Query *query;
    int n, key_width, value_width;
    size_t key_bytes, value_bytes;      /* of a row */
} Bench;

INLINE int64_t fetch_rate(KeptKind kind, int64_t bytes, int n, int key_width, int value_width)
{
    int64_t turns = STRETCH / LANES * ceil_div(key_width, kept_turn(kind));
    int64_t operations = TURN_TIME * turns + n * (SOFTEN_TIME + STRETCH / LANES * (key_width + value_width));
    return (bytes << LINE_BITS) / (operations * CACHE_LINE) + 1;
}

/* Keys */

/* Where there are no keys there are zeros: what happens to lie there may be no normal numbers, which take 150 cycles each. */
INLINE void clear_keys(const Bench *b, uint8_t *copies, int from, int to)
{
    if (from < to)
        memset(copies + (size_t)from * b->key_bytes, 0, (size_t)(to - from) * b->key_bytes);
}

/* 16 keys in one piece: as they lie in the cache, or copied. */
INLINE const uint8_t *keys_in_a_piece(const Bench *b, int first, int group)
{
    const Run *run = b->stretch->runs, *end = run + b->stretch->n_runs;
    uint8_t *copies = b->memory->copies[group];
    while (run < end && run->to <= first)
        run++;
    if (run < end && run->from <= first && run->to >= first + LANES)
        return run->keys + (size_t)(first - run->from) * b->key_bytes;
    int done = first;
    for (; run < end && run->from < first + LANES; run++) {
        int from = run->from > first ? run->from : first, to = run->to < first + LANES ? run->to : first + LANES;
        clear_keys(b, copies, done - first, from - first);
        memcpy(copies + (size_t)(from - first) * b->key_bytes, run->keys + (size_t)(from - run->from) * b->key_bytes,
               (size_t)(to - from) * b->key_bytes);
        done = to;
    }
    clear_keys(b, copies, done - first, LANES);
    return copies;
}

/* What 16 keys have from d on. Beyond the end of rows nothing may be touched: zeros. */
INLINE void turn_keys(KeptKind kind, KeptTurned *out, const uint8_t *keys, int d, const Bench *b)
{
    const uint8_t *at = keys + kept_offset(kind, d);
    int left = b->key_width - d;
    if (left >= kept_turn(kind) || kept_scaled(kind)) {      /* rows of blocks have whole ones */
        kept_turn_rows(kind, out, at, b->key_bytes);
        return;
    }
    uint8_t ends[LANES][32] = {0};
    for (size_t i = 0; i < LANES; i++)
        memcpy(ends[i], at + i * b->key_bytes, (size_t)(left * kept_bytes(kind)));
    kept_turn_rows(kind, out, ends[0], sizeof ends[0]);
}

/* n queries abreast and some groups of keys, turn by turn; both are constants after inlining. */
INLINE void dot_turning(KeptKind kind, int n, int groups, const Bench *b, Query *query, int first)
{
    const uint8_t *keys[PAIR];
    KeptTurned turn[PAIR];
    Vf s[CROWD][PAIR];
    for (int g = 0; g < groups; g++)
        keys[g] = keys_in_a_piece(b, first + g * LANES, g);
    UNROLL for (int r = 0; r < n; r++)
        for (int g = 0; g < groups; g++)
            s[r][g] = vf_zero();
    for (int d = 0; d < b->key_width; d += kept_turn(kind)) {
        UNROLL for (int g = 0; g < groups; g++)
            turn_keys(kind, &turn[g], keys[g], d, b);
        fetch(b->next, groups * (TURN_TIME + n * kept_turn(kind)));
        UNROLL for (int i = 0; i < kept_turn(kind); i += kept_word(kind)) {
            Vf k[PAIR][4];
            for (int g = 0; g < groups; g++)
                kept_turned(kind, k[g], &turn[g], i / kept_word(kind));
            UNROLL for (int j = 0; j < kept_word(kind); j++)
                UNROLL for (int r = 0; r < n; r++) {
                    Vf q = vf_all(query[r].q[d + i + j]);
                    for (int g = 0; g < groups; g++)
                        s[r][g] = vf_fma(q, k[g][j], s[r][g]);
                }
        }
    }
    UNROLL for (int r = 0; r < n; r++)
        for (int g = 0; g < groups; g++)
            vf_store(query[r].p + first + g * LANES, s[r][g]);
}

/* n queries abreast and `across` groups of keys that are written down; both are constants after inlining. */
INLINE void dot_turned(int n, int across, const Bench *b, Query *query, int group)
{
    const float *keys = b->memory->keys + group * LANES;
    Vf s[ABREAST][ACROSS_MAX];
    fetch(b->next, n * across * b->key_width);
    UNROLL for (int r = 0; r < n; r++)
        for (int i = 0; i < across; i++)
            s[r][i] = vf_zero();
    for (int d = 0; d < b->key_width; d++, keys += STRETCH) {
        Vf k[ACROSS_MAX];
        UNROLL for (int i = 0; i < across; i++)
            k[i] = vf_load(keys + i * LANES);
        UNROLL for (int r = 0; r < n; r++) {
            Vf q = vf_all(query[r].q[d]);
            UNROLL for (int i = 0; i < across; i++)
                s[r][i] = vf_fma(q, k[i], s[r][i]);
        }
    }
    UNROLL for (int r = 0; r < n; r++)
        for (int i = 0; i < across; i++)
            vf_store(query[r].p + (group + i) * LANES, s[r][i]);
}

/* n queries and groups [from, to), as many at a time as there is room for. */
INLINE void dot_groups(int n, const Bench *b, Query *query, int from, int to)
{
    for (; across_of(n) > PAIR && from + GROUPS <= to; from += GROUPS)
        dot_turned(n, across_of(n), b, query, from);
    for (; from < to; from += across_of(n) < PAIR ? across_of(n) : PAIR)
        dot_turned(n, across_of(n) < PAIR ? across_of(n) : PAIR, b, query, from);
}

static void dot_all(const Bench *b)
{
    int i = 0, from = b->stretch->lo / LANES / PAIR * PAIR, to = (b->stretch->hi - 1) / LANES / PAIR * PAIR + PAIR;
    for (; i + MANY <= b->n; i += MANY)
        dot_groups(MANY, b, b->query + i, from, to);
    for (; MANY > 4 && i + 4 <= b->n; i += 4)
        dot_groups(4, b, b->query + i, from, to);
    for (; i + 2 <= b->n; i += 2)
        dot_groups(2, b, b->query + i, from, to);
    if (i < b->n)
        dot_groups(1, b, b->query + i, from, to);
}

INLINE void write_turned(KeptKind kind, const Bench *b, int first)
{
    for (int g = 0; g < PAIR; g++) {
        const uint8_t *keys = keys_in_a_piece(b, first + g * LANES, g);
        float *to = b->memory->keys + first + g * LANES;
        for (int d = 0; d < b->key_width; d += kept_turn(kind)) {
            KeptTurned turn;
            turn_keys(kind, &turn, keys, d, b);
            fetch(b->next, TURN_TIME);
            for (int i = 0; i < kept_turn(kind); i += kept_word(kind)) {
                Vf k[4];
                kept_turned(kind, k, &turn, i / kept_word(kind));
                for (int j = 0; j < kept_word(kind) && d + i + j < b->key_width; j++)
                    vf_store(to + (d + i + j) * STRETCH, k[j]);
            }
        }
    }
}

INLINE void dot_few(KeptKind kind, const Bench *b, int first)
{
    int i = 0;
    for (; i + CROWD <= b->n; i += CROWD)
        for (int g = 0; g < PAIR; g++)
            dot_turning(kind, CROWD, 1, b, b->query + i, first + g * LANES);
    for (; i + ABREAST <= b->n; i += ABREAST)
        dot_turning(kind, ABREAST, PAIR, b, b->query + i, first);
    for (; ABREAST > 4 && i + 4 <= b->n; i += 4)
        dot_turning(kind, 4, PAIR, b, b->query + i, first);
    for (; i + 2 <= b->n; i += 2)
        dot_turning(kind, 2, PAIR, b, b->query + i, first);
    if (i < b->n)
        dot_turning(kind, 1, PAIR, b, b->query + i, first);
}

/* Scores of keys that nobody sees are anything. */
INLINE void score_as(KeptKind kind, const Bench *b)
{
    for (int first = b->stretch->lo / (PAIR * LANES) * (PAIR * LANES); first < b->stretch->hi; first += PAIR * LANES)
        if (b->n < WIDEN_FROM)
            dot_few(kind, b, first);
        else
            write_turned(kind, b, first);
    if (b->n >= WIDEN_FROM)
        dot_all(b);
}

/* Values */

/* Vector i from a column on, which mostly begins a block: then only one address has to be computed. */
INLINE Vf value_lanes(KeptKind kind, const uint8_t *row, int column, int i)
{
    if (COLUMNS % KEPT_BLOCK == 0 || i > 0)
        return kept_load(kind, row + kept_block_offset(kind, column), i * LANES);
    return kept_load(kind, row, column);
}

/* Positions of a run, n queries abreast and `across` vectors of the output; both are constants after inlining. */
INLINE void add_run(KeptKind kind, int n, int across, bool many, const Bench *b, const Run *run, Query *query, int column,
                    Sees range, Vf (*sum)[ACROSS_MAX])
{
    int from = run->from > range.from ? run->from : range.from, to = run->to < range.to ? run->to : range.to;
    const uint8_t *row = run->values + (size_t)(from - run->from) * b->value_bytes;
    for (int j = from; j < to; j++, row += b->value_bytes) {
        Vf value[ACROSS_MAX];
        if (across == ACROSS_MAX && !kept_scaled(kind))
            kept_load_64(kind, value, row, column);
        else
            UNROLL for (int i = 0; i < across; i++)
                value[i] = value_lanes(kind, row, column, i);
        if (!many && j % STEPS == 0)
            fetch(b->next, n * across * STEPS);
        UNROLL for (int r = 0; r < n; r++) {
            Vf p = vf_all(query[r].p[j]);
            UNROLL for (int i = 0; i < across; i++)
                sum[r][i] = vf_fma(p, value[i], sum[r][i]);
        }
    }
}

INLINE void add_columns(KeptKind kind, int n, int across, bool many, const Bench *b, Query *query, int column, Sees range)
{
    if (many)
        fetch(b->next, n * across * (range.to - range.from));
    Vf sum[ABREAST][ACROSS_MAX];
    UNROLL for (int r = 0; r < n; r++)
        for (int i = 0; i < across; i++)
            sum[r][i] = vf_load(query[r].sums + column + i * LANES);
    UNROLL for (int r = 0; r < n; r++) {
        Vf shrink = vf_all(query[r].shrink);
        for (int i = 0; i < across; i++)
            sum[r][i] = vf_mul(sum[r][i], shrink);
    }
    for (int i = 0; i < b->stretch->n_runs; i++)
        add_run(kind, n, across, many, b, b->stretch->runs + i, query, column, range, sum);
    UNROLL for (int r = 0; r < n; r++)
        for (int i = 0; i < across; i++)
            vf_store(query[r].sums + column + i * LANES, sum[r][i]);
}

/* All columns. What shrinks has shrunk then. */
INLINE void add_range(KeptKind kind, int n, bool many, const Bench *b, Query *query, Sees range)
{
    int column = 0, across = across_of(n);
    if (range.from >= range.to)
        return;
    for (; across > ACROSS && column + across * LANES <= b->value_width; column += across * LANES)
        add_columns(kind, n, across, many, b, query, column, range);
    for (; column < b->value_width; column += COLUMNS)
        add_columns(kind, n, ACROSS, many, b, query, column, range);
    for (int r = 0; r < n; r++)
        query[r].shrink = 1;
}

/* What all n see is read once for all; before and after it each goes alone, in ascending order. */
INLINE void add_each(KeptKind kind, int n, bool many, const Bench *b, Query *query)
{
    Sees all = {query->lo, query->hi};
    for (int r = 1; r < n; r++) {
        all.from = query[r].lo > all.from ? query[r].lo : all.from;
        all.to = query[r].hi < all.to ? query[r].hi : all.to;
    }
    for (int r = 0; r < n; r++)
        add_range(kind, 1, many, b, &query[r], (Sees){query[r].lo, query[r].hi < all.from ? query[r].hi : all.from});
    add_range(kind, n, many, b, query, all);
    int done = all.to > all.from ? all.to : all.from;
    for (int r = 0; r < n; r++)
        add_range(kind, 1, many, b, &query[r], (Sees){query[r].lo > done ? query[r].lo : done, query[r].hi});
}

INLINE void add_all(KeptKind kind, bool many, const Bench *b)
{
    int i = 0, most = many ? MANY : ABREAST;
    for (; i + most <= b->n; i += most)
        add_each(kind, most, many, b, b->query + i);
    for (; most > 4 && i + 4 <= b->n; i += 4)
        add_each(kind, 4, many, b, b->query + i);
    for (; i + 2 <= b->n; i += 2)
        add_each(kind, 2, many, b, b->query + i);
    if (i < b->n)
        add_each(kind, 1, many, b, b->query + i);
}

/* Values that are written down as F32. */
static void add_wide(const Bench *b)
{
    Stretch all = {.n_runs = 1, .runs[0] = {.values = (const uint8_t *)b->memory->values, .to = STRETCH}};
    Bench wide = *b;
    wide.stretch = &all;
    wide.value_bytes = sizeof b->memory->values[0];
    add_all(KEPT_F32, true, &wide);
}

INLINE void widen(KeptKind kind, const uint8_t *row, float *out, int width)
{
    int d = 0;
    for (; d + LANES <= width; d += LANES)
        vf_store(out + d, kept_load(kind, row, d));
    for (; d < width || d % COLUMNS; d += LANES)
        vf_store(out + d, d < width ? kept_load_n(kind, row, d, width - d) : vf_zero());
}

INLINE void add_as(KeptKind kind, const Bench *b)
{
    const Stretch *s = b->stretch;
    if (b->value_width % COLUMNS == 0 && b->n < WIDEN_FROM) {
        add_all(kind, false, b);
        return;
    }
    if (kind == KEPT_F32 && b->value_width % COLUMNS == 0) {
        add_all(kind, true, b);
        return;
    }
    for (const Run *run = s->runs; run < s->runs + s->n_runs; run++)
        for (int j = run->from > s->lo ? run->from : s->lo; j < run->to && j < s->hi; j++)
            widen(kind, run->values + (size_t)(j - run->from) * b->value_bytes, b->memory->values[j], b->value_width);
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

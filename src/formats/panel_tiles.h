/* panel_tiles.h -- many rows of x against two panels by the processor's tiles (Intel AMX): 16 rows against a panel, 32 of
 * k in one instruction. A part of panel_int.h, for formats with one scale for 32 weights.
 *
 *     A   XTile: 16 rows of 32 signed bytes          C   16 rows of 16 int32: exact, so the bits are those of multiply()
 *     B   a block of a panel: 8 lines of 16 groups of 4 signed bytes
 *
 * What the instruction leaves is to be done for each block and row as in multiply_block(): to float, times both scales,
 * added. The sums go from C to the vectors through memory, and that takes a while, as fetching weights and expanding them
 * does. So all blocks of both panels are one sequence, in parts that take turns (8 blocks of one panel, 8 of the other), and
 * it goes on from one TileJob to the next. While block b is added, the rest is already further on:
 *
 *     vectors    add b                             expand the same block of the next part
 *     tiles      multiply b + 2, store b + 1       nothing is stored right after it was computed
 *     memory     asks for lines of both panels, two parts of k ahead: read in two places at once
 *
 * Loading, multiplying and storing take 25 cycles; around them only one of two units for floats is open to the vectors, and
 * their 48 operations are what limits the loop.
 *
 * Where a format has TILE_OF nothing is expanded but scales.
 */
#ifdef TIER_avx512   /* which is built for the tier with tiles as well */

#include "kernels/kit/amx_tiles.h"

/* Two tiles each of C, A and B, so that neighbouring blocks do not wait for each other: 0 and 1, 2 and 3, 4 and 5. */
INLINE void tiles_begin(int rows)
{
    const uint8_t n = (uint8_t)rows;
    const TileShapes shapes = {.palette = 1, .row_bytes = {64, 64, PANEL_BLOCK, PANEL_BLOCK, 64, 64},
                               .rows = {n, n, n, n, 8, 8}};
    tiles_configure(&shapes);
}

#define TILE_MULTIPLY(c, a, b, x, w)                                                          \
    do {                                                                                      \
        TILE_LOAD(a, (x)->q, PANEL_BLOCK);                                                    \
        TILE_LOAD(b, w, 64);                                                                  \
        __asm__ volatile("tilezero %tmm" #c "\n\ttdpbssd %tmm" #b ", %tmm" #a ", %tmm" #c);   \
    } while (0)

/* ---- part u of the sequence: of panel u % 2, the (u / 2)-th of k. After the last ones come those of the next job ---- */

INLINE int tile_parts(const TileJob *t) { return (t->blocks + TILE_PART - 1) / TILE_PART; }
INLINE int part_of_k(const TileJob *t, int u)
{
    int k = u / 2, parts = tile_parts(t);
    return k < parts ? k : k - parts < parts ? k - parts : 0;
}
INLINE int blocks_of(const TileJob *t, int u)
{
    int left = t->blocks - part_of_k(t, u) * TILE_PART;
    return left < TILE_PART ? left : TILE_PART;
}
INLINE const Unit *units_of(const TileJob *t, int u)
{
    const void *panel = u / 2 < tile_parts(t) ? t->panel[u % 2] : t->next[u % 2];
    return (const Unit *)panel + part_of_k(t, u) * (TILE_PART / UNIT_BLOCKS);
}
INLINE const XTile *x_of(const TileJob *t, int u, int group)
{
    return (const XTile *)(t->x + (size_t)group * t->group_bytes) + part_of_k(t, u) * TILE_PART;
}
/* ---- what happens to a block ---- */

/* A part on its way: the units of a panel, and what is in the buffer of them. */
typedef struct TilePart {
    const Unit *units;
    uint8_t (*w)[PANEL_BITS_8];
    float (*scale)[PANEL_ROWS], (*min)[PANEL_ROWS];
} TilePart;

INLINE TilePart tile_part_of(const TileJob *t, int u)
{
    TileBuffer *b = t->buffer;
    return (TilePart){units_of(t, u), b->w[u % 2], b->scale[u % 2], b->min[u % 2]};
}

/* Of the blocks b, even, and b + 1: 8 lines each. */
INLINE const uint8_t *tile_weights(const TilePart *part, int b)
{
#ifdef TILE_OF
    return TILE_OF(part->units + b / UNIT_BLOCKS, b % UNIT_BLOCKS);
#else
    return part->w[b];
#endif
}

/* Where the lines lie that are asked for beside part u: half a part of each panel. */
typedef struct TileAhead {
    const uint8_t *at[PANEL_STREAMS];
} TileAhead;

enum { TILE_LINES = TILE_PART / UNIT_BLOCKS * sizeof(Unit) / 64 / 2, TILE_SHARE = (TILE_LINES + TILE_PART - 1) / TILE_PART };

INLINE TileAhead tile_ahead_of(const TileJob *t, int u, int parts_of_k)
{
    TileAhead ahead;
    for (int p = 0; p < PANEL_STREAMS; p++)
        ahead.at[p] = (const uint8_t *)units_of(t, u - u % 2 + 2 * parts_of_k + p) + u % 2 * TILE_LINES * 64;
    return ahead;
}

/* To the second-level cache. */
INLINE void tile_fetch(const TileAhead *ahead, int b)
{
    UNROLL
    for (int line = 0; line < TILE_SHARE; line++) {
        prefetch_far(ahead->at[0] + (b * TILE_SHARE + line) * 64);
        prefetch_far(ahead->at[1] + (b * TILE_SHARE + line) * 64);
    }
}

INLINE void tile_expand(const TilePart *to, int b)
{
    const Unit *unit = to->units + b / UNIT_BLOCKS;
    int i = b % UNIT_BLOCKS;
#ifndef TILE_OF
    UNROLL
    for (int j = 0; j < 8; j++)   /* from what has 128 added to signed bytes */
        vi_store(to->w[b] + 64 * j, vi_xor(weights(unit, i, j), vi_all((int32_t)0x80808080)));
#endif
    vf_store(to->scale[b], scale(unit, i, 0));
    if (MINS)
        vf_store(to->min[b], minimum(unit, i, 0));
}

INLINE void tile_add(Vf *acc, const int32_t sums[][PANEL_ROWS], const XTile *x, const TilePart *part, int b, int rows)
{
    Vf d = vf_load(part->scale[b]), m = MINS ? vf_load(part->min[b]) : vf_zero();
    UNROLL
    for (int r = 0; r < rows; r++) {
        acc[r] = vf_fma(vf_of_i(vi_load(sums[r])), vf_mul(d, vf_all(x->d[r])), acc[r]);
        if (MINS)
            acc[r] = vf_fnma(m, vf_all(x->dsum[r]), acc[r]);
    }
}

/* ---- the sequence ---- */

/* Part u for the rows of a group. The tiles are two blocks into the part, and go two blocks into what comes next. All
 * groups together expand the next part. */
INLINE void tile_rows_of(const TileJob *t, int u, int group, int rows, int share)
{
    const int n = blocks_of(t, u), last = group + 1 == t->groups, to_expand = blocks_of(t, u + 1);
    const TilePart part = tile_part_of(t, u), next = tile_part_of(t, u + 1);
    const TileAhead ahead = tile_ahead_of(t, u, TILE_AHEAD);
    const XTile *x = x_of(t, u, group), *next_x = last ? x_of(t, u + 1, 0) : x_of(t, u, group + 1);
    const uint8_t *next_w = tile_weights(last ? &next : &part, 0);
    int32_t(*of_tile)[TILED_ROWS][PANEL_ROWS] = t->buffer->sums;
    int e = group * share;
    const int e_end = e + share < to_expand ? e + share : to_expand;
    float *sums = t->sums + (group * TILED_ROWS * PANEL_STREAMS + u % 2) * PANEL_ROWS;
    Vf acc[TILED_ROWS];
    UNROLL
    for (int r = 0; r < rows; r++)
        acc[r] = u / 2 ? vf_load(sums + r * PANEL_STREAMS * PANEL_ROWS) : vf_zero();
    for (int b = 0; b < n; b += 2, x += 2) {
        const XTile *x_2 = b + 2 < n ? x + 2 : next_x;
        const uint8_t *w_2 = b + 2 < n ? tile_weights(&part, b + 2) : next_w;
        if (e < e_end) {
            tile_fetch(&ahead, e);
            tile_expand(&next, e++);
        }
        TILE_MULTIPLY(0, 2, 4, x_2, w_2);
        TILE_STORE(of_tile[1], 1, 64);
        tile_add(acc, of_tile[0], x, &part, b, rows);
        if (e < e_end) {
            tile_fetch(&ahead, e);
            tile_expand(&next, e++);
        }
        TILE_MULTIPLY(1, 3, 5, x_2 + 1, w_2 + PANEL_BITS_8);
        TILE_STORE(of_tile[0], 0, 64);
        tile_add(acc, of_tile[1], x + 1, &part, b + 1, rows);
    }
    for (; e < e_end; e++)   /* a short part */
        tile_expand(&next, e);
    UNROLL
    for (int r = 0; r < rows; r++)
        vf_store(sums + r * PANEL_STREAMS * PANEL_ROWS, acc[r]);
}

INLINE void tiles_of(const TileJob *t, int rows)
{
    _Static_assert(TILE_PART % UNIT_BLOCKS == 0, "a part begins with a unit");
    if (t->first) {
        const TilePart part = tile_part_of(t, 0);
        const TileAhead ahead[2] = {tile_ahead_of(t, 0, 1), tile_ahead_of(t, 1, 1)};
        tiles_begin(rows);
        for (int b = 0; b < blocks_of(t, 0); b++) {
            tile_fetch(&ahead[0], b);
            tile_fetch(&ahead[1], b);
            tile_expand(&part, b);
        }
        TILE_MULTIPLY(0, 2, 4, x_of(t, 0, 0), tile_weights(&part, 0));
        TILE_MULTIPLY(1, 3, 5, x_of(t, 0, 0) + 1, tile_weights(&part, 0) + PANEL_BITS_8);
        TILE_STORE(t->buffer->sums[0], 0, 64);
    }
    const int share = (TILE_PART + t->groups - 1) / t->groups;
    for (int u = 0; u < 2 * tile_parts(t); u++)
        for (int group = 0; group < t->groups; group++)
            tile_rows_of(t, u, group, rows, share);
    if (t->last)
        tiles_end();
}

static void tiles(const TileJob *t)
{
    if (t->rows == TILED_ROWS)
        tiles_of(t, TILED_ROWS);
    else
        tiles_of(t, TILED_ROWS / 2);
}

#define TILES tiles
#ifdef TILE_OF
#define TILES_FROM 9   /* few() has nothing to unpack either */
#else
#define TILES_FROM 8
#endif
#endif

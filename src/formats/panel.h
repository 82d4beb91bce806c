/* panel.h -- how the CPU keeps the weights of a product: 16 rows interleaved.
 *
 *     y[o] = sum_k x[k] w[o][k]                 a lane of a vector is an output o: nothing is summed across
 *
 *     rows of w      0  k0 k1 k2 k3 | k4 ...           panel   k0..k3 of row 0, of row 1, ... of row 15
 *                    1  k0 k1 k2 k3 | k4 ...     ->            k4..k7 of row 0, ...
 *                   15  ...                                    and beside them the 16 scales
 *
 * Quantised weights meet activations of 8 bits, four products of a lane in one instruction; they stay
 * as small in memory as their format makes them. Floats go one k at a time. The layout is the same on
 * every tier. A Panel says how one format does it; it is found by format, and a format without one
 * stays in plain rows.
 *
 * One sum is made in one order, whoever asks for it. Integer formats, for each 32 of k in turn:
 *
 *     acc = fma(float(sum of w x over the 32), scale d, acc)        exact integers within
 *     acc = fma(-min, d sum(x), acc)                                where there are mins
 *
 * (twice over 16 where scales belong to 16). Floats: acc = fma(x[k], w[k], acc) for each k in turn.
 *
 * For many rows of x integer weights are expanded once, a part of k at a time, to what every
 * integer format has in common. (Floats expand only to be read row by row.) Where the processor has
 * tiles, panel_tiles.h expands to those instead.
 *
 *     integers   for each 32 of k: 8 x 64 bytes (weight + 128), SCALES x 16 f32, MINS x 16 f32
 *     floats     for each k: 16 f32
 */
#ifndef FORMATS_PANEL_H
#define FORMATS_PANEL_H

#include "base/cpu_tier.h"
#include "core/format.h"

enum {
    PANEL_ROWS = 16,
    PANEL_BLOCK = 32,          /* weights of a row that meet one block of activations */
    PANEL_ROWS_OF_X = 8,       /* that few() takes */
    PANEL_STREAMS = 2,         /* panels that are read side by side: memory is read fastest in several places at once */
    TILED_ROWS = 16,           /* of x, that tiles take at once: a group */
    TILE_PART = 8,             /* blocks of a panel in turn with the other's: so few stay in the first-level cache */
    TILE_AHEAD = 2,            /* parts of k that memory is ahead */
    READ_AHEAD = 3072,         /* bytes of each panel: what a processor's own prefetching leaves to be won */
};

/* 32 activations as products of integers read them: A8 (a8.h), and what follows from it. */
typedef struct XBlock {
    int8_t q[PANEL_BLOCK];
    float d;
    int32_t start[3];          /* DOT_START (simd.h) of the 32, of the first 16, of the last 16 */
    float dsum[3];             /* d times the sum of the q, likewise */
    float unused;
} XBlock;
_Static_assert(sizeof(XBlock) == 64, "a cache line");

/* What an XBlock is for one row, for 16, as tiles read them. */
typedef struct XTile {
    int8_t q[TILED_ROWS][PANEL_BLOCK];
    float d[TILED_ROWS], dsum[TILED_ROWS];
} XTile;
_Static_assert(sizeof(XTile) % 64 == 0, "loads are aligned");

/* XPairs: 32 activations of each of 16 rows, in bf16. */
enum { XPAIRS_BYTES = 2 * PANEL_BLOCK };

/* A few rows of x against a few panels. */
typedef struct PanelJob {
    const void *panel[PANEL_STREAMS];
    const void *x;             /* XBlocks, or f32 */
    size_t x_row_bytes;
    int64_t width;
    float *sums;               /* [PANEL_ROWS_OF_X][PANEL_STREAMS][PANEL_ROWS] */
} PanelJob;

/* What is on its way while tiles multiply: two parts of weights, and the sums of two blocks. */
typedef struct TileBuffer {
    _Alignas(64) uint8_t w[2][TILE_PART][PANEL_BLOCK * PANEL_ROWS];
    float scale[2][TILE_PART][PANEL_ROWS], min[2][TILE_PART][PANEL_ROWS];
    int32_t sums[2][TILED_ROWS][PANEL_ROWS];
} TileBuffer;

/* Many rows of x against two panels. Jobs for the same rows are one sequence: what comes next is fetched, expanded and
 * begun meanwhile, so `next` is what the next job has for panels, or others of the same width, in vain. */
typedef struct TileJob {
    const void *panel[PANEL_STREAMS], *next[PANEL_STREAMS];
    const uint8_t *x;          /* XTiles: `groups` times 16 rows, group_bytes apart */
    size_t group_bytes;
    int rows, groups;          /* rows of a group that are there: all 16, or 8 of the only one, which cost less */
    int blocks;                /* of a row: even */
    float *sums;               /* [16 groups][PANEL_STREAMS][PANEL_ROWS] */
    TileBuffer *buffer;
    bool first, last;
} TileJob;

typedef struct Panel {
    const Format *format;
    int scales, mins;          /* of 32 weights: 1 or 2, 0 to 2. Floats: 0, 0 */
    size_t (*bytes)(int64_t width);          /* of a panel: a multiple of 64 */
    /* From n <= 16 rows (the others become zeros) to a zeroed panel, aligned to 64. */
    void (*pack)(void *panel, const void *rows, size_t row_bytes, int n, int64_t width);
    /* k in [from, to), multiples of 32 for integers. Each weight becomes exactly what decode() says it is
     * (q scale - min). */
    void (*expand)(void *out, const void *panel, int64_t from, int64_t to);
    /* The same, rounded to bf16: for each 2 of k, 16 times both. k: multiples of 32, out: aligned to 64. NULL: the tier has no
     * products of bf16. */
    void (*pairs)(void *out, const void *panel, int64_t from, int64_t to);
    void (*few)(const PanelJob *, int rows, int panels);
    void (*tiles)(const TileJob *);          /* NULL: the format, or the tier, is better off without */
    int tiles_from;                          /* rows that it takes for tiles to be faster than few() */
} Panel;

static inline int64_t panel_count(int64_t rows) { return (rows + PANEL_ROWS - 1) / PANEL_ROWS; }
static inline size_t panel_expanded_bytes(const Panel *p)   /* of 32 k */
{
    return p->scales ? (size_t)(PANEL_BLOCK * PANEL_ROWS + (p->scales + p->mins) * PANEL_ROWS * 4)
                     : PANEL_BLOCK * PANEL_ROWS * sizeof(float);
}

/* One row of the packed rows, k in [0, width), exactly as decode() would give it. */
void panel_row(const Panel *, float *x, const void *panels, int64_t row, int64_t width);

/* The panels of a format on a tier; NULL: it has none. Both lists hold the same formats. */
#define PANEL_FIND(x, NAME, tier) const Panel *panel_find_##tier(const Format *);
CPU_TIERS(PANEL_FIND, )
#undef PANEL_FIND
#define panel_find_amx panel_find_avx512

#endif

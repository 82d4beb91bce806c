/* near.h -- products of many rows whose factors are rounded to bf16: for who asked for it (--products bf16).
 *
 * What limits many rows otherwise is what follows each 32 of k: sums of integers become floats, and are scaled. Here weights
 * are scaled as they are rounded, once for up to PRODUCT_ROWS rows, and sums stay floats in registers: the processor's tiles
 * take 16 x 16 x 32 products in 16 cycles, where exact ones need 70.
 *
 *     x    XPairs: 16 rows, 32 k after 32 k           w    32 k x 16 outputs of two panels, in pairs (Panel.pairs())
 *
 *     tiles      32 rows x 32 outputs: 2 of x, 2 of w, 4 of sums
 *     without    6 rows x 32 outputs by vdpbf16ps, which adds two products to a sum: only weights that are floats
 *
 * Weights of 8 bits and less are no worse off than with activations of 8 bits: bf16 keeps 8 bits of each number, those of an
 * a8 block share one scale. But bits depend on how many rows there are, and on the tier.
 */
#ifndef KERNELS_LINEAR_NEAR_H
#define KERNELS_LINEAR_NEAR_H

#include "kernels/kit/amx_tiles.h"
#include "kernels/linear/tile.h"

enum { NEAR_K = 256 /* in turn: so many pairs stay in the first-level cache */, NEAR_BLOCK_BYTES = 1024 };

typedef struct Near {
    const uint8_t *w[TILE_PANELS];
    const uint8_t *x;             /* of the first 32 k of this part */
    size_t group_bytes;           /* from 16 rows of x to the next */
    int blocks;                   /* of 32 k */
    bool first;                   /* nothing was summed before */
    float *sums;                  /* [rows][TILE_PANELS][PANEL_ROWS] */
} Near;

#if defined(TIER_amx)

enum { NEAR_STRIDE = TILE_PANELS * PANEL_ROWS * sizeof(float) };

/* 0 to 3: sums of a group and panel. 4, 5: of x. 6, 7: of w. */
INLINE void near_begin(void) { tiles_configure_whole(); }
INLINE void near_end(void) { tiles_end(); }

#define NEAR_BEGIN(tile, from) \
    do { if (t->first) TILE_ZERO(tile); else TILE_LOAD(tile, from, NEAR_STRIDE); } while (0)

INLINE void near_groups(const Near *t, const uint8_t *x, float *sums, bool two)
{
    float *below = sums + TILED_ROWS * TILE_PANELS * PANEL_ROWS;
    NEAR_BEGIN(0, sums);
    NEAR_BEGIN(1, sums + PANEL_ROWS);
    if (two) {
        NEAR_BEGIN(2, below);
        NEAR_BEGIN(3, below + PANEL_ROWS);
    }
    for (int b = 0; b < t->blocks; b++) {
        size_t at = (size_t)b * NEAR_BLOCK_BYTES;
        TILE_LOAD(6, t->w[0] + at, 64);
        TILE_LOAD(4, x + at, 64);
        TILE_MULTIPLY_BF16(0, 4, 6);
        TILE_LOAD(7, t->w[1] + at, 64);
        TILE_MULTIPLY_BF16(1, 4, 7);
        if (two) {
            TILE_LOAD(5, x + t->group_bytes + at, 64);
            TILE_MULTIPLY_BF16(2, 5, 6);
            TILE_MULTIPLY_BF16(3, 5, 7);
        }
    }
    TILE_STORE(sums, 0, NEAR_STRIDE);
    TILE_STORE(sums + PANEL_ROWS, 1, NEAR_STRIDE);
    if (two) {
        TILE_STORE(below, 2, NEAR_STRIDE);
        TILE_STORE(below + PANEL_ROWS, 3, NEAR_STRIDE);
    }
}

/* Rows are whole groups: those that are missing are computed in vain. */
static void near_rows(const Near *t, int rows)
{
    int groups = (rows + TILED_ROWS - 1) / TILED_ROWS;
    for (int g = 0; g < groups; g += 2) {
        const uint8_t *x = t->x + (size_t)g * t->group_bytes;
        float *sums = t->sums + g * TILED_ROWS * TILE_PANELS * PANEL_ROWS;
        if (g + 1 < groups)
            near_groups(t, x, sums, true);
        else
            near_groups(t, x, sums, false);
    }
}

#elif defined(TIER_avx512)

INLINE void near_begin(void) {}
INLINE void near_end(void) {}

INLINE Vf near_dot(Vf sum, Vi x, Vi w) { return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w); }

INLINE void near_tile(const Near *t, int first, int rows)
{
    Vf acc[TILE_ROWS][TILE_PANELS];
    const uint8_t *x[TILE_ROWS];
    float *sums = t->sums + first * TILE_PANELS * PANEL_ROWS;
    UNROLL
    for (int r = 0; r < rows; r++) {
        x[r] = t->x + (size_t)((first + r) / TILED_ROWS) * t->group_bytes + (size_t)((first + r) % TILED_ROWS) * 64;
        UNROLL
        for (int p = 0; p < TILE_PANELS; p++)
            acc[r][p] = t->first ? vf_zero() : vf_load(sums + (r * TILE_PANELS + p) * PANEL_ROWS);
    }
    for (int b = 0; b < t->blocks; b++) {
        size_t at = (size_t)b * NEAR_BLOCK_BYTES;
        UNROLL
        for (int j = 0; j < PANEL_BLOCK / 2; j++) {
            Vi w0 = vi_load(t->w[0] + at + 64 * j), w1 = vi_load(t->w[1] + at + 64 * j);
            UNROLL
            for (int r = 0; r < rows; r++) {
                Vi pair = vi_group(x[r] + at + 4 * j);
                acc[r][0] = near_dot(acc[r][0], pair, w0);
                acc[r][1] = near_dot(acc[r][1], pair, w1);
            }
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < TILE_PANELS; p++)
            vf_store(sums + (r * TILE_PANELS + p) * PANEL_ROWS, acc[r][p]);
    }
}

static void near_rows(const Near *t, int rows)
{
    int r = 0;
    for (; r + TILE_ROWS <= rows; r += TILE_ROWS)
        near_tile(t, r, TILE_ROWS);
    for (; r < rows; r++)
        near_tile(t, r, 1);
}

#endif
#endif

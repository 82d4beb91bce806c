/* tile.h -- the inner loops of products with many rows: TILE_ROWS rows of x against two panels, whose
 * weights were expanded (formats/panel.h) and lie in the first-level cache.
 *
 *     x row 0  | 32 k | 32 k | ...        w panel 0  | 32 k x 16 | 32 k x 16 | ...
 *       row 1  | 32 k | 32 k | ...          panel 1  | 32 k x 16 | 32 k x 16 | ...
 *
 * All sums of a tile stay in registers: each weight that is loaded meets all rows, each group of
 * activations both panels. x lies in the second-level cache, so the rows of the next tile are asked for.
 */
#ifndef KERNELS_LINEAR_TILE_H
#define KERNELS_LINEAR_TILE_H

#include "formats/panel.h"
#include "kernels/kit/simd.h"

enum {
    TILE_PANELS = 2, AT_ONCE = VF_REGISTERS >= 32 ? 2 : 1 /* panels: where there are few registers, one after the other */,
    TILE_ROWS = VF_REGISTERS >= 32 ? 6 : 4 /* 6 x 2 sums, and as many of integers */
};

typedef struct Tile {
    const uint8_t *w[TILE_PANELS];
    const uint8_t *x;
    size_t x_row_bytes;
    int k;                        /* how many: for integers a multiple of 32 */
    float *sums;                  /* [rows][TILE_PANELS][PANEL_ROWS], added to */
} Tile;

INLINE void tile_load(Vf acc[][AT_ONCE], const Tile *t, int rows, int panel)
{
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < AT_ONCE; p++)
            acc[r][p] = vf_load(t->sums + (r * TILE_PANELS + panel + p) * PANEL_ROWS);
    }
}

INLINE void tile_store(Vf acc[][AT_ONCE], const Tile *t, int rows, int panel)
{
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < AT_ONCE; p++)
            vf_store(t->sums + (r * TILE_PANELS + panel + p) * PANEL_ROWS, acc[r][p]);
    }
}

/* Adds what the s-th part of a block, all of it where scales == 1, gives: w is the block's in each panel. */
INLINE void tile_dot(Vf acc[][AT_ONCE], const uint8_t *const w[], const XBlock *const x[], int rows, int s, int scales)
{
    Vi sum[TILE_ROWS][AT_ONCE];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < AT_ONCE; p++)
            sum[r][p] = vi_all(x[r]->start[scales == 1 ? 0 : 1 + s]);
    }
    UNROLL
    for (int j = s * 8 / scales; j < (s + 1) * 8 / scales; j++) {
        Vi part[AT_ONCE];
        UNROLL
        for (int p = 0; p < AT_ONCE; p++)
            part[p] = vi_load(w[p] + 64 * j);
        UNROLL
        for (int r = 0; r < rows; r++) {
            Vi group = vi_group(x[r]->q + 4 * j);
            UNROLL
            for (int p = 0; p < AT_ONCE; p++)
                sum[r][p] = vi_dot(sum[r][p], part[p], group);
        }
    }
    UNROLL
    for (int p = 0; p < AT_ONCE; p++) {
        Vf d = vf_load((const float *)(w[p] + 512 + 64 * s));
        UNROLL
        for (int r = 0; r < rows; r++)
            acc[r][p] = vf_fma(vf_of_i(sum[r][p]), vf_mul(d, vf_all(x[r]->d)), acc[r][p]);
    }
}

INLINE void int_panels(const Tile *t, int rows, int scales, int mins, int panel)
{
    const size_t block_bytes = (size_t)(512 + 64 * (scales + mins));
    Vf acc[TILE_ROWS][AT_ONCE];
    tile_load(acc, t, rows, panel);
    for (int b = 0; b < t->k / PANEL_BLOCK; b++) {
        const uint8_t *w[AT_ONCE];
        UNROLL
        for (int p = 0; p < AT_ONCE; p++)
            w[p] = t->w[panel + p] + (size_t)b * block_bytes;
        const XBlock *x[TILE_ROWS];
        UNROLL
        for (int r = 0; r < rows; r++)
            x[r] = (const XBlock *)(t->x + (size_t)r * t->x_row_bytes) + b;
        UNROLL
        for (int r = 0; r < rows; r++)
            prefetch((const uint8_t *)x[r] + TILE_ROWS * t->x_row_bytes);   /* of the next tile */
        UNROLL
        for (int s = 0; s < scales; s++)
            tile_dot(acc, w, x, rows, s, scales);
        UNROLL
        for (int s = 0; s < mins; s++) {
            UNROLL
            for (int p = 0; p < AT_ONCE; p++) {
                Vf m = vf_load((const float *)(w[p] + 512 + 64 * (scales + s)));
                UNROLL
                for (int r = 0; r < rows; r++)
                    acc[r][p] = vf_fnma(m, vf_all(x[r]->dsum[mins == 1 ? 0 : 1 + s]), acc[r][p]);
            }
        }
    }
    tile_store(acc, t, rows, panel);
}

INLINE void float_panels(const Tile *t, int rows, int panel)
{
    Vf acc[TILE_ROWS][AT_ONCE];
    tile_load(acc, t, rows, panel);
    for (int k = 0; k < t->k; k++) {
        Vf w[AT_ONCE];
        UNROLL
        for (int p = 0; p < AT_ONCE; p++)
            w[p] = vf_load((const float *)t->w[panel + p] + (int64_t)k * PANEL_ROWS);
        UNROLL
        for (int r = 0; r < rows; r++) {
            Vf x = vf_all(((const float *)(t->x + (size_t)r * t->x_row_bytes))[k]);
            UNROLL
            for (int p = 0; p < AT_ONCE; p++)
                acc[r][p] = vf_fma(x, w[p], acc[r][p]);
        }
    }
    tile_store(acc, t, rows, panel);
}

INLINE void int_tile(const Tile *t, int rows, int scales, int mins)
{
    for (int panel = 0; panel < TILE_PANELS; panel += AT_ONCE)
        int_panels(t, rows, scales, mins, panel);
}
INLINE void float_tile(const Tile *t, int rows)
{
    for (int panel = 0; panel < TILE_PANELS; panel += AT_ONCE)
        float_panels(t, rows, panel);
}

#endif

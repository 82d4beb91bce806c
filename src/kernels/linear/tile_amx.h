/* tile_amx.h -- the inner loop of integer products with many rows by the processor's tiles (Intel AMX): 16 rows of x
 * against a panel, 32 of k in one instruction.
 *
 *     A   XTile: 16 rows of 32 signed bytes          C   16 rows of 16 int32: exact, so the bits are those of tile.h
 *     B   a block of an expanded panel: 8 lines of 16 groups of 4 bytes, made signed
 *
 * What the instruction leaves is to be done for each block and row, as in tile.h: to float, times both scales, added.
 * The sums go from C to the vectors through memory, and that takes a while. So all blocks of both panels and of all
 * rows are one sequence, in which the tiles are two blocks ahead of the vectors, and what one instruction computes is
 * stored beside the next:
 *
 *     tiles      multiply b + 2, store b + 1   |  multiply b + 3, store b + 2   |
 *     vectors    add b                         |  add b + 1                     |
 *
 * Loading, multiplying and storing take 25 cycles; around them only one of two units for floats is open to the vectors, and
 * their 48 operations are what limits the loop, at 70 cycles. Without tiles it takes 116.
 */
#ifndef KERNELS_LINEAR_TILE_AMX_H
#define KERNELS_LINEAR_TILE_AMX_H

#include "kernels/linear/product.h"
#include "kernels/linear/tile.h"

enum { AMX_BLOCKS = 16 };   /* of a panel at once: even. Two panels and 16 rows stay in the first-level cache */

/* Rows of x against a part of k of two panels. */
typedef struct AmxPart {
    uint8_t *w[TILE_PANELS];              /* expanded; they become signed */
    const uint8_t *x;                     /* XTiles: `groups` times 16 rows, group_bytes apart */
    size_t group_bytes;
    int groups, blocks;                   /* blocks: even */
    float *sums;                          /* [16 groups][TILE_PANELS][PANEL_ROWS], added to */
    const uint8_t *ahead[TILE_PANELS];    /* what is expanded next: brought to the second-level cache meanwhile */
    size_t ahead_bytes;                   /* of each panel */
} AmxPart;

#ifdef TIER_amx

/* Intel's "Instruction Set Extensions Programming Reference", LDTILECFG: bytes of a row and rows of each tile. */
typedef struct AmxShapes {
    uint8_t palette, start_row, unused[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} AmxShapes;

/* Two tiles each of C, A and B, so that neighbouring blocks do not wait for each other: 0 and 1, 2 and 3, 4 and 5. */
INLINE void amx_begin(void)
{
    const AmxShapes shapes = {.palette = 1, .row_bytes = {64, 64, PANEL_BLOCK, PANEL_BLOCK, 64, 64},
                              .rows = {TILED_ROWS, TILED_ROWS, TILED_ROWS, TILED_ROWS, 8, 8}};
    __asm__ volatile("ldtilecfg %0" : : "m"(shapes));
}
/* So that nobody has to keep tiles that nobody uses. */
INLINE void amx_end(void) { __asm__ volatile("tilerelease"); }

#define AMX_LOAD(tile, from, stride) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(from), "r"((int64_t)(stride)) : "memory")
#define AMX_MULTIPLY(c, a, b, x, w)                                                           \
    do {                                                                                      \
        AMX_LOAD(a, (x)->q, PANEL_BLOCK);                                                     \
        AMX_LOAD(b, w, 64);                                                                   \
        __asm__ volatile("tilezero %tmm" #c "\n\ttdpbssd %tmm" #b ", %tmm" #a ", %tmm" #c);   \
    } while (0)
#define AMX_STORE(sums, c) \
    __asm__ volatile("tilestored %%tmm" #c ", (%0,%1,1)" : : "r"(sums), "r"((int64_t)64) : "memory")

/* Expanded weights have 128 added: here they are signed. */
INLINE void amx_make_signed(const AmxPart *t, size_t block_bytes)
{
    for (int p = 0; p < TILE_PANELS; p++)
        for (int b = 0; b < t->blocks; b++)
            for (int j = 0; j < 8; j++) {
                uint8_t *at = t->w[p] + (size_t)b * block_bytes + 64 * j;
                vi_store(at, vi_xor(vi_load(at), vi_all((int32_t)0x80808080)));
            }
}

/* As in tile.h: acc = fma(float(sum), d, acc), then the minimum. */
INLINE void amx_add(Vf *acc, const int32_t sums[][PANEL_ROWS], const XTile *x, const uint8_t *w, int mins)
{
    Vf d = vf_load((const float *)(w + 512));
    UNROLL
    for (int r = 0; r < TILED_ROWS; r++)
        acc[r] = vf_fma(vf_of_i(vi_load(sums[r])), vf_mul(d, vf_all(x->d[r])), acc[r]);
    if (mins == 0)
        return;
    Vf m = vf_load((const float *)(w + 576));
    UNROLL
    for (int r = 0; r < TILED_ROWS; r++)
        acc[r] = vf_fnma(m, vf_all(x->dsum[r]), acc[r]);
}

/* 16 rows against one panel. At the end the tiles are two blocks into next_x and next_w, as they were here at the start. */
INLINE void amx_panel(const AmxPart *t, int32_t sums[2][TILED_ROWS][PANEL_ROWS], const XTile *x, const uint8_t *w,
                      const XTile *next_x, const uint8_t *next_w, float *to, const uint8_t *ahead, int lines, int mins)
{
    const size_t block_bytes = (size_t)(512 + 64 * (1 + mins));
    Vf acc[TILED_ROWS];
    UNROLL
    for (int r = 0; r < TILED_ROWS; r++)
        acc[r] = vf_load(to + r * TILE_PANELS * PANEL_ROWS);
    for (int b = 0; b < t->blocks; b += 2, x += 2, w += 2 * block_bytes) {
        const XTile *x_2 = b + 2 < t->blocks ? x + 2 : next_x;
        const uint8_t *w_2 = b + 2 < t->blocks ? w + 2 * block_bytes : next_w;
        for (int i = 0; i < lines; i++, ahead += 64)
            __builtin_prefetch(ahead, 0, 2);   /* to the second-level cache */
        AMX_MULTIPLY(0, 2, 4, x_2, w_2);
        AMX_STORE(sums[1], 1);
        amx_add(acc, sums[0], x, w, mins);
        AMX_MULTIPLY(1, 3, 5, x_2 + 1, w_2 + block_bytes);
        AMX_STORE(sums[0], 0);
        amx_add(acc, sums[1], x + 1, w + block_bytes, mins);
    }
    UNROLL
    for (int r = 0; r < TILED_ROWS; r++)
        vf_store(to + r * TILE_PANELS * PANEL_ROWS, acc[r]);
}

INLINE const XTile *group_of(const AmxPart *t, int g) { return (const XTile *)(t->x + (size_t)g * t->group_bytes); }

INLINE void amx_tiles(const AmxPart *t, int mins)
{
    _Alignas(64) int32_t sums[2][TILED_ROWS][PANEL_ROWS];
    const size_t block_bytes = (size_t)(512 + 64 * (1 + mins));
    const int pairs = t->groups * t->blocks / 2, lines = ((int)(t->ahead_bytes / 64) + pairs - 1) / pairs;
    amx_make_signed(t, block_bytes);
    AMX_MULTIPLY(0, 2, 4, group_of(t, 0), t->w[0]);
    AMX_MULTIPLY(1, 3, 5, group_of(t, 0) + 1, t->w[0] + block_bytes);
    AMX_STORE(sums[0], 0);
    for (int i = 0, end = t->groups * TILE_PANELS; i < end; i++) {
        int g = i / TILE_PANELS, p = i % TILE_PANELS;
        int next = i + 1 < end ? i + 1 : 0;   /* after the last: multiplied for nothing */
        float *to = t->sums + (g * TILED_ROWS * TILE_PANELS + p) * PANEL_ROWS;
        const uint8_t *ahead = t->ahead[p] + (size_t)(g * t->blocks / 2 * lines) * 64;
        amx_panel(t, sums, group_of(t, g), t->w[p], group_of(t, next / TILE_PANELS), t->w[next % TILE_PANELS], to, ahead,
                  lines, mins);
    }
}

#else
INLINE void amx_begin(void) {}
INLINE void amx_end(void) {}
INLINE void amx_tiles(const AmxPart *t, int mins) { (void)t, (void)mins; }
#endif

#endif

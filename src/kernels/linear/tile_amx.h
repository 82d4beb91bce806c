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
#define AMX_MULTIPLY(c, a, b, x, w)                                                                              \
    do {                                                                                                         \
        AMX_LOAD(a, (x)->q, PANEL_BLOCK);                                                                        \
        AMX_LOAD(b, w, 64);                                                                                      \
        __asm__ volatile("tilezero %tmm" #c "\n\ttdpbssd %tmm" #b ", %tmm" #a ", %tmm" #c);                      \
    } while (0)
#define AMX_STORE(sums, c) \
    __asm__ volatile("tilestored %%tmm" #c ", (%0,%1,1)" : : "r"(sums), "r"((int64_t)64) : "memory")

/* Expanded weights have 128 added: here they are signed. */
INLINE void amx_make_signed(uint8_t *w, size_t block_bytes, int64_t blocks)
{
    for (; blocks > 0; blocks--, w += block_bytes)
        for (int at = 0; at < PANEL_ROWS * PANEL_BLOCK; at += 64)
            vi_store(w + at, vi_xor(vi_load(w + at), vi_all((int32_t)0x80808080)));
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

/* `groups` times TILED_ROWS rows against both panels; x_row_bytes as in Prepared, an even number of blocks. */
INLINE void amx_tiles(const Tile *t, int groups, int mins)
{
    _Alignas(64) int32_t sums[2][TILED_ROWS][PANEL_ROWS];
    const size_t block_bytes = (size_t)(512 + 64 * (1 + mins)), group_bytes = TILED_ROWS * t->x_row_bytes;
    const int blocks = t->k / PANEL_BLOCK;
    const XTile *first = (const XTile *)t->x;
    AMX_MULTIPLY(0, 2, 4, first, t->w[0]);
    AMX_MULTIPLY(1, 3, 5, first + 1, t->w[0] + block_bytes);
    AMX_STORE(sums[0], 0);
    for (int i = 0; i < groups * TILE_PANELS; i++) {
        const XTile *x = (const XTile *)(t->x + (size_t)(i / TILE_PANELS) * group_bytes);
        const XTile *next = i + 1 == groups * TILE_PANELS ? first
                                                          : (const XTile *)(t->x + (size_t)((i + 1) / TILE_PANELS) * group_bytes);
        const uint8_t *w = t->w[i % TILE_PANELS], *next_w = t->w[(i + 1) % TILE_PANELS];
        float *to = t->sums + (i / TILE_PANELS * TILED_ROWS * TILE_PANELS + i % TILE_PANELS) * PANEL_ROWS;
        Vf acc[TILED_ROWS];
        UNROLL
        for (int r = 0; r < TILED_ROWS; r++)
            acc[r] = vf_load(to + r * TILE_PANELS * PANEL_ROWS);
        for (int b = 0; b < blocks; b += 2, x += 2, w += 2 * block_bytes) {
            const XTile *ahead = b + 2 < blocks ? x + 2 : next;
            const uint8_t *w_ahead = b + 2 < blocks ? w + 2 * block_bytes : next_w;
            AMX_MULTIPLY(0, 2, 4, ahead, w_ahead);
            AMX_STORE(sums[1], 1);
            amx_add(acc, sums[0], x, w, mins);
            AMX_MULTIPLY(1, 3, 5, ahead + 1, w_ahead + block_bytes);
            AMX_STORE(sums[0], 0);
            amx_add(acc, sums[1], x + 1, w + block_bytes, mins);
        }
        UNROLL
        for (int r = 0; r < TILED_ROWS; r++)
            vf_store(to + r * TILE_PANELS * PANEL_ROWS, acc[r]);
    }
}

#endif

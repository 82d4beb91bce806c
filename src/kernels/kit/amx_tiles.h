/* amx_tiles.h -- the processor's tiles (Intel AMX): eight registers of 16 rows of 64 bytes. For kernels of tier amx.
 *
 * Written as instructions, since the compiler's own want to know what each tile is called, and are not there on every tier that
 * includes this. Intel's "Instruction Set Extensions Programming Reference" says what they do.
 */
#ifndef KERNELS_KIT_AMX_TILES_H
#define KERNELS_KIT_AMX_TILES_H

#include "kernels/kit/simd.h"

/* LDTILECFG: bytes of a row and rows of each tile. */
typedef struct TileShapes {
    uint8_t palette, start_row, unused[14];      /* palette 1 */
    uint16_t row_bytes[16];
    uint8_t rows[16];
} TileShapes;

INLINE void tiles_configure(const TileShapes *shapes) { __asm__ volatile("ldtilecfg %0" : : "m"(*shapes)); }
/* So that nobody has to keep tiles that nobody uses. */
INLINE void tiles_end(void) { __asm__ volatile("tilerelease"); }

/* stride: bytes from one row to the next, in memory. */
#define TILE_LOAD(tile, from, stride) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(from), "r"((int64_t)(stride)) : "memory")
#define TILE_STORE(to, tile, stride) \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(to), "r"((int64_t)(stride)) : "memory")
#define TILE_ZERO(tile) __asm__ volatile("tilezero %tmm" #tile)
/* c += a b: pairs of bf16, sums in F32. */
#define TILE_MULTIPLY_BF16(c, a, b) __asm__ volatile("tdpbf16ps %tmm" #b ", %tmm" #a ", %tmm" #c)

/* All eight of 16 whole rows. */
INLINE void tiles_configure_whole(void)
{
    static const TileShapes shapes = {.palette = 1, .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                      .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
    tiles_configure(&shapes);
}

#endif

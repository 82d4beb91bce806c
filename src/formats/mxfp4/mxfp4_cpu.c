/* mxfp4_cpu.c -- panels of MXFP4: four blocks of 16 rows, their exponents first. */
#include <stddef.h>

#include "formats/mxfp4/mxfp4.h"
#include "formats/panel_turn.h"

typedef struct Unit {
    uint8_t e[4][PANEL_ROWS];
    uint8_t q[4][PANEL_BITS_4];
} Unit;

#define UNIT_BLOCKS 4
#define SCALES 1
#define MINS 0
#define PANEL_FORMAT mxfp4

INLINE Vi weights(const Unit *u, int i, int j)   /* value[q] + 128 */
{
    return vi_xor(vi_look_up(mxfp4_values, bytes_of_4_bits(u->q[i], j)), vi_all((int32_t)0x80808080));
}
INLINE Vf scale(const Unit *u, int i, int s)     /* 2^(e - 128), of which the two smallest are denormal */
{
    Vi e = vi_of_u8(u->e[i]);
    Vf d = vf_of_bits(vi_shl(vi_sub(e, vi_all(1)), 23));
    d = vf_pick(vi_equal(e, vi_all(1)), vf_all(0x1p-127f), d);
    return (void)s, vf_pick(vi_equal(e, vi_all(0)), vf_all(0x1p-128f), d);
}

static void pack_lane(Unit *u, int lane, const void *blocks, int n)
{
    const MXFP4Block *b = blocks;
    for (int i = 0; i < n; i++) {
        u->e[i][lane] = b[i].e;
        for (unsigned k = 0; k < PANEL_BLOCK; k += 4)
            panel_put_4(u->q[i], 4, lane, k, bits_get_4(b[i].q, 4, 16, k));
    }
}

#define PACK_UNIT
static void pack_unit(Unit *u, const uint8_t *blocks, size_t row_bytes)
{
    for (int i = 0; i < 4; i++, blocks += sizeof(MXFP4Block)) {
        for (int lane = 0; lane < PANEL_ROWS; lane++)
            u->e[i][lane] = blocks[(size_t)lane * row_bytes];
        turn_block_of_4_bits(u->q[i], blocks + offsetof(MXFP4Block, q), row_bytes);
    }
}

#include "formats/panel_int.h"

/* q4_0_cpu.c -- panels of Q4_0: two blocks of 16 rows, their scales first. */
#include <stddef.h>

#include "formats/panel_turn.h"
#include "formats/q4_0/q4_0.h"

typedef struct Unit {
    uint8_t d[2][PANEL_ROWS][2];
    uint8_t q[2][PANEL_BITS_4];
} Unit;

#define UNIT_BLOCKS 2
#define SCALES 1
#define MINS 0
#define PANEL_FORMAT q4_0

/* 16 (q - 8) + 128 = 16 q, which leaves q where it is or shifts it once; the scale is as much smaller. */
INLINE Vi weights(const Unit *u, int i, int j)
{
    Vi v = vi_load(u->q[i] + 64 * (j % 4));
    return vi_and(j < 4 ? vi_shl(v, 4) : v, vi_all((int32_t)0xf0f0f0f0));
}
INLINE Vf scale(const Unit *u, int i, int s) { return (void)s, vf_mul(vf_of_f16(u->d[i]), vf_all(1.0f / 16)); }

static void pack_lane(Unit *u, int lane, const void *blocks, int n)
{
    const Q4_0Block *b = blocks;
    for (int i = 0; i < n; i++) {
        memcpy(u->d[i][lane], b[i].d, 2);
        for (unsigned k = 0; k < PANEL_BLOCK; k += 4)
            panel_put_4(u->q[i], 4, lane, k, bits_get_4(b[i].q, 4, 16, k));
    }
}

#define PACK_UNIT
static void pack_unit(Unit *u, const uint8_t *blocks, size_t row_bytes)
{
    for (int i = 0; i < 2; i++, blocks += sizeof(Q4_0Block)) {
        gather_f16(u->d[i], blocks, row_bytes);
        turn_block_of_4_bits(u->q[i], blocks + offsetof(Q4_0Block, q), row_bytes);
    }
}

#include "formats/panel_int.h"

/* q3_k_cpu.c -- panels of Q3_K: a superblock of 16 rows, its 6-bit scales in 4 and 2 bits. */
#include <stddef.h>

#include "formats/k_quant.h"
#include "formats/panel_turn.h"
#include "formats/q3_k/q3_k.h"

typedef struct Unit {
    uint8_t d[PANEL_ROWS][2], unused[32];
    uint8_t scale_low[8][PANEL_ROWS];       /* of block i: 4 bits of its first scale, 4 of its second */
    uint8_t scale_high[4][PANEL_ROWS];      /* of blocks 2 i and 2 i + 1: 2 bits of each of 4 scales */
    struct {
        uint8_t high[PANEL_BITS_1];
        uint8_t low[PANEL_BITS_2];
    } q[8];
} Unit;

#define UNIT_BLOCKS 8
#define SCALES 2
#define MINS 0
#define PANEL_FORMAT q3_k

INLINE Vi weights(const Unit *u, int i, int j)   /* q - 4 + 128 */
{
    Vi q = vi_or(bytes_of_2_bits(u->q[i].low, j, 0), bytes_of_1_bit(u->q[i].high, j, 2));
    return vi_add8(q, vi_all(0x7c7c7c7c));
}
INLINE Vf scale(const Unit *u, int i, int s)
{
    Vi low = vi_and(vi_shr(vi_of_u8(u->scale_low[i]), 4 * s), vi_all(15));
    Vi high = vi_and(vi_shr(vi_of_u8(u->scale_high[i / 2]), 4 * (i % 2) + 2 * s), vi_all(3));
    return vf_mul(vf_of_f16(u->d), vf_of_i(vi_sub(vi_or(low, vi_shl(high, 4)), vi_all(32))));
}

static void pack_scales(Unit *u, int lane, const Q3KBlock *b)
{
    memcpy(u->d[lane], b->d, 2);
    for (unsigned g = 0; g < 16; g++) {
        u->scale_low[g / 2][lane] |= (uint8_t)(bits_get(b->scales, 4, 8, g) << g % 2 * 4);
        u->scale_high[g / 4][lane] |= (uint8_t)(bits_get(b->scales + 8, 2, 4, g) << g % 4 * 2);
    }
}

static void pack_lane(Unit *u, int lane, const void *blocks, int n)
{
    const Q3KBlock *b = blocks;
    (void)n;
    pack_scales(u, lane, b);
    for (unsigned i = 0; i < K_ELEMS; i += 4) {
        panel_put_4(u->q[i / 32].low, 2, lane, i % 32, bits_get_4(b->low, 2, 32, i));
        panel_put_4(u->q[i / 32].high, 1, lane, i % 32, bits_get_4(b->high, 1, 32, i));
    }
}

#define PACK_UNIT
static void pack_unit(Unit *u, const uint8_t *blocks, size_t row_bytes)
{
    for (int lane = 0; lane < PANEL_ROWS; lane++)
        pack_scales(u, lane, (const Q3KBlock *)(const void *)(blocks + (size_t)lane * row_bytes));
    for (int i = 0; i < 8; i += 4)
        turn_2_bits(u->q[i].low, sizeof u->q[0], blocks + offsetof(Q3KBlock, low) + 8 * i, row_bytes);
    turn_1_bit(u->q[0].high, sizeof u->q[0], blocks + offsetof(Q3KBlock, high), row_bytes);
}

#include "formats/panel_int.h"

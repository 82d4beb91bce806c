/* q5_1_cpu.c -- panels of Q5_1: a block of 16 rows, scales and offsets first. */
#include <stddef.h>

#include "formats/panel_turn.h"
#include "formats/q5_1/q5_1.h"

typedef struct Unit {
    uint8_t d[PANEL_ROWS][2], m[PANEL_ROWS][2];
    uint8_t high[PANEL_BITS_1];
    uint8_t low[PANEL_BITS_4];
} Unit;

#define UNIT_BLOCKS 1
#define SCALES 1
#define MINS 1
#define PANEL_FORMAT q5_1

INLINE Vi weights(const Unit *u, int i, int j)   /* q + 128 */
{
    Vi q = vi_or(bytes_of_4_bits(u->low, j), bytes_of_1_bit(u->high, j, 4));
    return (void)i, vi_or(q, vi_all((int32_t)0x80808080));
}
INLINE Vf scale(const Unit *u, int i, int s) { return (void)i, (void)s, vf_of_f16(u->d); }
INLINE Vf minimum(const Unit *u, int i, int s) { return (void)i, (void)s, vf_neg(vf_of_f16(u->m)); }

static void pack_lane(Unit *u, int lane, const void *blocks, int n)
{
    const Q5_1Block *b = blocks;
    (void)n;
    memcpy(u->d[lane], b->d, 2);
    memcpy(u->m[lane], b->m, 2);
    for (unsigned k = 0; k < PANEL_BLOCK; k += 4) {
        panel_put_4(u->low, 4, lane, k, bits_get_4(b->low, 4, 16, k));
        panel_put_4(u->high, 1, lane, k, bits_get_4(b->high, 1, 1, k));
    }
}

#define PACK_UNIT
static void pack_unit(Unit *u, const uint8_t *blocks, size_t row_bytes)
{
    gather_f16(u->d, blocks, row_bytes);
    gather_f16(u->m, blocks + offsetof(Q5_1Block, m), row_bytes);
    turn_word_of_bits(u->high, blocks + offsetof(Q5_1Block, high), row_bytes);
    turn_block_of_4_bits(u->low, blocks + offsetof(Q5_1Block, low), row_bytes);
}

#include "formats/panel_int.h"

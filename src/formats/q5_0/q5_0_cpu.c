/* q5_0_cpu.c -- panels of Q5_0: two blocks of 16 rows, their scales first. */
#include <stddef.h>

#include "formats/panel_turn.h"
#include "formats/q5_0/q5_0.h"

typedef struct Unit {
    uint8_t d[2][PANEL_ROWS][2];
    uint8_t high[2][PANEL_BITS_1];
    uint8_t low[2][PANEL_BITS_4];
} Unit;

#define UNIT_BLOCKS 2
#define SCALES 1
#define MINS 0
#define PANEL_FORMAT q5_0

INLINE Vi weights(const Unit *u, int i, int j)   /* q - 16 + 128 */
{
    Vi q = vi_or(bytes_of_4_bits(u->low[i], j), bytes_of_1_bit(u->high[i], j, 4));
    return vi_add8(q, vi_all(0x70707070));
}
INLINE Vf scale(const Unit *u, int i, int s) { return (void)s, vf_of_f16(u->d[i]); }

static void pack_lane(Unit *u, int lane, const void *blocks, int n)
{
    const Q5_0Block *b = blocks;
    for (int i = 0; i < n; i++) {
        memcpy(u->d[i][lane], b[i].d, 2);
        for (unsigned k = 0; k < PANEL_BLOCK; k += 4) {
            panel_put_4(u->low[i], 4, lane, k, bits_get_4(b[i].low, 4, 16, k));
            panel_put_4(u->high[i], 1, lane, k, bits_get_4(b[i].high, 1, 1, k));
        }
    }
}

#define PACK_UNIT
static void pack_unit(Unit *u, const uint8_t *blocks, size_t row_bytes)
{
    for (int i = 0; i < 2; i++, blocks += sizeof(Q5_0Block)) {
        gather_f16(u->d[i], blocks, row_bytes);
        turn_word_of_bits(u->high[i], blocks + offsetof(Q5_0Block, high), row_bytes);
        turn_block_of_4_bits(u->low[i], blocks + offsetof(Q5_0Block, low), row_bytes);
    }
}

#include "formats/panel_int.h"

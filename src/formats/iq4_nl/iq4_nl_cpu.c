/* iq4_nl_cpu.c -- panels of IQ4_NL: two blocks of 16 rows, their scales first. */
#include <stddef.h>

#include "formats/iq4_nl/iq4_nl.h"
#include "formats/panel_turn.h"

typedef struct Unit {
    uint8_t d[2][PANEL_ROWS][2];
    uint8_t q[2][PANEL_BITS_4];
} Unit;

#define UNIT_BLOCKS 2
#define SCALES 1
#define MINS 0
#define PANEL_FORMAT iq4_nl

INLINE Vi weights(const Unit *u, int i, int j)   /* value[q] + 128 */
{
    return vi_xor(vi_look_up(iq4_values, bytes_of_4_bits(u->q[i], j)), vi_all((int32_t)0x80808080));
}
INLINE Vf scale(const Unit *u, int i, int s) { return (void)s, vf_of_f16(u->d[i]); }

static void pack_lane(Unit *u, int lane, const void *blocks, int n)
{
    const IQ4NLBlock *b = blocks;
    for (int i = 0; i < n; i++) {
        memcpy(u->d[i][lane], b[i].d, 2);
        for (unsigned k = 0; k < PANEL_BLOCK; k += 4)
            panel_put_4(u->q[i], 4, lane, k, bits_get_4(b[i].q, 4, 16, k));
    }
}

#define PACK_UNIT
static void pack_unit(Unit *u, const uint8_t *blocks, size_t row_bytes)
{
    for (int i = 0; i < 2; i++, blocks += sizeof(IQ4NLBlock)) {
        gather_f16(u->d[i], blocks, row_bytes);
        turn_block_of_4_bits(u->q[i], blocks + offsetof(IQ4NLBlock, q), row_bytes);
    }
}

#include "formats/panel_int.h"

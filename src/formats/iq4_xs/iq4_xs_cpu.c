/* iq4_xs_cpu.c -- panels of IQ4_XS: a superblock of 16 rows, the 6-bit scales widened to bytes. */
#include <stddef.h>

#include "formats/iq4_nl/iq4_nl.h"
#include "formats/iq4_xs/iq4_xs.h"
#include "formats/k_quant.h"
#include "formats/panel_turn.h"

typedef struct Unit {
    uint8_t d[PANEL_ROWS][2], unused[32];
    uint8_t scale[8][PANEL_ROWS];           /* scale + 32, as in files */
    uint8_t q[8][PANEL_BITS_4];
} Unit;

#define UNIT_BLOCKS 8
#define SCALES 1
#define MINS 0
#define PANEL_FORMAT iq4_xs

INLINE Vi weights(const Unit *u, int i, int j)   /* value[q] + 128 */
{
    return vi_xor(vi_look_up(iq4_values, bytes_of_4_bits(u->q[i], j)), vi_all((int32_t)0x80808080));
}
INLINE Vf scale(const Unit *u, int i, int s)
{
    return (void)s, vf_mul(vf_of_f16(u->d), vf_of_i(vi_sub(vi_of_u8(u->scale[i]), vi_all(32))));
}

static void pack_scales(Unit *u, int lane, const IQ4XSBlock *b)
{
    memcpy(u->d[lane], b->d, 2);
    for (unsigned g = 0; g < 8; g++)
        u->scale[g][lane] = (uint8_t)(bits_get(b->scales_low, 4, 1, g) | bits_get(b->scales_high, 2, 1, g) << 4);
}

static void pack_lane(Unit *u, int lane, const void *blocks, int n)
{
    const IQ4XSBlock *b = blocks;
    (void)n;
    pack_scales(u, lane, b);
    for (unsigned i = 0; i < K_ELEMS; i += 4)
        panel_put_4(u->q[i / 32], 4, lane, i % 32, bits_get_4(b->q, 4, 16, i));
}

#define PACK_UNIT
static void pack_unit(Unit *u, const uint8_t *blocks, size_t row_bytes)
{
    for (int lane = 0; lane < PANEL_ROWS; lane++)
        pack_scales(u, lane, (const IQ4XSBlock *)(const void *)(blocks + (size_t)lane * row_bytes));
    for (int i = 0; i < 8; i++)
        turn_block_of_4_bits(u->q[i], blocks + offsetof(IQ4XSBlock, q) + 16 * i, row_bytes);
}

#include "formats/panel_int.h"

/* q2_k_cpu.c -- panels of Q2_K: a superblock of 16 rows. */
#include <stddef.h>

#include "formats/k_quant.h"
#include "formats/panel_turn.h"
#include "formats/q2_k/q2_k.h"

typedef struct Unit {
    uint8_t d[PANEL_ROWS][2], dmin[PANEL_ROWS][2];
    uint8_t scales[16][PANEL_ROWS];         /* scale and min of 4 bits each, as in files */
    uint8_t q[8][PANEL_BITS_2];
} Unit;

#define UNIT_BLOCKS 8
#define SCALES 2
#define MINS 2
#define PANEL_FORMAT q2_k

INLINE Vi weights(const Unit *u, int i, int j)   /* q + 128 */
{
    return vi_or(bytes_of_2_bits(u->q[i], j, 0), vi_all((int32_t)0x80808080));
}
INLINE Vf scale(const Unit *u, int i, int s)
{
    return vf_mul(vf_of_f16(u->d), vf_of_i(vi_and(vi_of_u8(u->scales[2 * i + s]), vi_all(15))));
}
INLINE Vf minimum(const Unit *u, int i, int s)
{
    return vf_mul(vf_of_f16(u->dmin), vf_of_i(vi_shr(vi_of_u8(u->scales[2 * i + s]), 4)));
}

static void pack_scales(Unit *u, int lane, const Q2KBlock *b)
{
    memcpy(u->d[lane], b->d, 2);
    memcpy(u->dmin[lane], b->dmin, 2);
    for (int g = 0; g < 16; g++)
        u->scales[g][lane] = b->scales[g];
}

static void pack_lane(Unit *u, int lane, const void *blocks, int n)
{
    const Q2KBlock *b = blocks;
    (void)n;
    pack_scales(u, lane, b);
    for (unsigned i = 0; i < K_ELEMS; i += 4)
        panel_put_4(u->q[i / 32], 2, lane, i % 32, bits_get_4(b->q, 2, 32, i));
}

#define PACK_UNIT
static void pack_unit(Unit *u, const uint8_t *blocks, size_t row_bytes)
{
    for (int lane = 0; lane < PANEL_ROWS; lane++)
        pack_scales(u, lane, (const Q2KBlock *)(const void *)(blocks + (size_t)lane * row_bytes));
    for (int i = 0; i < 8; i += 4)
        turn_2_bits(u->q[i], sizeof u->q[0], blocks + offsetof(Q2KBlock, q) + 8 * i, row_bytes);
}

#include "formats/panel_int.h"

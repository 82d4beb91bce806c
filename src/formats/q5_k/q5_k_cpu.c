/* q5_k_cpu.c -- panels of Q5_K: a superblock of 16 rows, the 6-bit scales widened to bytes. */
#include <stddef.h>

#include "formats/k_quant.h"
#include "formats/panel_turn.h"
#include "formats/q5_k/q5_k.h"

typedef struct Unit {
    uint8_t d[PANEL_ROWS][2], dmin[PANEL_ROWS][2];
    uint8_t scale[8][PANEL_ROWS], min[8][PANEL_ROWS];
    struct {
        uint8_t high[PANEL_BITS_1];
        uint8_t low[PANEL_BITS_4];
    } q[8];
} Unit;

#define UNIT_BLOCKS 8
#define SCALES 1
#define MINS 1
#define PANEL_FORMAT q5_k

INLINE Vi weights(const Unit *u, int i, int j)   /* q + 128 */
{
    Vi q = vi_or(bytes_of_4_bits(u->q[i].low, j), bytes_of_1_bit(u->q[i].high, j, 4));
    return vi_or(q, vi_all((int32_t)0x80808080));
}
INLINE Vf scale(const Unit *u, int i, int s)
{
    return (void)s, vf_mul(vf_of_f16(u->d), vf_of_i(vi_of_u8(u->scale[i])));
}
INLINE Vf minimum(const Unit *u, int i, int s)
{
    return (void)s, vf_mul(vf_of_f16(u->dmin), vf_of_i(vi_of_u8(u->min[i])));
}

static void pack_scales(Unit *u, int lane, const Q5KBlock *b)
{
    KBlock k;
    memcpy(u->d[lane], b->d, 2);
    memcpy(u->dmin[lane], b->dmin, 2);
    k_scales_unpack(&k, b->scales);
    for (int g = 0; g < 8; g++) {
        u->scale[g][lane] = (uint8_t)k.scale[g];
        u->min[g][lane] = (uint8_t)k.min[g];
    }
}

static void pack_lane(Unit *u, int lane, const void *blocks, int n)
{
    const Q5KBlock *b = blocks;
    (void)n;
    pack_scales(u, lane, b);
    for (unsigned i = 0; i < K_ELEMS; i += 4) {
        panel_put_4(u->q[i / 32].low, 4, lane, i % 32, bits_get_4(b->low, 4, 32, i));
        panel_put_4(u->q[i / 32].high, 1, lane, i % 32, bits_get_4(b->high, 1, 32, i));
    }
}

#define PACK_UNIT
static void pack_unit(Unit *u, const uint8_t *blocks, size_t row_bytes)
{
    for (int lane = 0; lane < PANEL_ROWS; lane++)
        pack_scales(u, lane, (const Q5KBlock *)(const void *)(blocks + (size_t)lane * row_bytes));
    for (int i = 0; i < 8; i += 2)
        turn_4_bits(u->q[i].low, u->q[i + 1].low, blocks + offsetof(Q5KBlock, low) + 16 * i, row_bytes);
    turn_1_bit(u->q[0].high, sizeof u->q[0], blocks + offsetof(Q5KBlock, high), row_bytes);
}

#include "formats/panel_int.h"

/* q6_k_cpu.c -- panels of Q6_K: a superblock of 16 rows. */
#include <stddef.h>

#include "formats/k_quant.h"
#include "formats/panel_turn.h"
#include "formats/q6_k/q6_k.h"

typedef struct Unit {
    uint8_t d[PANEL_ROWS][2], unused[32];
    int8_t scale[16][PANEL_ROWS];
    struct {
        uint8_t high[PANEL_BITS_2];
        uint8_t low[PANEL_BITS_4];
    } q[8];
} Unit;

#define UNIT_BLOCKS 8
#define SCALES 2
#define MINS 0
#define PANEL_FORMAT q6_k

INLINE Vi weights(const Unit *u, int i, int j)   /* q - 32 + 128 */
{
    Vi q = vi_or(bytes_of_4_bits(u->q[i].low, j), bytes_of_2_bits(u->q[i].high, j, 4));
    return vi_add8(q, vi_all(0x60606060));
}
INLINE Vf scale(const Unit *u, int i, int s)
{
    return vf_mul(vf_of_f16(u->d), vf_of_i(vi_of_i8(u->scale[2 * i + s])));
}

static void pack_scales(Unit *u, int lane, const Q6KBlock *b)
{
    memcpy(u->d[lane], b->d, 2);
    for (int g = 0; g < 16; g++)
        u->scale[g][lane] = b->scales[g];
}

static void pack_lane(Unit *u, int lane, const void *blocks, int n)
{
    const Q6KBlock *b = blocks;
    (void)n;
    pack_scales(u, lane, b);
    for (unsigned i = 0; i < K_ELEMS; i += 4) {
        panel_put_4(u->q[i / 32].low, 4, lane, i % 32, bits_get_4(b->low, 4, 64, i));
        panel_put_4(u->q[i / 32].high, 2, lane, i % 32, bits_get_4(b->high, 2, 32, i));
    }
}

/* Four blocks: 128 elements. */
INLINE void pack_half(Unit *u, int half, const uint8_t *blocks, size_t row_bytes)
{
    for (int i = 0; i < 2; i++)
        turn_4_bits(u->q[4 * half + i].low, u->q[4 * half + 2 + i].low,
                    blocks + offsetof(Q6KBlock, low) + 64 * half + 32 * i, row_bytes);
    turn_2_bits(u->q[4 * half].high, sizeof u->q[0], blocks + offsetof(Q6KBlock, high) + 32 * half, row_bytes);
}

#define PACK_UNIT
static void pack_unit(Unit *u, const uint8_t *blocks, size_t row_bytes)
{
    for (int lane = 0; lane < PANEL_ROWS; lane++)
        pack_scales(u, lane, (const Q6KBlock *)(const void *)(blocks + (size_t)lane * row_bytes));
    pack_half(u, 0, blocks, row_bytes);
    pack_half(u, 1, blocks, row_bytes);
}

#include "formats/panel_int.h"

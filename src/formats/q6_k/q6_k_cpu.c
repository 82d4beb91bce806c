/* q6_k_cpu.c -- panels of Q6_K: a superblock of 16 rows. */
#include "formats/k_quant.h"
#include "formats/panel_bits.h"
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

static void pack_lane(Unit *u, int lane, const void *blocks, int n)
{
    const Q6KBlock *b = blocks;
    (void)n;
    memcpy(u->d[lane], b->d, 2);
    for (int g = 0; g < 16; g++)
        u->scale[g][lane] = b->scales[g];
    for (unsigned i = 0; i < K_ELEMS; i += 4) {
        panel_put_4(u->q[i / 32].low, 4, lane, i % 32, bits_get_4(b->low, 4, 64, i));
        panel_put_4(u->q[i / 32].high, 2, lane, i % 32, bits_get_4(b->high, 2, 32, i));
    }
}

#include "formats/panel_int.h"

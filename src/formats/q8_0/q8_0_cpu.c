/* q8_0_cpu.c -- panels of Q8_0: two blocks of 16 rows, their scales first. */
#include "formats/panel_bits.h"
#include "formats/q8_0/q8_0.h"

typedef struct Unit {
    uint8_t d[2][PANEL_ROWS][2];
    uint8_t q[2][PANEL_BITS_8];     /* q + 128 */
} Unit;

#define UNIT_BLOCKS 2
#define SCALES 1
#define MINS 0
#define PANEL_FORMAT q8_0

INLINE Vi weights(const Unit *u, int i, int j) { return vi_load(u->q[i] + 64 * j); }
INLINE Vf scale(const Unit *u, int i, int s) { return (void)s, vf_of_f16(u->d[i]); }

static void pack_lane(Unit *u, int lane, const void *blocks, int n)
{
    const Q8_0Block *b = blocks;
    for (int i = 0; i < n; i++) {
        memcpy(u->d[i][lane], b[i].d, 2);
        for (unsigned k = 0; k < PANEL_BLOCK; k += 4)
            panel_put_4(u->q[i], 8, lane, k, bits_get_4((const uint8_t *)b[i].q, 8, PANEL_BLOCK, k) ^ 0x80808080);
    }
}

#include "formats/panel_int.h"

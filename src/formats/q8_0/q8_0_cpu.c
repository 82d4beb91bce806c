/* q8_0_cpu.c -- panels of Q8_0: two blocks of 16 rows, their scales first. */
#include "formats/panel_bits.h"
#include "formats/q8_0/q8_0.h"
#include "kernels/kit/transpose.h"

typedef struct Unit {
    uint8_t d[2][PANEL_ROWS][2];
    uint8_t q[2][PANEL_BITS_8];     /* signed, as tiles read them */
} Unit;

#define UNIT_BLOCKS 2
#define SCALES 1
#define MINS 0
#define PANEL_FORMAT q8_0

#define TILE_OF(u, i) (u)->q[i]

INLINE Vi weights(const Unit *u, int i, int j)   /* q + 128 */
{
    return vi_xor(vi_load(u->q[i] + 64 * j), vi_all((int32_t)0x80808080));
}
INLINE Vf scale(const Unit *u, int i, int s) { return (void)s, vf_of_f16(u->d[i]); }

static void pack_lane(Unit *u, int lane, const void *blocks, int n)
{
    const Q8_0Block *b = blocks;
    for (int i = 0; i < n; i++) {
        memcpy(u->d[i][lane], b[i].d, 2);
        for (unsigned k = 0; k < PANEL_BLOCK; k += 4)
            panel_put_4(u->q[i], 8, lane, k, bits_get_4((const uint8_t *)b[i].q, 8, PANEL_BLOCK, k));
    }
}

/* The 16 fours of 64 weights of each lane, as a matrix that is turned. */
#define PACK_UNIT
static void pack_unit(Unit *u, const uint8_t *blocks, size_t row_bytes)
{
    _Alignas(64) uint8_t fours[PANEL_ROWS][64];
    Vf m[LANES];
    for (int lane = 0; lane < PANEL_ROWS; lane++, blocks += row_bytes) {
        const Q8_0Block *b = (const Q8_0Block *)(const void *)blocks;
        for (int i = 0; i < 2; i++) {
            memcpy(u->d[i][lane], b[i].d, 2);
            memcpy(fours[lane] + 32 * i, b[i].q, 32);
        }
    }
    for (int lane = 0; lane < LANES; lane++)
        m[lane] = vf_of_bits(vi_load(fours[lane]));
    vf_transpose(m);
    for (int j = 0; j < LANES; j++)
        vi_store(u->q[j / 8] + 64 * (j % 8), vf_bits(m[j]));
}

#include "formats/panel_int.h"

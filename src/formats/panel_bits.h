/* panel_bits.h -- where the bits of 16 rows x 32 weights lie in a panel, and how they become bytes.
 *
 * A load of 64 bytes holds, in each group of 4 bytes, four weights of one lane (row); j = k / 4:
 *
 *     8 bits    8 x 64 bytes: load j holds k = 4 j .. 4 j + 3
 *     4 bits    4 x 64 bytes: load j % 4 holds them in its lower (j < 4) or upper halves
 *     2 bits    2 x 64 bytes: load j % 2, shifted right by 2 (j / 2)
 *     1 bit     1 x 64 bytes: shifted right by j
 */
#ifndef FORMATS_PANEL_BITS_H
#define FORMATS_PANEL_BITS_H

#include <string.h>

#include "formats/bits.h"
#include "formats/panel.h"
#include "kernels/kit/simd.h"

/* Bytes of 16 x 32 weights. */
enum { PANEL_BITS_1 = 64, PANEL_BITS_2 = 128, PANEL_BITS_4 = 256, PANEL_BITS_8 = 512 };

/* Four elements of a block, from a multiple of 4 on, each in a byte of its own. bits.h says where they
 * lie: four bytes side by side, or, where the run is 1, four bits. */
static inline uint32_t bits_get_4(const uint8_t *block, unsigned bits, unsigned run, unsigned elem)
{
    if (run == 1)
        return (block[elem / 8] >> elem % 8 & 15) * 0x00204081u & 0x01010101;
    uint32_t four;
    memcpy(&four, block + bits_byte(bits, run, elem), sizeof four);
    return four >> bits_shift(bits, run, elem) & 0x01010101 * ((1u << bits) - 1);
}

/* Weights k to k + 3 of a lane, into bytes that were zero. */
static inline void panel_put_4(uint8_t *bytes, unsigned bits, int lane, unsigned k, uint32_t four)
{
    unsigned j = k / 4;
    uint32_t there;
    uint8_t *at = bytes + 64 * (j % bits) + 4 * lane;
    if (bits == 8) {   /* nothing else lies there */
        memcpy(at, &four, sizeof four);
        return;
    }
    memcpy(&there, at, sizeof there);
    there |= four << bits * (j / bits);
    memcpy(at, &there, sizeof there);
}

INLINE Vi bytes_of_4_bits(const uint8_t *bytes, int j)
{
    Vi v = vi_load(bytes + 64 * (j % 4));
    return vi_and(j < 4 ? v : vi_shr(v, 4), vi_all(0x0f0f0f0f));
}
/* The 2 bits, or the 1 bit, come to stand at bit `at` of their byte. */
INLINE Vi shifted(Vi v, int left) { return left < 0 ? vi_shr(v, -left) : vi_shl(v, left); }
INLINE Vi bytes_of_2_bits(const uint8_t *bytes, int j, int at)
{
    return vi_and(shifted(vi_load(bytes + 64 * (j % 2)), at - 2 * (j / 2)), vi_all(0x03030303 << at));
}
INLINE Vi bytes_of_1_bit(const uint8_t *bytes, int j, int at)
{
    return vi_and(shifted(vi_load(bytes), at - j), vi_all(0x01010101 << at));
}

#endif

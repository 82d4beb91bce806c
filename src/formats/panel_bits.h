/* panel_bits.h -- where the bits of 16 rows x 32 weights lie in a panel, and how they become bytes.
 *
 * Weight k (0..31) of a lane (0..15) is element 64 (k / 4) + 4 lane + k % 4 of a run of 512 (bits.h), so
 * that a load of 64 bytes holds, in each group of 4 bytes, four weights of one lane:
 *
 *     8 bits    8 x 64 bytes: load j holds k = 4 j .. 4 j + 3
 *     4 bits    4 x 64 bytes: load j % 4 holds them in its lower (j < 4) or upper halves
 *     2 bits    2 x 64 bytes: load j % 2, shifted right by 2 (j / 2)
 *     1 bit     1 x 64 bytes: shifted right by j
 */
#ifndef FORMATS_PANEL_BITS_H
#define FORMATS_PANEL_BITS_H

#include "formats/bits.h"
#include "formats/panel.h"
#include "kernels/kit/simd.h"

/* Bytes of 16 x 32 weights. */
enum { PANEL_BITS_1 = 64, PANEL_BITS_2 = 128, PANEL_BITS_4 = 256, PANEL_BITS_8 = 512 };

static inline unsigned panel_elem(int lane, unsigned k) { return 64 * (k / 4) + 4 * (unsigned)lane + k % 4; }

/* `bits` 1, 2 or 4, into bytes that were zero. */
static inline void panel_put(uint8_t *bytes, unsigned bits, int lane, unsigned k, unsigned value)
{
    bits_put(bytes, bits, 64 * bits, panel_elem(lane, k), value);
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

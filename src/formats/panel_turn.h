/* panel_turn.h -- packing whole units (PACK_UNIT of panel_int.h): 32 bytes of 16 rows are turned at once, then shared out by
 * masks to the blocks whose bits they hold (panel_bits.h).
 */
#ifndef FORMATS_PANEL_TURN_H
#define FORMATS_PANEL_TURN_H

#include "formats/panel_bits.h"
#include "kernels/kit/transpose.h"

/* A scale of each row. */
INLINE void gather_f16(uint8_t to[PANEL_ROWS][2], const uint8_t *bytes, size_t row_bytes)
{
    for (int lane = 0; lane < PANEL_ROWS; lane++)
        memcpy(to[lane], bytes + (size_t)lane * row_bytes, 2);
}

/* 16 bytes of a file are a block whose halves lie side by side, as the panel's do: only fours change places. */
INLINE void turn_block_of_4_bits(uint8_t *to, const uint8_t *bytes, size_t row_bytes)
{
    Vf fours[4];
    vf_turn_4(fours, bytes, (int64_t)row_bytes);
    for (int j = 0; j < 4; j++)
        vi_store(to + 64 * j, vf_bits(fours[j]));
}

/* 32 bytes of a file are two blocks, in lower and upper halves; a panel's halves are those of one block. */
INLINE void turn_4_bits(uint8_t *lower, uint8_t *upper, const uint8_t *bytes, size_t row_bytes)
{
    Vi low = vi_all(0x0f0f0f0f), high = vi_all((int32_t)0xf0f0f0f0);
    Vf left[4], right[4];
    vf_turn_4(left, bytes, (int64_t)row_bytes);
    vf_turn_4(right, bytes + 16, (int64_t)row_bytes);
    for (int j = 0; j < 4; j++) {
        Vi a = vf_bits(left[j]), b = vf_bits(right[j]);
        vi_store(lower + 64 * j, vi_or(vi_and(a, low), vi_and(vi_shl(b, 4), high)));
        vi_store(upper + 64 * j, vi_or(vi_and(vi_shr(a, 4), low), vi_and(b, high)));
    }
}

/* Of 32 bytes that hold `bits` of each of 8 / bits blocks: those of block s, as load m of its panel. */
INLINE Vi turned_bits(const Vf turned[8], int bits, int s, int m)
{
    Vi out = vi_zero();
    int32_t mask = bits == 1 ? 0x01010101 : 0x03030303;
    for (int t = 0; t < 8 / bits; t++) {
        Vi here = shifted(vf_bits(turned[m + bits * t]), bits * (t - s));
        out = vi_or(out, vi_and(here, vi_all((int32_t)((uint32_t)mask << bits * t))));
    }
    return out;
}

/* 32 bytes are four blocks with 2 bits of each byte, or eight with 1. to: of the first block; the next is `next` bytes on. */
INLINE void turn_2_bits(uint8_t *to, size_t next, const uint8_t *bytes, size_t row_bytes)
{
    Vf turned[8];
    vf_turn_8(turned, bytes, (int64_t)row_bytes);
    for (int s = 0; s < 4; s++)
        for (int m = 0; m < 2; m++)
            vi_store(to + (size_t)s * next + 64 * m, turned_bits(turned, 2, s, m));
}
INLINE void turn_1_bit(uint8_t *to, size_t next, const uint8_t *bytes, size_t row_bytes)
{
    Vf turned[8];
    vf_turn_8(turned, bytes, (int64_t)row_bytes);
    for (int s = 0; s < 8; s++)
        vi_store(to + (size_t)s * next, turned_bits(turned, 1, s, 0));
}

/* 4 bytes of a file are 1 bit of each of a block's weights, in their order: each four go to four bytes. */
INLINE void turn_word_of_bits(uint8_t *to, const uint8_t *bytes, size_t row_bytes)
{
    int32_t words[PANEL_ROWS];
    for (int lane = 0; lane < PANEL_ROWS; lane++)
        memcpy(&words[lane], bytes + (size_t)lane * row_bytes, sizeof words[lane]);
    Vi word = vi_load(words), out = vi_zero();
    for (int j = 0; j < 8; j++) {
        Vi four = vi_and(vi_shr(word, 4 * j), vi_all(15));
        Vi apart = vi_and(vi_mul(four, vi_all(0x00204081)), vi_all(0x01010101));
        out = vi_or(out, vi_shl(apart, j));
    }
    vi_store(to, out);
}

#endif

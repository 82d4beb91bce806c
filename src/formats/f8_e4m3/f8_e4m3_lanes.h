/* f8_e4m3_lanes.h -- 16 values of F8_E4M3 at a time (for *_cpu.c files): the bits of f8_e4m3.c. */
#ifndef FORMATS_F8_E4M3_F8_E4M3_LANES_H
#define FORMATS_F8_E4M3_F8_E4M3_LANES_H

#include "kernels/kit/simd.h"
#include "kernels/kit/transpose.h"

INLINE Vf f8_e4m3_lanes(const uint8_t *p) { return vf_of_e4m3(p); }

#ifdef TIER_avx512
/* Without its sign each is a bf16 of two bytes, which are looked up: from 8 on the number is 2^-7 (1 + its bits / 8) of an
 * exponent that its bits count on, below these are the denormals, and the last is NaN. */
#define E4M3_LOW 0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0
#define E4M3_SAME(byte) byte, byte, byte, byte, byte, byte, byte, byte
#define E4M3_HIGH(byte) E4M3_SAME(byte), E4M3_SAME(byte)
static const uint8_t e4m3_low[128] = {
    0x00, 0x00, 0x80, 0xc0, 0x00, 0x20, 0x40, 0x60, 0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0,
    E4M3_LOW, 0xf0, E4M3_LOW, 0xf0, E4M3_LOW, 0xf0, E4M3_LOW, 0xf0, E4M3_LOW, 0xf0, E4M3_LOW, 0xf0, E4M3_LOW, 0xc0};
static const uint8_t e4m3_high[128] = {
    0x00, 0x3b, 0x3b, 0x3b, 0x3c, 0x3c, 0x3c, 0x3c, E4M3_SAME(0x3c), E4M3_HIGH(0x3d), E4M3_HIGH(0x3e), E4M3_HIGH(0x3f),
    E4M3_HIGH(0x40), E4M3_HIGH(0x41), E4M3_HIGH(0x42), E4M3_SAME(0x43), 0x43, 0x43, 0x43, 0x43, 0x43, 0x43, 0x43, 0x7f};

/* As bf16: of each 16 bytes the first 8, and the last 8. */
INLINE void f8_e4m3_bf16(Vi out[2], Vi bytes)
{
    __m512i low = _mm512_permutex2var_epi8(_mm512_loadu_si512(e4m3_low), bytes, _mm512_loadu_si512(e4m3_low + 64));
    __m512i high = _mm512_permutex2var_epi8(_mm512_loadu_si512(e4m3_high), bytes, _mm512_loadu_si512(e4m3_high + 64));
    high = vi_or(high, vi_and(bytes, vi_all((int32_t)0x80808080)));
    out[0] = _mm512_unpacklo_epi8(low, high);
    out[1] = _mm512_unpackhi_epi8(low, high);
}

/* Four in each lane: out[i] has number i of all lanes. */
INLINE void f8_e4m3_fours(Vf out[4], Vi fours)
{
    __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
    Vi pairs[2];
    f8_e4m3_bf16(pairs, _mm512_shuffle_epi8(fours, order));
    for (int i = 0; i < 2; i++) {
        out[2 * i] = vf_of_bits(vi_shl(pairs[i], 16));
        out[2 * i + 1] = vf_of_bits(vi_and(pairs[i], vi_all((int32_t)0xffff0000)));
    }
}

/* 64 that lie together. */
INLINE void f8_e4m3_64(Vf out[4], const uint8_t *p)
{
    __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    Vi order = vi_add(vi_mul(lane, vi_all(0x01010101)), vi_all(0x30201000));      /* a constant after compiling */
    f8_e4m3_fours(out, _mm512_permutexvar_epi8(order, vi_load(p)));
}

#else
/* Four in each lane, which become two f16, twice: the same steps as vf_of_e4m3 takes. */
INLINE void f8_e4m3_fours(Vf out[4], Vi fours)
{
    for (int odd = 0; odd < 2; odd++) {
        Vi at_top = odd ? fours : vi_shl(fours, 8);
        Vi half = vi_or(vi_and(vi_shr(at_top, 1), vi_all(0x3f803f80)), vi_and(at_top, vi_all((int32_t)0x80008000)));
        Vf pair[2];
        vf_of_f16_pairs(pair, vi_or(half, vi_and(vi_add(half, vi_all(0x00800080)), vi_all(0x40004000))));
        for (int i = 0; i < 2; i++)
            out[2 * i + odd] = vf_mul(pair[i], vf_all(0x1p8f));
    }
}

INLINE void f8_e4m3_64(Vf out[4], const uint8_t *p)
{
    for (int i = 0; i < 4; i++)
        out[i] = vf_of_e4m3(p + i * LANES);
}
#endif

/* Below 2^-6 an addition rounds at the step of denormals, 2^-9; above, the bits round as an integer. */
INLINE void f8_e4m3_put_lanes(uint8_t *p, Vf x)
{
    Vf size = vf_abs(x), one = vf_all(0x1p14f);
    Vi bits = vf_bits(size), half = vi_add(vi_all((1 << 19) - 1), vi_and(vi_shr(bits, 20), vi_all(1)));
    Vi small = vi_sub(vf_bits(vf_add(size, one)), vf_bits(one));
    Vi large = vi_min(vi_shr(vi_add(vi_sub(bits, vi_all(120 << 23)), half), 20), vi_all(0x7e));
    Vf near = vf_pick(vf_less(size, vf_all(0x1p-6f)), vf_of_bits(small), vf_of_bits(large));
    near = vf_pick(vf_less(size, vf_all(__builtin_inff())), near, vf_of_bits(vi_all(0x7f)));
    vi_to_i8(p, vi_or(vf_bits(near), vi_and(vi_shr(vf_bits(x), 24), vi_all(0x80))));
}

#endif

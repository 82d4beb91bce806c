/* kept_bf16.h -- rows of a cache as bf16, rounded to the nearest: what the processor multiplies in pairs (for *_cpu.c files).
 *
 *     kept_bf16_rows    32 values of two rows, as they lie: a0 ... a31, and b0 ... b31
 *     kept_bf16_pairs   the same in pairs: a0 b0 a1 b1 ... a15 b15, and the next 16
 *
 * Addresses are of 32 values that lie together; of Q8_0, of their block. Numbers that are not normal become zeros. Only with
 * AVX512_BF16. */
#ifndef FORMATS_KEPT_BF16_H
#define FORMATS_KEPT_BF16_H

#include "formats/kept_rows.h"

#ifdef TIER_avx512

enum { KEPT_BF16_STEP = 32 };

INLINE Vi bf16_of_two(Vf first, Vf second) { return (Vi)_mm512_cvtne2ps_pbh(second, first); }

/* Whether turning numbers into bf16 takes hardly any time: they are such, or are looked up. */
INLINE bool kept_bf16_quick(KeptKind kind) { return kind == KEPT_BF16 || kind == KEPT_F8_E4M3; }

/* 16 numbers of one row, then 16 of another: in pairs. */
INLINE Vi bf16_side_by_side(Vi rows)
{
    static const _Alignas(64) uint8_t order[64] = {
        0, 1, 32, 33, 2, 3, 34, 35, 4, 5, 36, 37, 6, 7, 38, 39, 8, 9, 40, 41, 10, 11, 42, 43, 12, 13, 44, 45, 14, 15, 46, 47,
        16, 17, 48, 49, 18, 19, 50, 51, 20, 21, 52, 53, 22, 23, 54, 55, 24, 25, 56, 57, 26, 27, 58, 59, 28, 29, 60, 61,
        30, 31, 62, 63};
    return _mm512_permutexvar_epi8(_mm512_load_si512(order), rows);
}

/* 32 bytes here, 32 bytes there. */
INLINE Vi two_halves(const uint8_t *first, const uint8_t *second)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)first)),
                              _mm256_loadu_si256((const __m256i *)second), 1);
}

/* Of two rows' 32 values each: to f32, in pairs, which then only are rounded. */
INLINE void q8_0_pairs(Vi out[2], const uint8_t *first, const uint8_t *second)
{
    const Q8_0Block *a = (const Q8_0Block *)first, *b = (const Q8_0Block *)second;
    uint16_t scale[2];
    memcpy(&scale[0], a->d, sizeof scale[0]);
    memcpy(&scale[1], b->d, sizeof scale[1]);
    Vf scales = _mm512_cvtph_ps(_mm256_set1_epi32(scale[0] | scale[1] << 16)), more = vf_mul(scales, vf_all(-(0x1p15f + 128)));
    __m512i large = vi_all(0x47000000), lane = _mm512_setr_epi32(0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39);
    __m512i bytes = _mm512_xor_si512(two_halves((const uint8_t *)a->q, (const uint8_t *)b->q), vi_all((int32_t)0x80808080));
    Vf x[4];
    for (int i = 0; i < 4; i++) {      /* as in q8_0_fours */
        __m512i from = vi_shl(vi_add(lane, vi_all(8 * i)), 8);
        x[i] = vf_fma(vf_of_bits(_mm512_mask_permutexvar_epi8(large, 0x2222222222222222, from, bytes)), scales, more);
    }
    out[0] = bf16_of_two(x[0], x[1]);
    out[1] = bf16_of_two(x[2], x[3]);
}

INLINE Vi q8_0_row(const uint8_t *block)
{
    const Q8_0Block *b = (const Q8_0Block *)block;
    Vf scale = vf_all_of_f16(b->d);
    return bf16_of_two(vf_mul(scale, vf_of_i(vi_of_i8(b->q))), vf_mul(scale, vf_of_i(vi_of_i8(b->q + LANES))));
}

INLINE void f8_e4m3_pairs(Vi out[2], const uint8_t *first, const uint8_t *second)
{
    static const _Alignas(64) uint8_t order[64] = {
        0, 32, 1, 33, 2, 34, 3, 35, 16, 48, 17, 49, 18, 50, 19, 51, 4, 36, 5, 37, 6, 38, 7, 39, 20, 52, 21, 53, 22, 54, 23, 55,
        8, 40, 9, 41, 10, 42, 11, 43, 24, 56, 25, 57, 26, 58, 27, 59, 12, 44, 13, 45, 14, 46, 15, 47, 28, 60, 29, 61,
        30, 62, 31, 63};
    f8_e4m3_bf16(out, _mm512_permutexvar_epi8(_mm512_load_si512(order), two_halves(first, second)));
}

INLINE void f8_e4m3_rows(Vi out[2], const uint8_t *first, const uint8_t *second)
{
    f8_e4m3_bf16(out, _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), two_halves(first, second)));
}

INLINE Vi bf16_row(KeptKind kind, const uint8_t *p)
{
    if (kind == KEPT_BF16)
        return vi_load(p);
    return kind == KEPT_Q8_0 ? q8_0_row(p) : bf16_of_two(kept_lanes(kind, p), kept_lanes(kind, p + LANES * kept_bytes(kind)));
}

INLINE void kept_bf16_rows(KeptKind kind, Vi out[2], const uint8_t *a, const uint8_t *b)
{
    if (kind == KEPT_F8_E4M3) {
        f8_e4m3_rows(out, a, b);
    } else {
        out[0] = bf16_row(kind, a);
        out[1] = bf16_row(kind, b);
    }
}

INLINE void kept_bf16_pairs(KeptKind kind, Vi out[2], const uint8_t *a, const uint8_t *b)
{
    if (kind == KEPT_Q8_0) {
        q8_0_pairs(out, a, b);
    } else if (kind == KEPT_F8_E4M3) {
        f8_e4m3_pairs(out, a, b);
    } else {
        for (int i = 0; i < 2; i++, a += LANES * kept_bytes(kind), b += LANES * kept_bytes(kind))
            out[i] = bf16_side_by_side(kind == KEPT_BF16 ? two_halves(a, b)
                                                         : bf16_of_two(kept_lanes(kind, a), kept_lanes(kind, b)));
    }
}

#endif
#endif

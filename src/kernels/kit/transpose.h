/* transpose.h -- a 16 x 16 matrix: rows become columns. Moves bits, computes nothing.
 *
 *     vf_transpose(m)           of vectors, in registers
 *     vf_turn_4(out, rows, n)   the first 16 bytes of 16 rows that lie n bytes apart, 4 by 4: out[i] has those of all rows
 *     vf_of_f16_pairs(out, v)   two f16 in each lane: out[0] has the first ones as f32, out[1] the second
 */
#ifndef KERNELS_KIT_TRANSPOSE_H
#define KERNELS_KIT_TRANSPOSE_H

#include "kernels/kit/simd.h"

#if defined(TIER_avx512)

/* Pairs, then pairs of pairs within each 128 bits; then the 128-bit pieces themselves, twice. */
INLINE void vf_transpose(Vf m[LANES])
{
    Vf a[LANES], b[LANES];
    for (int i = 0; i < LANES; i += 2) {
        a[i] = _mm512_unpacklo_ps(m[i], m[i + 1]);
        a[i + 1] = _mm512_unpackhi_ps(m[i], m[i + 1]);
    }
    for (int i = 0; i < LANES; i += 4)
        for (int j = 0; j < 2; j++) {
            __m512d x = _mm512_castps_pd(a[i + j]), y = _mm512_castps_pd(a[i + j + 2]);
            b[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
            b[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
        }
    for (int i = 0; i < 4; i++) {      /* b[4g + i]: columns i, i + 4, i + 8, i + 12 of rows 4g to 4g + 3 */
        Vf even_low = _mm512_shuffle_f32x4(b[i], b[i + 4], 0x88);
        Vf odd_low = _mm512_shuffle_f32x4(b[i], b[i + 4], 0xdd);
        Vf even_high = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x88);
        Vf odd_high = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xdd);
        m[i] = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
        m[i + 8] = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
        m[i + 4] = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
        m[i + 12] = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
    }
}

/* Loads put the rows in place, which costs no shuffle; then in each 128 bits a matrix of four by four is turned. */
INLINE void vf_turn_4(Vf out[4], const void *rows, int64_t bytes)
{
    const uint8_t *at = rows, *quarter[4] = {at, at + 4 * bytes, at + 8 * bytes, at + 12 * bytes};
    Vf m[4], a[4];
    for (int i = 0; i < 4; i++) {
        m[i] = _mm512_castps128_ps512(_mm_loadu_ps((const float *)(quarter[0] + i * bytes)));
        m[i] = _mm512_insertf32x4(m[i], _mm_loadu_ps((const float *)(quarter[1] + i * bytes)), 1);
        m[i] = _mm512_insertf32x4(m[i], _mm_loadu_ps((const float *)(quarter[2] + i * bytes)), 2);
        m[i] = _mm512_insertf32x4(m[i], _mm_loadu_ps((const float *)(quarter[3] + i * bytes)), 3);
    }
    for (int i = 0; i < 4; i += 2) {
        a[i] = _mm512_unpacklo_ps(m[i], m[i + 1]);
        a[i + 1] = _mm512_unpackhi_ps(m[i], m[i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        out[2 * i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
        out[2 * i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xee);
    }
}

INLINE void vf_of_f16_pairs(Vf out[2], Vi pairs)
{
    static const uint8_t halves[64] = {0,  1,  4,  5,  8,  9,  12, 13, 16, 17, 20, 21, 24, 25, 28, 29,
                                       32, 33, 36, 37, 40, 41, 44, 45, 48, 49, 52, 53, 56, 57, 60, 61,
                                       2,  3,  6,  7,  10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31,
                                       34, 35, 38, 39, 42, 43, 46, 47, 50, 51, 54, 55, 58, 59, 62, 63};
    __m512i sorted = _mm512_permutexvar_epi8(_mm512_loadu_si512(halves), pairs);
    out[0] = _mm512_cvtph_ps(_mm512_castsi512_si256(sorted));
    out[1] = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(sorted, 1));
}

#elif defined(TIER_avx2)

/* Of 8 rows; in each 128 bits a matrix of four by four is turned. */
INLINE void turn_4_of_8(__m256 out[4], const uint8_t *rows, int64_t bytes)
{
    __m256 m[4], a[4];
    for (int i = 0; i < 4; i++)
        m[i] = _mm256_loadu2_m128((const float *)(rows + (i + 4) * bytes), (const float *)(rows + i * bytes));
    for (int i = 0; i < 4; i += 2) {
        a[i] = _mm256_unpacklo_ps(m[i], m[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(m[i], m[i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        out[2 * i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
        out[2 * i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
    }
}

INLINE void vf_turn_4(Vf out[4], const void *rows, int64_t bytes)
{
    __m256 lo[4], hi[4];
    turn_4_of_8(lo, rows, bytes);
    turn_4_of_8(hi, (const uint8_t *)rows + 8 * bytes, bytes);
    for (int i = 0; i < 4; i++)
        out[i] = (Vf){lo[i], hi[i]};
}

INLINE Vf f32_of_low_halves(__m256i lo, __m256i hi)
{
    __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi32(lo, hi), 0xd8);
    return (Vf){_mm256_cvtph_ps(_mm256_castsi256_si128(both)), _mm256_cvtph_ps(_mm256_extracti128_si256(both, 1))};
}

INLINE void vf_of_f16_pairs(Vf out[2], Vi pairs)
{
    __m256i low = _mm256_set1_epi32(0xffff);
    out[0] = f32_of_low_halves(_mm256_and_si256(pairs.lo, low), _mm256_and_si256(pairs.hi, low));
    out[1] = f32_of_low_halves(_mm256_srli_epi32(pairs.lo, 16), _mm256_srli_epi32(pairs.hi, 16));
}

INLINE void transpose_8(__m256 m[8])
{
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(m[i], m[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(m[i], m[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            b[i + 2 * j] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0x44);
            b[i + 2 * j + 1] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0xee);
        }
    for (int i = 0; i < 4; i++) {
        m[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        m[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

/* Four quarters of 8 x 8; the two off the diagonal change places. */
INLINE void vf_transpose(Vf m[LANES])
{
    __m256 quarter[2][2][8];
    for (int i = 0; i < 8; i++) {
        quarter[0][0][i] = m[i].lo;
        quarter[0][1][i] = m[i].hi;
        quarter[1][0][i] = m[i + 8].lo;
        quarter[1][1][i] = m[i + 8].hi;
    }
    for (int i = 0; i < 4; i++)
        transpose_8(quarter[i / 2][i % 2]);
    for (int i = 0; i < 8; i++) {
        m[i] = (Vf){quarter[0][0][i], quarter[1][0][i]};
        m[i + 8] = (Vf){quarter[0][1][i], quarter[1][1][i]};
    }
}

#else

/* Quarters of quarters, 4 x 4: block (i, j) becomes block (j, i). */
INLINE void transpose_4(float32x4_t m[4])
{
    float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(m[0], m[1])), b = vreinterpretq_f64_f32(vtrn2q_f32(m[0], m[1]));
    float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(m[2], m[3])), d = vreinterpretq_f64_f32(vtrn2q_f32(m[2], m[3]));
    m[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
    m[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
    m[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
    m[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}

INLINE void vf_turn_4(Vf out[4], const void *rows, int64_t bytes)
{
    for (int i = 0; i < 4; i++) {
        float32x4_t block[4];
        for (int k = 0; k < 4; k++)
            block[k] = vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)rows + (4 * i + k) * bytes));
        transpose_4(block);
        for (int k = 0; k < 4; k++)
            out[k].val[i] = block[k];
    }
}

INLINE void vf_transpose(Vf m[LANES])
{
    Vf turned[LANES];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            float32x4_t block[4];
            for (int k = 0; k < 4; k++)
                block[k] = m[4 * i + k].val[j];
            transpose_4(block);
            for (int k = 0; k < 4; k++)
                turned[4 * j + k].val[i] = block[k];
        }
    memcpy(m, turned, sizeof turned);
}

INLINE void vf_of_f16_pairs(Vf out[2], Vi pairs)
{
    for (int i = 0; i < 4; i++) {
        uint32x4_t both = vreinterpretq_u32_s32(pairs.val[i]);
        out[0].val[i] = vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(both)));
        out[1].val[i] = vcvt_f32_f16(vreinterpret_f16_u16(vshrn_n_u32(both, 16)));
    }
}

#endif

#endif

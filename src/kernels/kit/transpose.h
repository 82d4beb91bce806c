/* transpose.h -- a 16 x 16 matrix: rows become columns. Moves bits, computes nothing.
 *
 *     vf_transpose(m)            of vectors, in registers
 *     vf_turn_4(out, rows, n)    the first 16 bytes of 16 rows that lie n bytes apart, 4 by 4: out[i] has those of all rows
 *     vf_turn_8(out, rows, n)    the first 32 bytes of each
 *     turn_halves(out, rows, n)  the same 32 bytes as 16 numbers of 16 bits, into memory: out[i] has number i of all rows
 *     vf_of_f16_pairs(out, v)    two f16 in each lane: out[0] has the first ones as f32, out[1] the second
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

/* Half a row is one load; rows in such an order that at last whole 128 bits change places. */
INLINE void vf_turn_8(Vf out[8], const void *rows, int64_t bytes)
{
    Vf m[8], a[8];
    for (int i = 0; i < 8; i++) {
        const uint8_t *row = (const uint8_t *)rows + (i / 4 * 8 + i % 4) * bytes;
        m[i] = _mm512_castps256_ps512(_mm256_loadu_ps((const float *)row));
        m[i] = _mm512_insertf32x8(m[i], _mm256_loadu_ps((const float *)(row + 4 * bytes)), 1);
    }
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm512_unpacklo_ps(m[i], m[i + 1]);
        a[i + 1] = _mm512_unpackhi_ps(m[i], m[i + 1]);
    }
    for (int i = 0; i < 4; i++) {      /* words i and i + 4 of rows 0 to 3 and 4 to 7, and of the others */
        const Vf *low = a + i / 2, *high = low + 4;
        Vf x = i % 2 ? _mm512_shuffle_ps(low[0], low[2], 0xee) : _mm512_shuffle_ps(low[0], low[2], 0x44);
        Vf y = i % 2 ? _mm512_shuffle_ps(high[0], high[2], 0xee) : _mm512_shuffle_ps(high[0], high[2], 0x44);
        out[i] = _mm512_shuffle_f32x4(x, y, 0x88);
        out[i + 4] = _mm512_shuffle_f32x4(x, y, 0xdd);
    }
}

INLINE void turn_halves(uint16_t out[16][LANES], const void *rows, int64_t bytes)
{
    __m512i m[8], a[8], order = _mm512_setr_epi64(0, 8, 4, 12, 1, 9, 5, 13);
    for (int i = 0; i < 8; i++) {
        const uint8_t *row = (const uint8_t *)rows + i * bytes;
        m[i] = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)row));
        m[i] = _mm512_inserti64x4(m[i], _mm256_loadu_si256((const __m256i *)(row + 8 * bytes)), 1);
    }
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm512_unpacklo_epi16(m[i], m[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi16(m[i], m[i + 1]);
    }
    for (int i = 0; i < 4; i++) {      /* numbers 2 i and 2 i + 1, and those 8 later, of four rows and of the next four */
        const __m512i *low = a + i / 2, *high = low + 4;
        __m512i x = i % 2 ? _mm512_unpackhi_epi32(low[0], low[2]) : _mm512_unpacklo_epi32(low[0], low[2]);
        __m512i y = i % 2 ? _mm512_unpackhi_epi32(high[0], high[2]) : _mm512_unpacklo_epi32(high[0], high[2]);
        __m512i later = _mm512_add_epi64(order, _mm512_set1_epi64(2));
        _mm512_store_si512(out[2 * i], _mm512_permutex2var_epi64(x, order, y));
        _mm512_store_si512(out[2 * i + 8], _mm512_permutex2var_epi64(x, later, y));
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

INLINE void turn_8_halves(uint16_t out[8][LANES], const uint8_t *rows, int64_t bytes)
{
    __m256i m[8], a[8];
    for (int i = 0; i < 8; i++)
        m[i] = _mm256_loadu2_m128i((const __m128i *)(rows + (i + 8) * bytes), (const __m128i *)(rows + i * bytes));
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_epi16(m[i], m[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi16(m[i], m[i + 1]);
    }
    for (int i = 0; i < 4; i++) {      /* numbers 2 i and 2 i + 1 of four rows and of the next four */
        const __m256i *low = a + i / 2, *high = low + 4;
        __m256i x = i % 2 ? _mm256_unpackhi_epi32(low[0], low[2]) : _mm256_unpacklo_epi32(low[0], low[2]);
        __m256i y = i % 2 ? _mm256_unpackhi_epi32(high[0], high[2]) : _mm256_unpacklo_epi32(high[0], high[2]);
        _mm256_store_si256((__m256i *)out[2 * i], _mm256_unpacklo_epi64(x, y));
        _mm256_store_si256((__m256i *)out[2 * i + 1], _mm256_unpackhi_epi64(x, y));
    }
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

INLINE void turn_8_halves(uint16_t out[8][LANES], const uint8_t *rows, int64_t bytes)
{
    for (int half = 0; half < LANES; half += 8) {
        uint32x4_t m[8], a[8];
        for (int i = 0; i < 8; i++)
            m[i] = vreinterpretq_u32_u8(vld1q_u8(rows + (half + i) * bytes));
        for (int i = 0; i < 8; i += 2) {
            uint16x8_t x = vreinterpretq_u16_u32(m[i]), y = vreinterpretq_u16_u32(m[i + 1]);
            a[i] = vreinterpretq_u32_u16(vzip1q_u16(x, y));
            a[i + 1] = vreinterpretq_u32_u16(vzip2q_u16(x, y));
        }
        for (int i = 0; i < 4; i++) {
            const uint32x4_t *low = a + i / 2, *high = low + 4;
            uint64x2_t x = vreinterpretq_u64_u32(i % 2 ? vzip2q_u32(low[0], low[2]) : vzip1q_u32(low[0], low[2]));
            uint64x2_t y = vreinterpretq_u64_u32(i % 2 ? vzip2q_u32(high[0], high[2]) : vzip1q_u32(high[0], high[2]));
            vst1q_u16(out[2 * i] + half, vreinterpretq_u16_u64(vzip1q_u64(x, y)));
            vst1q_u16(out[2 * i + 1] + half, vreinterpretq_u16_u64(vzip2q_u64(x, y)));
        }
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

#ifndef TIER_avx512
INLINE void vf_turn_8(Vf out[8], const void *rows, int64_t bytes)
{
    vf_turn_4(out, rows, bytes);
    vf_turn_4(out + 4, (const uint8_t *)rows + 16, bytes);
}

INLINE void turn_halves(uint16_t out[16][LANES], const void *rows, int64_t bytes)
{
    turn_8_halves(out, rows, bytes);
    turn_8_halves(out + 8, (const uint8_t *)rows + 16, bytes);
}
#endif

#endif

/* transpose.h -- a 16 x 16 matrix: rows become columns. Moves bits, computes nothing.
 *
 *     vf_transpose(m)           of vectors, in registers
 *     vf_turn_4(out, rows, n)   the first 16 bytes of 16 rows that begin n bytes apart, four by four
 *     turn_32(out, apart, rows, bytes) of 32-bit numbers: 16 bytes of 16 rows that lie `bytes` apart, to four lines of
 *                                      64 bytes that lie `apart`; a line has a number of all 16 rows
 *     turn_16(out, apart, rows, bytes) of 16-bit numbers: a line has two numbers of all rows, one after the other
 *     turn_8(out, apart, rows, bytes)  of bytes: four
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

/* In each 128 bits a matrix of four by four is turned. */
INLINE void turn_in_128_bits(Vf out[4], const Vf m[4])
{
    Vf a[4];
    for (int i = 0; i < 4; i += 2) {
        a[i] = _mm512_unpacklo_ps(m[i], m[i + 1]);
        a[i + 1] = _mm512_unpackhi_ps(m[i], m[i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        out[2 * i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
        out[2 * i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xee);
    }
}

/* Loads put the fours in place, which costs no shuffle. */
INLINE void vf_turn_4(Vf out[4], const void *from, size_t bytes)
{
    const uint8_t *rows = from, *quarter[4] = {rows, rows + 4 * bytes, rows + 8 * bytes, rows + 12 * bytes};
    Vf m[4];
    for (int i = 0; i < 4; i++) {
        size_t at = (size_t)i * bytes;
        m[i] = _mm512_castps128_ps512(_mm_loadu_ps((const float *)(quarter[0] + at)));
        m[i] = _mm512_insertf32x4(m[i], _mm_loadu_ps((const float *)(quarter[1] + at)), 1);
        m[i] = _mm512_insertf32x4(m[i], _mm_loadu_ps((const float *)(quarter[2] + at)), 2);
        m[i] = _mm512_insertf32x4(m[i], _mm_loadu_ps((const float *)(quarter[3] + at)), 3);
    }
    turn_in_128_bits(out, m);
}

INLINE void turn_32(uint8_t *out, size_t apart, const uint8_t *rows, size_t bytes)
{
    Vf m[4];
    vf_turn_4(m, rows, bytes);
    for (int i = 0; i < 4; i++)
        _mm512_storeu_ps(out + (size_t)i * apart, m[i]);
}

INLINE void turn_in_order(uint8_t *out, size_t apart, const uint8_t *rows, size_t bytes, const uint8_t order[64])
{
    Vf m[4];
    vf_turn_4(m, rows, bytes);
    for (int i = 0; i < 4; i++)
        _mm512_storeu_si512(out + (size_t)i * apart, _mm512_permutexvar_epi8(_mm512_loadu_si512(order),
                                                                             _mm512_castps_si512(m[i])));
}

/* Of each 4 bytes, all first halves, then all second ones. */
INLINE void turn_16(uint8_t *out, size_t apart, const uint8_t *rows, size_t bytes)
{
    static const uint8_t halves[64] = {0,  1,  4,  5,  8,  9,  12, 13, 16, 17, 20, 21, 24, 25, 28, 29,
                                       32, 33, 36, 37, 40, 41, 44, 45, 48, 49, 52, 53, 56, 57, 60, 61,
                                       2,  3,  6,  7,  10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31,
                                       34, 35, 38, 39, 42, 43, 46, 47, 50, 51, 54, 55, 58, 59, 62, 63};
    turn_in_order(out, apart, rows, bytes, halves);
}

INLINE void turn_8(uint8_t *out, size_t apart, const uint8_t *rows, size_t bytes)
{
    static const uint8_t quarters[64] = {0, 4, 8,  12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60,
                                      1, 5, 9,  13, 17, 21, 25, 29, 33, 37, 41, 45, 49, 53, 57, 61,
                                      2, 6, 10, 14, 18, 22, 26, 30, 34, 38, 42, 46, 50, 54, 58, 62,
                                      3, 7, 11, 15, 19, 23, 27, 31, 35, 39, 43, 47, 51, 55, 59, 63};
    turn_in_order(out, apart, rows, bytes, quarters);
}

#elif defined(TIER_avx2)

/* In each 128 bits a matrix of four by four is turned. */
INLINE void turn_in_128_bits(__m256 out[4], const __m256 m[4])
{
    __m256 a[4];
    for (int i = 0; i < 4; i += 2) {
        a[i] = _mm256_unpacklo_ps(m[i], m[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(m[i], m[i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        out[2 * i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
        out[2 * i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
    }
}

INLINE void turn_4_of_8(__m256 out[4], const uint8_t *rows, size_t apart)
{
    __m256 m[4];
    for (size_t i = 0; i < 4; i++)
        m[i] = _mm256_loadu2_m128((const float *)(rows + (i + 4) * apart), (const float *)(rows + i * apart));
    turn_in_128_bits(out, m);
}

INLINE void vf_turn_4(Vf out[4], const void *rows, size_t apart)
{
    __m256 lo[4], hi[4];
    turn_4_of_8(lo, rows, apart);
    turn_4_of_8(hi, (const uint8_t *)rows + 8 * apart, apart);
    for (int i = 0; i < 4; i++)
        out[i] = (Vf){lo[i], hi[i]};
}

INLINE void turn_32(uint8_t *out, size_t apart, const uint8_t *rows, size_t bytes)
{
    for (int first = 0; first < LANES; first += 8) {
        __m256 m[4];
        turn_4_of_8(m, rows + (size_t)first * bytes, bytes);
        for (int i = 0; i < 4; i++)
            _mm256_storeu_ps((float *)(out + (size_t)i * apart) + first, m[i]);
    }
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

INLINE void vf_turn_4(Vf out[4], const void *rows, size_t apart)
{
    for (size_t i = 0; i < 4; i++) {
        float32x4_t block[4];
        for (size_t k = 0; k < 4; k++)
            block[k] = vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)rows + (4 * i + k) * apart));
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

#endif

#if !defined(TIER_avx512)

/* Of 8 rows each step interleaves i and i + 4: what was the upper bit of the row's number becomes the lowest
 * bit of the place in it. After three steps all three have gone over. */
#if defined(TIER_avx2)

/* Rows 8 to 15 are upper halves. */
#define INTERLEAVE(size, to, from)                                                                                     \
    for (int i = 0; i < 4; i++) {                                                                                      \
        (to)[2 * i] = _mm256_unpacklo_epi##size((from)[i], (from)[i + 4]);                                             \
        (to)[2 * i + 1] = _mm256_unpackhi_epi##size((from)[i], (from)[i + 4]);                                         \
    }

INLINE void load_row_pairs(__m256i to[8], const uint8_t *rows, size_t bytes)
{
    for (int i = 0; i < 8; i++)
        to[i] = _mm256_loadu2_m128i((const __m128i *)(rows + (size_t)(i + 8) * bytes),
                                    (const __m128i *)(rows + (size_t)i * bytes));
}

INLINE void turn_16(uint8_t *out, size_t apart, const uint8_t *rows, size_t bytes)
{
    __m256i a[8], b[8];
    load_row_pairs(a, rows, bytes);
    INTERLEAVE(16, b, a)
    INTERLEAVE(16, a, b)
    INTERLEAVE(16, b, a)
    for (int i = 0; i < 8; i++)
        _mm256_storeu_si256((__m256i *)(out + (size_t)(i / 2) * apart) + i % 2, b[i]);
}

/* The steps leave two columns of 8 rows in each half. */
INLINE void turn_8(uint8_t *out, size_t apart, const uint8_t *rows, size_t bytes)
{
    __m256i a[8], b[8];
    load_row_pairs(a, rows, bytes);
    INTERLEAVE(8, b, a)
    INTERLEAVE(8, a, b)
    INTERLEAVE(8, b, a)
    for (int i = 0; i < 8; i++)
        _mm256_storeu_si256((__m256i *)(out + (size_t)(i / 2) * apart) + i % 2, _mm256_permute4x64_epi64(b[i], 0xd8));
}

#else

#define INTERLEAVE(size, to, from)                                                                                     \
    for (int i = 0; i < 4; i++) {                                                                                      \
        (to)[2 * i] = vzip1q_u##size((from)[i], (from)[i + 4]);                                                        \
        (to)[2 * i + 1] = vzip2q_u##size((from)[i], (from)[i + 4]);                                                    \
    }

INLINE void turn_32(uint8_t *out, size_t apart, const uint8_t *rows, size_t bytes)
{
    for (int first = 0; first < LANES; first += 4) {
        float32x4_t block[4];
        for (int i = 0; i < 4; i++)
            block[i] = vld1q_f32((const float *)(rows + (size_t)(first + i) * bytes));
        transpose_4(block);
        for (int i = 0; i < 4; i++)
            vst1q_f32((float *)(out + (size_t)i * apart) + first, block[i]);
    }
}

INLINE void turn_16(uint8_t *out, size_t apart, const uint8_t *rows, size_t bytes)
{
    for (int first = 0; first < LANES; first += 8) {
        uint16x8_t a[8], b[8];
        for (int i = 0; i < 8; i++)
            a[i] = neon_load_16(rows + (size_t)(first + i) * bytes);
        INTERLEAVE(16, b, a)
        INTERLEAVE(16, a, b)
        INTERLEAVE(16, b, a)
        for (int i = 0; i < 8; i++)
            vst1q_u8(out + (size_t)(i / 2) * apart + 2 * (i % 2 * LANES + first), vreinterpretq_u8_u16(b[i]));
    }
}

INLINE void turn_8(uint8_t *out, size_t apart, const uint8_t *rows, size_t bytes)
{
    for (int first = 0; first < LANES; first += 8) {
        uint8x16_t a[8], b[8];
        for (int i = 0; i < 8; i++)
            a[i] = vld1q_u8(rows + (size_t)(first + i) * bytes);
        INTERLEAVE(8, b, a)
        INTERLEAVE(8, a, b)
        INTERLEAVE(8, b, a)
        for (int i = 0; i < 8; i++) {
            uint8_t *to = out + (size_t)(i / 2) * apart + i % 2 * 2 * LANES + first;
            vst1_u8(to, vget_low_u8(b[i]));
            vst1_u8(to + LANES, vget_high_u8(b[i]));
        }
    }
}

#endif
#undef INTERLEAVE
#endif
#endif

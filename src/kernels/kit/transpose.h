/* transpose.h -- a 16 x 16 matrix: rows become columns. Moves bits, computes nothing.
 *
 *     vf_transpose(m)           of vectors, in registers
 *     vf_turn_4(out, rows, n)   the first 16 bytes of 16 rows that begin n bytes apart, four by four
 *     turn_16(out, rows, at)    of 16-bit numbers: from byte `at` of 16 rows anywhere, to [16][16] in one piece
 *     turn_8(out, rows, at)     of bytes
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

INLINE __m128 load_4(const uint8_t *bytes) { return _mm_loadu_ps((const float *)(const void *)bytes); }
INLINE __m512 load_4_rows(const uint8_t *row, size_t apart)
{
    __m512 rows = _mm512_castps128_ps512(load_4(row));
    rows = _mm512_insertf32x4(rows, load_4(row + apart), 1);
    rows = _mm512_insertf32x4(rows, load_4(row + 2 * apart), 2);
    return _mm512_insertf32x4(rows, load_4(row + 3 * apart), 3);
}

/* In each 128 bits a matrix of four by four is turned. */
INLINE void vf_turn_4(Vf out[4], const void *rows, size_t apart)
{
    Vf m[4], a[4];
    for (unsigned i = 0; i < 4; i++)
        m[i] = load_4_rows((const uint8_t *)rows + i * apart, 4 * apart);
    for (int i = 0; i < 4; i += 2) {
        a[i] = _mm512_unpacklo_ps(m[i], m[i + 1]);
        a[i + 1] = _mm512_unpackhi_ps(m[i], m[i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        out[2 * i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
        out[2 * i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xee);
    }
}

#elif defined(TIER_avx2)

/* Of 8 rows; in each 128 bits a matrix of four by four is turned. */
INLINE __m128 load_4(const uint8_t *bytes) { return _mm_loadu_ps((const float *)(const void *)bytes); }
INLINE void turn_4_of_8(__m256 out[4], const uint8_t *rows, size_t apart)
{
    __m256 m[4], a[4];
    for (unsigned i = 0; i < 4; i++)
        m[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(load_4(rows + i * apart)), load_4(rows + (i + 4) * apart), 1);
    for (int i = 0; i < 4; i += 2) {
        a[i] = _mm256_unpacklo_ps(m[i], m[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(m[i], m[i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        out[2 * i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
        out[2 * i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
    }
}

INLINE void vf_turn_4(Vf out[4], const void *rows, size_t apart)
{
    __m256 lo[4], hi[4];
    turn_4_of_8(lo, rows, apart);
    turn_4_of_8(hi, (const uint8_t *)rows + 8 * apart, apart);
    for (int i = 0; i < 4; i++)
        out[i] = (Vf){lo[i], hi[i]};
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
    for (unsigned i = 0; i < 4; i++) {
        float32x4_t block[4];
        for (unsigned k = 0; k < 4; k++)
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

/* Of 8 rows each step interleaves i and i + 4: what was the upper bit of the row's number becomes the lowest
 * bit of the place in it. After three steps all three have gone over. */
#if defined(TIER_avx512) || defined(TIER_avx2)

/* Rows 8 to 15 are upper halves. */
#define INTERLEAVE(size, to, from)                                                                                     \
    for (int i = 0; i < 4; i++) {                                                                                      \
        (to)[2 * i] = _mm256_unpacklo_epi##size((from)[i], (from)[i + 4]);                                             \
        (to)[2 * i + 1] = _mm256_unpackhi_epi##size((from)[i], (from)[i + 4]);                                         \
    }

INLINE void load_row_pairs(__m256i to[8], const uint8_t *const *rows, int64_t at)
{
    for (int i = 0; i < 8; i++)
        to[i] = _mm256_loadu2_m128i((const __m128i *)(rows[i + 8] + at), (const __m128i *)(rows[i] + at));
}

INLINE void turn_16(void *out, const uint8_t *const *rows, int64_t at)
{
    __m256i a[8], b[8], *to = out;
    for (int half = 0; half < 2; half++) {
        load_row_pairs(a, rows, at + 16 * half);
        INTERLEAVE(16, b, a)
        INTERLEAVE(16, a, b)
        INTERLEAVE(16, b, a)
        for (int i = 0; i < 8; i++)
            _mm256_storeu_si256(to + 8 * half + i, b[i]);
    }
}

/* The steps leave two columns of 8 rows in each half. */
INLINE void turn_8(void *out, const uint8_t *const *rows, int64_t at)
{
    __m256i a[8], b[8], *to = out;
    load_row_pairs(a, rows, at);
    INTERLEAVE(8, b, a)
    INTERLEAVE(8, a, b)
    INTERLEAVE(8, b, a)
    for (int i = 0; i < 8; i++)
        _mm256_storeu_si256(to + i, _mm256_permute4x64_epi64(b[i], 0xd8));
}

#else

#define INTERLEAVE(size, to, from)                                                                                     \
    for (int i = 0; i < 4; i++) {                                                                                      \
        (to)[2 * i] = vzip1q_u##size((from)[i], (from)[i + 4]);                                                        \
        (to)[2 * i + 1] = vzip2q_u##size((from)[i], (from)[i + 4]);                                                    \
    }

INLINE void turn_16(void *out, const uint8_t *const *rows, int64_t at)
{
    for (int half = 0; half < 2; half++)
        for (int first = 0; first < LANES; first += 8) {
            uint16x8_t a[8], b[8];
            for (int i = 0; i < 8; i++)
                a[i] = neon_load_16(rows[first + i] + at + 16 * half);
            INTERLEAVE(16, b, a)
            INTERLEAVE(16, a, b)
            INTERLEAVE(16, b, a)
            for (int i = 0; i < 8; i++)
                vst1q_u8((uint8_t *)out + 2 * ((8 * half + i) * LANES + first), vreinterpretq_u8_u16(b[i]));
        }
}

INLINE void turn_8(void *out, const uint8_t *const *rows, int64_t at)
{
    for (int first = 0; first < LANES; first += 8) {
        uint8x16_t a[8], b[8];
        for (int i = 0; i < 8; i++)
            a[i] = vld1q_u8(rows[first + i] + at);
        INTERLEAVE(8, b, a)
        INTERLEAVE(8, a, b)
        INTERLEAVE(8, b, a)
        for (int i = 0; i < 8; i++) {
            vst1_u8((uint8_t *)out + 2 * i * LANES + first, vget_low_u8(b[i]));
            vst1_u8((uint8_t *)out + (2 * i + 1) * LANES + first, vget_high_u8(b[i]));
        }
    }
}

#endif
#undef INTERLEAVE
#endif

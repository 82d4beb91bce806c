/* transpose.h -- 16 vectors as a 16 x 16 matrix: rows become columns. Moves bits, computes nothing. */
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

#else

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

#endif
#endif

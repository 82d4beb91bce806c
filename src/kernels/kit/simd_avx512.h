/* simd_avx512.h -- the vectors of simd.h as AVX-512 registers (F, BW, VL, DQ, VNNI). */
#ifndef KERNELS_KIT_SIMD_AVX512_H
#define KERNELS_KIT_SIMD_AVX512_H

#include <immintrin.h>

enum { VF_REGISTERS = 32 };

typedef __m512 Vf;
typedef __m512i Vi;
typedef __mmask16 Vm;

INLINE Vm first_lanes(int n) { return (Vm)((1u << n) - 1); }

INLINE Vf vf_zero(void) { return _mm512_setzero_ps(); }
INLINE Vf vf_all(float f) { return _mm512_set1_ps(f); }
INLINE Vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE Vf vf_load_n(const float *p, int n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
INLINE void vf_store(float *p, Vf v) { _mm512_storeu_ps(p, v); }
INLINE void vf_store_n(float *p, Vf v, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }

INLINE Vf vf_add(Vf a, Vf b) { return _mm512_add_ps(a, b); }
INLINE Vf vf_sub(Vf a, Vf b) { return _mm512_sub_ps(a, b); }
INLINE Vf vf_mul(Vf a, Vf b) { return _mm512_mul_ps(a, b); }
INLINE Vf vf_div(Vf a, Vf b) { return _mm512_div_ps(a, b); }
INLINE Vf vf_fma(Vf a, Vf b, Vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE Vf vf_fnma(Vf a, Vf b, Vf c) { return _mm512_fnmadd_ps(a, b, c); }
INLINE Vf vf_max(Vf a, Vf b) { return _mm512_max_ps(a, b); }
INLINE Vf vf_min(Vf a, Vf b) { return _mm512_min_ps(a, b); }
INLINE Vf vf_sqrt(Vf a) { return _mm512_sqrt_ps(a); }
INLINE Vf vf_abs(Vf a) { return _mm512_abs_ps(a); }
INLINE Vf vf_neg(Vf a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
/* v 2^n in one instruction, rounded once, as it is by the two factors of other tiers (vmath.h). */
#define vf_times_2_to(v, n) _mm512_scalef_ps(v, n)

INLINE Vf vf_round(Vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

INLINE Vi vi_zero(void) { return _mm512_setzero_si512(); }
INLINE Vi vi_all(int32_t i) { return _mm512_set1_epi32(i); }
INLINE Vi vi_group(const void *p)
{
    int32_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    return _mm512_set1_epi32(bytes);
}
INLINE Vi vi_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE Vi vi_load_n(const int32_t *p, int n) { return _mm512_maskz_loadu_epi32(first_lanes(n), p); }
INLINE void vi_store(void *p, Vi v) { _mm512_storeu_si512(p, v); }
INLINE void vi_store_n(int32_t *p, Vi v, int n) { _mm512_mask_storeu_epi32(p, first_lanes(n), v); }

INLINE Vi vi_add(Vi a, Vi b) { return _mm512_add_epi32(a, b); }
INLINE Vi vi_sub(Vi a, Vi b) { return _mm512_sub_epi32(a, b); }
INLINE Vi vi_mul(Vi a, Vi b) { return _mm512_mullo_epi32(a, b); }
INLINE Vi vi_and(Vi a, Vi b) { return _mm512_and_si512(a, b); }
INLINE Vi vi_or(Vi a, Vi b) { return _mm512_or_si512(a, b); }
INLINE Vi vi_xor(Vi a, Vi b) { return _mm512_xor_si512(a, b); }
INLINE Vi vi_max(Vi a, Vi b) { return _mm512_max_epi32(a, b); }
INLINE Vi vi_min(Vi a, Vi b) { return _mm512_min_epi32(a, b); }
#define vi_shl(v, bits) _mm512_slli_epi32(v, bits)
#define vi_shr(v, bits) _mm512_srli_epi32(v, bits)
#define vi_sar(v, bits) _mm512_srai_epi32(v, bits)

INLINE Vi vi_add8(Vi a, Vi b) { return _mm512_add_epi8(a, b); }
INLINE Vi vi_look_up(const void *table, Vi indices)
{
    __m128i entries = _mm_loadu_si128(table);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(entries), indices);
}

INLINE Vm vf_less(Vf a, Vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
INLINE Vm vf_equal(Vf a, Vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
INLINE Vm vi_equal(Vi a, Vi b) { return _mm512_cmpeq_epi32_mask(a, b); }
INLINE Vf vf_pick(Vm m, Vf yes, Vf no) { return _mm512_mask_blend_ps(m, no, yes); }

INLINE Vf vf_of_i(Vi a) { return _mm512_cvtepi32_ps(a); }
INLINE Vi vi_of_f(Vf a) { return _mm512_cvtps_epi32(a); }
INLINE Vi vf_bits(Vf a) { return _mm512_castps_si512(a); }
INLINE Vf vf_of_bits(Vi a) { return _mm512_castsi512_ps(a); }
INLINE Vf vf_of_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
INLINE float one_of_f16(const void *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof half);
    return _cvtsh_ss(half);
}
/* A number to all lanes; what is in the 6 bytes behind it is read as well. */
INLINE Vf vf_all_of_f16(const void *p) { return _mm512_broadcastss_ps(_mm_cvtph_ps(_mm_loadl_epi64(p))); }
/* 4 bytes of 16 rows that lie `bytes` apart. */
INLINE Vi vi_rows(const void *rows, int32_t bytes)
{
    __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_i32gather_epi32(_mm512_mullo_epi32(lane, _mm512_set1_epi32(bytes)), rows, 1);
}
/* As an f16 with the same fraction it is 2^-8 times as large; what would be 480 becomes the NaN that it is. */
INLINE Vf vf_of_e4m3(const void *p)
{
    __m256i half = _mm256_slli_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(p)), 7);
    half = _mm256_and_si256(half, _mm256_set1_epi16((short)0xbf80));
    __m256i past = _mm256_add_epi16(half, _mm256_set1_epi16(0x80));
    half = _mm256_or_si256(half, _mm256_and_si256(past, _mm256_set1_epi16(0x4000)));
    return _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(0x1p8f));
}
INLINE void vf_to_f16(void *p, Vf v)
{
    _mm256_storeu_si256(p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
INLINE Vi vi_of_u16(const void *p) { return _mm512_cvtepu16_epi32(_mm256_loadu_si256(p)); }
INLINE Vi vi_of_i8(const void *p) { return _mm512_cvtepi8_epi32(_mm_loadu_si128(p)); }
INLINE Vi vi_of_u8(const void *p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128(p)); }
INLINE void vi_to_u16(void *p, Vi v) { _mm256_storeu_si256(p, _mm512_cvtepi32_epi16(v)); }
INLINE void vi_to_i8(void *p, Vi v) { _mm_storeu_si128(p, _mm512_cvtepi32_epi8(v)); }

/* The upper 8 lanes fold onto the lower 8, those onto 4, 2, 1. */
INLINE float vf_sum(Vf v)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
INLINE float vf_most(Vf v)
{
    __m256 a = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}
INLINE int32_t vi_sum(Vi v) { return _mm512_reduce_add_epi32(v); }
INLINE int32_t vi_most(Vi v) { return _mm512_reduce_max_epi32(v); }

/* acc + the dot product of each group of 4: signed bytes of weights, each kept as byte + 128, and
 * signed bytes of activations from -127. The instruction reads the weights as unsigned, so what it
 * returns is 128 times the sum of the activations too large: start the accumulator at
 * DOT_START(sum of the activations). The AVX2 version has other means, and another DOT_START. */
#define DOT_START(sum) (-128 * (sum))
INLINE Vi vi_dot(Vi acc, Vi w, Vi x) { return _mm512_dpbusd_epi32(acc, w, x); }

#endif

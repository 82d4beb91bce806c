/* simd_avx2.h -- the vectors of simd.h as pairs of AVX2 registers (with FMA and F16C).
 *
 * Lanes 0 to 7 are in lo, 8 to 15 in hi. */
#ifndef KERNELS_KIT_SIMD_AVX2_H
#define KERNELS_KIT_SIMD_AVX2_H

#include <immintrin.h>

enum { VF_REGISTERS = 8 };

typedef struct Vf { __m256 lo, hi; } Vf;
typedef struct Vi { __m256i lo, hi; } Vi;
typedef struct Vm { __m256 lo, hi; } Vm;

#define VF_EACH1(op, a) ((Vf){op((a).lo), op((a).hi)})
#define VF_EACH2(op, a, b) ((Vf){op((a).lo, (b).lo), op((a).hi, (b).hi)})
#define VF_EACH3(op, a, b, c) ((Vf){op((a).lo, (b).lo, (c).lo), op((a).hi, (b).hi, (c).hi)})
#define VI_EACH2(op, a, b) ((Vi){op((a).lo, (b).lo), op((a).hi, (b).hi)})

/* Lane i is all ones where i + 8 half < n. */
INLINE __m256i first_lanes(int n, int half)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8 * half), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE Vf vf_zero(void) { return (Vf){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
INLINE Vf vf_all(float f) { return (Vf){_mm256_set1_ps(f), _mm256_set1_ps(f)}; }
INLINE Vf vf_load(const float *p) { return (Vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
INLINE Vf vf_load_n(const float *p, int n)
{
    return (Vf){_mm256_maskload_ps(p, first_lanes(n, 0)), _mm256_maskload_ps(p + 8, first_lanes(n, 1))};
}
INLINE void vf_store(float *p, Vf v)
{
    _mm256_storeu_ps(p, v.lo);
    _mm256_storeu_ps(p + 8, v.hi);
}
INLINE void vf_store_n(float *p, Vf v, int n)
{
    _mm256_maskstore_ps(p, first_lanes(n, 0), v.lo);
    _mm256_maskstore_ps(p + 8, first_lanes(n, 1), v.hi);
}

INLINE Vf vf_add(Vf a, Vf b) { return VF_EACH2(_mm256_add_ps, a, b); }
INLINE Vf vf_sub(Vf a, Vf b) { return VF_EACH2(_mm256_sub_ps, a, b); }
INLINE Vf vf_mul(Vf a, Vf b) { return VF_EACH2(_mm256_mul_ps, a, b); }
INLINE Vf vf_div(Vf a, Vf b) { return VF_EACH2(_mm256_div_ps, a, b); }
INLINE Vf vf_fma(Vf a, Vf b, Vf c) { return VF_EACH3(_mm256_fmadd_ps, a, b, c); }
INLINE Vf vf_fnma(Vf a, Vf b, Vf c) { return VF_EACH3(_mm256_fnmadd_ps, a, b, c); }
INLINE Vf vf_max(Vf a, Vf b) { return VF_EACH2(_mm256_max_ps, a, b); }
INLINE Vf vf_min(Vf a, Vf b) { return VF_EACH2(_mm256_min_ps, a, b); }
INLINE Vf vf_sqrt(Vf a) { return VF_EACH1(_mm256_sqrt_ps, a); }
INLINE Vf vf_abs(Vf a)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (Vf){_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
INLINE Vf vf_neg(Vf a)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (Vf){_mm256_xor_ps(a.lo, sign), _mm256_xor_ps(a.hi, sign)};
}
INLINE Vf vf_round(Vf a)
{
    enum { TO_EVEN = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
    return (Vf){_mm256_round_ps(a.lo, TO_EVEN), _mm256_round_ps(a.hi, TO_EVEN)};
}

INLINE Vi vi_zero(void) { return (Vi){_mm256_setzero_si256(), _mm256_setzero_si256()}; }
INLINE Vi vi_all(int32_t i) { return (Vi){_mm256_set1_epi32(i), _mm256_set1_epi32(i)}; }
INLINE Vi vi_group(const void *p)
{
    int32_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    return vi_all(bytes);
}
INLINE Vi vi_load(const void *p)
{
    const __m256i *half = p;
    return (Vi){_mm256_loadu_si256(half), _mm256_loadu_si256(half + 1)};
}
INLINE Vi vi_load_n(const int32_t *p, int n)
{
    return (Vi){_mm256_maskload_epi32(p, first_lanes(n, 0)), _mm256_maskload_epi32(p + 8, first_lanes(n, 1))};
}
INLINE void vi_store(void *p, Vi v)
{
    __m256i *half = p;
    _mm256_storeu_si256(half, v.lo);
    _mm256_storeu_si256(half + 1, v.hi);
}
INLINE void vi_store_n(int32_t *p, Vi v, int n)
{
    _mm256_maskstore_epi32(p, first_lanes(n, 0), v.lo);
    _mm256_maskstore_epi32(p + 8, first_lanes(n, 1), v.hi);
}

INLINE Vi vi_add(Vi a, Vi b) { return VI_EACH2(_mm256_add_epi32, a, b); }
INLINE Vi vi_sub(Vi a, Vi b) { return VI_EACH2(_mm256_sub_epi32, a, b); }
INLINE Vi vi_mul(Vi a, Vi b) { return VI_EACH2(_mm256_mullo_epi32, a, b); }
INLINE Vi vi_and(Vi a, Vi b) { return VI_EACH2(_mm256_and_si256, a, b); }
INLINE Vi vi_or(Vi a, Vi b) { return VI_EACH2(_mm256_or_si256, a, b); }
INLINE Vi vi_xor(Vi a, Vi b) { return VI_EACH2(_mm256_xor_si256, a, b); }
INLINE Vi vi_max(Vi a, Vi b) { return VI_EACH2(_mm256_max_epi32, a, b); }
INLINE Vi vi_min(Vi a, Vi b) { return VI_EACH2(_mm256_min_epi32, a, b); }
INLINE Vi vi_shl(Vi v, int bits) { return (Vi){_mm256_slli_epi32(v.lo, bits), _mm256_slli_epi32(v.hi, bits)}; }
INLINE Vi vi_shr(Vi v, int bits) { return (Vi){_mm256_srli_epi32(v.lo, bits), _mm256_srli_epi32(v.hi, bits)}; }
INLINE Vi vi_sar(Vi v, int bits) { return (Vi){_mm256_srai_epi32(v.lo, bits), _mm256_srai_epi32(v.hi, bits)}; }

INLINE Vi vi_add8(Vi a, Vi b) { return VI_EACH2(_mm256_add_epi8, a, b); }
INLINE Vi vi_look_up(const void *table, Vi indices)
{
    __m256i entries = _mm256_broadcastsi128_si256(_mm_loadu_si128(table));
    return (Vi){_mm256_shuffle_epi8(entries, indices.lo), _mm256_shuffle_epi8(entries, indices.hi)};
}

INLINE Vm vf_less(Vf a, Vf b)
{
    return (Vm){_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)};
}
INLINE Vm vf_equal(Vf a, Vf b)
{
    return (Vm){_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ)};
}
INLINE Vm vi_equal(Vi a, Vi b)
{
    return (Vm){_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.lo, b.lo)),
                _mm256_castsi256_ps(_mm256_cmpeq_epi32(a.hi, b.hi))};
}
INLINE Vf vf_pick(Vm m, Vf yes, Vf no)
{
    return (Vf){_mm256_blendv_ps(no.lo, yes.lo, m.lo), _mm256_blendv_ps(no.hi, yes.hi, m.hi)};
}

INLINE Vf vf_of_i(Vi a) { return VF_EACH1(_mm256_cvtepi32_ps, a); }
INLINE Vi vi_of_f(Vf a) { return (Vi){_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
INLINE Vi vf_bits(Vf a) { return (Vi){_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
INLINE Vf vf_of_bits(Vi a) { return (Vf){_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
INLINE Vf vf_of_f16(const void *p)
{
    const __m128i *half = p;
    return (Vf){_mm256_cvtph_ps(_mm_loadu_si128(half)), _mm256_cvtph_ps(_mm_loadu_si128(half + 1))};
}
INLINE float one_of_f16(const void *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof half);
    return _cvtsh_ss(half);
}
/* As an f16 with the same fraction it is 2^-8 times as large; what would be 480 becomes the NaN that it is. */
INLINE Vf vf_of_e4m3(const void *p)
{
    __m256i half = _mm256_slli_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(p)), 7);
    half = _mm256_and_si256(half, _mm256_set1_epi16((short)0xbf80));
    __m256i past = _mm256_add_epi16(half, _mm256_set1_epi16(0x80));
    half = _mm256_or_si256(half, _mm256_and_si256(past, _mm256_set1_epi16(0x4000)));
    __m256 larger = _mm256_set1_ps(0x1p8f);
    return (Vf){_mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(half)), larger),
                _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(half, 1)), larger)};
}
INLINE void vf_to_f16(void *p, Vf v)
{
    enum { TO_EVEN = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
    __m128i *half = p;
    _mm_storeu_si128(half, _mm256_cvtps_ph(v.lo, TO_EVEN));
    _mm_storeu_si128(half + 1, _mm256_cvtps_ph(v.hi, TO_EVEN));
}
INLINE Vi vi_of_u16(const void *p)
{
    const __m128i *half = p;
    return (Vi){_mm256_cvtepu16_epi32(_mm_loadu_si128(half)), _mm256_cvtepu16_epi32(_mm_loadu_si128(half + 1))};
}
INLINE Vi vi_of_i8(const void *p)
{
    __m128i bytes = _mm_loadu_si128(p);
    return (Vi){_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))};
}
INLINE Vi vi_of_u8(const void *p)
{
    __m128i bytes = _mm_loadu_si128(p);
    return (Vi){_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))};
}
/* The low 16 bits of each lane: the packing instruction works within 128 bits, hence the permutation. */
INLINE __m256i low_halves(Vi v)
{
    __m256i mask = _mm256_set1_epi32(0xffff);
    __m256i packed = _mm256_packus_epi32(_mm256_and_si256(v.lo, mask), _mm256_and_si256(v.hi, mask));
    return _mm256_permute4x64_epi64(packed, 0xd8);
}
INLINE void vi_to_u16(void *p, Vi v) { _mm256_storeu_si256(p, low_halves(v)); }
INLINE void vi_to_i8(void *p, Vi v)
{
    __m256i halves = _mm256_and_si256(low_halves(v), _mm256_set1_epi16(0xff));
    _mm_storeu_si128(p, _mm_packus_epi16(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1)));
}

/* The upper 8 lanes fold onto the lower 8, those onto 4, 2, 1. */
INLINE float vf_sum(Vf v)
{
    __m256 a = _mm256_add_ps(v.lo, v.hi);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
INLINE float vf_most(Vf v)
{
    __m256 a = _mm256_max_ps(v.lo, v.hi);
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}
INLINE int32_t vi_sum(Vi v)
{
    __m256i a = _mm256_add_epi32(v.lo, v.hi);
    __m128i b = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_add_epi32(b, _mm_shuffle_epi32(b, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(b, _mm_shuffle_epi32(b, 0xb1)));
}
INLINE int32_t vi_most(Vi v)
{
    __m256i a = _mm256_max_epi32(v.lo, v.hi);
    __m128i b = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_max_epi32(b, _mm_shuffle_epi32(b, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(b, _mm_shuffle_epi32(b, 0xb1)));
}

/* acc + the dot product of each group of 4: signed bytes of weights, each kept as byte + 128, and
 * signed bytes of activations from -127. maddubs multiplies unsigned by signed and saturates at 16
 * bits; |w| <= 128 against x with the sign of w stays within (2 * 128 * 127 = 32,512), so the sum is
 * exact and the accumulator starts at 0. */
#define DOT_START(sum) (0 * (sum))
INLINE __m256i dot_half(__m256i acc, __m256i biased, __m256i x)
{
    __m256i w = _mm256_xor_si256(biased, _mm256_set1_epi8(-128));
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    __asm__("" : "+x"(acc));      /* gcc would keep many products, to add them as a tree, where there are 16 registers */
    return acc;
}
INLINE Vi vi_dot(Vi acc, Vi w, Vi x) { return (Vi){dot_half(acc.lo, w.lo, x.lo), dot_half(acc.hi, w.hi, x.hi)}; }

#endif

/* simd_neon.h -- the vectors of simd.h as four NEON registers (64-bit Arm; with the dot product of Armv8.2 where the tier
 * is built for it). */
#ifndef KERNELS_KIT_SIMD_NEON_H
#define KERNELS_KIT_SIMD_NEON_H

#include <arm_neon.h>

enum { VF_REGISTERS = 8 };

typedef float32x4x4_t Vf;
typedef int32x4x4_t Vi;
typedef uint32x4x4_t Vm;

#define IN_EACH1(type, op, a) ((type){{op((a).val[0]), op((a).val[1]), op((a).val[2]), op((a).val[3])}})
#define IN_EACH2(type, op, a, b)                                                                                       \
    ((type){{op((a).val[0], (b).val[0]), op((a).val[1], (b).val[1]), op((a).val[2], (b).val[2]),                       \
             op((a).val[3], (b).val[3])}})
#define IN_EACH3(type, op, a, b, c)                                                                                    \
    ((type){{op((a).val[0], (b).val[0], (c).val[0]), op((a).val[1], (b).val[1], (c).val[1]),                           \
             op((a).val[2], (b).val[2], (c).val[2]), op((a).val[3], (b).val[3], (c).val[3])}})
#define FOUR(type, x) ((type){{(x), (x), (x), (x)}})

INLINE Vf vf_all(float f) { return FOUR(Vf, vdupq_n_f32(f)); }
INLINE Vf vf_zero(void) { return vf_all(0); }
INLINE Vf vf_load(const float *p) { return (Vf){{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}}; }
INLINE Vf vf_load_n(const float *p, int n)
{
    float all[LANES] = {0};
    memcpy(all, p, (size_t)n * sizeof *p);
    return vf_load(all);
}
INLINE void vf_store(float *p, Vf v)
{
    for (int i = 0; i < 4; i++)
        vst1q_f32(p + 4 * i, v.val[i]);
}
INLINE void vf_store_n(float *p, Vf v, int n)
{
    float all[LANES];
    vf_store(all, v);
    memcpy(p, all, (size_t)n * sizeof *p);
}

/* c + a b, c - a b */
#define NEON_FMA(a, b, c) vfmaq_f32(c, a, b)
#define NEON_FNMA(a, b, c) vfmsq_f32(c, a, b)
/* b where one is NaN, as x86 has it and as simd.h says. */
#define NEON_MAX(a, b) vbslq_f32(vcgtq_f32(a, b), a, b)
#define NEON_MIN(a, b) vbslq_f32(vcltq_f32(a, b), a, b)

INLINE Vf vf_add(Vf a, Vf b) { return IN_EACH2(Vf, vaddq_f32, a, b); }
INLINE Vf vf_sub(Vf a, Vf b) { return IN_EACH2(Vf, vsubq_f32, a, b); }
INLINE Vf vf_mul(Vf a, Vf b) { return IN_EACH2(Vf, vmulq_f32, a, b); }
INLINE Vf vf_div(Vf a, Vf b) { return IN_EACH2(Vf, vdivq_f32, a, b); }
INLINE Vf vf_fma(Vf a, Vf b, Vf c) { return IN_EACH3(Vf, NEON_FMA, a, b, c); }
INLINE Vf vf_fnma(Vf a, Vf b, Vf c) { return IN_EACH3(Vf, NEON_FNMA, a, b, c); }
INLINE Vf vf_max(Vf a, Vf b) { return IN_EACH2(Vf, NEON_MAX, a, b); }
INLINE Vf vf_min(Vf a, Vf b) { return IN_EACH2(Vf, NEON_MIN, a, b); }
INLINE Vf vf_sqrt(Vf a) { return IN_EACH1(Vf, vsqrtq_f32, a); }
INLINE Vf vf_abs(Vf a) { return IN_EACH1(Vf, vabsq_f32, a); }
INLINE Vf vf_neg(Vf a) { return IN_EACH1(Vf, vnegq_f32, a); }
INLINE Vf vf_round(Vf a) { return IN_EACH1(Vf, vrndnq_f32, a); }

INLINE Vi vi_all(int32_t i) { return FOUR(Vi, vdupq_n_s32(i)); }
INLINE Vi vi_zero(void) { return vi_all(0); }
INLINE Vi vi_group(const void *p)
{
    int32_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    return vi_all(bytes);
}
INLINE Vi vi_load(const void *p)
{
    Vi v;
    for (int i = 0; i < 4; i++)
        v.val[i] = vreinterpretq_s32_u8(vld1q_u8((const uint8_t *)p + 16 * i));
    return v;
}
INLINE Vi vi_load_n(const int32_t *p, int n)
{
    int32_t all[LANES] = {0};
    memcpy(all, p, (size_t)n * sizeof *p);
    return vi_load(all);
}
INLINE void vi_store(void *p, Vi v)
{
    for (int i = 0; i < 4; i++)
        vst1q_u8((uint8_t *)p + 16 * i, vreinterpretq_u8_s32(v.val[i]));
}
INLINE void vi_store_n(int32_t *p, Vi v, int n)
{
    int32_t all[LANES];
    vi_store(all, v);
    memcpy(p, all, (size_t)n * sizeof *p);
}

#define NEON_SHL(v) ((int32x4_t)((uint32x4_t)(v) << bits))
#define NEON_SHR(v) ((int32x4_t)((uint32x4_t)(v) >> bits))
#define NEON_SAR(v) ((v) >> bits)
#define NEON_ADD8(a, b) vreinterpretq_s32_s8(vaddq_s8(vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)))

INLINE Vi vi_add(Vi a, Vi b) { return IN_EACH2(Vi, vaddq_s32, a, b); }
INLINE Vi vi_sub(Vi a, Vi b) { return IN_EACH2(Vi, vsubq_s32, a, b); }
INLINE Vi vi_mul(Vi a, Vi b) { return IN_EACH2(Vi, vmulq_s32, a, b); }
INLINE Vi vi_and(Vi a, Vi b) { return IN_EACH2(Vi, vandq_s32, a, b); }
INLINE Vi vi_or(Vi a, Vi b) { return IN_EACH2(Vi, vorrq_s32, a, b); }
INLINE Vi vi_xor(Vi a, Vi b) { return IN_EACH2(Vi, veorq_s32, a, b); }
INLINE Vi vi_max(Vi a, Vi b) { return IN_EACH2(Vi, vmaxq_s32, a, b); }
INLINE Vi vi_min(Vi a, Vi b) { return IN_EACH2(Vi, vminq_s32, a, b); }
INLINE Vi vi_shl(Vi v, int bits) { return IN_EACH1(Vi, NEON_SHL, v); }
INLINE Vi vi_shr(Vi v, int bits) { return IN_EACH1(Vi, NEON_SHR, v); }
INLINE Vi vi_sar(Vi v, int bits) { return IN_EACH1(Vi, NEON_SAR, v); }
INLINE Vi vi_add8(Vi a, Vi b) { return IN_EACH2(Vi, NEON_ADD8, a, b); }
INLINE Vi vi_look_up(const void *table, Vi indices)
{
    uint8x16_t entries = vld1q_u8(table);
    Vi v;
    for (int i = 0; i < 4; i++)
        v.val[i] = vreinterpretq_s32_u8(vqtbl1q_u8(entries, vreinterpretq_u8_s32(indices.val[i])));
    return v;
}

INLINE Vm vf_less(Vf a, Vf b) { return IN_EACH2(Vm, vcltq_f32, a, b); }
INLINE Vm vf_equal(Vf a, Vf b) { return IN_EACH2(Vm, vceqq_f32, a, b); }
INLINE Vm vi_equal(Vi a, Vi b) { return IN_EACH2(Vm, vceqq_s32, a, b); }
INLINE Vf vf_pick(Vm m, Vf yes, Vf no) { return IN_EACH3(Vf, vbslq_f32, m, yes, no); }

INLINE Vf vf_of_i(Vi a) { return IN_EACH1(Vf, vcvtq_f32_s32, a); }
/* What is no int32_t becomes the smallest, as on x86; Arm would take the nearest. */
INLINE int32x4_t neon_to_int(float32x4_t x)
{
    return vbslq_s32(vcltq_f32(vabsq_f32(x), vdupq_n_f32(0x1p31f)), vcvtnq_s32_f32(x), vdupq_n_s32(INT32_MIN));
}
INLINE Vi vi_of_f(Vf a) { return IN_EACH1(Vi, neon_to_int, a); }
INLINE Vi vf_bits(Vf a) { return IN_EACH1(Vi, vreinterpretq_s32_f32, a); }
INLINE Vf vf_of_bits(Vi a) { return IN_EACH1(Vf, vreinterpretq_f32_s32, a); }

INLINE Vf neon_of_halves(uint16x8_t low, uint16x8_t high)
{
    float16x8_t a = vreinterpretq_f16_u16(low), b = vreinterpretq_f16_u16(high);
    return (Vf){{vcvt_f32_f16(vget_low_f16(a)), vcvt_high_f32_f16(a), vcvt_f32_f16(vget_low_f16(b)), vcvt_high_f32_f16(b)}};
}
INLINE uint16x8_t neon_load_16(const void *p) { return vreinterpretq_u16_u8(vld1q_u8(p)); }
INLINE Vf vf_of_f16(const void *p) { return neon_of_halves(neon_load_16(p), neon_load_16((const uint8_t *)p + 16)); }
INLINE float one_of_f16(const void *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof half);
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))), 0);
}
/* As an f16 with the same fraction it is 2^-8 times as large; what would be 480 becomes the NaN that it is. */
INLINE uint16x8_t neon_half_of_e4m3(int8x8_t bytes)
{
    uint16x8_t half = vandq_u16(vreinterpretq_u16_s16(vshll_n_s8(bytes, 7)), vdupq_n_u16(0xbf80));
    return vorrq_u16(half, vandq_u16(vaddq_u16(half, vdupq_n_u16(0x80)), vdupq_n_u16(0x4000)));
}
INLINE Vf vf_of_e4m3(const void *p)
{
    int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(p));
    Vf small = neon_of_halves(neon_half_of_e4m3(vget_low_s8(bytes)), neon_half_of_e4m3(vget_high_s8(bytes)));
    return vf_mul(small, vf_all(0x1p8f));
}
INLINE void vf_to_f16(void *p, Vf v)
{
    for (int i = 0; i < 4; i++)
        vst1_u8((uint8_t *)p + 8 * i, vreinterpret_u8_f16(vcvt_f16_f32(v.val[i])));
}
INLINE Vi neon_widen(int16x8_t low, int16x8_t high)
{
    return (Vi){{vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)}};
}
INLINE Vi vi_of_i8(const void *p)
{
    int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(p));
    return neon_widen(vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
}
INLINE Vi vi_of_u8(const void *p)
{
    uint8x16_t bytes = vld1q_u8(p);
    return neon_widen(vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes))), vreinterpretq_s16_u16(vmovl_high_u8(bytes)));
}
INLINE Vi vi_of_u16(const void *p)
{
    Vi v;
    for (int i = 0; i < 4; i++)
        v.val[i] = vreinterpretq_s32_u32(vmovl_u16(vreinterpret_u16_u8(vld1_u8((const uint8_t *)p + 8 * i))));
    return v;
}
INLINE void vi_to_u16(void *p, Vi v)
{
    for (int i = 0; i < 4; i++)
        vst1_u8((uint8_t *)p + 8 * i, vreinterpret_u8_s16(vmovn_s32(v.val[i])));
}
INLINE void vi_to_i8(void *p, Vi v)
{
    int16x8_t low = vcombine_s16(vmovn_s32(v.val[0]), vmovn_s32(v.val[1]));
    int16x8_t high = vcombine_s16(vmovn_s32(v.val[2]), vmovn_s32(v.val[3]));
    vst1q_u8(p, vreinterpretq_u8_s8(vcombine_s8(vmovn_s16(low), vmovn_s16(high))));
}

/* The upper 8 lanes fold onto the lower 8, those onto 4, 2, 1. */
INLINE float vf_sum(Vf v)
{
    float32x4_t b = vaddq_f32(vaddq_f32(v.val[0], v.val[2]), vaddq_f32(v.val[1], v.val[3]));
    float32x2_t c = vadd_f32(vget_low_f32(b), vget_high_f32(b));
    return vget_lane_f32(c, 0) + vget_lane_f32(c, 1);
}
INLINE float vf_most(Vf v)
{
    float32x4_t b = NEON_MAX(NEON_MAX(v.val[0], v.val[2]), NEON_MAX(v.val[1], v.val[3]));
    float32x2_t low = vget_low_f32(b), high = vget_high_f32(b), c = vbsl_f32(vcgt_f32(low, high), low, high);
    float first = vget_lane_f32(c, 0), second = vget_lane_f32(c, 1);
    return first > second ? first : second;
}
INLINE int32_t vi_sum(Vi v)
{
    return vaddvq_s32(vaddq_s32(vaddq_s32(v.val[0], v.val[1]), vaddq_s32(v.val[2], v.val[3])));
}
INLINE int32_t vi_most(Vi v)
{
    return vmaxvq_s32(vmaxq_s32(vmaxq_s32(v.val[0], v.val[1]), vmaxq_s32(v.val[2], v.val[3])));
}

/* acc + the dot product of each group of 4: signed bytes of weights, each kept as byte + 128, and signed bytes of
 * activations. Taken back to signed bytes the product is exact, so the accumulator starts at 0. */
#define DOT_START(sum) (0 * (sum))
INLINE int32x4_t neon_dot(int32x4_t acc, int32x4_t biased, int32x4_t groups)
{
    int8x16_t w = vreinterpretq_s8_u8(veorq_u8(vreinterpretq_u8_s32(biased), vdupq_n_u8(0x80)));
    int8x16_t x = vreinterpretq_s8_s32(groups);
#ifdef __ARM_FEATURE_DOTPROD
    return vdotq_s32(acc, w, x);
#else
    int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(x)));
    return vaddq_s32(acc, vpaddq_s32(low, vpaddlq_s16(vmull_high_s8(w, x))));
#endif
}
INLINE Vi vi_dot(Vi acc, Vi w, Vi x) { return IN_EACH3(Vi, neon_dot, acc, w, x); }

#endif

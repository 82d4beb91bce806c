/* simd.h -- one source for every instruction set: a vector always has 16 lanes.
 *
 *     Vf    16 x f32        AVX-512: one register        AVX2: two        NEON: four
 *     Vi    16 x i32, or 64 bytes in 16 groups of 4
 *     Vm    16 x true or false
 *
 * VF_REGISTERS says how many vectors a processor has room for at once.
 *
 * The same lanes, the same order of sums, always fma where fma is written and never where it is not:
 * every tier gives the same bits. (Only the payload of a NaN may differ.)
 *
 * Only *_cpu.c files, which are built once per tier, may include this. They use no libm and no
 * plain C arithmetic on floats inside sums: what is missing here is in vmath.h or has to be added.
 *
 *     loads    vf_load(p)            16 values, any alignment      vf_load_n(p, n)   n <= 16, the rest is 0
 *     stores   vf_store(p, v)                                     vf_store_n(p, v, n)
 *              (vi_load, vi_store likewise)
 *     make     vf_zero() vf_all(f)   vi_zero() vi_all(i)           vi_group(p): 4 bytes, to all 16 groups
 *     floats   vf_add vf_sub vf_mul vf_div vf_sqrt vf_abs vf_neg vf_copy_sign vf_round (halves to even)
 *              vf_fma(a, b, c) = a b + c                           vf_fnma(a, b, c) = c - a b
 *              vf_max(a, b) = a > b ? a : b, so b where one is NaN; vf_min likewise
 *     ints     vi_add vi_sub vi_mul vi_and vi_or vi_xor vi_max vi_min vi_shl(v, const) vi_shr (zeros in) vi_sar
 *     bytes    vi_add8, vi_look_up(table of 16 bytes, bytes 0..15 as indices)
 *     masks    vf_less vf_equal vi_equal -> Vm;  vf_pick(m, yes, no)
 *     convert  vf_of_i, vi_of_f (halves to even), vf_bits, vf_of_bits; from memory: vf_of_f16(p) vf_of_bf16(p)
 *              vf_of_e4m3(p): bytes s eeee mmm; vi_of_i8(p) vi_of_u8(p) vi_of_u16(p); vf_all_of_f16(p): one, to
 *              all lanes; 8 bytes may be read. vi_rows(p, n): 4 bytes of 16 rows that lie n bytes apart;
 *              to memory: vf_to_f16(p, v) vf_to_bf16(p, v) vi_to_i8(p, v) vi_to_u16
 *     across   vf_sum vi_sum vf_most vi_most: one fixed tree, lanes i and i + 8, then + 4, + 2, + 1
 *     dot      vi_dot(acc, w, x): see at its definition
 *
 * UNROLL before a loop with constant bounds, where its arrays of vectors must become registers.
 */
#ifndef KERNELS_KIT_SIMD_H
#define KERNELS_KIT_SIMD_H

#include <stdint.h>
#include <string.h>

#include "kernels/kit/tier.h"

#define INLINE static inline __attribute__((always_inline, unused))

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum { LANES = 16 };

#if defined(TIER_avx512)
#include "kernels/kit/simd_avx512.h"
#elif defined(TIER_avx2)
#include "kernels/kit/simd_avx2.h"
#elif defined(TIER_neon)
#include "kernels/kit/simd_neon.h"
#else
#error "simd.h belongs into *_cpu.c files, which are built per tier"
#endif

INLINE void prefetch(const void *p) { __builtin_prefetch(p); }
INLINE void prefetch_to_write(void *p) { __builtin_prefetch(p, 1); }
INLINE void prefetch_far(const void *p) { __builtin_prefetch(p, 0, 2); }      /* not into the first cache */

#ifndef TIER_avx512
INLINE Vf vf_all_of_f16(const void *p) { return vf_all(one_of_f16(p)); }
INLINE Vi vi_rows(const void *rows, int32_t bytes)
{
    int32_t words[LANES];
    for (int i = 0; i < LANES; i++)
        memcpy(&words[i], (const uint8_t *)rows + i * (int64_t)bytes, sizeof words[i]);
    return vi_load(words);
}
#endif

INLINE Vf vf_copy_sign(Vf magnitude, Vf sign)
{
    Vi top = vi_all(INT32_MIN);
    return vf_of_bits(vi_or(vf_bits(magnitude), vi_and(vf_bits(sign), top)));
}

/* From bf16 to f32 is a shift; back rounds halves to even and keeps a NaN a NaN. */
INLINE Vf vf_of_bf16(const void *p) { return vf_of_bits(vi_shl(vi_of_u16(p), 16)); }
INLINE void vf_to_bf16(void *p, Vf v)
{
    Vi bits = vf_bits(v), odd = vi_and(vi_shr(bits, 16), vi_all(1));
    Vi rounded = vi_shr(vi_add(bits, vi_add(odd, vi_all(0x7fff))), 16);
    Vi quiet = vi_or(vi_shr(bits, 16), vi_all(0x40));
    vi_to_u16(p, vf_bits(vf_pick(vf_equal(v, v), vf_of_bits(rounded), vf_of_bits(quiet))));
}

#endif

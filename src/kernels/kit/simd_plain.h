/* simd_plain.h -- the vectors of simd.h without any: what a processor of no tier needs, and no more (choose_scan.c). */
#ifndef KERNELS_KIT_SIMD_PLAIN_H
#define KERNELS_KIT_SIMD_PLAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernels/kit/tier.h"

#define INLINE static inline __attribute__((always_inline, unused))
enum { LANES = 16 };

typedef float Vf __attribute__((vector_size(4 * LANES)));      /* the notation that gcc and clang share */
typedef int32_t Vi __attribute__((vector_size(4 * LANES)));
typedef Vi Vm;
#pragma GCC diagnostic ignored "-Wpsabi"      /* vectors are returned by inlined functions only */

INLINE Vf vf_all(float f) { return f - (Vf){0}; }
INLINE Vf vf_load(const float *p)
{
    Vf v;
    memcpy(&v, p, sizeof v);
    return v;
}
INLINE void vf_store(float *p, Vf v) { memcpy(p, &v, sizeof v); }
INLINE Vf vf_add(Vf a, Vf b) { return a + b; }
INLINE Vf vf_sub(Vf a, Vf b) { return a - b; }
INLINE Vf vf_mul(Vf a, Vf b) { return a * b; }
INLINE Vm vf_less(Vf a, Vf b) { return a < b; }
INLINE Vm vf_equal(Vf a, Vf b) { return a == b; }
INLINE Vf vf_pick(Vm m, Vf yes, Vf no) { return (Vf)((m & (Vi)yes) | (~m & (Vi)no)); }
INLINE Vf vf_max(Vf a, Vf b) { return vf_pick(a > b, a, b); }
INLINE Vf vf_of_bits(Vi a) { return (Vf)a; }
INLINE Vi vf_bits(Vf a) { return (Vi)a; }

INLINE Vi vi_all(int32_t n) { return n - (Vi){0}; }
INLINE Vi vi_load(const void *p)
{
    Vi v;
    memcpy(&v, p, sizeof v);
    return v;
}
INLINE Vi vi_and(Vi a, Vi b) { return a & b; }
INLINE Vi vi_add(Vi a, Vi b) { return a + b; }
INLINE Vi vi_shl(Vi a, int bits) { return a << bits; }
INLINE Vm vi_equal(Vi a, Vi b) { return a == b; }

INLINE float vf_most(Vf v)
{
    float most = v[0];
    for (int i = 1; i < LANES; i++)
        most = v[i] > most ? v[i] : most;
    return most;
}

#endif

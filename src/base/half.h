/* half.h -- the small floats: IEEE half (f16), bfloat16 (bf16), and a rounding that all agree on.
 *
 *     f32    s eeeeeeee mmmmmmmmmmmmmmmmmmmmmmm
 *     bf16   s eeeeeeee mmmmmmm                      the upper half of an f32
 *     f16    s eeeee mmmmmmmmmm                      largest 65504, smallest 2^-24
 *
 * To f32 is exact. From f32 rounds to nearest, ties to even; what is too large becomes infinite; a
 * NaN stays a NaN (and becomes a quiet one, as the instructions of processors make it). Integer
 * code only where denormals are met: the results do not depend on flush-to-zero modes.
 *
 * *_load and *_store take any address: what lies in files need not be aligned.
 */
#ifndef BASE_HALF_H
#define BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t f32_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline float f32_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#define F16_MAX 65504.0f
#define F16_TINY 0x1p-24f      /* the step of the smallest halves */

static inline float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7fff;
    if (magnitude >= 0x7c00)   /* infinite or NaN */
        return f32_of_bits(sign | 0x7f800000 | (magnitude > 0x7c00 ? magnitude << 13 | 1 << 22 : 0));
    if (magnitude < 0x0400)    /* denormal: a multiple of 2^-24, which is the step of f32 at 0.5 */
        return f32_of_bits(sign | f32_bits(f32_of_bits(0x3f000000 | magnitude) - 0.5f));
    return f32_of_bits(sign | ((magnitude << 13) + (112u << 23)));
}

static inline uint16_t f32_to_f16(float x)
{
    uint32_t bits = f32_bits(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000)   /* from 65520 on, half way to what would follow 65504 */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000)    /* below 2^-14: let the addition round at steps of 2^-24 */
        return (uint16_t)(sign | (f32_bits(f32_of_bits(magnitude) + 0.5f) - 0x3f000000));
    return (uint16_t)(sign | (magnitude - (112u << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

static inline float bf16_to_f32(uint16_t h) { return f32_of_bits((uint32_t)h << 16); }

static inline uint16_t f32_to_bf16(float x)
{
    uint32_t bits = f32_bits(x);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float bf16_round(float x) { return bf16_to_f32(f32_to_bf16(x)); }

static inline uint16_t u16_load(const void *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return h;
}
static inline uint32_t u32_load(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void u16_store(void *p, uint16_t h) { memcpy(p, &h, sizeof h); }
static inline float f16_load(const void *p) { return f16_to_f32(u16_load(p)); }
static inline void f16_store(void *p, float x) { u16_store(p, f32_to_f16(x)); }

/* To the nearest integer, ties to even; |x| < 2^22. At 1.5 x 2^23 the step of f32 is 1. */
static inline int32_t round_even(float x)
{
    return (int32_t)(f32_bits(x + 0x1.8p23f) - 0x4b400000);
}

#endif

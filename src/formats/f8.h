/* f8.h -- what the two 8-bit floats share: a sign, an exponent with a bias, `fraction` bits.
 *
 * Only finite values: infinities and NaN are each format's own affair.
 */
#ifndef FORMATS_F8_H
#define FORMATS_F8_H

#include "base/half.h"

static inline float f8_to_f32(uint8_t byte, int fraction, int bias)
{
    uint32_t sign = (uint32_t)(byte & 0x80) << 24, magnitude = byte & 0x7f;
    if (magnitude >> fraction == 0) {   /* denormal: a multiple of 2^(1 - bias - fraction) */
        float step = f32_of_bits((uint32_t)(127 + 1 - bias - fraction) << 23);
        return f32_of_bits(sign | f32_bits((float)magnitude * step));
    }
    return f32_of_bits(sign | ((magnitude << (23 - fraction)) + ((uint32_t)(127 - bias) << 23)));
}

/* The byte, without its sign, nearest to |x|; at most `largest`. */
static inline uint8_t f8_of_f32(float x, int fraction, int bias, uint32_t largest)
{
    uint32_t bits = f32_bits(x) & 0x7fffffff, shift = (uint32_t)(23 - fraction), rounded;
    if (bits >> 23 <= (uint32_t)(127 - bias)) {   /* denormal: let an addition round at its step */
        uint32_t one = (uint32_t)(127 + 23 + 1 - bias - fraction) << 23;
        rounded = f32_bits(f32_of_bits(bits) + f32_of_bits(one)) - one;
    } else {
        uint32_t half = (1u << (shift - 1)) - 1 + (bits >> shift & 1);
        rounded = (bits - ((uint32_t)(127 - bias) << 23) + half) >> shift;
    }
    return (uint8_t)(rounded < largest ? rounded : largest);
}

#endif

/* f8_e5m2.c -- 8-bit floats with 5 bits of exponent: s eeeee mm, the upper half of an f16.
 *
 *     largest 57344, smallest 2^-16; s 11111 00 is infinite, s 11111 and any other fraction is NaN
 *
 * Encoding rounds to nearest, ties to even. Finite numbers saturate at 57344, where PyTorch makes
 * an infinity of what is above 61440; infinities and NaN stay what they are.
 */
#include "core/format.h"
#include "formats/f8.h"

static float f8_e5m2_value(uint8_t byte) { return f16_to_f32((uint16_t)(byte << 8)); }

static uint8_t f8_e5m2_near(float x)
{
    uint32_t bits = f32_bits(x), magnitude = bits & 0x7fffffff;
    uint8_t sign = bits >> 24 & 0x80;
    if (magnitude >= 0x7f800000)
        return sign | (magnitude > 0x7f800000 ? 0x7f : 0x7c);
    return sign | f8_of_f32(x, 2, 15, 0x7b);
}

static void f8_e5m2_decode(float *x, const void *blocks, size_t elems)
{
    const uint8_t *in = blocks;
    for (size_t i = 0; i < elems; i++)
        x[i] = f8_e5m2_value(in[i]);
}

static void f8_e5m2_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    (void)importance;
    uint8_t *out = blocks;
    for (size_t i = 0; i < elems; i++)
        out[i] = f8_e5m2_near(x[i]);
}

const Format format_f8_e5m2 = {
    .name = "F8_E5M2",
    .gguf_id = -1,
    .block_elems = 1,
    .block_bytes = 1,
    .activation = &format_f32,
    .decode = f8_e5m2_decode,
    .encode = f8_e5m2_encode,
};

/* f8_e4m3.c -- 8-bit floats with 4 bits of exponent: s eeee mmm, no infinity (OCP "e4m3fn").
 *
 *     largest 448, smallest 2^-9; s 1111 111 is NaN
 *
 * Encoding rounds to nearest, ties to even. Finite numbers saturate at 448, where PyTorch makes a
 * NaN of what is above 464: a weight that is a little too large should stay a weight. Infinities,
 * for which there is no byte, become NaN.
 */
#include "core/format.h"
#include "formats/f8.h"

static float f8_e4m3_value(uint8_t byte)
{
    if ((byte & 0x7f) == 0x7f)
        return f32_of_bits(0x7fc00000 | (uint32_t)(byte & 0x80) << 24);
    return f8_to_f32(byte, 3, 7);
}

static uint8_t f8_e4m3_near(float x)
{
    uint32_t bits = f32_bits(x);
    uint8_t sign = bits >> 24 & 0x80;
    return sign | ((bits & 0x7fffffff) >= 0x7f800000 ? 0x7f : f8_of_f32(x, 3, 7, 0x7e));
}

static void f8_e4m3_decode(float *x, const void *blocks, size_t elems)
{
    const uint8_t *in = blocks;
    for (size_t i = 0; i < elems; i++)
        x[i] = f8_e4m3_value(in[i]);
}

static void f8_e4m3_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    (void)importance;
    uint8_t *out = blocks;
    for (size_t i = 0; i < elems; i++)
        out[i] = f8_e4m3_near(x[i]);
}

const Format format_f8_e4m3 = {
    .name = "F8_E4M3",
    .gguf_id = -1,
    .block_elems = 1,
    .block_bytes = 1,
    .activation = &format_f32,
    .decode = f8_e4m3_decode,
    .encode = f8_e4m3_encode,
};

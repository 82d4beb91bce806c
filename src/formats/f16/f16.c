/* f16.c -- IEEE half precision: 5 bits of exponent, 10 of fraction; from 65520 on, infinite. */
#include "base/half.h"
#include "core/format.h"

static void f16_decode(float *x, const void *blocks, size_t elems)
{
    const uint8_t *in = blocks;
    for (size_t i = 0; i < elems; i++)
        x[i] = f16_to_f32(u16_load(in + 2 * i));
}

static void f16_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    (void)importance;
    uint8_t *out = blocks;
    for (size_t i = 0; i < elems; i++)
        u16_store(out + 2 * i, f32_to_f16(x[i]));
}

const Format format_f16 = {
    .name = "F16",
    .gguf_id = 1,
    .block_elems = 1,
    .block_bytes = 2,
    .activation = &format_f32,
    .decode = f16_decode,
    .encode = f16_encode,
};

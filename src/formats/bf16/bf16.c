/* bf16.c -- bfloat16, the upper half of an f32: its range, 7 bits of fraction. */
#include "base/half.h"
#include "core/format.h"

static void bf16_decode(float *x, const void *blocks, size_t elems)
{
    const uint8_t *in = blocks;
    for (size_t i = 0; i < elems; i++)
        x[i] = bf16_to_f32(u16_load(in + 2 * i));
}

static void bf16_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    (void)importance;
    uint8_t *out = blocks;
    for (size_t i = 0; i < elems; i++)
        u16_store(out + 2 * i, f32_to_bf16(x[i]));
}

const Format format_bf16 = {
    .name = "BF16",
    .gguf_id = 30,
    .block_elems = 1,
    .block_bytes = 2,
    .activation = &format_f32,
    .decode = bf16_decode,
    .encode = bf16_encode,
};

/* u8.c -- bytes: packed weights and masks in safetensors. Decoded only; takes no part in products. */
#include <string.h>

#include "core/format.h"

static void u8_decode(float *x, const void *blocks, size_t elems)
{
    for (size_t i = 0; i < elems; i++) {
        uint8_t v;
        memcpy(&v, (const uint8_t *)blocks + i * sizeof v, sizeof v);
        x[i] = (float)v;
    }
}

const Format format_u8 = {
    .name = "U8",
    .gguf_id = -1,
    .block_elems = 1,
    .block_bytes = sizeof(uint8_t),
    .decode = u8_decode,
};

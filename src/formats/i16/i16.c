/* i16.c -- 16-bit integers: tables of checkpoints. Decoded only; takes no part in products. */
#include <string.h>

#include "core/format.h"

static void i16_decode(float *x, const void *blocks, size_t elems)
{
    for (size_t i = 0; i < elems; i++) {
        int16_t v;
        memcpy(&v, (const uint8_t *)blocks + i * sizeof v, sizeof v);
        x[i] = (float)v;
    }
}

const Format format_i16 = {
    .name = "I16",
    .gguf_id = 25,
    .block_elems = 1,
    .block_bytes = sizeof(int16_t),
    .decode = i16_decode,
};

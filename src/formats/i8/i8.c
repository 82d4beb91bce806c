/* i8.c -- 8-bit integers: tables of checkpoints. Decoded only; takes no part in products. */
#include <string.h>

#include "core/format.h"

static void i8_decode(float *x, const void *blocks, size_t elems)
{
    for (size_t i = 0; i < elems; i++) {
        int8_t v;
        memcpy(&v, (const uint8_t *)blocks + i * sizeof v, sizeof v);
        x[i] = (float)v;
    }
}

const Format format_i8 = {
    .name = "I8",
    .gguf_id = 24,
    .block_elems = 1,
    .block_bytes = sizeof(int8_t),
    .decode = i8_decode,
};

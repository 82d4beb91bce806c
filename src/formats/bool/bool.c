/* bool.c -- truth values, a byte each: masks in safetensors. Decoded only; what is not 0 is 1. */
#include <string.h>

#include "core/format.h"

static void bool_decode(float *x, const void *blocks, size_t elems)
{
    for (size_t i = 0; i < elems; i++) {
        uint8_t v;
        memcpy(&v, (const uint8_t *)blocks + i * sizeof v, sizeof v);
        x[i] = v != 0;
    }
}

const Format format_bool = {
    .name = "BOOL",
    .gguf_id = -1,
    .block_elems = 1,
    .block_bytes = sizeof(uint8_t),
    .decode = bool_decode,
};

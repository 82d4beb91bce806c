/* i64.c -- 64-bit integers: ids and counters as PyTorch keeps them. Decoded only, rounded to f32. */
#include <string.h>

#include "core/format.h"

static void i64_decode(float *x, const void *blocks, size_t elems)
{
    for (size_t i = 0; i < elems; i++) {
        int64_t v;
        memcpy(&v, (const uint8_t *)blocks + i * sizeof v, sizeof v);
        x[i] = (float)v;
    }
}

const Format format_i64 = {
    .name = "I64",
    .gguf_id = 27,
    .block_elems = 1,
    .block_bytes = sizeof(int64_t),
    .decode = i64_decode,
};

/* f64.c -- IEEE double precision: found in checkpoints of scientific origin. Decoded only, rounded to f32. */
#include <string.h>

#include "core/format.h"

static void f64_decode(float *x, const void *blocks, size_t elems)
{
    for (size_t i = 0; i < elems; i++) {
        double v;
        memcpy(&v, (const uint8_t *)blocks + i * sizeof v, sizeof v);
        x[i] = (float)v;
    }
}

const Format format_f64 = {
    .name = "F64",
    .gguf_id = 28,
    .block_elems = 1,
    .block_bytes = sizeof(double),
    .activation = &format_f32,
    .decode = f64_decode,
};

/* f32.c -- IEEE single precision: activations, norms, and checkpoints that were kept whole. */
#include <string.h>

#include "core/format.h"

static void f32_decode(float *x, const void *blocks, size_t elems)
{
    memcpy(x, blocks, elems * sizeof *x);
}

static void f32_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    (void)importance;
    memcpy(blocks, x, elems * sizeof *x);
}

const Format format_f32 = {
    .name = "F32",
    .gguf_id = 0,
    .block_elems = 1,
    .block_bytes = 4,
    .activation = &format_f32,
    .decode = f32_decode,
    .encode = f32_encode,
};

/* f8_e8m0.c -- an exponent alone, 2^(e - 127); 255 is NaN: scales of OCP microscaling. Only read. */
#include <math.h>

#include "core/format.h"

static void f8_e8m0_decode(float *x, const void *blocks, size_t elems)
{
    const uint8_t *e = blocks;
    for (size_t i = 0; i < elems; i++)
        x[i] = e[i] == 255 ? NAN : ldexpf(1, e[i] - 127);
}

const Format format_f8_e8m0 = {
    .name = "F8_E8M0",
    .gguf_id = -1,
    .block_elems = 1,
    .block_bytes = 1,
    .decode = f8_e8m0_decode,
};

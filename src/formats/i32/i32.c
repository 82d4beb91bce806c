/* i32.c -- 32-bit integers: token ids, positions, tables. Takes no part in products.
 *
 * Encoding rounds to the nearest integer, ties to even, and saturates; NaN becomes 0.
 */
#include <math.h>
#include <string.h>

#include "core/format.h"

static void i32_decode(float *x, const void *blocks, size_t elems)
{
    for (size_t i = 0; i < elems; i++) {
        int32_t v;
        memcpy(&v, (const uint8_t *)blocks + i * sizeof v, sizeof v);
        x[i] = (float)v;
    }
}

static int32_t i32_nearest(float x)
{
    if (isnan(x))
        return 0;
    if (x >= 0x1p31f)
        return INT32_MAX;
    return x <= -0x1p31f ? INT32_MIN : (int32_t)rintf(x);
}

static void i32_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    (void)importance;
    for (size_t i = 0; i < elems; i++) {
        int32_t v = i32_nearest(x[i]);
        memcpy((uint8_t *)blocks + i * sizeof v, &v, sizeof v);
    }
}

const Format format_i32 = {
    .name = "I32",
    .gguf_id = 26,
    .block_elems = 1,
    .block_bytes = 4,
    .decode = i32_decode,
    .encode = i32_encode,
};

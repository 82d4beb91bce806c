/* a8.c -- see a8.h. */
#include "formats/a8/a8.h"

#include <math.h>
#include <string.h>

#include "base/half.h"

/* The bits of |x| grow with |x|, and those of an infinity or a NaN are above all others. */
static uint32_t largest_magnitude_bits(const float *x)
{
    uint32_t largest = 0;
    for (int i = 0; i < A8_ELEMS; i++) {
        uint32_t bits = f32_bits(x[i]) & 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

static void a8_encode_block(A8Block *b, const float *x)
{
    uint32_t bits = largest_magnitude_bits(x);
    float amax = f32_of_bits(bits);
    *b = (A8Block){.d = bits >= 0x7f800000 ? NAN : 0};
    if (bits >= 0x7f800000 || amax < A8_AMAX_MIN)
        return;
    float scale = 127 / amax;
    b->d = amax / 127;
    for (int i = 0; i < A8_ELEMS; i++) {
        b->q[i] = (int8_t)round_even(x[i] * scale);
        b->sum += b->q[i];
    }
}

static void a8_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    (void)importance;
    A8Block *b = blocks;
    for (size_t i = 0; i < elems / A8_ELEMS; i++)
        a8_encode_block(&b[i], x + i * A8_ELEMS);
}

static void a8_decode(float *x, const void *blocks, size_t elems)
{
    const A8Block *b = blocks;
    for (size_t i = 0; i < elems; i++)
        x[i] = b[i / A8_ELEMS].d * b[i / A8_ELEMS].q[i % A8_ELEMS];
}

const Format format_a8 = {
    .name = "A8",
    .gguf_id = -1,
    .block_elems = A8_ELEMS,
    .block_bytes = sizeof(A8Block),
    .decode = a8_decode,
    .encode = a8_encode,
};

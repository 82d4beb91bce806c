/* q8_0.c -- see q8_0.h. */
#include "formats/q8_0/q8_0.h"

#include <math.h>

#include "base/half.h"
#include "formats/a8/a8.h"
#include "formats/quant.h"

static void q8_0_decode(float *x, const void *blocks, size_t elems)
{
    const Q8_0Block *b = blocks;
    for (; elems; elems -= Q8_0_ELEMS, x += Q8_0_ELEMS, b++) {
        float d = f16_load(b->d);
        for (int i = 0; i < Q8_0_ELEMS; i++)
            x[i] = d * b->q[i];
    }
}

/* The integers come from the scale before it is rounded to f16, as in ggml: both give one file. */
static void q8_0_encode_block(Q8_0Block *b, const float *x)
{
    Spread spread = spread_of(x, Q8_0_ELEMS);
    float d = scale_within_f16(spread.amax / 127);
    float inverse = scale_inverse(d);
    f16_store(b->d, spread.finite ? d : NAN);
    for (int i = 0; i < Q8_0_ELEMS; i++)
        b->q[i] = (int8_t)round_within(x[i] * inverse, -127, 127);
}

static void q8_0_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    (void)importance;   /* with a step this small nothing is gained by it */
    Q8_0Block *b = blocks;
    for (; elems; elems -= Q8_0_ELEMS, x += Q8_0_ELEMS)
        q8_0_encode_block(b++, x);
}

const Format format_q8_0 = {
    .name = "Q8_0",
    .gguf_id = 8,
    .block_elems = Q8_0_ELEMS,
    .block_bytes = sizeof(Q8_0Block),
    .activation = &format_a8,
    .decode = q8_0_decode,
    .encode = q8_0_encode,
};

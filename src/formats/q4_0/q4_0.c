/* q4_0.c -- see q4_0.h. */
#include "formats/q4_0/q4_0.h"

#include <math.h>

#include "base/half.h"
#include "formats/a8/a8.h"
#include "formats/quant.h"

static void q4_0_decode(float *x, const void *blocks, size_t elems)
{
    const Q4_0Block *b = blocks;
    for (; elems; elems -= Q4_0_ELEMS, x += Q4_0_ELEMS, b++) {
        float d = f16_load(b->d);
        for (int i = 0; i < 16; i++) {
            x[i] = d * (float)((b->q[i] & 15) - 8);
            x[i + 16] = d * (float)((b->q[i] >> 4) - 8);
        }
    }
}

/* The element of largest magnitude becomes -8, the end that has no opposite. */
static void q4_0_encode_block(Q4_0Block *b, const float *x)
{
    Range range = range_of(x, Q4_0_ELEMS);
    float d = scale_within_f16(range.extreme / -8);
    float inverse = scale_inverse(d);
    f16_store(b->d, range.finite ? d : NAN);
    for (int i = 0; i < 16; i++) {
        int low = round_within(x[i] * inverse, -8, 7) + 8;
        int high = round_within(x[i + 16] * inverse, -8, 7) + 8;
        b->q[i] = (uint8_t)(low | high << 4);
    }
}

static void q4_0_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    (void)importance;
    Q4_0Block *b = blocks;
    for (; elems; elems -= Q4_0_ELEMS, x += Q4_0_ELEMS)
        q4_0_encode_block(b++, x);
}

const Format format_q4_0 = {
    .name = "Q4_0",
    .gguf_id = 2,
    .block_elems = Q4_0_ELEMS,
    .block_bytes = sizeof(Q4_0Block),
    .activation = &format_a8,
    .decode = q4_0_decode,
    .encode = q4_0_encode,
};

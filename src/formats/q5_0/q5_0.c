/* q5_0.c -- see q5_0.h. */
#include "formats/q5_0/q5_0.h"

#include <math.h>

#include "base/half.h"
#include "formats/a8/a8.h"
#include "formats/bits.h"
#include "formats/quant.h"
#include "formats/quant_search.h"

static void q5_0_decode(float *x, const void *blocks, size_t elems)
{
    const Q5_0Block *b = blocks;
    for (; elems; elems -= Q5_0_ELEMS, x += Q5_0_ELEMS, b++) {
        float d = f16_load(b->d);
        for (unsigned i = 0; i < Q5_0_ELEMS; i++) {
            unsigned q = bits_get(b->low, 4, 16, i) | bits_get(b->high, 1, 1, i) << 4;
            x[i] = d * (float)((int)q - 16);
        }
    }
}

/* The element of largest magnitude becomes -16, the end that has no opposite; with importance, the
 * scale is the one with the least weighted error. */
static float q5_0_fit(const float *x, const float *importance)
{
    float clipped[Q5_0_ELEMS], w[Q5_0_ELEMS];
    if (!importance)
        return scale_within_f16(spread_of(x, Q5_0_ELEMS).extreme / -16);
    clip(clipped, x, Q5_0_ELEMS, 16 * F16_MAX);
    fit_weights(w, importance, Q5_0_ELEMS);
    return scale_within_f16(fit_scale(clipped, w, Q5_0_ELEMS, (Levels){-16, 15, NULL}));
}

static void q5_0_encode_block(Q5_0Block *b, const float *x, const float *importance)
{
    *b = (Q5_0Block){.d = {0}};
    if (!spread_of(x, Q5_0_ELEMS).finite) {
        f16_store(b->d, NAN);
        return;
    }
    float d = q5_0_fit(x, importance), inverse = scale_inverse(d);
    f16_store(b->d, d);
    for (unsigned i = 0; i < Q5_0_ELEMS; i++) {
        unsigned q = (unsigned)floor_within(x[i] * inverse + 16.5f, 0, 31);
        bits_put(b->low, 4, 16, i, q);
        bits_put(b->high, 1, 1, i, q >> 4);
    }
}

static void q5_0_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    Q5_0Block *b = blocks;
    for (size_t i = 0; i < elems; i += Q5_0_ELEMS)
        q5_0_encode_block(b++, x + i, importance ? importance + i : NULL);
}

const Format format_q5_0 = {
    .name = "Q5_0",
    .gguf_id = 6,
    .block_elems = Q5_0_ELEMS,
    .block_bytes = sizeof(Q5_0Block),
    .activation = &format_a8,
    .decode = q5_0_decode,
    .encode = q5_0_encode,
};

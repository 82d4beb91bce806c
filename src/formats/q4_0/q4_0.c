/* q4_0.c -- see q4_0.h. */
#include "formats/q4_0/q4_0.h"

#include <math.h>

#include "base/half.h"
#include "formats/a8/a8.h"
#include "formats/bits.h"
#include "formats/quant.h"
#include "formats/quant_search.h"

static void q4_0_decode(float *x, const void *blocks, size_t elems)
{
    const Q4_0Block *b = blocks;
    for (; elems; elems -= Q4_0_ELEMS, x += Q4_0_ELEMS, b++) {
        float d = f16_load(b->d);
        for (unsigned i = 0; i < Q4_0_ELEMS; i++) {
            unsigned q = bits_get(b->q, 4, 16, i);
            x[i] = d * (float)((int)q - 8);
        }
    }
}

/* The element of largest magnitude becomes -8, the end that has no opposite; with importance, the
 * scale is the one with the least weighted error. */
static float q4_0_fit(const float *x, const float *importance)
{
    float clipped[Q4_0_ELEMS], w[Q4_0_ELEMS];
    if (!importance)
        return scale_within_f16(spread_of(x, Q4_0_ELEMS).extreme / -8);
    clip(clipped, x, Q4_0_ELEMS, 8 * F16_MAX);
    fit_weights(w, importance, Q4_0_ELEMS);
    return scale_within_f16(fit_scale(clipped, w, Q4_0_ELEMS, (Levels){-8, 7, NULL}));
}

static void q4_0_encode_block(Q4_0Block *b, const float *x, const float *importance)
{
    *b = (Q4_0Block){.d = {0}};
    if (!spread_of(x, Q4_0_ELEMS).finite) {
        f16_store(b->d, NAN);
        return;
    }
    float d = q4_0_fit(x, importance), inverse = scale_inverse(d);
    f16_store(b->d, d);
    for (unsigned i = 0; i < Q4_0_ELEMS; i++) {
        unsigned q = (unsigned)floor_within(x[i] * inverse + 8.5f, 0, 15);
        bits_put(b->q, 4, 16, i, q);
    }
}

static void q4_0_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    Q4_0Block *b = blocks;
    for (size_t i = 0; i < elems; i += Q4_0_ELEMS)
        q4_0_encode_block(b++, x + i, importance ? importance + i : NULL);
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

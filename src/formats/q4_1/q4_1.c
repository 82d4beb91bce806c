/* q4_1.c -- see q4_1.h. */
#include "formats/q4_1/q4_1.h"

#include <math.h>

#include "base/half.h"
#include "formats/a8/a8.h"
#include "formats/bits.h"
#include "formats/quant.h"
#include "formats/quant_search.h"

static void q4_1_decode(float *x, const void *blocks, size_t elems)
{
    const Q4_1Block *b = blocks;
    for (; elems; elems -= Q4_1_ELEMS, x += Q4_1_ELEMS, b++) {
        float d = f16_load(b->d), m = f16_load(b->m);
        for (unsigned i = 0; i < Q4_1_ELEMS; i++) {
            unsigned q = bits_get(b->q, 4, 16, i);
            x[i] = d * (float)q + m;
        }
    }
}

/* From the smallest element to the largest; with importance, where the weighted error is least. */
static Affine q4_1_fit(const float *x, const float *importance)
{
    Spread spread = spread_of(x, Q4_1_ELEMS);
    float w[Q4_1_ELEMS];
    if (!importance)
        return (Affine){(spread.max - spread.min) / 15, -spread.min};
    fit_weights(w, importance, Q4_1_ELEMS);
    return fit_affine(x, w, Q4_1_ELEMS, 15, true);
}

static void q4_1_encode_block(Q4_1Block *b, const float *x, const float *importance)
{
    *b = (Q4_1Block){.d = {0}};
    if (!spread_of(x, Q4_1_ELEMS).finite) {
        f16_store(b->d, NAN);
        return;
    }
    float clipped[Q4_1_ELEMS];
    clip(clipped, x, Q4_1_ELEMS, F16_MAX);
    Affine a = q4_1_fit(clipped, importance);
    float inverse = scale_inverse(a.scale);
    f16_store(b->d, a.scale);
    f16_store(b->m, scale_within_f16(-a.min));
    for (unsigned i = 0; i < Q4_1_ELEMS; i++) {
        unsigned q = (unsigned)floor_within((clipped[i] + a.min) * inverse + 0.5f, 0, 15);
        bits_put(b->q, 4, 16, i, q);
    }
}

static void q4_1_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    Q4_1Block *b = blocks;
    for (size_t i = 0; i < elems; i += Q4_1_ELEMS)
        q4_1_encode_block(b++, x + i, importance ? importance + i : NULL);
}

const Format format_q4_1 = {
    .name = "Q4_1",
    .gguf_id = 3,
    .block_elems = Q4_1_ELEMS,
    .block_bytes = sizeof(Q4_1Block),
    .activation = &format_a8,
    .decode = q4_1_decode,
    .encode = q4_1_encode,
};

/* iq4_nl.c -- see iq4_nl.h. */
#include "formats/iq4_nl/iq4_nl.h"

#include <math.h>

#include "base/half.h"
#include "formats/a8/a8.h"
#include "formats/bits.h"
#include "formats/quant.h"
#include "formats/quant_search.h"

const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                               1,    13,   25,  38,  53,  69,  89,  113};

static void iq4_nl_decode(float *x, const void *blocks, size_t elems)
{
    const IQ4NLBlock *b = blocks;
    for (; elems; elems -= IQ4_NL_ELEMS, x += IQ4_NL_ELEMS, b++) {
        float d = f16_load(b->d);
        for (unsigned i = 0; i < IQ4_NL_ELEMS; i++)
            x[i] = d * (float)iq4_values[bits_get(b->q, 4, 16, i)];
    }
}

static void iq4_nl_encode_block(IQ4NLBlock *b, const float *x, const float *importance)
{
    float clipped[IQ4_NL_ELEMS], w[IQ4_NL_ELEMS];
    *b = (IQ4NLBlock){.d = {0}};
    if (!spread_of(x, IQ4_NL_ELEMS).finite) {
        f16_store(b->d, NAN);
        return;
    }
    clip(clipped, x, IQ4_NL_ELEMS, 127 * F16_MAX);
    fit_weights(w, importance, IQ4_NL_ELEMS);
    float d = fit_scale(clipped, w, IQ4_NL_ELEMS, (Levels){-127, 113, iq4_values});
    f16_store(b->d, scale_within_f16(d));
    float inverse = scale_inverse(f16_load(b->d));
    for (unsigned i = 0; i < IQ4_NL_ELEMS; i++)
        bits_put(b->q, 4, 16, i, (unsigned)level_index(iq4_values, clipped[i] * inverse));
}

static void iq4_nl_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    IQ4NLBlock *b = blocks;
    for (size_t i = 0; i < elems; i += IQ4_NL_ELEMS)
        iq4_nl_encode_block(b++, x + i, importance ? importance + i : NULL);
}

const Format format_iq4_nl = {
    .name = "IQ4_NL",
    .gguf_id = 20,
    .block_elems = IQ4_NL_ELEMS,
    .block_bytes = sizeof(IQ4NLBlock),
    .activation = &format_a8,
    .decode = iq4_nl_decode,
    .encode = iq4_nl_encode,
};

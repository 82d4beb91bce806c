/* iq4_xs.c -- see iq4_xs.h. */
#include "formats/iq4_xs/iq4_xs.h"

#include "base/half.h"
#include "formats/a8/a8.h"
#include "formats/bits.h"
#include "formats/k_quant.h"
#include "formats/iq4_nl/iq4_nl.h"

static const KShape shape = {
    .groups = 8,
    .q = {-127, 113, iq4_values},
    .scale = {-32, 31, NULL},
};

static void iq4_xs_unpack(KBlock *k, const IQ4XSBlock *b)
{
    k->d = f16_load(b->d);
    k->dmin = 0;
    for (unsigned g = 0; g < 8; g++) {
        unsigned low = bits_get(b->scales_low, 4, 1, g), high = bits_get(b->scales_high, 2, 1, g);
        k->scale[g] = (int8_t)((int)(low | high << 4) - 32);
        k->min[g] = 0;
    }
    for (unsigned i = 0; i < K_ELEMS; i++)
        k->q[i] = iq4_values[bits_get(b->q, 4, 16, i)];
}

static void iq4_xs_pack(IQ4XSBlock *b, const KBlock *k)
{
    *b = (IQ4XSBlock){0};
    f16_store(b->d, k->d);
    for (unsigned g = 0; g < 8; g++) {
        unsigned scale = (unsigned)(k->scale[g] + 32);
        bits_put(b->scales_low, 4, 1, g, scale);
        bits_put(b->scales_high, 2, 1, g, scale >> 4);
    }
    for (unsigned i = 0; i < K_ELEMS; i++)
        bits_put(b->q, 4, 16, i, (unsigned)level_index(iq4_values, k->q[i]));
}

static void iq4_xs_decode(float *x, const void *blocks, size_t elems)
{
    const IQ4XSBlock *b = blocks;
    for (KBlock k; elems; elems -= K_ELEMS, x += K_ELEMS) {
        iq4_xs_unpack(&k, b++);
        k_decode(x, &k, shape.groups);
    }
}

static void iq4_xs_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    IQ4XSBlock *b = blocks;
    KBlock k;
    for (size_t i = 0; i < elems; i += K_ELEMS) {
        k_encode(&k, x + i, importance ? importance + i : NULL, &shape);
        iq4_xs_pack(b++, &k);
    }
}

const Format format_iq4_xs = {
    .name = "IQ4_XS",
    .gguf_id = 23,
    .block_elems = K_ELEMS,
    .block_bytes = sizeof(IQ4XSBlock),
    .activation = &format_a8,
    .decode = iq4_xs_decode,
    .encode = iq4_xs_encode,
};

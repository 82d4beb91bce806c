/* q3_k.c -- see q3_k.h. */
#include "formats/q3_k/q3_k.h"

#include "base/half.h"
#include "formats/a8/a8.h"
#include "formats/bits.h"
#include "formats/k_quant.h"

static const KShape shape = {
    .groups = 16,
    .q = {-4, 3, NULL},
    .scale = {-32, 31, NULL},
};

static void q3_k_unpack(KBlock *k, const Q3KBlock *b)
{
    k->d = f16_load(b->d);
    k->dmin = 0;
    for (unsigned g = 0; g < 16; g++) {
        unsigned low = bits_get(b->scales, 4, 8, g), high = bits_get(b->scales + 8, 2, 4, g);
        k->scale[g] = (int8_t)((int)(low | high << 4) - 32);
        k->min[g] = 0;
    }
    for (unsigned i = 0; i < K_ELEMS; i++) {
        unsigned low = bits_get(b->low, 2, 32, i), high = bits_get(b->high, 1, 32, i);
        k->q[i] = (int8_t)((int)(low | high << 2) - 4);
    }
}

static void q3_k_pack(Q3KBlock *b, const KBlock *k)
{
    *b = (Q3KBlock){0};
    f16_store(b->d, k->d);
    for (unsigned g = 0; g < 16; g++) {
        unsigned scale = (unsigned)(k->scale[g] + 32);
        bits_put(b->scales, 4, 8, g, scale);
        bits_put(b->scales + 8, 2, 4, g, scale >> 4);
    }
    for (unsigned i = 0; i < K_ELEMS; i++) {
        unsigned q = (unsigned)(k->q[i] + 4);
        bits_put(b->low, 2, 32, i, q);
        bits_put(b->high, 1, 32, i, q >> 2);
    }
}

static void q3_k_decode(float *x, const void *blocks, size_t elems)
{
    const Q3KBlock *b = blocks;
    for (KBlock k; elems; elems -= K_ELEMS, x += K_ELEMS) {
        q3_k_unpack(&k, b++);
        k_decode(x, &k, shape.groups);
    }
}

static void q3_k_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    Q3KBlock *b = blocks;
    KBlock k;
    for (size_t i = 0; i < elems; i += K_ELEMS) {
        k_encode(&k, x + i, importance ? importance + i : NULL, &shape);
        q3_k_pack(b++, &k);
    }
}

const Format format_q3_k = {
    .name = "Q3_K",
    .gguf_id = 11,
    .block_elems = K_ELEMS,
    .block_bytes = sizeof(Q3KBlock),
    .activation = &format_a8,
    .decode = q3_k_decode,
    .encode = q3_k_encode,
};

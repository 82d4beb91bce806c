/* q6_k.c -- see q6_k.h. */
#include "formats/q6_k/q6_k.h"

#include "base/half.h"
#include "formats/a8/a8.h"
#include "formats/bits.h"
#include "formats/k_quant.h"

static const KShape shape = {
    .groups = 16,
    .q = {-32, 31, NULL},
    .scale = {-128, 127, NULL},
};

static void q6_k_unpack(KBlock *k, const Q6KBlock *b)
{
    k->d = f16_load(b->d);
    k->dmin = 0;
    for (int g = 0; g < 16; g++) {
        k->scale[g] = b->scales[g];
        k->min[g] = 0;
    }
    for (unsigned i = 0; i < K_ELEMS; i++) {
        unsigned low = bits_get(b->low, 4, 64, i), high = bits_get(b->high, 2, 32, i);
        k->q[i] = (int8_t)((int)(low | high << 4) - 32);
    }
}

static void q6_k_pack(Q6KBlock *b, const KBlock *k)
{
    *b = (Q6KBlock){0};
    f16_store(b->d, k->d);
    for (int g = 0; g < 16; g++)
        b->scales[g] = k->scale[g];
    for (unsigned i = 0; i < K_ELEMS; i++) {
        unsigned q = (unsigned)(k->q[i] + 32);
        bits_put(b->low, 4, 64, i, q);
        bits_put(b->high, 2, 32, i, q >> 4);
    }
}

static void q6_k_decode(float *x, const void *blocks, size_t elems)
{
    const Q6KBlock *b = blocks;
    for (KBlock k; elems; elems -= K_ELEMS, x += K_ELEMS) {
        q6_k_unpack(&k, b++);
        k_decode(x, &k, shape.groups);
    }
}

static void q6_k_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    Q6KBlock *b = blocks;
    KBlock k;
    for (size_t i = 0; i < elems; i += K_ELEMS) {
        k_encode(&k, x + i, importance ? importance + i : NULL, &shape);
        q6_k_pack(b++, &k);
    }
}

const Format format_q6_k = {
    .name = "Q6_K",
    .gguf_id = 14,
    .block_elems = K_ELEMS,
    .block_bytes = sizeof(Q6KBlock),
    .activation = &format_a8,
    .decode = q6_k_decode,
    .encode = q6_k_encode,
};

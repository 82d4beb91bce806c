/* q2_k.c -- see q2_k.h. */
#include "formats/q2_k/q2_k.h"

#include "base/half.h"
#include "formats/a8/a8.h"
#include "formats/bits.h"
#include "formats/k_quant.h"

static const KShape shape = {
    .groups = 16,
    .q = {0, 3, NULL},
    .scale = {0, 15, NULL},
    .min_high = 15,
};

static void q2_k_unpack(KBlock *k, const Q2KBlock *b)
{
    k->d = f16_load(b->d);
    k->dmin = f16_load(b->dmin);
    for (int g = 0; g < 16; g++) {
        k->scale[g] = b->scales[g] & 15;
        k->min[g] = b->scales[g] >> 4;
    }
    for (unsigned i = 0; i < K_ELEMS; i++)
        k->q[i] = (int8_t)bits_get(b->q, 2, 32, i);
}

static void q2_k_pack(Q2KBlock *b, const KBlock *k)
{
    *b = (Q2KBlock){0};
    f16_store(b->d, k->d);
    f16_store(b->dmin, k->dmin);
    for (int g = 0; g < 16; g++)
        b->scales[g] = (uint8_t)(k->scale[g] | k->min[g] << 4);
    for (unsigned i = 0; i < K_ELEMS; i++)
        bits_put(b->q, 2, 32, i, (unsigned)k->q[i]);
}

static void q2_k_decode(float *x, const void *blocks, size_t elems)
{
    const Q2KBlock *b = blocks;
    for (KBlock k; elems; elems -= K_ELEMS, x += K_ELEMS) {
        q2_k_unpack(&k, b++);
        k_decode(x, &k, shape.groups);
    }
}

static void q2_k_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    Q2KBlock *b = blocks;
    KBlock k;
    for (size_t i = 0; i < elems; i += K_ELEMS) {
        k_encode(&k, x + i, importance ? importance + i : NULL, &shape);
        q2_k_pack(b++, &k);
    }
}

const Format format_q2_k = {
    .name = "Q2_K",
    .gguf_id = 10,
    .block_elems = K_ELEMS,
    .block_bytes = sizeof(Q2KBlock),
    .activation = &format_a8,
    .decode = q2_k_decode,
    .encode = q2_k_encode,
};

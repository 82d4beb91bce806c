/* q5_k.c -- see q5_k.h. */
#include "formats/q5_k/q5_k.h"

#include "base/half.h"
#include "formats/a8/a8.h"
#include "formats/bits.h"
#include "formats/k_quant.h"

static const KShape shape = {
    .groups = 8,
    .q = {0, 31, NULL},
    .scale = {0, 63, NULL},
    .min_high = 63,
};

static void q5_k_unpack(KBlock *k, const Q5KBlock *b)
{
    k->d = f16_load(b->d);
    k->dmin = f16_load(b->dmin);
    k_scales_unpack(k, b->scales);
    for (unsigned i = 0; i < K_ELEMS; i++)
        k->q[i] = (int8_t)(bits_get(b->low, 4, 32, i) | bits_get(b->high, 1, 32, i) << 4);
}

static void q5_k_pack(Q5KBlock *b, const KBlock *k)
{
    *b = (Q5KBlock){0};
    f16_store(b->d, k->d);
    f16_store(b->dmin, k->dmin);
    k_scales_pack(b->scales, k);
    for (unsigned i = 0; i < K_ELEMS; i++) {
        bits_put(b->low, 4, 32, i, (unsigned)k->q[i]);
        bits_put(b->high, 1, 32, i, (unsigned)k->q[i] >> 4);
    }
}

static void q5_k_decode(float *x, const void *blocks, size_t elems)
{
    const Q5KBlock *b = blocks;
    for (KBlock k; elems; elems -= K_ELEMS, x += K_ELEMS) {
        q5_k_unpack(&k, b++);
        k_decode(x, &k, shape.groups);
    }
}

static void q5_k_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    Q5KBlock *b = blocks;
    KBlock k;
    for (size_t i = 0; i < elems; i += K_ELEMS) {
        k_encode(&k, x + i, importance ? importance + i : NULL, &shape);
        q5_k_pack(b++, &k);
    }
}

const Format format_q5_k = {
    .name = "Q5_K",
    .gguf_id = 13,
    .block_elems = K_ELEMS,
    .block_bytes = sizeof(Q5KBlock),
    .activation = &format_a8,
    .decode = q5_k_decode,
    .encode = q5_k_encode,
};

/* q4_k.c -- see q4_k.h. */
#include "formats/q4_k/q4_k.h"

#include "base/half.h"
#include "formats/a8/a8.h"
#include "formats/bits.h"
#include "formats/k_quant.h"

static const KShape shape = {
    .groups = 8,
    .q = {0, 15, NULL},
    .scale = {0, 63, NULL},
    .min_high = 63,
};

static void q4_k_unpack(KBlock *k, const Q4KBlock *b)
{
    k->d = f16_load(b->d);
    k->dmin = f16_load(b->dmin);
    k_scales_unpack(k, b->scales);
    for (unsigned i = 0; i < K_ELEMS; i++)
        k->q[i] = (int8_t)bits_get(b->q, 4, 32, i);
}

static void q4_k_pack(Q4KBlock *b, const KBlock *k)
{
    *b = (Q4KBlock){0};
    f16_store(b->d, k->d);
    f16_store(b->dmin, k->dmin);
    k_scales_pack(b->scales, k);
    for (unsigned i = 0; i < K_ELEMS; i++)
        bits_put(b->q, 4, 32, i, (unsigned)k->q[i]);
}

static void q4_k_decode(float *x, const void *blocks, size_t elems)
{
    const Q4KBlock *b = blocks;
    for (KBlock k; elems; elems -= K_ELEMS, x += K_ELEMS) {
        q4_k_unpack(&k, b++);
        k_decode(x, &k, shape.groups);
    }
}

static void q4_k_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    Q4KBlock *b = blocks;
    KBlock k;
    for (size_t i = 0; i < elems; i += K_ELEMS) {
        k_encode(&k, x + i, importance ? importance + i : NULL, &shape);
        q4_k_pack(b++, &k);
    }
}

const Format format_q4_k = {
    .name = "Q4_K",
    .gguf_id = 12,
    .block_elems = K_ELEMS,
    .block_bytes = sizeof(Q4KBlock),
    .activation = &format_a8,
    .decode = q4_k_decode,
    .encode = q4_k_encode,
};

/* hash_model.h -- a model without weights, for the hash device: layers of every kind of cache.
 *
 *     x = embed(tokens)
 *     for each layer:  write(k(x), v(x)) unless the cache is another layer's;  x += attend(x)
 *                      x += conv(x), with a state, in layers that have one, or have nothing else
 *     logits = head(x)
 *
 * Its forward pass is written with the operations that all families use.
 */
#ifndef DEVICES_HASH_HASH_MODEL_H
#define DEVICES_HASH_HASH_MODEL_H

#include "core/step.h"
#include "core/device.h"

enum { HASH_LAYERS_MAX = 8 };

typedef struct HashLayer {
    int32_t window, chunk;     /* 0: sees all */
    int32_t alias_of;          /* -1: has a cache of its own */
    int32_t state_width;       /* 0: none; 2 or more, so that two pasts hardly ever leave the same */
    bool blind;                /* does not attend: all it has is a state */
} HashLayer;

typedef struct HashModel {
    int32_t layers, vocabulary;
    HashLayer layer[HASH_LAYERS_MAX];
    Tensor weight[HASH_LAYERS_MAX + 1];    /* of each layer, and of the head: its number */
} HashModel;

Err hash_model_init(HashModel *, Device *, Error *err);    /* layers, vocabulary and layer are filled in; takes the weights */
void hash_model_forward(const void *model, Device *, const Step *, Tensor logits);

#endif

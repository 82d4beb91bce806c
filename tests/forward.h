/* forward.h -- a forward pass without an engine: one sequence, a cache of its own, chunks of any size.
 * What the tests of families, devices and watchers run. */
#ifndef TESTS_FORWARD_H
#define TESTS_FORWARD_H

#include "model/model_open.h"

typedef struct Forward {
    const Model *model;
    Device *device;
    KvView layers[LAYERS_MAX];
    int32_t *table, *row_seq;
    int32_t context, block_tokens, rows_max;
} Forward;

/* Takes the cache and plans the device's memory for steps of up to rows_max rows. */
void forward_init(Forward *, const Model *, Device *, const Format *cache, int32_t context,
                  int32_t block_tokens, int32_t rows_max);
void forward_deinit(Forward *);

/* Runs ids[from .. from + rows) at their positions, as part of a prompt of `length` tokens. logits:
 * [rows, V], of all rows. */
void forward_rows(Forward *, const int32_t *ids, int32_t from, int32_t rows, int32_t length, float *logits);
/* All of ids in chunks; logits [n, V]. */
void forward_prompt(Forward *, const int32_t *ids, int32_t n, int32_t chunk, float *logits);

#endif

/* gguf_file.h -- reads one GGUF file into the table of a Store; how a model is split over several.
 *
 *     model-00002-of-00003.gguf     split.no = 1, split.count = 3, split.tensors.count of all
 *
 * The first part has the model's metadata; the others only the three keys.
 */
#ifndef STORE_GGUF_FILE_H
#define STORE_GGUF_FILE_H

#include "store/tensor_table.h"

typedef struct GgufSplit {
    uint64_t part, parts;        /* 0 of 1: a file of its own */
    uint64_t tensors;            /* of all parts together */
} GgufSplit;

/* `gguf` may come back set even though the result is an error; gguf_free() it. */
Err gguf_read(StoreFile *, TensorTable *, Gguf **gguf, Error *err);
void gguf_free(Gguf *);          /* NULL is allowed */
bool gguf_is(Span file);         /* begins as one */

Err gguf_split(const Gguf *, GgufSplit *out, Error *err);

/* What gguf_read is made of: the keys up to where the tensors are described, and these. */
Err gguf_read_keys(const StoreFile *, Reader *, uint64_t *tensors, Gguf **out, Error *err);
Err gguf_read_tensors(StoreFile *, Reader *, uint64_t tensors, const Gguf *, TensorTable *,
                      Error *err);

#endif

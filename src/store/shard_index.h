/* shard_index.h -- model.safetensors.index.json, which says in what file each tensor is.
 *
 *     {"metadata": {"total_size": 123},
 *      "weight_map": {"tensor": "model-00001-of-00002.safetensors", ...}}
 *
 * The names of the files come from outside: one that would leave the directory is refused.
 */
#ifndef STORE_SHARD_INDEX_H
#define STORE_SHARD_INDEX_H

#include "store/tensor_table.h"

typedef Err ShardVisit(void *context, const char *tensor, const char *shard, Error *err);

/* Visits the members of weight_map in their order; the first error ends it. */
Err shard_index_visit(const char *index_path, ShardVisit *visit, void *context, Error *err);

/* Whether every tensor is in the file where the index says. */
Err shard_index_check(const char *index_path, const TensorTable *, Error *err);

#endif

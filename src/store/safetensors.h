/* safetensors.h -- reads one safetensors file into the table of a Store.
 *
 *     | u64 n | n bytes of JSON                                               | data            |
 *               {"name": {"dtype": "BF16", "shape": [4, 2],                     0 ......... end
 *                         "data_offsets": [begin, end]}, ...,
 *                "__metadata__": {"format": "pt"}}
 *
 * The offsets count from the end of the header. The tensors follow one another without overlap or
 * hole up to the end of the file, which leaves no byte that a reader could interpret otherwise.
 * Offsets are multiples of nothing in particular: readers must not assume alignment.
 */
#ifndef STORE_SAFETENSORS_H
#define STORE_SAFETENSORS_H

#include <jansson.h>

#include "store/tensor_table.h"

enum {
    SAFETENSORS_HEADER_MAX = 100000000,       /* as the reference implementation */
    SAFETENSORS_METADATA_MAX = 4 << 20,
};

/* `metadata` is filled when it is NULL and the file has any; the caller owns it (json_decref). */
Err safetensors_read(StoreFile *, TensorTable *, json_t **metadata, Error *err);

#endif

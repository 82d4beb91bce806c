/* safetensors_write.h -- writes a safetensors file from tensors in memory. */
#ifndef STORE_SAFETENSORS_WRITE_H
#define STORE_SAFETENSORS_WRITE_H

#include "store/store.h"

typedef struct SafetensorsItem {
    const char *name;
    const Format *format;            /* one that safetensors has: F32, BF16, I64, ... */
    int dims;
    int64_t dim[STORE_DIMS];         /* outermost first */
    const void *data;
} SafetensorsItem;

typedef struct SafetensorsText {     /* of __metadata__ */
    const char *key, *value;
} SafetensorsText;

/* The file appears whole or not at all (file_out.h). `texts` may be NULL when there are none. */
Err safetensors_write(const char *path, const SafetensorsItem *items, size_t item_count,
                      const SafetensorsText *texts, size_t text_count, Error *err);

#endif

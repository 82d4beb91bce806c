/* tensor_table.h -- what the readers of both kinds of file fill while a Store is opened.
 *
 * One table for all files of a model, so a name that two shards claim is found as surely as one
 * that a file claims twice. tensor_table_add() holds each tensor to what both kinds have in common:
 * a name fit to print, dimensions that its format can hold, a size and a place that the file can
 * have.
 * tensor_table_order() comes last and finds what only shows beside the neighbours.
 */
#ifndef STORE_TENSOR_TABLE_H
#define STORE_TENSOR_TABLE_H

#include "base/arena.h"
#include "store/name_index.h"
#include "store/store.h"

#define END_UNSAID UINT64_MAX

typedef struct TensorTable {
    Arena *arena;                    /* of the names and of `ordered` */
    StoreTensor *items;              /* by number of the name */
    size_t capacity;
    NameIndex index;
    const StoreTensor **ordered;     /* by file, then by place */
} TensorTable;

/* What a file says of a tensor. */
typedef struct TensorClaim {
    Span name;
    const Format *format;
    int64_t dim[STORE_DIMS];         /* outermost first */
    int dims;
    uint64_t begin, end;             /* from file->data_at; END_UNSAID: as dimensions say */
} TensorClaim;

void tensor_table_deinit(TensorTable *);
Err tensor_name_check(const StoreFile *, Span name, Error *err);
Err tensor_table_add(TensorTable *, StoreFile *, const TensorClaim *, Error *err);
Err tensor_table_order(TensorTable *, Error *err);
/* After that: see store_rename(). */
Err tensor_table_rename(TensorTable *, StoreRename, Error *err);

#endif

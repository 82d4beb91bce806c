/* name_index.h -- numbers names in the order they come, and finds them again.
 *
 * Every new name gets the next number, 0, 1, 2, ...; whoever puts names keeps what belongs to them
 * in an array of his own under the same number. The names' bytes stay with their owner and must
 * outlive the index.
 *
 * Names come from files, so the hash has a secret of the process in it: a file cannot be made whose
 * names all fall together.
 */
#ifndef STORE_NAME_INDEX_H
#define STORE_NAME_INDEX_H

#include "base/span.h"

typedef struct NameIndex {
    Span *names;          /* by number */
    uint32_t *slots;      /* number + 1, or 0; twice as many as names at least */
    size_t count, capacity, slot_count;
} NameIndex;

enum { NAMES_MAX = 1 << 20 };   /* the largest published models have a quarter of it */

void name_index_deinit(NameIndex *);   /* a zeroed NameIndex is an empty one */

/* The number of the name, new or old (*is_new says which); -1: no memory or NAMES_MAX reached. */
int64_t name_index_put(NameIndex *, Span name, bool *is_new);
int64_t name_index_find(const NameIndex *, Span name);   /* -1: absent */

#endif

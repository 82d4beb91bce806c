/* kv_file_table.h -- which blocks lie in files, in the order of their use.
 *
 *     name -> entry     groups, bytes;   oldest <-> ... <-> newest
 *
 * An entry that is being written for the first time is known by name, has no groups yet and no place in the order.
 * All memory is taken at birth. One thread at a time: the owner locks.
 */
#ifndef CACHE_KV_FILE_TABLE_H
#define CACHE_KV_FILE_TABLE_H

#include "cache/kv_block_file.h"

enum { ENTRY_NONE = -1 };

typedef struct KvEntry {
    KvName name;
    uint32_t groups;             /* in the file; 0: there is none yet */
    bool writing;
    int64_t bytes;               /* of the file */
    int32_t older, newer, next;
} KvEntry;

typedef struct KvFileTable {
    KvEntry *entry;
    int32_t *bucket;
    int32_t max, used, unused;   /* unused: the first of a list */
    uint32_t mask;
    int32_t oldest, newest;
    int64_t bytes, files;
} KvFileTable;

bool kv_file_table_init(KvFileTable *, int32_t max);
void kv_file_table_deinit(KvFileTable *);

int32_t kv_file_table_find(const KvFileTable *, const KvName *);         /* ENTRY_NONE: unknown */
int32_t kv_file_table_add(KvFileTable *, const KvName *);                /* of a name that is unknown; ENTRY_NONE: full */
void kv_file_table_remove(KvFileTable *, int32_t);
/* The file of the entry is there, whole: the newest. */
void kv_file_table_put(KvFileTable *, int32_t, uint32_t groups, int64_t bytes);
void kv_file_table_use(KvFileTable *, int32_t);                          /* the newest again */

#endif

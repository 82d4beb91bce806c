/* kv_persist.h -- what the cache hands over to files, and takes back from them.
 *
 *     commit, drop    blocks that have got a name are copied for kv_files.h, those first that are nearest to
 *                     the beginning; what finds no staging memory is offered again by the next with this past
 *     fetch           before a sequence starts: of the longest past that memory and files know together, the
 *                     blocks that only files have are read while others go on, and become cached blocks
 *
 * So a past that was restored is found by kv_cache_match() like any other, bit for bit what was computed
 * before. All groups are kept: keys and values, windows, and states where there was a snapshot. Nothing is
 * restored by halves: a block that is missing, damaged or finds no room only makes the known past shorter.
 */
#ifndef CACHE_KV_PERSIST_H
#define CACHE_KV_PERSIST_H

#include "cache/kv_cache.h"
#include "cache/kv_files.h"

typedef struct KvPersist KvPersist;

/* Makes itself the cache's keeper. */
Err kv_persist_open(KvPersist **, const KvFilesOptions *, KvCache *, Device *, KvFilesWake, Error *);
void kv_persist_close(KvPersist *);            /* before the cache goes; NULL is allowed */

/* All do nothing, and say no, where there are no files (NULL). */

/* Of the first `limit` tokens, whether files know more than memory: then reading them is this one's turn some time,
 * and the sequence had better wait. Tokens stay where they are meanwhile. 0: there is nothing to wait for. */
uint64_t kv_persist_fetch(KvPersist *, const int32_t *tokens, int32_t limit, uint64_t salt);
bool kv_persist_waits(const KvPersist *, uint64_t turn);
void kv_persist_cancel(KvPersist *, uint64_t turn);
/* Between steps: takes in what was read, and asks for the next. */
void kv_persist_step(KvPersist *);

KvFilesStats kv_persist_stats(const KvPersist *);

#endif

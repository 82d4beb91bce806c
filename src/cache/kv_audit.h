/* kv_audit.h -- whether the books of the cache agree with each other.
 *
 * Recounts what the cache keeps count of. Slow, allocates, changes nothing: for tests, simulations and
 * a person in doubt. What does not agree is a programmer's mistake; it is reported as an Error so that
 * a simulation can say in which step it happened.
 */
#ifndef CACHE_KV_AUDIT_H
#define CACHE_KV_AUDIT_H

#include "cache/kv_cache.h"

/* One sequence, of which `computed` tokens are in the cache: its tables are as long as that needs and
 * no longer, hold nothing behind a window, what has a name lies wholly below `computed`, and its state is
 * one slot. */
Err kv_audit_slot(const KvCache *, int32_t s, int32_t computed, Error *);
/* All: references are as many as tables say, names and index agree, salts never share. */
Err kv_audit_pools(const KvCache *, Error *);

#endif

/* kv_usage.h -- what the memory of the cache is used for at this moment, as a value.
 *
 *     pool     | A A A A | A B | B ~ | A . | cached | cached | free | free |
 *               \_______/ \___/ \_____________/
 *                held      shared: two references
 *                               '~', '.': places that no token fills: wasted, until the next tokens come
 *
 * Only the last block of a sequence can have empty places, so a sequence of T tokens wastes at most
 * block_tokens - 1 of them: 4 in 100 at blocks of 16 and 200 tokens. Windows hold few blocks, and so waste a
 * larger share of less memory. States are used whole.
 *
 * Both ways of looking cost one pass over the blocks and the sequences; they change nothing, and are called
 * between steps, on the engine's thread.
 */
#ifndef CACHE_KV_USAGE_H
#define CACHE_KV_USAGE_H

#include "cache/kv_cache.h"

typedef struct KvGroupUsage {
    KvKind kind;
    int32_t window;
    int64_t block_bytes;
    BlockCounts blocks;
    int32_t shared;              /* of the held: by two references or more */
    int64_t references;          /* blocks that would be held if nothing were shared */
    int64_t places, wasted;      /* positions of the held blocks; of those, the ones that no computed token fills */
    int64_t evictions;           /* cached blocks that were taken for something else, ever */
} KvGroupUsage;

typedef struct KvUsage {
    int32_t groups, block_tokens;
    KvGroupUsage group[KV_GROUPS_MAX];
    int32_t sequences;           /* that hold something */
    int32_t prefixes;            /* nodes of the index: known beginnings, each a block longer than the one before it */
    int32_t snapshots;           /* states that others can go on from; 0 for a model without */
    KvAsked asked;               /* tokens, ever */
} KvUsage;

KvUsage kv_cache_usage(const KvCache *);

/* Shares of all bytes: of the pools that is held; of what is held that is wasted. 0 where there is nothing. */
double kv_usage_held(const KvUsage *);
double kv_usage_wasted(const KvUsage *);

typedef enum KvBlockState { KV_BLOCK_FREE, KV_BLOCK_CACHED, KV_BLOCK_HELD } KvBlockState;

typedef struct KvBlock {
    KvBlockState state;
    int32_t references;
    int32_t holder;              /* the first sequence that holds it; -1: none does */
    int32_t filled;              /* places of it that computed tokens fill; what is cached is full */
} KvBlock;

/* Each block of a group. out: as many as kv_cache_counts(cache, group).blocks. */
void kv_cache_map(const KvCache *, int32_t group, KvBlock *out);

#endif

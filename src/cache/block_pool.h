/* block_pool.h -- the memory of one group of layers, in blocks; here only who uses which.
 *
 * A sequence's past lives in blocks of `block_tokens` positions each, wherever there is room:
 *
 *     sequence A   [ 7 | 2 | 9 ]          pool   0 1 2 3 4 5 6 7 8 9
 *     sequence B   [ 7 | 2 | 4 ]                     A   B     A   A
 *                    ^   ^                           B         B
 *                    shared: two references
 *
 * A block is free (no reference, no content), cached (no reference, but its content has a name by
 * which it may be taken again), or held (one reference or more). Cached blocks wait in the order in
 * which they were given back; the one that has waited longest is taken first, when the free ones
 * have run out, and the owner of the name is told to forget it.
 *
 *               take                          give, no name
 *       free ---------> held (references) -------------------> free
 *                        |  ^
 *       give, with name  v  | share
 *                       cached ---- take, when nothing is free ----> held
 *                              ---- uncache ----> free
 *
 * Writing into a block with more than one reference is never allowed: block_pool_own() gives the
 * caller a copy of its own first. A block is never given to two takers.
 *
 * Kwon et al. 2023, "Efficient Memory Management for LLM Serving with PagedAttention".
 */
#ifndef CACHE_BLOCK_POOL_H
#define CACHE_BLOCK_POOL_H

#include "base/arena.h"

typedef struct BlockPool BlockPool;
typedef int32_t BlockId;

enum { BLOCK_NONE = -1, NAME_NONE = -1 };

/* The content `name`, which lay in a cached block, is no longer there. */
typedef struct BlockForget {
    void (*call)(void *with, int32_t group, int32_t name);
    void *with;
    int32_t group;
} BlockForget;

typedef struct BlockCopy {
    int32_t group;
    BlockId from, to;
} BlockCopy;

typedef struct BlockCounts {
    int32_t blocks, free, cached, held;
} BlockCounts;

BlockPool *block_pool_new(Arena *, int32_t blocks, BlockForget);   /* NULL: the arena is full */

/* Takes n free or cached blocks, each with one reference. All or nothing. */
bool block_pool_take(BlockPool *, int32_t n, BlockId *out);
void block_pool_share(BlockPool *, BlockId);   /* adds a reference; a cached block is held again */
void block_pool_give(BlockPool *, BlockId);    /* drops one */

/* Before writing: the block itself if the caller alone holds it, else a new one, the caller's
 * reference to the old one dropped and *todo saying what to copy. BLOCK_NONE: none to be had. */
BlockId block_pool_own(BlockPool *, BlockId, BlockCopy *todo);

/* A cached block that is worth nothing any more becomes free; the owner of its name is told. */
void block_pool_uncache(BlockPool *, BlockId);

void block_pool_set_name(BlockPool *, BlockId, int32_t name);   /* of a held block without a name */
int32_t block_pool_name(const BlockPool *, BlockId);
int32_t block_pool_references(const BlockPool *, BlockId);
int32_t block_pool_available(const BlockPool *);                /* free and cached */
int64_t block_pool_evictions(const BlockPool *);                /* cached blocks that were taken for something else, ever */
BlockCounts block_pool_counts(const BlockPool *);

#endif

/* prefix_index.h -- which pasts the cache already holds: a tree whose nodes are full blocks of tokens.
 *
 *     salt 0 --[the quick brown fox]--[jumps over the lazy]--[dog . The end]
 *                                  \--[sleeps under a big]
 *     salt 7 --[the quick brown fox]                       another tenant's: never the same node
 *
 * A node stands for all tokens from the start to its end, and says in which block of each group of
 * layers the keys and values of its last `block_tokens` positions lie (BLOCK_NONE: not held, because
 * evicted or fallen out of a window). It lives while it has a block, a child or a holder.
 *
 * A node is found by hash(hash of its parent, its tokens, salt); then parent, salt and tokens are
 * compared, so a collision costs a comparison and never gives anybody another's past. The parent's id
 * is enough for that: a parent cannot go, and its id cannot be used again, while it has a child.
 *
 * The index never owns blocks; the pool says through its BlockForget when one is overwritten.
 */
#ifndef CACHE_PREFIX_INDEX_H
#define CACHE_PREFIX_INDEX_H

#include "cache/block_pool.h"

typedef struct PrefixIndex PrefixIndex;
typedef int32_t NodeId;

enum { NODE_ROOT = -1, NODE_NONE = -2, KV_GROUPS_MAX = 8 };

typedef struct PrefixIndexOptions {
    int32_t nodes_max, block_tokens;
    uint64_t key;      /* of the hash; unknown to those who choose prompts */
} PrefixIndexOptions;

PrefixIndex *prefix_index_new(Arena *, PrefixIndexOptions);   /* NULL: the arena is full */

/* The child of `parent` with these block_tokens tokens; NODE_NONE: unknown. */
NodeId prefix_index_find(const PrefixIndex *, NodeId parent, uint64_t salt, const int32_t *tokens);
/* Finds or makes it, and holds it for the caller. NODE_NONE: nodes_max is reached. */
NodeId prefix_index_make(PrefixIndex *, NodeId parent, uint64_t salt, const int32_t *tokens);
void prefix_index_hold(PrefixIndex *, NodeId);      /* the root needs no holder: these do nothing to it */
void prefix_index_release(PrefixIndex *, NodeId);

/* For explanations. Of the children of `parent`, the one that begins most like these tokens: how many are alike; -1: it has
 * none. Looks at all nodes. */
int32_t prefix_index_alike(const PrefixIndex *, NodeId parent, uint64_t salt, const int32_t *tokens);
/* Whether this child was known once and has ended; of ends long ago nothing is known any more. */
bool prefix_index_ended(const PrefixIndex *, NodeId parent, uint64_t salt, const int32_t *tokens);

BlockId prefix_index_block(const PrefixIndex *, NodeId, int32_t group);
void prefix_index_put(PrefixIndex *, NodeId, int32_t group, BlockId);   /* where none was */
void prefix_index_remove(PrefixIndex *, NodeId, int32_t group);         /* may end the node */

NodeId prefix_index_parent(const PrefixIndex *, NodeId);
const int32_t *prefix_index_tokens(const PrefixIndex *, NodeId);        /* the last block_tokens of what it stands for */
int32_t prefix_index_nodes(const PrefixIndex *);

#endif

/* kv_cache.h -- the past of all sequences: one table of blocks per sequence and group of layers.
 *
 *                     block   0   1   2   3   4
 *     tokens                |xxx|xxx|xxx|xx.|        '.': a place for the next token
 *     full group's table    [ 7 | 2 | 9 | 4 ]
 *     window group's table  [ - | - | 3 | 0 ]        blocks wholly behind the window went back
 *     known by hash          yes yes yes no          a block is named once all of it is computed
 *     state                 [ slot 5 ]               of fixed size, at the last computed token (kv_states.h)
 *
 * The life of a sequence in slot s:
 *
 *     match      what the index knows of its tokens is shared, not computed again
 *     stop       how far the next step may go without passing a state that is worth keeping
 *     extend     places for the rows of the next step; a block that others hold too is copied first
 *     commit     after the step: full blocks get their names, those behind a window go back, and so do
 *                those of rows that were wrong
 *     fork       another sequence continues from the same past: everything is shared
 *     drop       all goes back; named blocks stay cached until their memory is needed
 *
 * Memory is taken once, in kv_cache_new(). One thread. Never writes into a block that another
 * sequence holds, and never into one that has a name.
 */
#ifndef CACHE_KV_CACHE_H
#define CACHE_KV_CACHE_H

#include "cache/kv_states.h"
#include "core/device.h"
#include "core/kv_view.h"

typedef struct KvCache KvCache;

typedef struct BlockCopies {       /* to be done, in order, before the step runs */
    int32_t count, max;
    BlockCopy *copy;
} BlockCopies;

Err kv_cache_new(KvCache **, const KvLedger *, const KvLayout *, Device *, Arena *, Error *);

/* Shares the longest known past of `tokens`, at most `limit` tokens, with an empty slot; returns how
 * many tokens need not be computed. Every group must have what the next row looks at: the blocks, and the
 * state at the very end. */
int32_t kv_cache_match(KvCache *, int32_t s, const int32_t *tokens, int32_t limit, uint64_t salt);
/* How many tokens kv_cache_match() would share, asked without taking anything. */
int32_t kv_cache_known(const KvCache *, const int32_t *tokens, int32_t limit, uint64_t salt);
/* The same for people: where it ends, and why there. */
typedef enum KvMiss {
    KV_MISS_NOTHING,               /* all that may be shared was */
    KV_MISS_NEW,                   /* nothing goes on from there */
    KV_MISS_DIFFERS,               /* what is kept goes on with other tokens */
    KV_MISS_EVICTED,               /* it was kept, and its memory was needed */
    KV_MISS_STATE,                 /* there is no state of fixed size to go on from */
} KvMiss;
typedef struct KvFound {
    int32_t asked, found;          /* tokens */
    int32_t at;                    /* the first token that was missed: of a block, or, if they differ, the very one */
    KvMiss why;
} KvFound;
KvFound kv_cache_explain(const KvCache *, const int32_t *tokens, int32_t limit, uint64_t salt);
/* Where a step that computes [from, to) should end instead: at `to`, or earlier where the state is worth keeping. */
int32_t kv_cache_stop(const KvCache *, int32_t s, int32_t from, int32_t to);
/* Makes the positions [from, to) writable. All or nothing; false: not enough blocks. tentative: commit may
 * take some of them back. One commit (or drop) follows each. */
bool kv_cache_extend(KvCache *, int32_t s, int32_t from, int32_t to, bool tentative, BlockCopies *);
/* The step was computed, and the first `good` of `tokens` were right: `to`, or less if the step was
 * tentative. Returns how many are in the cache now: `good`, or, where a state has gone too far and has to
 * go back, `from`. */
int32_t kv_cache_commit(KvCache *, int32_t s, const int32_t *tokens, int32_t good);
void kv_cache_fork(KvCache *, int32_t from, int32_t to);    /* `to` is empty */
void kv_cache_drop(KvCache *, int32_t s);                   /* an empty slot stays so */

/* Whether a sequence in slot s could reach `tokens` tokens if `promised[group]` blocks were gone. */
bool kv_cache_has_room(const KvCache *, int32_t s, int32_t tokens, const int32_t *promised);
/* Adds to promised[group] what slot s lacks to reach `tokens` tokens. */
void kv_cache_promise(const KvCache *, int32_t s, int32_t tokens, int32_t *promised);

/* --- pasts that were computed another time (kv_persist.h) --- */

/* Whoever is told, before blocks behind windows go back: sequence s has new blocks with names, or `gone` is about to
 * give all of its blocks back. NULL: nobody. */
typedef struct KvKeeper {
    void (*call)(void *with, int32_t s, bool gone);
    void *with;
} KvKeeper;
void kv_cache_set_keeper(KvCache *, KvKeeper);
NodeId kv_cache_node(const KvCache *, int32_t s);           /* of the last block with a name */

/* One block of tokens further along a past that comes back; holds the new node and lets the old one go.
 * NODE_NONE: the index is full. kv_cache_leave() ends the walk. */
NodeId kv_cache_walk(KvCache *, NodeId from, uint64_t salt, const int32_t *tokens);
void kv_cache_leave(KvCache *, NodeId);
/* The block of a node, held for the caller: the one that is known, or, where `take`, a new one with its name, and
 * *fresh: its content is the caller's to bring. BLOCK_NONE: there is none, or no room. */
BlockId kv_cache_adopt(KvCache *, NodeId, int32_t group, bool take, bool *fresh);
void kv_cache_let_go(KvCache *, int32_t group, BlockId);
/* The content of a block, between the device and host memory: group block_bytes. */
void kv_cache_save(const KvCache *, Device *, int32_t group, BlockId, void *host);
void kv_cache_load(const KvCache *, Device *, int32_t group, BlockId, const void *host);

void kv_cache_copy(const KvCache *, Device *, BlockCopy);
KvView kv_cache_view(const KvCache *, int32_t layer);       /* k, v and state only */
StateSlots kv_cache_state(const KvCache *, int32_t s);
const BlockId *kv_cache_table(const KvCache *, int32_t s, int32_t group);   /* of a group that has tables */
int32_t kv_cache_blocks(const KvCache *, int32_t s);        /* how far the tables of s reach */

const KvLedger *kv_cache_ledger(const KvCache *);
BlockCounts kv_cache_counts(const KvCache *, int32_t group);
const BlockPool *kv_cache_pool(const KvCache *, int32_t group);
const PrefixIndex *kv_cache_index(const KvCache *);
int32_t kv_cache_named(const KvCache *, int32_t s);         /* how many leading blocks have a name */
uint64_t kv_cache_salt(const KvCache *, int32_t s);
int32_t kv_cache_computed(const KvCache *, int32_t s);      /* tokens that are in the cache */

/* Tokens of all sequences that started: that the index was asked about, and that it knew. One that starts again
 * after it had to give its blocks away asks again. */
typedef struct KvAsked {
    int64_t asked, found;
} KvAsked;
KvAsked kv_cache_asked(const KvCache *);

#endif

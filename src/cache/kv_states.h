/* kv_states.h -- the states of all sequences: which slot a step goes on from, and which it leaves.
 *
 * A sequence's state is one block of the group of states (kv_ledger.h), a slot, and always the state at
 * its `computed`. A step reads it and leaves the state after its last row:
 *
 *     held by the sequence alone, no name     from 3   to 3    in place
 *     shared (fork), or named (a snapshot)    from 3   to 8    3 goes back at commit: copy on write without a copy
 *     drafted rows may be taken back          from 3   to 8    commit keeps 8, or returns to 3
 *     the beginning                           from -1  to 8    zeros
 *
 * A snapshot is a slot with a name: the state at the end of a node of the prefix index. A state can be
 * kept only where a step ends, and is not free, so not every block's end has one:
 *
 *     prompt   [..|..|..|..|..|..|..|.]       interval    every so many tokens
 *                    b        i     l         branch      where a known past without a state ends: seen twice
 *     answer   [..|..|..|..|..|..             last        the last that the same prompt could use
 *                    i        r               rolling     while an answer grows, the newest; the one before goes
 *
 * The one that was used longest ago gives way first. How many there are is a budget (state_snapshots).
 */
#ifndef CACHE_KV_STATES_H
#define CACHE_KV_STATES_H

#include "cache/kv_ledger.h"

typedef struct KvStates KvStates;

typedef struct StateSlots {
    BlockId from, to;          /* from BLOCK_NONE: zeros; to BLOCK_NONE: no step is planned */
} StateSlots;

/* NULL: the arena is full. */
KvStates *kv_states_new(Arena *, const KvLedger *, BlockPool *, PrefixIndex *);

/* All do nothing for a model without states (NULL). */

/* An empty sequence goes on from a snapshot (or from zeros). `branch`, `last`: see above, in tokens. */
void kv_states_start(KvStates *, int32_t s, BlockId snapshot, int32_t branch, int32_t last);
/* Where a step from `from` that could reach `to` ends, so that the state there can be kept. */
int32_t kv_states_stop(const KvStates *, int32_t s, int32_t from, int32_t to);
int32_t kv_states_lacks(const KvStates *, int32_t s, bool tentative);   /* slots that the next step needs, beside those held */
void kv_states_step(KvStates *, int32_t s, bool tentative);             /* takes them */
/* The step was computed. node: that ends at `computed`, or NODE_NONE. */
void kv_states_commit(KvStates *, int32_t s, int32_t computed, NodeId node);
void kv_states_rewind(KvStates *, int32_t s);                           /* as if the step had not been */
void kv_states_fork(KvStates *, int32_t from, int32_t to);
void kv_states_drop(KvStates *, int32_t s);

int32_t kv_states_held(const KvStates *, int32_t s);
StateSlots kv_states_slots(const KvStates *, int32_t s);

#endif

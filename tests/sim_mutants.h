/* sim_mutants.h -- functions of the cache and the engine with a mistake in them, for test_engine_sim.c.
 *
 * The linker sends calls from one object to another through __wrap_NAME (MUTABLE in the Makefile); without a
 * mutant that is the function itself.
 */
#ifndef SIM_MUTANTS_H
#define SIM_MUTANTS_H

#include "cache/kv_cache.h"
#include "engine/request.h"
#include "engine/scheduler.h"

typedef enum Mutant {
    NO_MUTANT, WRITES_SHARED_BLOCKS, FORGETS_THE_COPY, WINDOW_TOO_SHORT, WINDOW_TOO_LONG, LOSES_BLOCKS, FREES_TOO_EARLY,
    TRUSTS_THE_HASH, IGNORES_SALTS, COMMITS_TOO_MUCH, REUSES_TOO_MUCH, KEEPS_ENDED_PASTS, FORKS_THE_WRONG_ONE,
    IGNORES_FULL_RINGS, EXTENDS_TOO_LITTLE, WRITES_SNAPSHOTS, STARTS_AFRESH, FORGETS_THE_STATE, ACCEPTS_ALL_DRAFTS,
    IGNORES_MASKS, EXPIRES_LATE, LOSES_WISHES, STOPS_ANOTHER, PROMOTES_NOBODY, CHARGES_NOBODY,
    MUTANTS
} Mutant;

static const char *const mutant_names[MUTANTS] = {
    "none", "writes shared blocks", "forgets the copy", "window too short", "window too long", "loses blocks",
    "frees too early", "trusts the hash", "ignores salts", "commits too much", "reuses too much", "keeps ended pasts",
    "forks the wrong one", "ignores full rings", "extends too little", "writes snapshots", "starts afresh",
    "forgets the state", "accepts all drafts", "ignores masks", "expires late", "loses wishes", "stops another one",
    "promotes nobody", "charges nobody",
};

static Mutant mutant;

#define WRAPPED(type, name, ...)         \
    type __real_##name(__VA_ARGS__);     \
    type __wrap_##name(__VA_ARGS__);     \
    type __wrap_##name(__VA_ARGS__)

static bool seldom(void)   /* every seventh time */
{
    static int times;
    return ++times % 7 == 0;
}

WRAPPED(BlockId, block_pool_own, BlockPool *p, BlockId b, BlockCopy *todo)
{
    return mutant == WRITES_SHARED_BLOCKS ? (*todo = (BlockCopy){0, b, b}, b) : __real_block_pool_own(p, b, todo);
}
WRAPPED(void, kv_cache_copy, const KvCache *c, Device *d, BlockCopy copy)
{
    if (mutant != FORGETS_THE_COPY)
        __real_kv_cache_copy(c, d, copy);
}
WRAPPED(int32_t, kv_group_first, const KvGroup *g, int32_t position, int32_t block_tokens)
{
    position += mutant == WINDOW_TOO_SHORT ? 1 : mutant == WINDOW_TOO_LONG ? -1 : 0;
    return __real_kv_group_first(g, position, block_tokens);
}
WRAPPED(void, block_pool_give, BlockPool *p, BlockId b)
{
    if (mutant != LOSES_BLOCKS || !seldom())
        __real_block_pool_give(p, b);
}
WRAPPED(void, block_pool_share, BlockPool *p, BlockId b)
{
    if (mutant != FREES_TOO_EARLY || block_pool_references(p, b) == 0 || !seldom())
        __real_block_pool_share(p, b);
}
WRAPPED(NodeId, prefix_index_find, const PrefixIndex *ix, NodeId parent, uint64_t salt, const int32_t *tokens)
{
    NodeId found = __real_prefix_index_find(ix, parent, mutant == IGNORES_SALTS ? 0 : salt, tokens);
    for (int32_t id = 0; found == NODE_NONE && mutant == TRUSTS_THE_HASH && id < VOCABULARY; id++) {
        int32_t collides[CONTEXT_MAX];
        memcpy(collides, tokens, sizeof collides);
        collides[0] = id;
        found = __real_prefix_index_find(ix, parent, salt, collides);
    }
    return found;
}
WRAPPED(NodeId, prefix_index_make, PrefixIndex *ix, NodeId parent, uint64_t salt, const int32_t *tokens)
{
    return __real_prefix_index_make(ix, parent, mutant == IGNORES_SALTS ? 0 : salt, tokens);
}
WRAPPED(int32_t, kv_cache_commit, KvCache *c, int32_t s, const int32_t *tokens, int32_t good)
{
    return __real_kv_cache_commit(c, s, tokens, good + (mutant == COMMITS_TOO_MUCH));
}
WRAPPED(int32_t, kv_cache_match, KvCache *c, int32_t s, const int32_t *tokens, int32_t limit, uint64_t salt)
{
    return __real_kv_cache_match(c, s, tokens, limit + (mutant == REUSES_TOO_MUCH), salt);
}
WRAPPED(void, kv_cache_drop, KvCache *c, int32_t s)
{
    if (mutant != KEEPS_ENDED_PASTS || !seldom())
        __real_kv_cache_drop(c, s);
}
WRAPPED(void, kv_cache_fork, KvCache *c, int32_t from, int32_t to)
{
    int32_t wrong = (from + 1) % kv_cache_ledger(c)->options.sequences;
    bool other = mutant == FORKS_THE_WRONG_ONE && wrong != to && kv_cache_blocks(c, wrong) == kv_cache_blocks(c, from);
    __real_kv_cache_fork(c, other ? wrong : from, to);
}
WRAPPED(int32_t, request_room, Request *r)
{
    return __real_request_room(r) + (mutant == IGNORES_FULL_RINGS);
}
WRAPPED(bool, kv_cache_extend, KvCache *c, int32_t s, int32_t from, int32_t to, bool tentative, BlockCopies *copies)
{
    return __real_kv_cache_extend(c, s, from, to - (mutant == EXTENDS_TOO_LITTLE && to - from > 1), tentative, copies);
}
WRAPPED(StateSlots, kv_cache_state, const KvCache *c, int32_t s)
{
    StateSlots slots = __real_kv_cache_state(c, s);
    if (mutant == STARTS_AFRESH && slots.to != BLOCK_NONE && seldom())
        slots.from = BLOCK_NONE;
    if (mutant == WRITES_SNAPSHOTS && slots.to != BLOCK_NONE && slots.from != BLOCK_NONE)
        slots.to = slots.from;
    return slots;
}
WRAPPED(void, kv_states_start, KvStates *st, int32_t s, BlockId snapshot, int32_t branch, int32_t last)
{
    __real_kv_states_start(st, s, mutant == FORGETS_THE_STATE ? BLOCK_NONE : snapshot, branch, last);
}
WRAPPED(void, scheduler_accept, Scheduler *s, const PlanEntry *e, int32_t right)
{
    __real_scheduler_accept(s, e, mutant == ACCEPTS_ALL_DRAFTS ? e->drafted : right);
}

WRAPPED(Err, sampler_sample, Sampler *s, const SamplerOptions *o, const SamplePlace *place, const float *logits, Sampled *out,
        Error *err)
{
    SamplePlace free_place = *place;
    free_place.allowed = NULL;
    return __real_sampler_sample(s, o, mutant == IGNORES_MASKS ? &free_place : place, logits, out, err);
}
WRAPPED(double, request_deadline, const Request *r)
{
    return __real_request_deadline(r) + (mutant == EXPIRES_LATE ? 2 : 0);
}
WRAPPED(void, engine_heed, Engine *e)
{
    if (mutant != LOSES_WISHES || !seldom())
        __real_engine_heed(e);
}
WRAPPED(bool, request_take_stop, Request *r, int32_t sample)
{
    return __real_request_take_stop(r, mutant == STOPS_ANOTHER ? r->options.samples - 1 - sample : sample);
}
WRAPPED(bool, waiting_too_long, int64_t from, int64_t now, int32_t patience)
{
    return mutant != PROMOTES_NOBODY && __real_waiting_too_long(from, now, patience);
}
WRAPPED(void, tenants_serve, Tenants *t, int32_t place, int64_t tokens)
{
    if (mutant != CHARGES_NOBODY)
        __real_tenants_serve(t, place, tokens);
}

#endif

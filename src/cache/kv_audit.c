#include "cache/kv_audit.h"

#include <stdlib.h>

#include "base/checked.h"

#define EXPECT(condition, ...)                              \
    do {                                                    \
        if (!(condition))                                   \
            return fail(err, LIMIT_REACHED, __VA_ARGS__);   \
    } while (0)

/* Whether a row at `position` or after it looks at a block whose last place is `last`: the definition,
 * said otherwise than the cache says it. */
static bool seen(const KvGroup *g, int32_t position, int32_t last)
{
    switch (g->kind) {
    case KV_WINDOW: return position - last < g->window;
    case KV_CHUNK: return last >= position || last / g->window == position / g->window;
    default: return true;
    }
}

static Err audit_table(const KvCache *c, int32_t s, int32_t g, int32_t computed, Error *err)
{
    const KvLedger *l = kv_cache_ledger(c);
    const BlockId *table = kv_cache_table(c, s, g);
    int32_t blocks = kv_cache_blocks(c, s), block_tokens = l->options.block_tokens;
    int32_t most = (int32_t)ceil_div(l->options.context, block_tokens);
    for (int32_t i = 0; i < most; i++) {
        bool holds = i < blocks && seen(&l->group[g], computed, (i + 1) * block_tokens - 1);
        EXPECT((table[i] != BLOCK_NONE) == holds, "sequence %d, group %d, block %d of %d: %s", s, g, i, blocks,
               holds ? "is missing" : "is held for nothing");
        if (!holds)
            continue;
        int32_t name = block_pool_name(kv_cache_pool(c, g), table[i]);
        /* Beyond those, a sharer may have found a place in the index that was full when we looked. */
        EXPECT(name != NAME_NONE || i >= kv_cache_named(c, s), "sequence %d, group %d, block %d has no name, but %d have",
               s, g, i, kv_cache_named(c, s));
        EXPECT(name == NAME_NONE || prefix_index_block(kv_cache_index(c), name, g) == table[i],
               "sequence %d, group %d, block %d: the index knows another", s, g, i);
    }
    return OK;
}

/* A sequence that has computed something holds the state there, and between steps no other; what has a
 * name is the state at the end of a node. */
static Err audit_state(const KvCache *c, int32_t s, int32_t computed, Error *err)
{
    const KvLedger *l = kv_cache_ledger(c);
    if (!kv_ledger_has_states(l))
        return OK;
    StateSlots slots = kv_cache_state(c, s);
    EXPECT((slots.from != BLOCK_NONE) == (computed > 0), "sequence %d: %d tokens, state %d", s, computed, slots.from);
    EXPECT(slots.to == BLOCK_NONE, "sequence %d: state %d is left over from a step", s, slots.to);
    int32_t name = slots.from == BLOCK_NONE ? NAME_NONE : block_pool_name(kv_cache_pool(c, l->paged), slots.from);
    EXPECT(name == NAME_NONE || kv_cache_named(c, s) * l->options.block_tokens == computed,
           "sequence %d: the state after %d tokens has a name, but %d blocks have", s, computed, kv_cache_named(c, s));
    return OK;
}

Err kv_audit_slot(const KvCache *c, int32_t s, int32_t computed, Error *err)
{
    const KvLedger *l = kv_cache_ledger(c);
    int32_t block_tokens = l->options.block_tokens, blocks = kv_cache_blocks(c, s), named = kv_cache_named(c, s);
    EXPECT(blocks == ceil_div(computed, block_tokens), "sequence %d: %d blocks for %d tokens", s, blocks, computed);
    EXPECT(named * block_tokens <= computed, "sequence %d: %d named blocks, %d tokens computed", s, named, computed);
    for (int32_t g = 0; g < l->paged; g++)
        TRY(audit_table(c, s, g, computed, err));
    return audit_state(c, s, computed, err);
}

typedef struct Count {
    int32_t references, holder;
} Count;

static Err count_one(const KvCache *c, int32_t s, int32_t g, BlockId b, Count *counts, Error *err)
{
    if (b == BLOCK_NONE)
        return OK;
    EXPECT(counts[b].references++ == 0 || kv_cache_salt(c, counts[b].holder) == kv_cache_salt(c, s),
           "sequences %d and %d share block %d of group %d under different salts", counts[b].holder, s, b, g);
    counts[b].holder = s;
    return OK;
}

static Err count_slots(const KvCache *c, int32_t g, Count *counts, Error *err)
{
    const KvLedger *l = kv_cache_ledger(c);
    for (int32_t s = 0; s < l->options.sequences; s++)
        if (g == l->paged)
            TRY(count_one(c, s, g, kv_cache_state(c, s).from, counts, err));
        else
            for (int32_t i = 0; i < kv_cache_blocks(c, s); i++)
                TRY(count_one(c, s, g, kv_cache_table(c, s, g)[i], counts, err));
    return OK;
}

static Err compare_counts(const KvCache *c, int32_t g, const Count *counted, Error *err)
{
    const BlockPool *pool = kv_cache_pool(c, g);
    BlockCounts counts = kv_cache_counts(c, g);
    int32_t held = 0;
    for (BlockId b = 0; b < counts.blocks; b++) {
        int32_t known = block_pool_references(pool, b), name = block_pool_name(pool, b);
        held += counted[b].references > 0;
        EXPECT(counted[b].references == known, "group %d, block %d: %d sequences hold it, %d are counted", g, b,
               counted[b].references, known);
        EXPECT(name == NAME_NONE || prefix_index_block(kv_cache_index(c), name, g) == b,
               "group %d, block %d: the index knows another by its name", g, b);
    }
    EXPECT(counts.held == held, "group %d: %d blocks are held, %d are counted", g, held, counts.held);
    return OK;
}

Err kv_audit_pools(const KvCache *c, Error *err)
{
    const KvLedger *l = kv_cache_ledger(c);
    for (int32_t g = 0; g < l->groups; g++) {
        Count *counts = calloc((size_t)l->group[g].blocks, sizeof *counts);
        Err result = counts ? count_slots(c, g, counts, err) : fail(err, NO_MEMORY, "audit");
        if (result == OK)
            result = compare_counts(c, g, counts, err);
        free(counts);
        TRY(result);
    }
    return OK;
}

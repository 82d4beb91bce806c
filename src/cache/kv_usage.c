#include "cache/kv_usage.h"

#include "base/checked.h"

/* Places of block i of a table that `computed` tokens leave empty. */
static int32_t empty_places(int32_t computed, int32_t i, int32_t block_tokens)
{
    return (int32_t)max_i64(0, (int64_t)(i + 1) * block_tokens - computed);
}

/* Sequences that share a block that is partly filled have computed equally far: who writes on takes a copy.
 * It is counted for the first of them. */
static bool holds_it_first(const KvCache *c, int32_t s, int32_t g, int32_t i)
{
    BlockId b = kv_cache_table(c, s, g)[i];
    if (block_pool_references(kv_cache_pool(c, g), b) > 1)
        for (int32_t other = 0; other < s; other++)
            if (kv_cache_blocks(c, other) > i && kv_cache_table(c, other, g)[i] == b)
                return false;
    return true;
}

static int64_t wasted_by(const KvCache *c, int32_t s, int32_t g)
{
    int32_t last = kv_cache_blocks(c, s) - 1;
    if (last < 0 || kv_cache_table(c, s, g)[last] == BLOCK_NONE)
        return 0;
    int32_t empty = empty_places(kv_cache_computed(c, s), last, kv_cache_ledger(c)->options.block_tokens);
    return empty > 0 && holds_it_first(c, s, g, last) ? empty : 0;
}

static void count_references(const BlockPool *pool, KvGroupUsage *u)
{
    for (BlockId b = 0; b < u->blocks.blocks; b++) {
        int32_t references = block_pool_references(pool, b);
        u->references += references;
        u->shared += references > 1;
    }
}

static KvGroupUsage group_usage(const KvCache *c, int32_t g)
{
    const KvLedger *l = kv_cache_ledger(c);
    const KvGroup *group = &l->group[g];
    bool paged = g < l->paged;
    KvGroupUsage u = {.kind = group->kind, .window = group->window, .block_bytes = group->block_bytes,
                      .blocks = kv_cache_counts(c, g), .evictions = block_pool_evictions(kv_cache_pool(c, g))};
    count_references(kv_cache_pool(c, g), &u);
    u.places = u.blocks.held * (paged ? (int64_t)l->options.block_tokens : 1);
    for (int32_t s = 0; paged && s < l->options.sequences; s++)
        u.wasted += wasted_by(c, s, g);
    return u;
}

static int32_t named_blocks(const BlockPool *pool)
{
    int32_t named = 0;
    for (BlockId b = 0; b < block_pool_counts(pool).blocks; b++)
        named += block_pool_name(pool, b) != NAME_NONE;
    return named;
}

KvUsage kv_cache_usage(const KvCache *c)
{
    const KvLedger *l = kv_cache_ledger(c);
    KvUsage u = {.groups = l->groups, .block_tokens = l->options.block_tokens, .asked = kv_cache_asked(c),
                 .prefixes = prefix_index_nodes(kv_cache_index(c))};
    for (int32_t g = 0; g < l->groups; g++)
        u.group[g] = group_usage(c, g);
    if (kv_ledger_has_states(l))
        u.snapshots = named_blocks(kv_cache_pool(c, l->paged));
    for (int32_t s = 0; s < l->options.sequences; s++)
        u.sequences += kv_cache_computed(c, s) > 0;
    return u;
}

double kv_usage_held(const KvUsage *u)
{
    double held = 0, all = 0;
    for (int32_t g = 0; g < u->groups; g++) {
        held += (double)u->group[g].block_bytes * u->group[g].blocks.held;
        all += (double)u->group[g].block_bytes * u->group[g].blocks.blocks;
    }
    return all > 0 ? held / all : 0;
}

double kv_usage_wasted(const KvUsage *u)
{
    double wasted = 0, held = 0;
    for (int32_t g = 0; g < u->groups; g++) {
        const KvGroupUsage *group = &u->group[g];
        double bytes = (double)group->block_bytes * group->blocks.held;
        held += bytes;
        if (group->places > 0)
            wasted += bytes * (double)group->wasted / (double)group->places;
    }
    return held > 0 ? wasted / held : 0;
}

static void map_holder(const KvCache *c, int32_t s, int32_t g, int32_t i, BlockId b, KvBlock *out)
{
    int32_t block_tokens = kv_cache_ledger(c)->options.block_tokens;
    if (b == BLOCK_NONE || out[b].holder >= 0)
        return;
    out[b].holder = s;
    out[b].filled = g == kv_cache_ledger(c)->paged ? 1 : block_tokens - empty_places(kv_cache_computed(c, s), i, block_tokens);
}

void kv_cache_map(const KvCache *c, int32_t g, KvBlock *out)
{
    const KvLedger *l = kv_cache_ledger(c);
    const BlockPool *pool = kv_cache_pool(c, g);
    bool paged = g < l->paged;
    for (BlockId b = 0; b < block_pool_counts(pool).blocks; b++) {
        int32_t references = block_pool_references(pool, b);
        bool cached = references == 0 && block_pool_name(pool, b) != NAME_NONE;
        KvBlockState state = references > 0 ? KV_BLOCK_HELD : cached ? KV_BLOCK_CACHED : KV_BLOCK_FREE;
        out[b] = (KvBlock){state, references, -1, cached ? paged ? l->options.block_tokens : 1 : 0};
    }
    for (int32_t s = 0; s < l->options.sequences; s++)
        if (!paged)
            map_holder(c, s, g, 0, kv_cache_state(c, s).from, out);
        else
            for (int32_t i = kv_cache_blocks(c, s) - 1; i >= 0 && kv_cache_table(c, s, g)[i] != BLOCK_NONE; i--)
                map_holder(c, s, g, i, kv_cache_table(c, s, g)[i], out);
}

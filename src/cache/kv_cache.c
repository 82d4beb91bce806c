#include "cache/kv_cache.h"

#include <string.h>

#include "base/checked.h"

typedef struct Slot {
    BlockId *table[KV_GROUPS_MAX];      /* [blocks_max]; BLOCK_NONE before first and from blocks on */
    int32_t first[KV_GROUPS_MAX];
    int32_t blocks;
    int32_t named;                      /* leading blocks that are in the index */
    NodeId node;                        /* of the last of them; held */
    uint64_t salt;
} Slot;

struct KvCache {
    KvLedger ledger;
    BlockPool *pool[KV_GROUPS_MAX];
    PrefixIndex *index;
    Slot *slots;
    int32_t blocks_max;                 /* of a table */
    NodeId *path;                       /* [blocks_max] scratch of match */
    Tensor k[LAYERS_MAX], v[LAYERS_MAX];
};

static void forget(void *with, int32_t group, int32_t name)
{
    KvCache *c = with;
    prefix_index_remove(c->index, name, group);
}

static Err out_of_arena(Error *err) { return fail(err, NO_MEMORY, "no memory for the tables of the cache"); }

static Err take_tensor(Tensor *out, const KvCache *c, int32_t group, const KvLayer *layer, int32_t width, Device *d, Error *err)
{
    const KvLedger *l = &c->ledger;
    void *data;
    *out = tensor_4d(NULL, l->options.format, l->group[group].blocks, layer->heads, l->options.block_tokens, width);
    TRY(d->calls->take(d, tensor_bytes(*out), &data, err));
    out->data = data;
    return OK;
}

static Err take_tensors(KvCache *c, const KvLayout *layout, Device *d, Error *err)
{
    for (int32_t i = 0; i < layout->layers; i++) {
        int32_t group = c->ledger.group_of[i], owner = c->ledger.owner_of[i];
        const KvLayer *layer = &layout->layer[i];
        if (owner != i) {
            c->k[i] = c->k[owner];
            c->v[i] = c->v[owner];
        } else if (group >= 0) {
            TRY(take_tensor(&c->k[i], c, group, layer, layer->key_width, d, err));
            TRY(take_tensor(&c->v[i], c, group, layer, layer->value_width, d, err));
        }
    }
    return OK;
}

static void slot_clear(KvCache *c, Slot *slot)
{
    for (int32_t g = 0; g < c->ledger.groups; g++) {
        for (int32_t i = slot->first[g]; i < slot->blocks; i++)
            slot->table[g][i] = BLOCK_NONE;
        slot->first[g] = 0;
    }
    slot->blocks = slot->named = 0;
    slot->node = NODE_ROOT;
    slot->salt = 0;
}

static bool take_slots(KvCache *c, Arena *arena)
{
    int32_t slots = c->ledger.options.sequences;
    c->slots = ARENA_ARRAY(arena, Slot, (size_t)slots);
    c->path = ARENA_ARRAY(arena, NodeId, (size_t)c->blocks_max);
    if (!c->slots || !c->path)
        return false;
    for (int32_t s = 0; s < slots; s++) {
        c->slots[s].node = NODE_ROOT;
        for (int32_t g = 0; g < c->ledger.groups; g++) {
            BlockId *table = c->slots[s].table[g] = ARENA_ARRAY(arena, BlockId, (size_t)c->blocks_max);
            if (!table)
                return false;
            for (int32_t i = 0; i < c->blocks_max; i++)
                table[i] = BLOCK_NONE;
        }
    }
    return true;
}

Err kv_cache_new(KvCache **out, const KvLedger *ledger, const KvLayout *layout, Device *device, Arena *arena, Error *err)
{
    const KvOptions *o = &ledger->options;
    KvCache *c = ARENA_NEW(arena, KvCache);
    if (!c)
        return out_of_arena(err);
    c->ledger = *ledger;
    c->blocks_max = (int32_t)ceil_div(o->context, o->block_tokens);
    int64_t nodes = ceil_div(o->tokens, o->block_tokens);   /* behind a window a node has no block of its own */
    for (int32_t g = 0; g < ledger->groups; g++) {
        nodes += ledger->group[g].blocks;
        c->pool[g] = block_pool_new(arena, ledger->group[g].blocks, (BlockForget){forget, c, g});
        if (!c->pool[g])
            return out_of_arena(err);
    }
    c->index = prefix_index_new(arena, (PrefixIndexOptions){(int32_t)min_i64(nodes, INT32_MAX), o->block_tokens, o->key});
    if (!c->index || !take_slots(c, arena))
        return out_of_arena(err);
    TRY(take_tensors(c, layout, device, err));
    *out = c;
    return OK;
}

static Slot *slot_at(const KvCache *c, int32_t s)
{
    ASSERT(s >= 0 && s < c->ledger.options.sequences);
    return &c->slots[s];
}

static int32_t first_seen(const KvCache *c, int32_t g, int32_t position)
{
    return kv_group_first(&c->ledger.group[g], position, c->ledger.options.block_tokens);
}

/* How many leading blocks of `tokens` can stand for computed ones: each group must have all blocks
 * that the first row after them looks at. c->path receives their nodes. */
static int32_t longest_match(KvCache *c, const int32_t *tokens, int32_t blocks, uint64_t salt)
{
    int32_t block_tokens = c->ledger.options.block_tokens, best = 0;
    int32_t run[KV_GROUPS_MAX] = {0};   /* neighbouring blocks that the group has, up to here */
    NodeId node = NODE_ROOT;
    for (int32_t i = 0; i < blocks; i++) {
        node = prefix_index_find(c->index, node, salt, tokens + i * block_tokens);
        if (node == NODE_NONE)
            break;
        c->path[i] = node;
        bool usable = true;
        for (int32_t g = 0; g < c->ledger.groups; g++) {
            run[g] = prefix_index_block(c->index, node, g) == BLOCK_NONE ? 0 : run[g] + 1;
            usable &= run[g] >= i + 1 - first_seen(c, g, (i + 1) * block_tokens);
        }
        if (usable)
            best = i + 1;
    }
    return best;
}

int32_t kv_cache_match(KvCache *c, int32_t s, const int32_t *tokens, int32_t limit, uint64_t salt)
{
    Slot *slot = slot_at(c, s);
    ASSERT(slot->blocks == 0);
    int32_t block_tokens = c->ledger.options.block_tokens;
    int32_t blocks = longest_match(c, tokens, limit / block_tokens, salt);
    slot->salt = salt;
    for (int32_t g = 0; g < c->ledger.groups; g++) {
        slot->first[g] = first_seen(c, g, blocks * block_tokens);
        for (int32_t i = slot->first[g]; i < blocks; i++) {
            slot->table[g][i] = prefix_index_block(c->index, c->path[i], g);
            block_pool_share(c->pool[g], slot->table[g][i]);
        }
    }
    slot->blocks = slot->named = blocks;
    slot->node = blocks > 0 ? c->path[blocks - 1] : NODE_ROOT;
    prefix_index_hold(c->index, slot->node);
    return blocks * block_tokens;
}

/* The block that holds position `from` and others hold too, so that it must be copied; else -1. */
static int32_t shared_block(const KvCache *c, const Slot *slot, int32_t g, int32_t from)
{
    int32_t i = from / c->ledger.options.block_tokens;
    return i < slot->blocks && block_pool_references(c->pool[g], slot->table[g][i]) > 1 ? i : -1;
}

bool kv_cache_extend(KvCache *c, int32_t s, int32_t from, int32_t to, BlockCopies *copies)
{
    Slot *slot = slot_at(c, s);
    int32_t blocks = (int32_t)ceil_div(to, c->ledger.options.block_tokens);
    ASSERT(from < to && blocks <= c->blocks_max && from / c->ledger.options.block_tokens >= slot->named);
    int32_t more = blocks > slot->blocks ? blocks - slot->blocks : 0;
    for (int32_t g = 0; g < c->ledger.groups; g++)
        if (more + (shared_block(c, slot, g, from) >= 0) > block_pool_available(c->pool[g]))
            return false;
    for (int32_t g = 0; g < c->ledger.groups; g++) {
        int32_t shared = shared_block(c, slot, g, from);
        if (shared >= 0) {
            ASSERT(copies->count < copies->max);
            slot->table[g][shared] = block_pool_own(c->pool[g], slot->table[g][shared], &copies->copy[copies->count++]);
        }
        bool taken = block_pool_take(c->pool[g], more, slot->table[g] + slot->blocks);
        ASSERT(taken);
    }
    slot->blocks += more;
    return true;
}

/* The block's content has a name now; if another sequence computed the same first, its block is used
 * and ours goes back. */
static void name_block(KvCache *c, BlockId *block, int32_t g, NodeId node)
{
    BlockId known = prefix_index_block(c->index, node, g);
    if (known == BLOCK_NONE) {
        block_pool_set_name(c->pool[g], *block, node);
        prefix_index_put(c->index, node, g, *block);
    } else {
        block_pool_share(c->pool[g], known);
        block_pool_give(c->pool[g], *block);
        *block = known;
    }
}

static void name_full_blocks(KvCache *c, Slot *slot, const int32_t *tokens, int32_t computed)
{
    int32_t block_tokens = c->ledger.options.block_tokens;
    while ((slot->named + 1) * block_tokens <= computed) {
        NodeId node = prefix_index_make(c->index, slot->node, slot->salt, tokens + slot->named * block_tokens);
        if (node == NODE_NONE)
            return;   /* the index is full: the block stays without a name, and is not found later */
        for (int32_t g = 0; g < c->ledger.groups; g++)
            if (slot->table[g][slot->named] != BLOCK_NONE)
                name_block(c, &slot->table[g][slot->named], g, node);
        prefix_index_release(c->index, slot->node);
        slot->node = node;
        slot->named++;
    }
}

void kv_cache_commit(KvCache *c, int32_t s, const int32_t *tokens, int32_t computed)
{
    Slot *slot = slot_at(c, s);
    name_full_blocks(c, slot, tokens, computed);
    for (int32_t g = 0; g < c->ledger.groups; g++) {
        int32_t keep = (int32_t)min_i64(first_seen(c, g, computed), slot->blocks);
        for (; slot->first[g] < keep; slot->first[g]++) {
            block_pool_give(c->pool[g], slot->table[g][slot->first[g]]);
            slot->table[g][slot->first[g]] = BLOCK_NONE;
        }
    }
}

void kv_cache_fork(KvCache *c, int32_t from, int32_t to)
{
    const Slot *a = slot_at(c, from);
    Slot *b = slot_at(c, to);
    ASSERT(b->blocks == 0 && from != to);
    for (int32_t g = 0; g < c->ledger.groups; g++) {
        b->first[g] = a->first[g];
        for (int32_t i = a->first[g]; i < a->blocks; i++) {
            block_pool_share(c->pool[g], a->table[g][i]);
            b->table[g][i] = a->table[g][i];
        }
    }
    b->blocks = a->blocks;
    b->named = a->named;
    b->node = a->node;
    b->salt = a->salt;
    prefix_index_hold(c->index, b->node);
}

/* The last block first, so that a past is evicted from its end: what is left of it can be used. */
void kv_cache_drop(KvCache *c, int32_t s)
{
    Slot *slot = slot_at(c, s);
    for (int32_t g = 0; g < c->ledger.groups; g++)
        for (int32_t i = slot->blocks - 1; i >= slot->first[g]; i--)
            block_pool_give(c->pool[g], slot->table[g][i]);
    prefix_index_release(c->index, slot->node);
    slot_clear(c, slot);
}

static int32_t lacks(const KvCache *c, const Slot *slot, int32_t g, int32_t tokens)
{
    int32_t held = slot->blocks - slot->first[g], needs = kv_ledger_blocks(&c->ledger, g, tokens, 1);
    return needs > held ? needs - held : 0;
}

bool kv_cache_has_room(const KvCache *c, int32_t s, int32_t tokens, const int32_t *promised)
{
    for (int32_t g = 0; g < c->ledger.groups; g++)
        if (lacks(c, slot_at(c, s), g, tokens) + promised[g] > block_pool_available(c->pool[g]))
            return false;
    return true;
}

void kv_cache_promise(const KvCache *c, int32_t s, int32_t tokens, int32_t *promised)
{
    for (int32_t g = 0; g < c->ledger.groups; g++)
        promised[g] += lacks(c, slot_at(c, s), g, tokens);
}

static void copy_block(Device *d, Tensor pool, BlockCopy copy)
{
    if (tensor_bytes(pool) > 0)
        d->calls->copy(d, tensor_row(pool, copy.to), tensor_row(pool, copy.from), tensor_row_bytes(pool));
}

void kv_cache_copy(const KvCache *c, Device *d, BlockCopy copy)
{
    for (int32_t i = 0; i < LAYERS_MAX; i++)
        if (!tensor_is_none(c->k[i]) && c->ledger.owner_of[i] == i && c->ledger.group_of[i] == copy.group) {
            copy_block(d, c->k[i], copy);
            copy_block(d, c->v[i], copy);
        }
}

KvView kv_cache_view(const KvCache *c, int32_t layer) { return (KvView){.k = c->k[layer], .v = c->v[layer]}; }
const BlockId *kv_cache_table(const KvCache *c, int32_t s, int32_t g) { return slot_at(c, s)->table[g]; }
int32_t kv_cache_blocks(const KvCache *c, int32_t s) { return slot_at(c, s)->blocks; }
int32_t kv_cache_named(const KvCache *c, int32_t s) { return slot_at(c, s)->named; }
const KvLedger *kv_cache_ledger(const KvCache *c) { return &c->ledger; }
BlockCounts kv_cache_counts(const KvCache *c, int32_t g) { return block_pool_counts(c->pool[g]); }
const BlockPool *kv_cache_pool(const KvCache *c, int32_t g) { return c->pool[g]; }
const PrefixIndex *kv_cache_index(const KvCache *c) { return c->index; }
uint64_t kv_cache_salt(const KvCache *c, int32_t s) { return slot_at(c, s)->salt; }

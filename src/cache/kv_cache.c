#include "cache/kv_cache.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"

typedef struct Slot {
    BlockId *table[KV_GROUPS_MAX];      /* [blocks_max]; BLOCK_NONE before first and from blocks on */
    int32_t first[KV_GROUPS_MAX];
    int32_t blocks;
    int32_t from, to;                   /* positions of the step that is planned */
    int32_t computed;                   /* tokens */
    KvAsked asked;                      /* of the index, and not counted yet */
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
    KvAsked asked;
    KvKeeper keeper;
    KvStates *states;                   /* NULL: the model has none */
    Tensor k[LAYERS_MAX], v[LAYERS_MAX], state[LAYERS_MAX];
};

/* Nodes that the states of long sequences may add to the index; beyond, they are not found by name. */
static const int64_t STATE_NODES_MAX = 1 << 22;

static void forget(void *with, int32_t group, int32_t name)
{
    KvCache *c = with;
    prefix_index_remove(c->index, name, group);
}

/* Before anything is taken, as then it can be said how much would fit. */
static Err check_room(const KvLedger *l, const Device *d, Error *err)
{
    static const double GIB = 1 << 30, USABLE = 0.9;      /* activations come after it */
    double room = (double)device_left(d), fixed = (double)l->pool_bytes - (double)l->token_bytes * (double)l->options.tokens;
    if (l->pool_bytes <= room)
        return OK;
    double fit = l->token_bytes > 0 ? (USABLE * room - fmax(fixed, 0)) / (double)l->token_bytes : 0;
    return fail(err, NO_MEMORY, "a cache of %lld tokens for %d answers at a time needs %.2f GiB, and the device has %.2f GiB "
                "left: about %lld tokens fit. A shorter --context, fewer answers or a smaller --cache-type do as well",
                (long long)l->options.tokens, l->options.sequences, (double)l->pool_bytes / GIB, room / GIB,
                (long long)fmax(fit, 0));
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

static Err take_state(Tensor *out, const KvCache *c, int32_t width, Device *d, Error *err)
{
    void *data;
    *out = tensor_of(NULL, &format_f32, c->ledger.group[c->ledger.paged].blocks, width);
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
            if (layer->value_width > 0) /* a latent is its own value */
                TRY(take_tensor(&c->v[i], c, group, layer, layer->value_width, d, err));
        }
        if (layer->state_width > 0)
            TRY(take_state(&c->state[i], c, layer->state_width, d, err));
    }
    return OK;
}

static void slot_clear(KvCache *c, Slot *slot)
{
    for (int32_t g = 0; g < c->ledger.paged; g++) {
        for (int32_t i = slot->first[g]; i < slot->blocks; i++)
            slot->table[g][i] = BLOCK_NONE;
        slot->first[g] = 0;
    }
    slot->blocks = slot->named = slot->from = slot->to = slot->computed = 0;
    slot->asked = (KvAsked){0};
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
        for (int32_t g = 0; g < c->ledger.paged; g++) {
            BlockId *table = c->slots[s].table[g] = ARENA_ARRAY(arena, BlockId, (size_t)c->blocks_max);
            if (!table)
                return false;
            for (int32_t i = 0; i < c->blocks_max; i++)
                table[i] = BLOCK_NONE;
        }
    }
    return true;
}

/* Behind a window a node has no block of its own, and between two snapshots not even that. */
static int32_t nodes_of(const KvLedger *l)
{
    const KvOptions *o = &l->options;
    int64_t nodes = ceil_div(o->tokens, o->block_tokens), pasts = (int64_t)o->sequences + o->state_snapshots;
    for (int32_t g = 0; g < l->groups; g++)
        nodes += l->group[g].blocks;
    if (kv_ledger_has_states(l))
        nodes += min_i64(pasts * ceil_div(o->context, o->block_tokens), STATE_NODES_MAX);
    return (int32_t)min_i64(nodes, INT32_MAX);
}

Err kv_cache_new(KvCache **out, const KvLedger *ledger, const KvLayout *layout, Device *device, Arena *arena, Error *err)
{
    const KvOptions *o = &ledger->options;
    KvCache *c = ARENA_NEW(arena, KvCache);
    if (!c)
        return out_of_arena(err);
    c->ledger = *ledger;
    c->blocks_max = (int32_t)ceil_div(o->context, o->block_tokens);
    for (int32_t g = 0; g < ledger->groups; g++)
        if (!(c->pool[g] = block_pool_new(arena, ledger->group[g].blocks, (BlockForget){forget, c, g})))
            return out_of_arena(err);
    c->index = prefix_index_new(arena, (PrefixIndexOptions){nodes_of(ledger), o->block_tokens, o->key});
    if (!c->index || !take_slots(c, arena))
        return out_of_arena(err);
    if (kv_ledger_has_states(ledger) && !(c->states = kv_states_new(arena, ledger, c->pool[ledger->paged], c->index)))
        return out_of_arena(err);
    TRY(check_room(ledger, device, err));
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

typedef struct Match {
    int32_t blocks;            /* that can stand for computed ones */
    int32_t but_for_state;     /* that could, if there were a state at their end */
} Match;

/* How many leading blocks of `tokens` can stand for computed ones: each group must have all blocks
 * that the first row after them looks at, and the state there. `path` receives their nodes; NULL is allowed. */
static Match longest_match(const KvCache *c, const int32_t *tokens, int32_t blocks, uint64_t salt, NodeId *path)
{
    const KvLedger *l = &c->ledger;
    int32_t block_tokens = l->options.block_tokens;
    int32_t run[KV_GROUPS_MAX] = {0};   /* neighbouring blocks that the group has, up to here */
    Match match = {0};
    NodeId node = NODE_ROOT;
    for (int32_t i = 0; i < blocks; i++) {
        node = prefix_index_find(c->index, node, salt, tokens + i * block_tokens);
        if (node == NODE_NONE)
            break;
        if (path)
            path[i] = node;
        bool usable = true;
        for (int32_t g = 0; g < l->paged; g++) {
            run[g] = prefix_index_block(c->index, node, g) == BLOCK_NONE ? 0 : run[g] + 1;
            usable &= run[g] >= i + 1 - first_seen(c, g, (i + 1) * block_tokens);
        }
        if (!usable)
            continue;
        match.but_for_state = i + 1;
        if (!c->states || prefix_index_block(c->index, node, l->paged) != BLOCK_NONE)
            match.blocks = i + 1;
    }
    return match;
}

int32_t kv_cache_match(KvCache *c, int32_t s, const int32_t *tokens, int32_t limit, uint64_t salt)
{
    Slot *slot = slot_at(c, s);
    ASSERT(slot->blocks == 0);
    int32_t block_tokens = c->ledger.options.block_tokens, most = limit / block_tokens;
    Match match = longest_match(c, tokens, most, salt, c->path);
    int32_t blocks = match.blocks;
    slot->salt = salt;
    for (int32_t g = 0; g < c->ledger.paged; g++) {
        slot->first[g] = first_seen(c, g, blocks * block_tokens);
        for (int32_t i = slot->first[g]; i < blocks; i++) {
            slot->table[g][i] = prefix_index_block(c->index, c->path[i], g);
            block_pool_share(c->pool[g], slot->table[g][i]);
        }
    }
    slot->blocks = slot->named = blocks;
    slot->computed = blocks * block_tokens;
    slot->asked = (KvAsked){limit, slot->computed};
    slot->node = blocks > 0 ? c->path[blocks - 1] : NODE_ROOT;
    prefix_index_hold(c->index, slot->node);
    BlockId snapshot = blocks > 0 && c->states ? prefix_index_block(c->index, slot->node, c->ledger.paged) : BLOCK_NONE;
    kv_states_start(c->states, s, snapshot, match.but_for_state * block_tokens, most * block_tokens);
    return blocks * block_tokens;
}

/* Why the block behind `blocks` known ones is missed. */
static KvFound explain_miss(const KvCache *c, const int32_t *tokens, int32_t blocks, uint64_t salt, KvFound found)
{
    int32_t block_tokens = c->ledger.options.block_tokens;
    NodeId node = NODE_ROOT;
    for (int32_t i = 0; i < blocks; i++)
        node = prefix_index_find(c->index, node, salt, tokens + i * block_tokens);
    tokens += blocks * block_tokens;
    int32_t alike = prefix_index_alike(c->index, node, salt, tokens);
    if (alike == block_tokens || prefix_index_ended(c->index, node, salt, tokens)) {
        found.why = KV_MISS_EVICTED;
    } else if (alike >= 0) {
        found.why = KV_MISS_DIFFERS;
        found.at += alike;
    } else {
        found.why = KV_MISS_NEW;
    }
    return found;
}

KvFound kv_cache_explain(const KvCache *c, const int32_t *tokens, int32_t limit, uint64_t salt)
{
    int32_t block_tokens = c->ledger.options.block_tokens, most = limit / block_tokens;
    Match match = longest_match(c, tokens, most, salt, NULL);
    KvFound found = {.asked = limit, .found = match.blocks * block_tokens, .at = match.blocks * block_tokens};
    if (match.blocks == most)
        return found;
    if (match.but_for_state > match.blocks) {
        found.why = KV_MISS_STATE;
        return found;
    }
    return explain_miss(c, tokens, match.blocks, salt, found);
}

int32_t kv_cache_known(const KvCache *c, const int32_t *tokens, int32_t limit, uint64_t salt)
{
    int32_t block_tokens = c->ledger.options.block_tokens;
    return longest_match(c, tokens, limit / block_tokens, salt, NULL).blocks * block_tokens;
}

int32_t kv_cache_stop(const KvCache *c, int32_t s, int32_t from, int32_t to)
{
    return kv_states_stop(c->states, s, from, to);
}

/* The block that holds position `from` and others hold too, so that it must be copied; else -1. */
static int32_t shared_block(const KvCache *c, const Slot *slot, int32_t g, int32_t from)
{
    int32_t i = from / c->ledger.options.block_tokens;
    return i < slot->blocks && block_pool_references(c->pool[g], slot->table[g][i]) > 1 ? i : -1;
}

bool kv_cache_extend(KvCache *c, int32_t s, int32_t from, int32_t to, bool tentative, BlockCopies *copies)
{
    Slot *slot = slot_at(c, s);
    int32_t blocks = (int32_t)ceil_div(to, c->ledger.options.block_tokens);
    ASSERT(from < to && blocks <= c->blocks_max && from / c->ledger.options.block_tokens >= slot->named);
    int32_t more = blocks > slot->blocks ? blocks - slot->blocks : 0;
    for (int32_t g = 0; g < c->ledger.paged; g++)
        if (more + (shared_block(c, slot, g, from) >= 0) > block_pool_available(c->pool[g]))
            return false;
    if (c->states && kv_states_lacks(c->states, s, tentative) > block_pool_available(c->pool[c->ledger.paged]))
        return false;
    for (int32_t g = 0; g < c->ledger.paged; g++) {
        int32_t shared = shared_block(c, slot, g, from);
        if (shared >= 0) {
            ASSERT(copies->count < copies->max);
            slot->table[g][shared] = block_pool_own(c->pool[g], slot->table[g][shared], &copies->copy[copies->count++]);
        }
        bool taken = block_pool_take(c->pool[g], more, slot->table[g] + slot->blocks);
        ASSERT(taken);
    }
    kv_states_step(c->states, s, tentative);
    slot->blocks += more;
    slot->from = from;
    slot->to = to;
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
        for (int32_t g = 0; g < c->ledger.paged; g++)
            if (slot->table[g][slot->named] != BLOCK_NONE)
                name_block(c, &slot->table[g][slot->named], g, node);
        prefix_index_release(c->index, slot->node);
        slot->node = node;
        slot->named++;
    }
}

/* What lies behind the windows of the next row, and what no computed row needs, goes back. */
static void give_blocks(KvCache *c, Slot *slot, int32_t computed)
{
    int32_t needed = (int32_t)ceil_div(computed, c->ledger.options.block_tokens);
    for (int32_t g = 0; g < c->ledger.paged; g++) {
        BlockId *table = slot->table[g];
        for (int32_t i = slot->blocks - 1; i >= needed; i--) {
            block_pool_give(c->pool[g], table[i]);
            table[i] = BLOCK_NONE;
        }
        int32_t keep = (int32_t)min_i64(first_seen(c, g, computed), needed);
        for (; slot->first[g] < keep; slot->first[g]++) {
            block_pool_give(c->pool[g], table[slot->first[g]]);
            table[slot->first[g]] = BLOCK_NONE;
        }
    }
    slot->blocks = needed;
}

/* Once the sequence has really started: whoever finds no room asks again and again. */
static void count_asked(KvCache *c, Slot *slot)
{
    c->asked.asked += slot->asked.asked;
    c->asked.found += slot->asked.found;
    slot->asked = (KvAsked){0};
}

static void tell_keeper(KvCache *c, int32_t s, bool gone)
{
    if (c->keeper.call)
        c->keeper.call(c->keeper.with, s, gone);
}

int32_t kv_cache_commit(KvCache *c, int32_t s, const int32_t *tokens, int32_t good)
{
    Slot *slot = slot_at(c, s);
    ASSERT(good > slot->from && good <= slot->to);
    bool back = c->states && good < slot->to;
    int32_t computed = back ? slot->from : good, named = slot->named;
    name_full_blocks(c, slot, tokens, computed);
    if (back)
        kv_states_rewind(c->states, s);
    else
        kv_states_commit(c->states, s, computed,
                         slot->named * c->ledger.options.block_tokens == computed ? slot->node : NODE_NONE);
    if (slot->named > named)
        tell_keeper(c, s, false);
    give_blocks(c, slot, computed);
    slot->computed = computed;
    count_asked(c, slot);
    return computed;
}

void kv_cache_fork(KvCache *c, int32_t from, int32_t to)
{
    const Slot *a = slot_at(c, from);
    Slot *b = slot_at(c, to);
    ASSERT(b->blocks == 0 && from != to);
    for (int32_t g = 0; g < c->ledger.paged; g++) {
        b->first[g] = a->first[g];
        for (int32_t i = a->first[g]; i < a->blocks; i++) {
            block_pool_share(c->pool[g], a->table[g][i]);
            b->table[g][i] = a->table[g][i];
        }
    }
    b->blocks = a->blocks;
    b->computed = a->computed;
    b->named = a->named;
    b->node = a->node;
    b->salt = a->salt;
    prefix_index_hold(c->index, b->node);
    kv_states_fork(c->states, from, to);
}

/* The last block first, so that a past is evicted from its end: what is left of it can be used. */
void kv_cache_drop(KvCache *c, int32_t s)
{
    Slot *slot = slot_at(c, s);
    tell_keeper(c, s, true);
    for (int32_t g = 0; g < c->ledger.paged; g++)
        for (int32_t i = slot->blocks - 1; i >= slot->first[g]; i--)
            block_pool_give(c->pool[g], slot->table[g][i]);
    kv_states_drop(c->states, s);
    prefix_index_release(c->index, slot->node);
    slot_clear(c, slot);
}

static int32_t lacks(const KvCache *c, int32_t s, int32_t g, int32_t tokens)
{
    const Slot *slot = slot_at(c, s);
    int32_t held = g < c->ledger.paged ? slot->blocks - slot->first[g] : kv_states_held(c->states, s);
    int32_t needs = kv_ledger_blocks(&c->ledger, g, tokens, 1);
    return needs > held ? needs - held : 0;
}

bool kv_cache_has_room(const KvCache *c, int32_t s, int32_t tokens, const int32_t *promised)
{
    for (int32_t g = 0; g < c->ledger.groups; g++)
        if (lacks(c, s, g, tokens) + promised[g] > block_pool_available(c->pool[g]))
            return false;
    return true;
}

void kv_cache_promise(const KvCache *c, int32_t s, int32_t tokens, int32_t *promised)
{
    for (int32_t g = 0; g < c->ledger.groups; g++)
        promised[g] += lacks(c, s, g, tokens);
}

static void copy_block(Device *d, Tensor pool, BlockCopy copy)
{
    if (!tensor_is_none(pool))
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

/* --- pasts that were computed another time --- */

void kv_cache_set_keeper(KvCache *c, KvKeeper keeper) { c->keeper = keeper; }
NodeId kv_cache_node(const KvCache *c, int32_t s) { return slot_at(c, s)->node; }

NodeId kv_cache_walk(KvCache *c, NodeId from, uint64_t salt, const int32_t *tokens)
{
    NodeId node = prefix_index_make(c->index, from, salt, tokens);
    prefix_index_release(c->index, from);
    return node;
}

void kv_cache_leave(KvCache *c, NodeId node) { prefix_index_release(c->index, node); }

BlockId kv_cache_adopt(KvCache *c, NodeId node, int32_t g, bool take, bool *fresh)
{
    BlockId block = prefix_index_block(c->index, node, g);
    *fresh = block == BLOCK_NONE && take && block_pool_take(c->pool[g], 1, &block);
    if (*fresh) {
        block_pool_set_name(c->pool[g], block, node);
        prefix_index_put(c->index, node, g, block);
    } else if (block != BLOCK_NONE) {
        block_pool_share(c->pool[g], block);
    }
    return block;
}

void kv_cache_let_go(KvCache *c, int32_t g, BlockId block) { block_pool_give(c->pool[g], block); }

/* The parts of a block, one after another: of each layer of the group its keys and its values, or its state. */
static bool next_part(const KvCache *c, int32_t g, BlockId block, int32_t *at, void **data, size_t *bytes)
{
    for (; *at < 2 * LAYERS_MAX; ++*at) {
        int32_t layer = *at / 2;
        bool values = *at % 2, states = g == c->ledger.paged;
        bool here = states ? !values : c->ledger.owner_of[layer] == layer && c->ledger.group_of[layer] == g;
        Tensor t = states ? c->state[layer] : values ? c->v[layer] : c->k[layer];
        if (!here || tensor_is_none(t))
            continue;
        *data = tensor_row(t, block);
        *bytes = tensor_row_bytes(t);
        ++*at;
        return true;
    }
    return false;
}

void kv_cache_save(const KvCache *c, Device *d, int32_t g, BlockId block, void *host)
{
    uint8_t *to = host;
    void *data;
    size_t bytes;
    for (int32_t at = 0; next_part(c, g, block, &at, &data, &bytes); to += bytes)
        d->calls->read(d, to, data, bytes);
}

void kv_cache_load(const KvCache *c, Device *d, int32_t g, BlockId block, const void *host)
{
    const uint8_t *from = host;
    void *data;
    size_t bytes;
    for (int32_t at = 0; next_part(c, g, block, &at, &data, &bytes); from += bytes)
        d->calls->write(d, data, from, bytes);
}

KvView kv_cache_view(const KvCache *c, int32_t layer)
{
    return (KvView){.k = c->k[layer], .v = c->v[layer], .state = c->state[layer]};
}
StateSlots kv_cache_state(const KvCache *c, int32_t s) { return kv_states_slots(c->states, s); }
const BlockId *kv_cache_table(const KvCache *c, int32_t s, int32_t g)
{
    ASSERT(g < c->ledger.paged);
    return slot_at(c, s)->table[g];
}
int32_t kv_cache_blocks(const KvCache *c, int32_t s) { return slot_at(c, s)->blocks; }
int32_t kv_cache_named(const KvCache *c, int32_t s) { return slot_at(c, s)->named; }
const KvLedger *kv_cache_ledger(const KvCache *c) { return &c->ledger; }
BlockCounts kv_cache_counts(const KvCache *c, int32_t g) { return block_pool_counts(c->pool[g]); }
const BlockPool *kv_cache_pool(const KvCache *c, int32_t g) { return c->pool[g]; }
const PrefixIndex *kv_cache_index(const KvCache *c) { return c->index; }
int32_t kv_cache_computed(const KvCache *c, int32_t s) { return slot_at(c, s)->computed; }
KvAsked kv_cache_asked(const KvCache *c) { return c->asked; }
uint64_t kv_cache_salt(const KvCache *c, int32_t s) { return slot_at(c, s)->salt; }

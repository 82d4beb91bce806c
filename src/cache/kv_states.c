#include "cache/kv_states.h"

#include "base/checked.h"

typedef struct State {
    StateSlots slots;
    int32_t branch, last;      /* positions worth keeping; beyond the last the sequence generates */
    BlockId rolling;           /* the newest snapshot of its answer, ... */
    NodeId rolling_node;       /* ... if it still has this name */
} State;

struct KvStates {
    BlockPool *pool;
    PrefixIndex *index;
    int32_t group, interval;
    bool keeps;                /* snapshots */
    State *of;                 /* [sequences] */
};

static const State empty = {.slots = {BLOCK_NONE, BLOCK_NONE}, .rolling = BLOCK_NONE};

KvStates *kv_states_new(Arena *arena, const KvLedger *l, BlockPool *pool, PrefixIndex *index)
{
    KvStates *st = ARENA_NEW(arena, KvStates);
    if (!st || !(st->of = ARENA_ARRAY(arena, State, (size_t)l->options.sequences)))
        return NULL;
    st->pool = pool;
    st->index = index;
    st->group = l->paged;
    st->interval = l->options.state_interval;
    st->keeps = l->options.state_snapshots > 0;
    for (int32_t s = 0; s < l->options.sequences; s++)
        st->of[s] = empty;
    return st;
}

void kv_states_start(KvStates *st, int32_t s, BlockId snapshot, int32_t branch, int32_t last)
{
    if (!st)
        return;
    st->of[s] = empty;
    st->of[s].slots.from = snapshot;
    st->of[s].branch = branch;
    st->of[s].last = last;
    if (snapshot != BLOCK_NONE)
        block_pool_share(st->pool, snapshot);
}

int32_t kv_states_stop(const KvStates *st, int32_t s, int32_t from, int32_t to)
{
    if (!st || !st->keeps)
        return to;
    const State *q = &st->of[s];
    int64_t next = st->interval > 0 ? ((int64_t)from / st->interval + 1) * st->interval : to;
    const int64_t stops[] = {next, q->branch, q->last};
    for (size_t i = 0; i < COUNT_OF(stops); i++)
        if (stops[i] > from)
            to = (int32_t)min_i64(to, stops[i]);
    return to;
}

static bool in_place(const KvStates *st, BlockId slot)
{
    return slot != BLOCK_NONE && block_pool_references(st->pool, slot) == 1 && block_pool_name(st->pool, slot) == NAME_NONE;
}

int32_t kv_states_lacks(const KvStates *st, int32_t s, bool tentative)
{
    return st && (tentative || !in_place(st, st->of[s].slots.from));
}

void kv_states_step(KvStates *st, int32_t s, bool tentative)
{
    if (!st)
        return;
    StateSlots *slots = &st->of[s].slots;
    ASSERT(slots->to == BLOCK_NONE);
    slots->to = slots->from;
    if (kv_states_lacks(st, s, tentative)) {
        bool taken = block_pool_take(st->pool, 1, &slots->to);
        ASSERT(taken);
    }
}

/* The newest snapshot of an answer takes the place of the one before, unless that is in use. */
static void roll(KvStates *st, State *q, NodeId node)
{
    BlockId before = q->rolling;
    if (before != BLOCK_NONE && block_pool_name(st->pool, before) == q->rolling_node
        && block_pool_references(st->pool, before) == 0)
        block_pool_uncache(st->pool, before);
    q->rolling = node == NODE_NONE ? BLOCK_NONE : q->slots.from;
    q->rolling_node = node;
}

static void keep(KvStates *st, State *q, int32_t computed, NodeId node)
{
    bool regular = st->interval > 0 && computed % st->interval == 0;
    if (!regular && computed != q->branch && computed < q->last)
        return;
    if (prefix_index_block(st->index, node, st->group) != BLOCK_NONE)
        return;   /* another sequence came here first */
    block_pool_set_name(st->pool, q->slots.from, node);
    prefix_index_put(st->index, node, st->group, q->slots.from);
    if (computed > q->last)
        roll(st, q, regular ? NODE_NONE : node);
}

void kv_states_commit(KvStates *st, int32_t s, int32_t computed, NodeId node)
{
    if (!st)
        return;
    StateSlots *slots = &st->of[s].slots;
    ASSERT(slots->to != BLOCK_NONE);
    if (slots->from != BLOCK_NONE && slots->from != slots->to)
        block_pool_give(st->pool, slots->from);
    *slots = (StateSlots){slots->to, BLOCK_NONE};
    if (st->keeps && node != NODE_NONE)
        keep(st, &st->of[s], computed, node);
}

void kv_states_rewind(KvStates *st, int32_t s)
{
    if (!st)
        return;
    StateSlots *slots = &st->of[s].slots;
    if (slots->to != BLOCK_NONE && slots->to != slots->from)
        block_pool_give(st->pool, slots->to);
    slots->to = BLOCK_NONE;
}

void kv_states_fork(KvStates *st, int32_t from, int32_t to)
{
    if (st)
        kv_states_start(st, to, st->of[from].slots.from, st->of[from].branch, st->of[from].last);
}

void kv_states_drop(KvStates *st, int32_t s)
{
    if (!st)
        return;
    kv_states_rewind(st, s);
    if (st->of[s].slots.from != BLOCK_NONE)
        block_pool_give(st->pool, st->of[s].slots.from);
    st->of[s] = empty;
}

int32_t kv_states_held(const KvStates *st, int32_t s)
{
    if (!st)
        return 0;
    StateSlots slots = st->of[s].slots;
    return (slots.from != BLOCK_NONE) + (slots.to != BLOCK_NONE && slots.to != slots.from);
}

StateSlots kv_states_slots(const KvStates *st, int32_t s)
{
    return st ? st->of[s].slots : empty.slots;
}

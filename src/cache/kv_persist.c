#include "cache/kv_persist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { FETCHES_MAX = 1024 };      /* that wait; whoever comes then does not */

typedef struct Held {
    int32_t group;
    BlockId block;
} Held;

/* Of one sequence. */
typedef struct Offer {
    int32_t done;                /* leading blocks that files have, or will have */
    KvName name;                 /* of the last of them */
} Offer;

typedef struct Fetch {
    const int32_t *tokens;       /* NULL: nobody waits for it any more */
    int32_t blocks, missing;     /* missing: at the last look ... */
    bool asked;                  /* ... before the last read; false: there was none */
    uint64_t salt;
} Fetch;

struct KvPersist {
    KvFiles *files;
    KvCache *cache;
    Device *device;
    Offer *offer;                /* [sequences] */
    Fetch *fetch;                /* ring [FETCHES_MAX]: turns [first, next) */
    uint64_t first, next;
    NodeId *path;                /* [blocks of a sequence] */
    KvName *names;
    uint32_t *missing;           /* groups */
    Held *held;                  /* [blocks of a sequence * groups] */
    bool reading;                /* for the first */
    int32_t wanted;              /* units of the read */
};

/* --- to the files --- */

static uint32_t groups_of(const KvPersist *p, NodeId node)
{
    uint32_t groups = 0;
    for (int32_t g = 0; g < kv_cache_ledger(p->cache)->groups; g++)
        groups |= (uint32_t)(prefix_index_block(kv_cache_index(p->cache), node, g) != BLOCK_NONE) << g;
    return groups;
}

static void hand_over(KvPersist *p, NodeId node, KvName parent, KvUnit *u)
{
    const KvLedger *l = kv_cache_ledger(p->cache);
    const PrefixIndex *index = kv_cache_index(p->cache);
    uint8_t *to = u->bytes;
    u->parent = parent;
    memcpy(u->tokens, prefix_index_tokens(index, node), (size_t)l->options.block_tokens * sizeof *u->tokens);
    for (int32_t g = 0; g < l->groups; g++)
        if (u->groups >> g & 1) {
            kv_cache_save(p->cache, p->device, g, prefix_index_block(index, node, g), to);
            to += l->group[g].block_bytes;
        }
    kv_files_write(p->files, u);
}

/* False: there is no staging memory now. */
static bool offer_block(KvPersist *p, Offer *o, NodeId node, uint64_t salt)
{
    KvUnit *u;
    KvName parent = o->done > 0 ? o->name : kv_files_root(p->files, salt);
    KvName name = kv_files_next(p->files, &parent, prefix_index_tokens(kv_cache_index(p->cache), node));
    KvStage stage = kv_files_stage(p->files, &name, groups_of(p, node), &u);
    if (stage == KV_NO_STAGE)
        return false;
    if (stage == KV_STAGED)
        hand_over(p, node, parent, u);
    o->name = name;
    o->done++;
    return true;
}

static void offer(void *with, int32_t s, bool gone)
{
    KvPersist *p = with;
    Offer *o = &p->offer[s];
    int32_t named = kv_cache_named(p->cache, s);
    NodeId node = kv_cache_node(p->cache, s);
    for (int32_t i = named - 1; i >= o->done; i--, node = prefix_index_parent(kv_cache_index(p->cache), node))
        p->path[i] = node;
    while (o->done < named && offer_block(p, o, p->path[o->done], kv_cache_salt(p->cache, s)))
        ;
    if (gone)
        *o = (Offer){0};
}

/* --- from the files --- */

typedef struct Reach {
    int32_t blocks;              /* that memory and files know together */
    int32_t missing;             /* of those, how many have to be read */
} Reach;

/* The longest past of which each group has what the next row looks at, here or there: as longest_match() of the
 * cache, with files beside the index. Leaves the nodes' names, and what memory lacks of each. */
static int32_t longest(KvPersist *p, const Fetch *f)
{
    const KvLedger *l = kv_cache_ledger(p->cache);
    int32_t bt = l->options.block_tokens, run[KV_GROUPS_MAX] = {0}, best = 0;
    KvName name = kv_files_root(p->files, f->salt);
    NodeId node = NODE_ROOT;
    for (int32_t i = 0; i < f->blocks; i++) {
        const int32_t *tokens = f->tokens + i * bt;
        name = p->names[i] = kv_files_next(p->files, &name, tokens);
        node = node == NODE_NONE ? NODE_NONE : prefix_index_find(kv_cache_index(p->cache), node, f->salt, tokens);
        uint32_t here = node == NODE_NONE ? 0 : groups_of(p, node), all = here | kv_files_groups(p->files, &name);
        p->missing[i] = all & ~here;
        bool usable = !kv_ledger_has_states(l) || all >> l->paged & 1;
        for (int32_t g = 0; g < l->paged; g++) {
            run[g] = all >> g & 1 ? run[g] + 1 : 0;
            usable &= run[g] >= i + 1 - kv_group_first(&l->group[g], (i + 1) * bt, bt);
        }
        if (usable)
            best = i + 1;
    }
    return best;
}

static Reach reach_of(KvPersist *p, const Fetch *f)
{
    const KvLedger *l = kv_cache_ledger(p->cache);
    Reach r = {.blocks = longest(p, f)};
    for (int32_t i = 0; i < r.blocks; i++) {
        uint32_t needed = kv_ledger_has_states(l) && i == r.blocks - 1 ? 1u << l->paged : 0;
        for (int32_t g = 0; g < l->paged; g++)
            if (i >= kv_group_first(&l->group[g], r.blocks * l->options.block_tokens, l->options.block_tokens))
                needed |= 1u << g;
        p->missing[i] &= needed;
        r.missing += p->missing[i] != 0;
    }
    return r;
}

static Fetch *fetch_of(const KvPersist *p, uint64_t turn) { return &p->fetch[turn % FETCHES_MAX]; }

uint64_t kv_persist_fetch(KvPersist *p, const int32_t *tokens, int32_t limit, uint64_t salt)
{
    if (!p || p->next - p->first == FETCHES_MAX || kv_files_empty(p->files))
        return 0;
    Fetch f = {.tokens = tokens, .blocks = limit / kv_cache_ledger(p->cache)->options.block_tokens, .salt = salt};
    if (reach_of(p, &f).missing == 0)
        return 0;
    *fetch_of(p, p->next) = f;
    return p->next++;
}

bool kv_persist_waits(const KvPersist *p, uint64_t turn) { return p && turn >= p->first; }

void kv_persist_cancel(KvPersist *p, uint64_t turn)
{
    if (kv_persist_waits(p, turn))
        fetch_of(p, turn)->tokens = NULL;
}

static void ask(KvPersist *p, const Fetch *f, int32_t blocks)
{
    int32_t most, bt = kv_cache_ledger(p->cache)->options.block_tokens;
    KvUnit *units = kv_files_read_begin(p->files, &most);
    ASSERT(units);
    p->wanted = 0;
    for (int32_t i = 0; i < blocks && p->wanted < most; i++)
        if (p->missing[i]) {
            KvUnit *u = &units[p->wanted++];
            u->name = p->names[i];
            u->parent = i > 0 ? p->names[i - 1] : kv_files_root(p->files, f->salt);
            memcpy(u->tokens, f->tokens + i * bt, (size_t)bt * sizeof *u->tokens);
        }
    p->reading = true;
    kv_files_read(p->files, p->wanted);
}

/* Takes in, or only holds, the blocks of one node; returns how many are held now. */
static int32_t take_in(KvPersist *p, NodeId node, const KvUnit *u, int32_t held)
{
    const KvLedger *l = kv_cache_ledger(p->cache);
    const uint8_t *from = u ? u->bytes : NULL;
    for (int32_t g = 0; g < l->groups; g++) {
        bool brought = u && u->groups >> g & 1, fresh;
        BlockId block = kv_cache_adopt(p->cache, node, g, brought, &fresh);
        if (fresh)
            kv_cache_load(p->cache, p->device, g, block, from);
        if (brought)
            from += l->group[g].block_bytes;
        if (block != BLOCK_NONE)
            p->held[held++] = (Held){g, block};
    }
    return held;
}

/* Nothing of this past is evicted while more of it comes: all of it is held, and goes back from its end. */
static void take_in_all(KvPersist *p, const Fetch *f, const KvUnit *units)
{
    int32_t bt = kv_cache_ledger(p->cache)->options.block_tokens, held = 0, at = 0;
    NodeId node = NODE_ROOT;
    KvName name = kv_files_root(p->files, f->salt);
    for (int32_t i = 0; i < f->blocks && at < p->wanted; i++) {
        name = kv_files_next(p->files, &name, f->tokens + i * bt);
        bool here = !memcmp(&units[at].name, &name, sizeof name);
        if ((node = kv_cache_walk(p->cache, node, f->salt, f->tokens + i * bt)) == NODE_NONE)
            break;
        held = take_in(p, node, here ? &units[at] : NULL, held);
        at += here;
    }
    if (node != NODE_NONE)
        kv_cache_leave(p->cache, node);
    while (held-- > 0)
        kv_cache_let_go(p->cache, p->held[held].group, p->held[held].block);
}

static void finish_read(KvPersist *p)
{
    if (!p->reading || !kv_files_read_done(p->files))
        return;
    const Fetch *f = fetch_of(p, p->first);
    if (f->tokens)
        take_in_all(p, f, kv_files_read_units(p->files));
    kv_files_read_end(p->files);
    p->reading = false;
}

/* Asks for what is missing, once more only if the last read brought something that stays. */
static bool goes_on(KvPersist *p, Fetch *f)
{
    if (!f->tokens)
        return false;
    Reach r = reach_of(p, f);
    bool worth_it = r.missing > 0 && (!f->asked || r.missing < f->missing);
    f->missing = r.missing;
    f->asked = true;
    if (worth_it)
        ask(p, f, r.blocks);
    return worth_it;
}

void kv_persist_step(KvPersist *p)
{
    if (!p)
        return;
    finish_read(p);
    while (!p->reading && p->first < p->next && !goes_on(p, fetch_of(p, p->first)))
        p->first++;
}

/* --- birth and end --- */

/* All that the bits of a block depend on beside the weights. */
static void describe(const KvLedger *l, const Device *d, char *out, size_t bytes)
{
    int used = snprintf(out, bytes, "ridge %s, %s, %s, blocks of %d", RIDGE_VERSION, d->name, l->options.format->name,
                        l->options.block_tokens);
    for (int32_t g = 0; g < l->groups; g++)
        used += snprintf(out + used, bytes - (size_t)used, ", group %d %d %d %lld", (int)l->group[g].kind, l->group[g].window,
                         l->group[g].layers, (long long)l->group[g].block_bytes);
}

static Err build(KvPersist *p, const KvFilesOptions *o, KvFilesWake wake, Error *err)
{
    const KvLedger *l = kv_cache_ledger(p->cache);
    KvBlockShape shape = {.block_tokens = l->options.block_tokens, .groups = l->groups};
    char what[1024];
    size_t sequences = (size_t)l->options.sequences, blocks = (size_t)ceil_div(l->options.context, l->options.block_tokens);
    for (int32_t g = 0; g < l->groups; g++)
        shape.group_bytes[g] = l->group[g].block_bytes;
    p->offer = calloc(sequences, sizeof *p->offer);
    p->fetch = calloc(FETCHES_MAX, sizeof *p->fetch);
    p->first = p->next = 1;
    p->path = calloc(blocks, sizeof *p->path);
    p->names = calloc(blocks, sizeof *p->names);
    p->missing = calloc(blocks, sizeof *p->missing);
    p->held = calloc(blocks * (size_t)l->groups, sizeof *p->held);
    if (!p->offer || !p->fetch || !p->path || !p->names || !p->missing || !p->held)
        return fail(err, NO_MEMORY, "no memory to keep the cache in %s", o->directory);
    describe(l, p->device, what, sizeof what);
    return kv_files_open(&p->files, o, &shape, what, wake, err);
}

Err kv_persist_open(KvPersist **out, const KvFilesOptions *o, KvCache *cache, Device *device, KvFilesWake wake, Error *err)
{
    KvPersist *p = calloc(1, sizeof *p);
    if (!p)
        return fail(err, NO_MEMORY, "no memory to keep the cache in %s", o->directory);
    p->cache = cache;
    p->device = device;
    Err result = build(p, o, wake, err);
    if (result != OK) {
        kv_persist_close(p);
        return result;
    }
    kv_cache_set_keeper(cache, (KvKeeper){offer, p});
    *out = p;
    return OK;
}

void kv_persist_close(KvPersist *p)
{
    if (!p)
        return;
    kv_cache_set_keeper(p->cache, (KvKeeper){0});
    kv_files_close(p->files);
    free(p->offer);
    free(p->fetch);
    free(p->path);
    free(p->names);
    free(p->missing);
    free(p->held);
    free(p);
}

KvFilesStats kv_persist_stats(const KvPersist *p) { return p ? kv_files_stats(p->files) : (KvFilesStats){0}; }

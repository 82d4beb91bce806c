#include "cache/kv_ledger.h"

#include "base/checked.h"

enum { BLOCK_TOKENS_MAX = 1024, SEQUENCES_MAX = 4096, CONTEXT_MAX = 1 << 26, HEADS_MAX = 1 << 14, WIDTH_MAX = 1 << 16 };
enum { SNAPSHOTS_MAX = 1 << 16, STATE_WIDTH_MAX = 1 << 28, SLOTS_OF_ONE = 2 };
static const int64_t TOKENS_MAX = INT32_MAX;   /* so that every count of blocks is an int32_t */

static int64_t layer_block_bytes(const KvLayer *layer, const KvOptions *o)
{
    int64_t elems = (int64_t)layer->heads * (layer->key_width + layer->value_width) * o->block_tokens;
    return (int64_t)format_row_bytes(o->format, elems);
}

static Err check_options(const KvOptions *o, Error *err)
{
    const struct { const char *name; int64_t value, min, max; } bounds[] = {
        {"tokens of a block", o->block_tokens, 1, BLOCK_TOKENS_MAX},
        {"sequences", o->sequences, 1, SEQUENCES_MAX},
        {"context", o->context, 1, CONTEXT_MAX},
        {"rows of a step", o->rows, 1, CONTEXT_MAX},
        {"snapshots of states", o->state_snapshots, 0, SNAPSHOTS_MAX},
        {"tokens between snapshots", o->state_interval, 0, CONTEXT_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(bounds); i++)
        if (bounds[i].value < bounds[i].min || bounds[i].value > bounds[i].max)
            return fail(err, BAD_ARGUMENT, "cache: %s: %lld; it must be from %lld to %lld", bounds[i].name,
                        (long long)bounds[i].value, (long long)bounds[i].min, (long long)bounds[i].max);
    if (o->tokens < 0 || o->bytes < 0)
        return fail(err, BAD_ARGUMENT, "cache: its size must not be negative");
    if (!o->format->encode)
        return fail(err, UNSUPPORTED, "cache: keys and values cannot be kept as %s, which cannot be written; choose F16",
                    o->format->name);
    return OK;
}

/* A key or a value of one head and position is a row of its own: whole blocks of the format. */
static Err check_shape(int32_t i, const KvLayer *layer, const Format *f, Error *err)
{
    if (layer->heads < 1 || layer->heads > HEADS_MAX || layer->key_width < 1 || layer->key_width > WIDTH_MAX
        || layer->value_width < 0 || layer->value_width > WIDTH_MAX)
        return fail(err, BAD_ARGUMENT, "layer %d: %d key/value heads of %d and %d values cannot be kept", i, layer->heads,
                    layer->key_width, layer->value_width);
    int32_t width = layer->key_width % f->block_elems ? layer->key_width : layer->value_width;
    if (width % f->block_elems)
        return fail(err, UNSUPPORTED, "layer %d: heads of %d cannot be kept as %s, whose blocks are of %d; choose a format of "
                    "single values, as F16", i, width, f->name, f->block_elems);
    return OK;
}

static Err group_for(KvLedger *l, int32_t layer, const KvLayer *like, Error *err)
{
    int32_t window = like->kind == KV_FULL ? 0 : like->window, g = 0;
    while (g < l->groups && (l->group[g].kind != like->kind || l->group[g].window != window))
        g++;
    if (g == KV_GROUPS_MAX)
        return fail(err, UNSUPPORTED, "layer %d: more than %d different windows in one model", layer, KV_GROUPS_MAX);
    if (g == l->groups)
        l->group[l->groups++] = (KvGroup){.kind = like->kind, .window = window};
    l->group[g].layers++;
    l->group[g].block_bytes += layer_block_bytes(like, &l->options);
    l->group_of[layer] = (int16_t)g;
    return OK;
}

static Err group_layers(KvLedger *l, const KvLayout *layout, Error *err)
{
    for (int32_t i = 0; i < layout->layers; i++) {
        const KvLayer *layer = &layout->layer[i];
        l->owner_of[i] = (int16_t)i;
        l->group_of[i] = -1;
        switch (layer->kind) {
        case KV_WINDOW:
        case KV_CHUNK:
            if (layer->window < 1)
                return fail(err, BAD_ARGUMENT, "layer %d: a window of %d tokens", i, layer->window);
            /* fall through */
        case KV_FULL:
            TRY(check_shape(i, layer, l->options.format, err));
            TRY(group_for(l, i, layer, err));
            break;
        case KV_ALIAS:
            if (layer->alias_of < 0 || layer->alias_of >= i)
                return fail(err, BAD_ARGUMENT, "layer %d: reads layer %d, which is not below it", i, layer->alias_of);
            if (l->group_of[layer->alias_of] < 0)
                return fail(err, BAD_ARGUMENT, "layer %d: reads layer %d, which keeps no keys and values", i, layer->alias_of);
            l->owner_of[i] = l->owner_of[layer->alias_of];
            l->group_of[i] = l->group_of[layer->alias_of];
            break;
        case KV_NONE:
        case KV_STATE:
            break;
        }
    }
    l->paged = l->groups;
    return OK;
}

/* The states of all layers are one group: what a sequence knows at a position belongs together. */
static Err group_states(KvLedger *l, const KvLayout *layout, Error *err)
{
    KvGroup states = {.kind = KV_STATE};
    for (int32_t i = 0; i < layout->layers; i++) {
        int32_t width = layout->layer[i].state_width;
        if (width < (layout->layer[i].kind == KV_STATE) || width > STATE_WIDTH_MAX)
            return fail(err, BAD_ARGUMENT, "layer %d: a state of %d numbers cannot be kept", i, width);
        states.layers += width > 0;
        states.block_bytes += (int64_t)width * (int64_t)sizeof(float);
    }
    if (states.layers == 0)
        return OK;
    if (l->groups == KV_GROUPS_MAX)
        return fail(err, UNSUPPORTED, "more than %d different windows in one model, and states", KV_GROUPS_MAX - 1);
    l->group[l->groups++] = states;
    l->state_bytes = states.block_bytes;
    return OK;
}

/* Blocks that n neighbouring positions can touch, wherever they begin. */
static int64_t blocks_touched(int64_t n, int32_t block_tokens) { return ceil_div(n - 1, block_tokens) + 1; }

int32_t kv_ledger_blocks(const KvLedger *l, int32_t group, int64_t tokens, int32_t rows)
{
    const KvGroup *g = &l->group[group];
    int64_t all = ceil_div(tokens, l->options.block_tokens);
    if (g->kind == KV_STATE)
        return SLOTS_OF_ONE;
    if (g->kind == KV_FULL)
        return (int32_t)all;
    return (int32_t)min_i64(all, blocks_touched((int64_t)g->window - 1 + rows, l->options.block_tokens));
}

/* So that every sequence may have its window and one step's rows be added; more serves nobody but
 * the cached prefixes, and those have what the running sequences leave. */
static int32_t pool_blocks(const KvLedger *l, const KvGroup *g, int64_t tokens)
{
    const KvOptions *o = &l->options;
    int64_t all = ceil_div(tokens, o->block_tokens);
    if (g->kind == KV_FULL)
        return (int32_t)all;
    int64_t each = ceil_div(g->window, o->block_tokens) + 2;
    int64_t most = each * o->sequences + ceil_div(o->rows, o->block_tokens);
    int64_t least = min_i64(ceil_div(o->context, o->block_tokens),
                            blocks_touched((int64_t)g->window - 1 + o->rows, o->block_tokens));
    return (int32_t)max_i64(least, min_i64(all, most));
}

static void settle(KvLedger *l, int64_t tokens)
{
    l->options.tokens = tokens;
    l->pool_bytes = 0;
    for (int32_t g = 0; g < l->groups; g++) {
        if (g < l->paged)
            l->group[g].blocks = pool_blocks(l, &l->group[g], tokens);
        l->pool_bytes += l->group[g].blocks * l->group[g].block_bytes;
    }
}

/* Two slots for each sequence, and the snapshots. Where memory is short, what fits: into all of it, or, if
 * keys and values need a place too, into half of it at most. Fewer sequences run at a time then. */
static void settle_slots(KvLedger *l)
{
    const KvOptions *o = &l->options;
    KvGroup *states = &l->group[l->paged];
    int64_t slots = (int64_t)SLOTS_OF_ONE * o->sequences + o->state_snapshots;
    if (o->bytes > 0) {
        settle(l, 1);   /* without a slot so far: the least that keys and values take */
        int64_t room = l->paged > 0 ? min_i64(o->bytes / 2, o->bytes - l->pool_bytes) : o->bytes;
        slots = min_i64(slots, room / states->block_bytes);
    }
    states->blocks = (int32_t)max_i64(slots, SLOTS_OF_ONE);
}

static Err settle_bytes(KvLedger *l, int64_t bytes, int64_t tokens_max, Error *err)
{
    int64_t low = 0, high = tokens_max;   /* the most tokens whose blocks fit */
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        settle(l, middle);
        if (l->pool_bytes <= bytes)
            low = middle;
        else
            high = middle - 1;
    }
    settle(l, max_i64(low, 1));
    if (l->pool_bytes > bytes)
        return fail(err, BAD_ARGUMENT, "a cache of %lld bytes holds nothing: the smallest for this model takes %lld",
                    (long long)bytes, (long long)l->pool_bytes);
    return OK;
}

Err kv_ledger_init(KvLedger *l, const KvLayout *layout, const KvOptions *o, Error *err)
{
    TRY(check_options(o, err));
    *l = (KvLedger){.options = *o};
    l->options.state_interval = (int32_t)ceil_div(o->state_interval, o->block_tokens) * o->block_tokens;
    TRY(group_layers(l, layout, err));
    TRY(group_states(l, layout, err));
    if (kv_ledger_has_states(l))
        settle_slots(l);
    for (int32_t g = 0; g < l->paged; g++) {
        const KvGroup *group = &l->group[g];
        if (group->kind == KV_FULL)
            l->token_bytes += group->block_bytes / o->block_tokens;
        else
            l->window_bytes += kv_ledger_blocks(l, g, o->context, 1) * group->block_bytes;
    }
    int64_t tokens_max = min_i64((int64_t)o->sequences * o->context, TOKENS_MAX);
    if (o->bytes > 0)
        return settle_bytes(l, o->bytes, tokens_max, err);
    settle(l, o->tokens > 0 ? min_i64(o->tokens, tokens_max) : tokens_max);
    return OK;
}

int64_t kv_ledger_sequence_bytes(const KvLedger *l, int64_t tokens)
{
    int64_t bytes = l->state_bytes;
    for (int32_t g = 0; g < l->paged; g++)
        bytes += kv_ledger_blocks(l, g, tokens, 1) * l->group[g].block_bytes;
    return bytes;
}

int64_t kv_ledger_sequences(const KvLedger *l, int64_t tokens)
{
    int64_t fit = l->options.sequences;
    for (int32_t g = 0; g < l->groups; g++) {
        int32_t blocks = kv_ledger_blocks(l, g, tokens, 1);
        if (blocks > 0)
            fit = min_i64(fit, l->group[g].blocks / blocks);
    }
    return fit;
}

int64_t kv_ledger_longest(const KvLedger *l)
{
    int64_t longest = l->options.context;
    for (int32_t g = 0; g < l->groups; g++)
        if (l->group[g].kind == KV_FULL)
            longest = min_i64(longest, (int64_t)l->group[g].blocks * l->options.block_tokens);
    return longest;
}

int32_t kv_group_first(const KvGroup *g, int32_t position, int32_t block_tokens)
{
    if (g->kind == KV_FULL)
        return 0;
    int32_t first = g->kind == KV_CHUNK ? position / g->window * g->window : position - g->window + 1;
    return first > 0 ? first / block_tokens : 0;
}

#include "text/grammar_rules.h"

#include <stdlib.h>

enum { CODE_POINT_MAX = 0x10FFFF, SURROGATE_FIRST = 0xD800, SURROGATE_LAST = 0xDFFF };

void grammar_rules_init(GrammarRules *g)
{
    *g = (GrammarRules){0};
    buf_init(&g->bytes, GRAMMAR_TEXT_MAX);
}

void grammar_rules_deinit(GrammarRules *g)
{
    free(g->nodes);
    free(g->kids);
    free(g->ranges);
    free(g->rules);
    free(g->buckets);
    buf_deinit(&g->bytes);
}

/* Room for `more` elements; false: at the limit, or no memory. */
static bool make_room(void *array, uint32_t count, uint32_t more, uint32_t *room, uint32_t max, size_t element_bytes)
{
    if (more > max - count)
        return false;
    if (count + more <= *room)
        return true;
    uint32_t wanted = *room ? *room * 2 : 256;
    while (wanted < count + more)
        wanted *= 2;
    void *bigger = realloc(*(void **)array, wanted * element_bytes);
    if (!bigger)
        return false;
    *(void **)array = bigger;
    *room = wanted;
    return true;
}

static uint32_t add_node(GrammarRules *g, RuleNode node)
{
    if (node.depth > GRAMMAR_TREE_DEPTH_MAX ||
        !make_room(&g->nodes, g->node_count, 1, &g->node_room, GRAMMAR_NODES_MAX, sizeof *g->nodes)) {
        g->full = true;
        return 0;
    }
    node.shared = -1;
    g->nodes[g->node_count] = node;
    return g->node_count++;
}

uint32_t rules_text(GrammarRules *g, Span bytes, bool control)
{
    uint32_t first = (uint32_t)g->bytes.bytes;
    if (!buf_put_span(&g->bytes, bytes))
        g->full = true;
    return add_node(g, (RuleNode){.kind = NODE_TEXT, .first = first, .count = (uint32_t)bytes.bytes, .control = control,
                                  .size = (uint32_t)bytes.bytes});
}

static int by_beginning(const void *a, const void *b)
{
    const CharRange *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

/* Adds a range to the class that begins at `first`, without surrogates, joined with the one before. */
static void add_range(GrammarRules *g, uint32_t first, uint32_t from, uint32_t to)
{
    if (from < SURROGATE_FIRST && to >= SURROGATE_FIRST) {
        add_range(g, first, from, SURROGATE_FIRST - 1);
        from = SURROGATE_FIRST;
    }
    if (from >= SURROGATE_FIRST && from <= SURROGATE_LAST)
        from = SURROGATE_LAST + 1;
    if (from > to)
        return;
    CharRange *last = g->range_count > first ? &g->ranges[g->range_count - 1] : NULL;
    if (last && from <= last->to + 1) {
        if (to > last->to)
            last->to = to;
        return;
    }
    if (make_room(&g->ranges, g->range_count, 1, &g->range_room, GRAMMAR_RANGES_MAX, sizeof *g->ranges))
        g->ranges[g->range_count++] = (CharRange){from, to};
    else
        g->full = true;
}

uint32_t rules_chars(GrammarRules *g, CharRange *ranges, uint32_t count, bool negated)
{
    uint32_t first = g->range_count, next = 0;
    if (count)
        qsort(ranges, count, sizeof *ranges, by_beginning);
    for (uint32_t i = 0; i < count; i++) {
        if (!negated)
            add_range(g, first, ranges[i].from, ranges[i].to);
        else if (ranges[i].from > next)
            add_range(g, first, next, ranges[i].from - 1);
        if (ranges[i].to + 1 > next)
            next = ranges[i].to + 1;
    }
    if (negated && next <= CODE_POINT_MAX)
        add_range(g, first, next, CODE_POINT_MAX);
    uint32_t made = g->range_count - first;
    bool ascii = made == 0 || g->ranges[g->range_count - 1].to < 0x80;
    return add_node(g, (RuleNode){.kind = NODE_CHARS, .first = first, .count = made, .size = ascii ? 1 : 16 + made});
}

uint32_t rules_rule(GrammarRules *g, uint32_t rule)
{
    return add_node(g, (RuleNode){.kind = NODE_RULE, .first = rule, .size = 1});
}

static uint32_t add_sizes(uint32_t a, uint32_t b) { return a + b < GRAMMAR_NODES_MAX ? a + b : GRAMMAR_NODES_MAX; }

uint32_t rules_list(GrammarRules *g, NodeKind kind, const uint32_t *kids, uint32_t count)
{
    if (count == 1)
        return kids[0];
    if (g->full || !make_room(&g->kids, g->kid_count, count, &g->kid_room, GRAMMAR_NODES_MAX, sizeof *g->kids)) {
        g->full = true;
        return 0;
    }
    RuleNode node = {.kind = (uint8_t)kind, .first = g->kid_count, .count = count, .depth = 1};
    for (uint32_t i = 0; i < count; i++) {
        const RuleNode *kid = &g->nodes[kids[i]];
        g->kids[g->kid_count++] = kids[i];
        node.size = add_sizes(node.size, kid->size + (kind == NODE_CHOICE));
        if (kid->depth >= node.depth)
            node.depth = (uint8_t)(kid->depth + 1);
    }
    return add_node(g, node);
}

/* (x{a,b}){c,d} is x{ac,bd} where the counts that k rounds give, ka ... kb, leave no gaps between them. */
static bool one_repetition(const RuleNode *inner, uint32_t *min, uint32_t *max)
{
    uint64_t a = inner->min, b = inner->max, c = *min, d = *max;
    bool open = (b == REPEAT_ALWAYS && d > 0) || (d == REPEAT_ALWAYS && b > 0);
    bool gapless = b == REPEAT_ALWAYS ? c > 0 || a <= 1 : c == d || (c + 1) * a <= c * b + 1;
    if (!gapless || (c == 0 && d > 0 && a > 1) || a * c > GRAMMAR_REPEAT_MAX || (!open && b * d > GRAMMAR_REPEAT_MAX))
        return false;
    *min = (uint32_t)(a * c);
    *max = open ? REPEAT_ALWAYS : (uint32_t)(b * d);
    return true;
}

uint32_t rules_repeat(GrammarRules *g, uint32_t child, uint32_t min, uint32_t max)
{
    if (g->full)
        return 0;
    while (g->nodes[child].kind == NODE_REPEAT && one_repetition(&g->nodes[child], &min, &max))
        child = g->nodes[child].first;
    const RuleNode *node = &g->nodes[child];
    uint64_t copies = max == REPEAT_ALWAYS ? (uint64_t)min + 1 : max, size = copies * (node->size + 1);
    return add_node(g, (RuleNode){.kind = NODE_REPEAT, .first = child, .min = min, .max = max,
                                  .depth = (uint8_t)(node->depth + 1),
                                  .size = size < GRAMMAR_NODES_MAX ? (uint32_t)size : GRAMMAR_NODES_MAX});
}

/* ---- names ---- */

static uint32_t hash_of(Span name)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < name.bytes; i++)
        hash = (hash ^ name.data[i]) * 16777619u;
    return hash ^ hash >> 15;
}

/* Where the name is, or where it would be. */
static int32_t *bucket_of(GrammarRules *g, Span name)
{
    uint32_t at = hash_of(name) & (g->bucket_count - 1);
    while (g->buckets[at] >= 0 && !span_equal(g->rules[g->buckets[at]].name, name))
        at = (at + 1) & (g->bucket_count - 1);
    return &g->buckets[at];
}

uint32_t rules_named(GrammarRules *g, Span name, int32_t line)
{
    if (!g->buckets) {
        g->buckets = malloc(2 * GRAMMAR_RULES_MAX * sizeof *g->buckets);
        if (!g->buckets) {
            g->full = true;
            return 0;
        }
        g->bucket_count = 2 * GRAMMAR_RULES_MAX;
        memset(g->buckets, 0xFF, g->bucket_count * sizeof *g->buckets);
    }
    int32_t *bucket = bucket_of(g, name);
    if (*bucket >= 0)
        return (uint32_t)*bucket;
    if (!make_room(&g->rules, g->rule_count, 1, &g->rule_room, GRAMMAR_RULES_MAX, sizeof *g->rules)) {
        g->full = true;
        return 0;
    }
    g->rules[g->rule_count] = (RuleName){name, -1, line};
    *bucket = (int32_t)g->rule_count;
    return g->rule_count++;
}

#include "text/grammar_program.h"

#include <stdlib.h>

#include "text/grammar_order.h"

enum {
    SHARE_SIZE = 64,             /* copies that take more places together become calls of one rule */
    RECENT_SETS = 64,            /* how far back an equal place is looked for */
    SET_BUCKETS = 2 * BYTE_SETS_MAX,
};

typedef struct Compiler {
    GrammarProgram *program;
    GrammarRules *rules;
    uint32_t *bodies;            /* the node of each rule, also of those that were made here */
    uint32_t rule_room;
    uint16_t *set_bucket;        /* set number + 1 by hash */
    bool full;
} Compiler;

static uint32_t add_place(Compiler *c, PlaceKind kind, uint32_t next, uint32_t other)
{
    GrammarProgram *p = c->program;
    if (p->place_count == PLACES_MAX) {
        c->full = true;
        return PLACE_RETURN;
    }
    p->places[p->place_count] = (Place){.kind = (uint8_t)kind, .height = NO_WAY, .next = next, .other = other};
    return p->place_count++;
}

static uint32_t set_of(Compiler *c, const ByteSet *set)
{
    GrammarProgram *p = c->program;
    uint64_t hash = 0;
    for (int i = 0; i < 4; i++)
        hash = (hash ^ set->bits[i]) * 0x9E3779B97F4A7C15u, hash ^= hash >> 29;
    uint32_t at = (uint32_t)hash % SET_BUCKETS;
    for (; c->set_bucket[at]; at = (at + 1) % SET_BUCKETS)
        if (!memcmp(&p->sets[c->set_bucket[at] - 1], set, sizeof *set))
            return c->set_bucket[at] - 1u;
    if (p->set_count == BYTE_SETS_MAX) {
        c->full = true;
        return 0;
    }
    p->sets[p->set_count++] = *set;
    c->set_bucket[at] = (uint16_t)p->set_count;
    return p->set_count - 1;
}

static void set_add(ByteSet *s, uint8_t from, uint8_t to)
{
    for (int b = from; b <= to; b++)
        s->bits[b >> 6] |= 1ull << (b & 63);
}

/* ---- characters ---- */

enum { ARMS_MAX = 256 };

/* The ways into a class: which first bytes lead to which place. */
typedef struct Arms {
    Compiler *compiler;
    uint32_t next, base;         /* places below base are not of this class */
    uint32_t to[ARMS_MAX];
    ByteSet first[ARMS_MAX];
    int count;
    uint32_t out;                /* where those that were gathered begin */
    bool gathered;
} Arms;

/* The place that reads one of the bytes and goes on; one that was just made, where it is the same. */
static uint32_t bytes_place(Compiler *c, uint32_t base, const ByteSet *set, uint32_t next)
{
    const GrammarProgram *p = c->program;
    uint32_t number = set_of(c, set);
    for (uint32_t i = p->place_count; i > base && i + RECENT_SETS > p->place_count; i--)
        if (p->places[i - 1].kind == AT_BYTES && p->places[i - 1].other == number && p->places[i - 1].next == next)
            return i - 1;
    return add_place(c, AT_BYTES, next, number);
}

static void gather_arms(Arms *a)
{
    for (int i = a->count - 1; i >= 0; i--) {
        uint32_t arm = bytes_place(a->compiler, a->base, &a->first[i], a->to[i]);
        a->out = a->gathered ? add_place(a->compiler, AT_FORK, arm, a->out) : arm;
        a->gathered = true;
    }
    a->count = 0;
}

static void add_arm(Arms *a, uint8_t from, uint8_t to, uint32_t place)
{
    int i = a->count;
    while (i > 0 && a->to[i - 1] != place)
        i--;
    if (i == 0) {
        if (a->count == ARMS_MAX)
            gather_arms(a);
        i = ++a->count;
        a->to[i - 1] = place;
        a->first[i - 1] = (ByteSet){{0}};
    }
    set_add(&a->first[i - 1], from, to);
}

static int utf8_bytes(uint32_t c, uint8_t out[4])
{
    int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (int i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3F));
    out[0] = (uint8_t)(lead[n] | c);
    return n;
}

/* Cuts a range until it is a product of ranges of bytes. */
static void add_chars(Arms *a, uint32_t from, uint32_t to)
{
    static const uint32_t ends[] = {0x7F, 0x7FF, 0xFFFF};
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        if (from <= ends[i] && to > ends[i]) {
            add_chars(a, from, ends[i]);
            add_chars(a, ends[i] + 1, to);
            return;
        }
    uint8_t low[4], high[4];
    int n = utf8_bytes(from, low);
    for (int i = 1; i < n; i++) {
        uint32_t mask = (1u << 6 * i) - 1;
        if ((from & ~mask) == (to & ~mask))
            continue;
        uint32_t cut = from & mask ? from | mask : (to & mask) != mask ? (to & ~mask) - 1 : to;
        if (cut != to) {
            add_chars(a, from, cut);
            add_chars(a, cut + 1, to);
            return;
        }
    }
    utf8_bytes(to, high);
    uint32_t place = a->next;
    for (int i = n - 1; i > 0; i--) {
        ByteSet set = {{0}};
        set_add(&set, low[i], high[i]);
        place = bytes_place(a->compiler, a->base, &set, place);
    }
    add_arm(a, low[0], high[0], place);
}

static uint32_t compile_chars(Compiler *c, const RuleNode *node, uint32_t next)
{
    Arms arms = {.compiler = c, .next = next, .base = c->program->place_count};
    for (uint32_t i = 0; i < node->count && !c->full; i++)
        add_chars(&arms, c->rules->ranges[node->first + i].from, c->rules->ranges[node->first + i].to);
    if (node->count == 0)        /* no character at all: a set without a byte, so there is no way on */
        return bytes_place(c, arms.base, &(ByteSet){{0}}, next);
    gather_arms(&arms);
    return arms.out;
}

/* ---- the other nodes ---- */

static uint32_t compile_node(Compiler *c, uint32_t node, uint32_t next);

/* A control token's text stands in the vocabulary behind a byte of its own, which may come before the literal. */
static uint32_t compile_text(Compiler *c, const RuleNode *node, uint32_t next)
{
    const uint8_t *text = (const uint8_t *)c->rules->bytes.data + node->first;
    for (uint32_t i = node->count; i-- > 0 && !c->full;) {
        ByteSet set = {{0}};
        set_add(&set, text[i], text[i]);
        next = add_place(c, AT_BYTES, next, set_of(c, &set));
    }
    if (!node->control || !node->count || (text[0] != '<' && text[0] != '['))
        return next;
    ByteSet set = {{0}};
    set_add(&set, BYTE_CONTROL, BYTE_CONTROL);
    return add_place(c, AT_FORK, next, add_place(c, AT_BYTES, next, set_of(c, &set)));
}

static uint32_t add_rule(Compiler *c, uint32_t body)
{
    GrammarProgram *p = c->program;
    if (p->rule_count == c->rule_room) {
        c->full = true;
        return 0;
    }
    c->bodies[p->rule_count] = body;
    return p->rule_count++;
}

/* One copy of what is repeated: its places, or a call where the copies would be many. */
static uint32_t compile_copy(Compiler *c, uint32_t node, bool share, uint32_t next)
{
    if (!share)
        return compile_node(c, node, next);
    RuleNode *n = &c->rules->nodes[node];
    if (n->shared < 0)
        n->shared = (int32_t)add_rule(c, node);
    return add_place(c, AT_CALL, next, (uint32_t)n->shared);
}

static uint32_t compile_repeat(Compiler *c, const RuleNode *node, uint32_t next)
{
    uint32_t copies = node->max == REPEAT_ALWAYS ? node->min + 1 : node->max, size = c->rules->nodes[node->first].size;
    bool share = copies > 1 && size > 2 && (uint64_t)copies * size > SHARE_SIZE;
    uint32_t place = next;
    if (node->max == REPEAT_ALWAYS) {
        place = add_place(c, AT_FORK, next, next);
        uint32_t body = compile_copy(c, node->first, share, place);
        c->program->places[place].next = body;
    } else {
        for (uint32_t i = node->min; i < node->max && !c->full; i++)
            place = add_place(c, AT_FORK, compile_copy(c, node->first, share, place), next);
    }
    for (uint32_t i = 0; i < node->min && !c->full; i++)
        place = compile_copy(c, node->first, share, place);
    return place;
}

/* ---- choices of literals: those that begin alike share their beginning ---- */

static Span text_of(const Compiler *c, uint32_t node)
{
    const RuleNode *n = &c->rules->nodes[node];
    return span_of((const uint8_t *)c->rules->bytes.data + n->first, n->count);
}

static int by_text(const void *a, const void *b, void *with)
{
    Span x = text_of(with, *(const uint32_t *)a), y = text_of(with, *(const uint32_t *)b);
    size_t shorter = x.bytes < y.bytes ? x.bytes : y.bytes;
    int order = shorter ? memcmp(x.data, y.data, shorter) : 0;
    return order ? order : x.bytes < y.bytes ? -1 : x.bytes > y.bytes;
}

static uint32_t byte_place(Compiler *c, uint8_t byte, uint32_t next)
{
    ByteSet set = {{0}};
    set_add(&set, byte, byte);
    return add_place(c, AT_BYTES, next, set_of(c, &set));
}

/* Sorted literals that are equal up to `at`. */
static uint32_t compile_sorted(Compiler *c, const uint32_t *nodes, uint32_t count, size_t at, int depth, uint32_t next)
{
    Span first = text_of(c, nodes[0]), last = text_of(c, nodes[count - 1]);
    size_t shared = at;
    while (shared < first.bytes && shared < last.bytes && first.data[shared] == last.data[shared])
        shared++;
    uint32_t out = 0, done = 0;
    bool any = false;
    for (; done < count && text_of(c, nodes[done]).bytes == shared; done++) {
        out = next;
        any = true;
    }
    while (done < count && !c->full) {
        uint8_t byte = text_of(c, nodes[done]).data[shared];
        uint32_t group = 1;
        while (done + group < count && text_of(c, nodes[done + group]).data[shared] == byte)
            group++;
        uint32_t rest = next;
        if (depth < GRAMMAR_TREE_DEPTH_MAX) {
            rest = compile_sorted(c, nodes + done, group, shared + 1, depth + 1, next);
        } else {                 /* so deep only for strange lists: one literal at a time */
            Span text = text_of(c, nodes[done]);
            group = 1;
            for (size_t i = text.bytes; i-- > shared + 1;)
                rest = byte_place(c, text.data[i], rest);
        }
        uint32_t way = byte_place(c, byte, rest);
        out = any ? add_place(c, AT_FORK, way, out) : way;
        any = true;
        done += group;
    }
    for (size_t i = shared; i-- > at && !c->full;)
        out = byte_place(c, first.data[i], out);
    return out;
}

/* False: not all alternatives are literals, or they are few. */
static bool compile_literals(Compiler *c, const RuleNode *node, uint32_t next, uint32_t *out)
{
    const uint32_t *kids = c->rules->kids + node->first;
    for (uint32_t i = 0; i < node->count; i++)
        if (c->rules->nodes[kids[i]].kind != NODE_TEXT || c->rules->nodes[kids[i]].control)
            return false;
    uint32_t *sorted = node->count > 2 ? malloc(node->count * sizeof *sorted) : NULL;
    if (!sorted)
        return false;
    memcpy(sorted, kids, node->count * sizeof *sorted);
    qsort_r(sorted, node->count, sizeof *sorted, by_text, c);
    *out = compile_sorted(c, sorted, node->count, 0, 0, next);
    free(sorted);
    return true;
}

static uint32_t compile_choice(Compiler *c, const RuleNode *node, uint32_t next)
{
    const uint32_t *kids = c->rules->kids + node->first;
    uint32_t out;
    if (compile_literals(c, node, next, &out))
        return out;
    out = compile_node(c, kids[node->count - 1], next);
    for (uint32_t i = node->count - 1; i-- > 0;)
        out = add_place(c, AT_FORK, compile_node(c, kids[i], next), out);
    return out;
}

static uint32_t compile_node(Compiler *c, uint32_t number, uint32_t next)
{
    const RuleNode *node = &c->rules->nodes[number];
    if (c->full)
        return next;
    switch ((NodeKind)node->kind) {
    case NODE_TEXT: return compile_text(c, node, next);
    case NODE_CHARS: return compile_chars(c, node, next);
    case NODE_RULE: return add_place(c, AT_CALL, next, node->first);
    case NODE_REPEAT: return compile_repeat(c, node, next);
    case NODE_SEQUENCE:
        for (uint32_t i = node->count; i-- > 0;)
            next = compile_node(c, c->rules->kids[node->first + i], next);
        return next;
    case NODE_CHOICE: return compile_choice(c, node, next);
    }
    return next;
}

/* ---- the whole ---- */

static void split_classes(GrammarProgram *p)
{
    p->class_count = 1;
    for (uint32_t s = 0; s < p->set_count && p->class_count < 256; s++) {
        int renamed[256];
        memset(renamed, -1, sizeof renamed);
        bool outside[256] = {0};
        for (int b = 0; b < 256; b++)
            outside[p->class_of[b]] |= !byte_set_has(&p->sets[s], (uint8_t)b);
        for (int b = 0; b < 256; b++) {
            uint8_t *class = &p->class_of[b];
            if (!byte_set_has(&p->sets[s], (uint8_t)b) || !outside[*class])
                continue;
            if (renamed[*class] < 0)
                renamed[*class] = (int)p->class_count++;
            *class = (uint8_t)renamed[*class];
        }
    }
}

/* What was taken generously is cut to what is used. */
static void cut(void *array, size_t bytes)
{
    void *smaller = realloc(*(void **)array, bytes ? bytes : 1);
    if (smaller)
        *(void **)array = smaller;
}

static Err compile_rules(Compiler *c, const char *what, Error *err)
{
    GrammarProgram *p = c->program;
    p->place_count = 2;
    p->places[PLACE_ACCEPT] = (Place){.kind = AT_ACCEPT, .passes = true};
    p->places[PLACE_RETURN] = (Place){.kind = AT_RETURN, .passes = true};
    p->rule_count = c->rules->rule_count;
    for (uint32_t r = 0; r < p->rule_count; r++)
        c->bodies[r] = (uint32_t)c->rules->rules[r].body;
    for (uint32_t r = 0; r < p->rule_count && !c->full; r++)     /* more are added on the way */
        p->rules[r].start = compile_node(c, c->bodies[r], PLACE_RETURN);
    if (c->full)
        return fail(err, LIMIT_REACHED, "%s: the grammar is too large: at most %d places, %d rules and %d sets of bytes; "
                    "fewer or smaller repetitions make it smaller", what, (int)PLACES_MAX, (int)c->rule_room,
                    (int)BYTE_SETS_MAX);
    split_classes(p);
    cut(&p->places, p->place_count * sizeof *p->places);
    cut(&p->sets, p->set_count * sizeof *p->sets);
    return OK;
}

Err grammar_program_make(GrammarProgram *p, GrammarRules *rules, const char *what, Error *err)
{
    *p = (GrammarProgram){0};
    Compiler c = {.program = p, .rules = rules, .rule_room = 2 * rules->rule_count + 1024};
    p->places = malloc(PLACES_MAX * sizeof *p->places);
    p->sets = malloc(BYTE_SETS_MAX * sizeof *p->sets);
    p->rules = calloc(c.rule_room, sizeof *p->rules);
    p->in_order = calloc(c.rule_room, sizeof *p->in_order);
    c.bodies = calloc(c.rule_room, sizeof *c.bodies);
    c.set_bucket = calloc(SET_BUCKETS, sizeof *c.set_bucket);
    Err result = p->places && p->sets && p->rules && p->in_order && c.bodies && c.set_bucket
                     ? compile_rules(&c, what, err)
                     : fail(err, NO_MEMORY, "%s: no memory to compile it", what);
    free(c.bodies);
    free(c.set_bucket);
    if (result == OK)
        result = grammar_order(p, rules, what, err);
    if (result != OK)
        grammar_program_deinit(p);
    return result;
}

void grammar_program_deinit(GrammarProgram *p)
{
    free(p->places);
    free(p->rules);
    free(p->in_order);
    free(p->sets);
    *p = (GrammarProgram){0};
}

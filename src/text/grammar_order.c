#include "text/grammar_order.h"

#include <stdlib.h>

/* Who depends on a place, in one array: those that lead to it, then for the starts of rules those that call it. */
typedef struct Backward {
    uint32_t *first, *from;      /* of place i: from[first[i], first[i + 1]) */
    uint32_t *queue, *later;     /* places whose height is being settled, and those one higher */
    uint8_t *settled;
    uint32_t queued, later_count;
} Backward;

static uint32_t start_of(const GrammarProgram *p, const Place *call) { return p->rules[call->other].start; }

/* The places on which place i depends; bytes that nothing has lead nowhere. */
static int leads_to(const GrammarProgram *p, uint32_t i, uint32_t out[2])
{
    const Place *place = &p->places[i];
    int count = 0;
    if (place->kind == AT_BYTES) {
        const ByteSet *set = &p->sets[place->other];
        if (!(set->bits[0] | set->bits[1] | set->bits[2] | set->bits[3]))
            return 0;
    }
    if (place->kind >= AT_BYTES)
        out[count++] = place->next;
    if (place->kind == AT_FORK)
        out[count++] = place->other;
    if (place->kind == AT_CALL)
        out[count++] = start_of(p, place);
    return count;
}

static void turn_around(const GrammarProgram *p, Backward *b)
{
    uint32_t to[2];
    for (uint32_t i = 0; i < p->place_count; i++)
        for (int k = leads_to(p, i, to); k-- > 0;)
            b->first[to[k] + 1]++;
    for (uint32_t i = 0; i < p->place_count; i++)
        b->first[i + 1] += b->first[i];
    uint32_t total = b->first[p->place_count];
    for (uint32_t i = 0; i < p->place_count; i++)
        for (int k = leads_to(p, i, to); k-- > 0;)
            b->from[--b->first[to[k] + 1]] = i;
    /* each first[i + 1] has gone back to where place i begins */
    memmove(b->first, b->first + 1, p->place_count * sizeof *b->first);
    b->first[p->place_count] = total;
}

static bool passes_now(const GrammarProgram *p, const Place *place)
{
    switch ((PlaceKind)place->kind) {
    case AT_ACCEPT: case AT_RETURN: return true;
    case AT_BYTES: return false;
    case AT_FORK: return p->places[place->next].passes || p->places[place->other].passes;
    case AT_CALL: return p->places[place->next].passes && p->places[start_of(p, place)].passes;
    }
    return false;
}

static void find_passing(GrammarProgram *p, Backward *b)
{
    b->queued = 0;
    b->queue[b->queued++] = PLACE_RETURN;
    while (b->queued) {
        uint32_t place = b->queue[--b->queued];
        for (uint32_t i = b->first[place]; i < b->first[place + 1]; i++) {
            Place *from = &p->places[b->from[i]];
            if (from->passes || !passes_now(p, from))
                continue;
            from->passes = true;
            b->queue[b->queued++] = b->from[i];
        }
    }
}

/* A call that a rule ends with lies on nothing: what it returns to is already over. */
static uint32_t height_now(const GrammarProgram *p, const Place *place)
{
    uint32_t next = p->places[place->next].height, other;
    switch ((PlaceKind)place->kind) {
    case AT_ACCEPT: case AT_RETURN: return 0;
    case AT_BYTES: return next;
    case AT_FORK:
        other = p->places[place->other].height;
        return next < other ? next : other;
    case AT_CALL:
        other = p->places[start_of(p, place)].height;
        if (next == NO_WAY || other == NO_WAY)
            return NO_WAY;
        other += place->next != PLACE_RETURN;
        return next > other ? next : other;
    }
    return NO_WAY;
}

static void settle_level(GrammarProgram *p, Backward *b, uint32_t level)
{
    b->later_count = 0;
    while (b->queued) {
        uint32_t place = b->queue[--b->queued];
        for (uint32_t i = b->first[place]; i < b->first[place + 1]; i++) {
            uint32_t number = b->from[i], height = height_now(p, &p->places[number]);
            if (b->settled[number] || height == NO_WAY)
                continue;
            b->settled[number] = 1;
            if (height > level) {
                b->later[b->later_count++] = number;
                continue;
            }
            p->places[number].height = (uint16_t)height;
            b->queue[b->queued++] = number;
        }
    }
}

/* The lowest heights first, each settled once (Knuth 1977, "A Generalization of Dijkstra's Algorithm"). */
static void find_heights(GrammarProgram *p, Backward *b)
{
    b->queued = 0;
    b->queue[b->queued++] = PLACE_RETURN;
    p->places[PLACE_ACCEPT].height = 0;
    for (uint32_t level = 0; level <= NESTING_MAX && b->queued; level++) {
        for (uint32_t i = 0; i < b->queued; i++)
            p->places[b->queue[i]].height = (uint16_t)level;
        settle_level(p, b, level);
        uint32_t *swap = b->queue;
        b->queue = b->later;
        b->later = swap;
        b->queued = b->later_count;
    }
}

/* ---- which rule begins with which ---- */

typedef struct Beginnings {
    uint32_t *first, *rule;      /* rule i may begin with rule[first[i], first[i + 1]) */
    uint32_t *waiting;           /* how many not yet ordered rules begin with this one */
    uint32_t *before;            /* one of those that begin with this one */
    uint32_t *stack, *seen;
} Beginnings;

static void find_beginnings(const GrammarProgram *p, Beginnings *b)
{
    uint32_t count = 0;
    for (uint32_t r = 0; r < p->rule_count; r++) {
        uint32_t depth = 0, start = p->rules[r].start;
        b->first[r] = count;
        b->stack[depth++] = start;
        b->seen[start] = r + 1;
        while (depth) {
            const Place *place = &p->places[b->stack[--depth]];
            uint32_t ways[2];
            int way_count = 0;
            if (place->kind == AT_FORK)
                ways[way_count++] = place->other;
            if (place->kind == AT_CALL)
                b->rule[count++] = place->other;
            if (place->kind == AT_FORK || (place->kind == AT_CALL && p->places[start_of(p, place)].passes))
                ways[way_count++] = place->next;
            for (int i = 0; i < way_count; i++)
                if (b->seen[ways[i]] != r + 1) {
                    b->seen[ways[i]] = r + 1;
                    b->stack[depth++] = ways[i];
                }
        }
    }
    b->first[p->rule_count] = count;
}

/* A rule that lies on a circle: going back from one that is left to one that is left ends in a circle. */
static uint32_t rule_of_circle(const GrammarProgram *p, const Beginnings *b, const GrammarRules *rules)
{
    uint32_t at = 0;
    for (uint32_t r = 0; r < p->rule_count; r++)
        for (uint32_t i = b->first[r]; b->waiting[r] && i < b->first[r + 1]; i++)
            if (b->waiting[b->rule[i]])
                b->before[at = b->rule[i]] = r;
    for (uint32_t steps = 0; steps < p->rule_count; steps++)
        at = b->before[at];
    while (at >= rules->rule_count)      /* made of a repetition: the rule that it stands in has a name */
        at = b->before[at];
    return at;
}

static Err order_rules(GrammarProgram *p, Beginnings *b, const GrammarRules *rules, const char *what, Error *err)
{
    find_beginnings(p, b);
    for (uint32_t i = 0; i < b->first[p->rule_count]; i++)
        b->waiting[b->rule[i]]++;
    uint32_t ordered = 0;
    for (uint32_t r = 0; r < p->rule_count; r++)
        if (!b->waiting[r])
            p->in_order[ordered++] = r;
    for (uint32_t done = 0; done < ordered; done++) {
        uint32_t r = p->in_order[done];
        p->rules[r].order = done;
        for (uint32_t i = b->first[r]; i < b->first[r + 1]; i++)
            if (!--b->waiting[b->rule[i]])
                p->in_order[ordered++] = b->rule[i];
    }
    if (ordered == p->rule_count)
        return OK;
    const RuleName *rule = &rules->rules[rule_of_circle(p, b, rules)];
    return fail(err, BAD_ARGUMENT, "%s: line %d: the rule '%.*s' begins with itself (left recursion): "
                "write the repetition as x ( \",\" x )*, or put the rule last", what, (int)rule->line,
                (int)(rule->name.bytes < 60 ? rule->name.bytes : 60), (const char *)rule->name.data);
}

static Err order_all(GrammarProgram *p, const GrammarRules *rules, const char *what, Error *err)
{
    size_t places = p->place_count + 1, rule_room = p->rule_count + 1;
    uint32_t *memory = calloc(3 * places + 3 * rule_room, sizeof *memory);
    if (!memory)
        return fail(err, NO_MEMORY, "%s: no memory to compile it", what);
    uint32_t *of_rules = memory + 3 * places;
    Beginnings b = {.rule = memory, .stack = memory + places, .seen = memory + 2 * places, .first = of_rules,
                    .waiting = of_rules + rule_room, .before = of_rules + 2 * rule_room};
    Err result = order_rules(p, &b, rules, what, err);
    free(memory);
    return result;
}

Err grammar_order(GrammarProgram *p, const GrammarRules *rules, const char *what, Error *err)
{
    size_t places = p->place_count + 1;
    uint32_t *memory = calloc(5 * places, sizeof *memory);
    Backward b = {.settled = calloc(places, 1)};
    if (memory && b.settled) {
        b.first = memory;
        b.from = memory + places;
        b.queue = memory + 3 * places;
        b.later = memory + 4 * places;
        turn_around(p, &b);
        find_passing(p, &b);
        find_heights(p, &b);
    }
    Err result = memory && b.settled ? OK : fail(err, NO_MEMORY, "%s: no memory to compile it", what);
    free(memory);
    free(b.settled);
    TRY(result);
    TRY(order_all(p, rules, what, err));
    if (p->places[p->rules[0].start].height > NESTING_MAX)
        return fail(err, BAD_ARGUMENT, "%s: the rule 'root' can never be completed: each way through it calls a rule that has "
                    "no end, takes a character from an empty class, or nests deeper than %d", what, NESTING_MAX);
    return OK;
}

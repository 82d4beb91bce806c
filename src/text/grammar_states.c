#include "text/grammar_states.h"

enum {
    STATES_BUCKETS = 2 * STATES_MAX,
    SEEN_SLOTS = 4 * ITEMS_MAX,
    SEEN_MAX = 2 * ITEMS_MAX,    /* items that are looked at in one step */
    SEEN_FEW = 32,               /* so many are searched one by one, more by hash */
    CALLS_MAX = 2 * ITEMS_MAX,
    NO_CALL = UINT16_MAX,
    RUN_CHARS_MAX = 2 * RUN_CHARS,    /* how far a run that ends is followed */
    RUN_ASCII_MIN = 16,          /* fewer characters are no free text */
    FINISHED_MAX = 24,
};

typedef struct SeenSlot { StateItem item; uint32_t round; } SeenSlot;

/* A call that was found: its place's next, and what the caller returns to. */
typedef struct PendingCall { StateItem back; uint16_t more; } PendingCall;

typedef struct StateScratch {
    StateItem out[SEEN_MAX], work[SEEN_MAX], frame[SEEN_MAX], list[SEEN_MAX];
    SeenSlot seen[SEEN_SLOTS];
    PendingCall calls[CALLS_MAX];
    uint32_t round, out_count, work_count, seen_count, call_count;
    uint16_t *call_of;           /* [rules] the calls of a rule that are waiting */
    uint64_t *pending;           /* [rules] bit per rule, by order */
} StateScratch;

static StateItem item_of(uint32_t place, uint16_t state) { return (StateItem)place << 16 | state; }
static uint32_t item_place(StateItem i) { return (uint32_t)(i >> 16); }
static uint16_t item_state(StateItem i) { return (uint16_t)i; }

/* ---- states ---- */

static void sort_items(StateItem *items, uint32_t count)
{
    static const uint32_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};   /* Ciura 2001 */
    for (size_t g = 0; g < COUNT_OF(gaps); g++)
        for (uint32_t i = gaps[g]; i < count; i++) {
            StateItem item = items[i];
            uint32_t k = i;
            for (; k >= gaps[g] && items[k - gaps[g]] > item; k -= gaps[g])
                items[k] = items[k - gaps[g]];
            items[k] = item;
        }
}

static uint32_t hash_items(const StateItem *items, uint32_t count)
{
    uint64_t hash = count;
    for (uint32_t i = 0; i < count; i++)
        hash = (hash ^ items[i]) * 0x9E3779B97F4A7C15u, hash ^= hash >> 32;
    return (uint32_t)hash;
}

static void enter_bucket(GrammarStates *s, uint16_t state)
{
    uint16_t *bucket = &s->buckets[s->hash[state] % STATES_BUCKETS];
    s->chain[state] = *bucket;
    *bucket = state;
}

static void clear_row(GrammarStates *s, uint32_t state)
{
    uint16_t *row = &s->rows[state * s->program->class_count];
    for (uint32_t i = 0; i < s->program->class_count; i++)
        row[i] = STATE_UNKNOWN;
}

/* The state of these items, which are sorted and different; STATE_DEAD: there are none, or there is no room. */
static uint16_t state_of(GrammarStates *s, const StateItem *items, uint32_t count)
{
    if (!count)
        return STATE_DEAD;
    uint32_t hash = hash_items(items, count);
    for (uint16_t i = s->buckets[hash % STATES_BUCKETS]; i != STATE_DEAD; i = s->chain[i])
        if (s->hash[i] == hash && s->first[i + 1] - s->first[i] == count &&
            !memcmp(&s->items[s->first[i]], items, count * sizeof *items))
            return i;
    if (s->count == STATES_MAX || count > STATE_ITEMS_MAX - s->item_count) {
        s->starved++;
        return STATE_DEAD;
    }
    uint16_t state = (uint16_t)s->count++;
    memcpy(&s->items[s->item_count], items, count * sizeof *items);
    s->item_count += count;
    s->first[s->count] = s->item_count;
    s->hash[state] = hash;
    s->masks[state] = -1;
    s->runs[state] = (StateRun){0};
    uint16_t depth = 0;
    for (uint32_t i = 0; i < count; i++)
        if (item_place(items[i]) != PLACE_ACCEPT && s->depth[item_state(items[i])] >= depth)
            depth = (uint16_t)(s->depth[item_state(items[i])] + 1);
    s->depth[state] = depth;
    clear_row(s, state);
    enter_bucket(s, state);
    return state;
}

/* ---- one step ---- */

/* Enters an item into the hash; false: it was there. */
static bool enter_seen(StateScratch *x, StateItem item)
{
    uint32_t at = (uint32_t)(item * 0x9E3779B97F4A7C15u >> 40) % SEEN_SLOTS;
    for (; x->seen[at].round == x->round; at = (at + 1) % SEEN_SLOTS)
        if (x->seen[at].item == item)
            return false;
    x->seen[at] = (SeenSlot){item, x->round};
    return true;
}

/* False: it was seen in this step already, or there are too many. */
static bool is_new(StateScratch *x, StateItem item)
{
    if (x->seen_count == SEEN_MAX)
        return false;
    if (x->seen_count <= SEEN_FEW) {
        for (uint32_t i = 0; i < x->seen_count; i++)
            if (x->list[i] == item)
                return false;
        for (uint32_t i = 0; x->seen_count == SEEN_FEW && i < SEEN_FEW; i++)
            enter_seen(x, x->list[i]);
    }
    if (x->seen_count >= SEEN_FEW && !enter_seen(x, item))
        return false;
    x->list[x->seen_count++] = item;
    return true;
}

/* Looks at an item later, unless that was done, or its rule could not be completed within the bounds. */
static void look_at(GrammarStates *s, uint32_t place, uint16_t back)
{
    StateScratch *x = s->scratch;
    StateItem item = item_of(place, back);
    if ((uint32_t)s->program->places[place].height + s->depth[back] <= NESTING_MAX && is_new(x, item))
        x->work[x->work_count++] = item;
}

static void note_call(GrammarStates *s, uint32_t rule, StateItem back)
{
    StateScratch *x = s->scratch;
    if (x->call_count == CALLS_MAX)
        return;
    uint32_t order = s->program->rules[rule].order;
    x->calls[x->call_count] = (PendingCall){back, x->call_of[rule]};
    x->call_of[rule] = (uint16_t)x->call_count++;
    x->pending[order / 64] |= 1ull << order % 64;
}

/* Follows all ways that need no byte. returns: false where a rule was just begun, so that its end, if it is here
 * already, was taken into account by who called it. */
static void follow(GrammarStates *s, bool returns)
{
    StateScratch *x = s->scratch;
    const GrammarProgram *p = s->program;
    while (x->work_count) {
        StateItem item = x->work[--x->work_count];
        const Place *place = &p->places[item_place(item)];
        uint16_t back = item_state(item);
        s->work++;
        switch ((PlaceKind)place->kind) {
        case AT_ACCEPT: case AT_BYTES:
            x->out[x->out_count++] = item;
            break;
        case AT_RETURN:
            for (uint32_t i = s->first[back]; returns && i < s->first[back + 1]; i++)
                look_at(s, item_place(s->items[i]), item_state(s->items[i]));
            break;
        case AT_FORK:
            look_at(s, place->next, back);
            look_at(s, place->other, back);
            break;
        case AT_CALL:
            note_call(s, place->other, item_of(place->next, back));
            if (p->places[p->rules[place->other].start].passes)
                look_at(s, place->next, back);
            break;
        }
    }
}

/* Whether a call may return to this item: the rule and what comes after it lie within the bounds. */
static bool may_return(const GrammarStates *s, StateItem back, uint32_t height)
{
    uint32_t after = s->program->places[item_place(back)].height, under = item_place(back) == PLACE_ACCEPT
                     ? 0 : s->depth[item_state(back)] + 1u;
    return under + height <= NESTING_MAX && s->depth[item_state(back)] + after <= NESTING_MAX;
}

/* The one state that all waiting calls of a rule return to. */
static uint16_t return_state(GrammarStates *s, uint32_t rule)
{
    StateScratch *x = s->scratch;
    uint32_t count = 0, height = s->program->places[s->program->rules[rule].start].height;
    for (uint16_t c = x->call_of[rule]; c != NO_CALL; c = x->calls[c].more) {
        StateItem back = x->calls[c].back;
        uint16_t under = item_state(back);
        if (item_place(back) != PLACE_RETURN) {
            if (count < SEEN_MAX && may_return(s, back, height))
                x->frame[count++] = back;
            continue;
        }
        for (uint32_t i = s->first[under]; i < s->first[under + 1]; i++)
            if (count < SEEN_MAX && may_return(s, s->items[i], height))
                x->frame[count++] = s->items[i];
    }
    x->call_of[rule] = NO_CALL;
    sort_items(x->frame, count);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!kept || x->frame[kept - 1] != x->frame[i])
            x->frame[kept++] = x->frame[i];
    s->work += count;
    return state_of(s, x->frame, kept);
}

/* Begins the rules that were called, callers before those that they may begin with. */
static void begin_rules(GrammarStates *s)
{
    StateScratch *x = s->scratch;
    const GrammarProgram *p = s->program;
    uint32_t words = (p->rule_count + 63) / 64;
    for (uint32_t w = 0; w < words; w++)
        while (x->pending[w]) {
            uint32_t rule = p->in_order[w * 64 + (uint32_t)__builtin_ctzll(x->pending[w])];
            x->pending[w] &= x->pending[w] - 1;
            uint16_t back = return_state(s, rule);
            if (back == STATE_DEAD)
                continue;
            look_at(s, p->rules[rule].start, back);
            follow(s, false);
        }
}

static void begin_closure(StateScratch *x)
{
    x->round++;
    if (!x->round) {
        memset(x->seen, 0, sizeof x->seen);
        x->round = 1;
    }
    x->out_count = x->work_count = x->seen_count = x->call_count = 0;
}

static uint16_t close_state(GrammarStates *s)
{
    StateScratch *x = s->scratch;
    follow(s, true);
    if (x->call_count)
        begin_rules(s);
    uint32_t count = x->out_count < ITEMS_MAX ? x->out_count : ITEMS_MAX;
    sort_items(x->out, count);
    return state_of(s, x->out, count);
}

/* Makes a step that was not made before; without room for what it needs it leads nowhere, and is not remembered. */
static uint16_t make_step(GrammarStates *s, uint16_t from, uint8_t byte)
{
    const GrammarProgram *p = s->program;
    uint64_t starved = s->starved;
    begin_closure(s->scratch);
    s->work++;
    for (uint32_t i = s->first[from]; i < s->first[from + 1]; i++) {
        const Place *place = &p->places[item_place(s->items[i])];
        if (place->kind == AT_BYTES && byte_set_has(&p->sets[place->other], byte))
            look_at(s, place->next, item_state(s->items[i]));
    }
    uint16_t to = close_state(s);
    if (s->starved == starved)
        s->rows[from * p->class_count + p->class_of[byte]] = to;
    return to;
}

static uint16_t step_known(const GrammarStates *s, uint16_t from, uint8_t byte)
{
    return s->rows[from * s->program->class_count + s->program->class_of[byte]];
}

static uint16_t step_without_forgetting(GrammarStates *s, uint16_t from, uint8_t byte)
{
    uint16_t to = step_known(s, from, byte);
    return to == STATE_UNKNOWN ? make_step(s, from, byte) : to;
}

/* ---- forgetting ---- */

static void mark_reachable(GrammarStates *s, uint8_t *kept)
{
    kept[STATE_END] = kept[s->start] = 1;
    for (const StatePin *pin = s->pins.after; pin != &s->pins; pin = pin->after)
        kept[pin->state] = 1;
    for (uint32_t i = 0; i < s->walk_count; i++)
        kept[s->walk[i]] = 1;
    for (uint32_t state = s->count; state-- > 0;)      /* what a state returns to has a lower number */
        for (uint32_t i = s->first[state]; kept[state] && i < s->first[state + 1]; i++)
            kept[item_state(s->items[i])] = 1;
}

/* Moves a state down to number `to`; what it returns to has moved already, to renamed[]. */
static void move_state(GrammarStates *s, uint32_t from, uint32_t to, const uint16_t *renamed)
{
    uint32_t first = s->first[from], count = s->first[from + 1] - first, at = s->first[to];
    for (uint32_t i = 0; i < count; i++) {
        StateItem item = s->items[first + i];
        s->items[at + i] = item_of(item_place(item), renamed[item_state(item)]);
    }
    s->first[to + 1] = at + count;
    s->depth[to] = s->depth[from];
    s->runs[to] = s->runs[from];
    s->masks[to] = s->masks[from];
    s->hash[to] = hash_items(&s->items[at], count);
    clear_row(s, to);
    enter_bucket(s, (uint16_t)to);
}

static void forget_states(GrammarStates *s)
{
    StateScratch *x = s->scratch;
    uint8_t *kept = (uint8_t *)x->frame;               /* both are free between steps, and large enough */
    uint16_t *renamed = (uint16_t *)(void *)x->out;
    memset(kept, 0, s->count);
    mark_reachable(s, kept);
    memset(s->buckets, 0xFF, STATES_BUCKETS * sizeof *s->buckets);
    uint32_t count = 0, old_count = s->count;
    for (uint32_t state = 0; state < old_count; state++)
        if (kept[state]) {
            renamed[state] = (uint16_t)count;
            move_state(s, state, count, renamed);
            count++;
        }
    s->count = count;
    s->item_count = s->first[count];
    s->start = renamed[s->start];
    for (StatePin *pin = s->pins.after; pin != &s->pins; pin = pin->after)
        pin->state = renamed[pin->state];
    for (uint32_t i = 0; i < s->walk_count; i++)
        s->walk[i] = renamed[s->walk[i]];
    if (s->forgotten)
        s->forgotten(s->forgotten_with);
}

static bool has_room(const GrammarStates *s)
{
    return s->count + 1024 <= STATES_MAX && s->item_count + 2 * SEEN_MAX <= STATE_ITEMS_MAX;
}

uint16_t states_step(GrammarStates *s, const uint16_t *from, uint8_t byte)
{
    uint16_t to = step_known(s, *from, byte);
    if (to != STATE_UNKNOWN)
        return to;
    if (!has_room(s))
        forget_states(s);
    return make_step(s, *from, byte);
}

bool states_complete(const GrammarStates *s, uint16_t state)
{
    return item_place(s->items[s->first[state]]) == PLACE_ACCEPT;      /* the lowest place comes first */
}

void states_pin(GrammarStates *s, StatePin *pin)
{
    *pin = (StatePin){.before = s->pins.before, .after = &s->pins, .state = s->start};
    s->pins.before->after = pin;
    s->pins.before = pin;
}

void states_unpin(StatePin *pin)
{
    pin->before->after = pin->after;
    pin->after->before = pin->before;
}

/* ---- runs ---- */

/* The state that most letters lead to, and which do. */
static uint16_t main_target(GrammarStates *s, uint16_t from, StateRun *run)
{
    const StateBytes *letters = &s->bytes[UTF8_WHOLE];
    uint16_t to[128], best = STATE_DEAD;
    uint32_t best_count = 0;
    for (uint32_t i = 0; i < letters->count; i++)
        to[i] = step_without_forgetting(s, from, letters->byte[i]);
    for (uint32_t i = 0; i < letters->count && best_count < 64; i++) {
        uint32_t count = 0;
        for (uint32_t k = i; to[i] != STATE_DEAD && to[i] != best && k < letters->count; k++)
            count += to[k] == to[i] ? letters->alike[k] : 0u;
        if (count > best_count) {
            best_count = count;
            best = to[i];
        }
    }
    if (best_count < RUN_ASCII_MIN)
        return STATE_DEAD;
    for (int b = 0; b < 128; b++)
        if (step_known(s, from, (uint8_t)b) == best)
            run->ascii[b >> 6] |= 1ull << (b & 63);
    return best;
}

/* States within characters that were found to lead to `to`, so that each is looked at once. */
typedef struct Finished { uint16_t state[FINISHED_MAX]; uint8_t at[FINISHED_MAX]; int count; } Finished;

/* Whether every way of finishing a character from here leads to `to`. */
static bool finishes(GrammarStates *s, uint16_t from, Utf8State at, uint16_t to, Finished *done)
{
    if (at == UTF8_WHOLE)
        return from == to;
    for (int i = 0; i < done->count; i++)
        if (done->state[i] == from && done->at[i] == at)
            return true;
    const StateBytes *bytes = &s->bytes[at];
    for (uint32_t i = 0; i < bytes->count; i++) {
        uint16_t state = step_without_forgetting(s, from, bytes->byte[i]);
        if (state == STATE_DEAD || !finishes(s, state, utf8_next(at, bytes->byte[i]), to, done))
            return false;
    }
    if (done->count < FINISHED_MAX) {
        done->state[done->count] = from;
        done->at[done->count++] = (uint8_t)at;
    }
    return true;
}

static bool run_within(const StateRun *a, const StateRun *b)
{
    return !(a->ascii[0] & ~b->ascii[0]) && !(a->ascii[1] & ~b->ascii[1]) && (!a->multibyte || b->multibyte);
}

static bool has_letters(const GrammarStates *s, uint16_t state)
{
    uint64_t low = 0, high = 0;
    for (uint32_t i = s->first[state]; i < s->first[state + 1]; i++) {
        const Place *place = &s->program->places[item_place(s->items[i])];
        if (place->kind == AT_BYTES) {
            low |= s->program->sets[place->other].bits[0];
            high |= s->program->sets[place->other].bits[1];
        }
    }
    return __builtin_popcountll(low) + __builtin_popcountll(high) >= RUN_ASCII_MIN;
}

/* The characters that lead on from one state, and the state that all of them lead to. */
static uint16_t run_step(GrammarStates *s, uint16_t at, StateRun *run)
{
    *run = (StateRun){.known = true};
    uint16_t to = has_letters(s, at) ? main_target(s, at, run) : STATE_DEAD;
    Finished done = {.count = 0};
    run->multibyte = to != STATE_DEAD && finishes(s, at, UTF8_WHOLE_NEXT, to, &done);
    return to;
}

/* Follows the run until it goes round, ends, or is long enough; then counts back from there. */
const StateRun *states_run(GrammarStates *s, uint16_t state)
{
    StateRun *runs = s->runs;
    if (runs[state].known || !has_room(s))
        return &runs[state];
    uint64_t starved = s->starved;
    uint16_t path[RUN_CHARS_MAX + 1] = {state};
    int count = 0;
    for (; count < RUN_CHARS_MAX && !runs[path[count]].known; path[++count] = state) {
        uint16_t at = path[count];
        state = run_step(s, at, &runs[at]);
        if (state != STATE_DEAD && state != at)
            continue;
        runs[at].chars = state == at ? RUN_FOREVER : 0;
        break;
    }
    bool cut_short = count == RUN_CHARS_MAX && !runs[path[count]].known;
    for (int i = count; i-- > 0;) {
        StateRun *run = &runs[path[i]], *next = &runs[path[i + 1]];
        bool goes_on = run_within(run, next);
        uint8_t more = next->known && goes_on ? next->chars : 0;
        more = i + 1 < count && goes_on ? next->chars : more;
        cut_short = cut_short && (goes_on || i + 1 == count);
        run->chars = more >= RUN_FOREVER - 1 ? more : (uint8_t)(more + 1);
        run->known = !cut_short || run->chars >= RUN_CHARS;     /* otherwise it is followed again */
    }
    for (int i = 0; s->starved != starved && i <= count; i++)
        runs[path[i]] = (StateRun){0};
    return &runs[path[0]];
}

/* ---- birth ---- */

/* One byte for each class and each way on within a character. For UTF8_WHOLE those of one byte only. */
static void choose_bytes(GrammarStates *s)
{
    for (int at = 0; at < UTF8_BROKEN; at++) {
        StateBytes *bytes = &s->bytes[at];
        for (int b = 0; b < (at == UTF8_WHOLE ? 0x80 : 0x100); b++) {
            Utf8State next = utf8_next((Utf8State)at, (uint8_t)b);
            uint32_t i = 0;
            while (i < bytes->count && (s->program->class_of[bytes->byte[i]] != s->program->class_of[b] ||
                                        utf8_next((Utf8State)at, bytes->byte[i]) != next))
                i++;
            if (next == UTF8_BROKEN)
                continue;
            bytes->byte[i] = (uint8_t)b;
            bytes->alike[i]++;
            bytes->count += i == bytes->count;
        }
    }
}

static bool take_arrays(GrammarStates *s)
{
    Arena *a = s->arena;
    const GrammarProgram *p = s->program;
    s->first = ARENA_ARRAY(a, uint32_t, STATES_MAX + 1);
    s->items = ARENA_ARRAY(a, StateItem, STATE_ITEMS_MAX);
    s->depth = ARENA_ARRAY(a, uint16_t, STATES_MAX);
    s->chain = ARENA_ARRAY(a, uint16_t, STATES_MAX);
    s->buckets = ARENA_ARRAY(a, uint16_t, STATES_BUCKETS);
    s->rows = ARENA_ARRAY(a, uint16_t, (size_t)STATES_MAX * p->class_count);
    s->hash = ARENA_ARRAY(a, uint32_t, STATES_MAX);
    s->runs = ARENA_ARRAY(a, StateRun, STATES_MAX);
    s->masks = ARENA_ARRAY(a, int32_t, STATES_MAX);
    s->scratch = ARENA_NEW(a, StateScratch);
    if (!s->scratch)
        return false;
    s->scratch->call_of = ARENA_ARRAY(a, uint16_t, p->rule_count);
    s->scratch->pending = ARENA_ARRAY(a, uint64_t, p->rule_count / 64 + 1);
    return s->first && s->items && s->depth && s->chain && s->buckets && s->rows && s->hash && s->runs && s->masks &&
           s->scratch->call_of && s->scratch->pending;
}

Err grammar_states_init(GrammarStates *s, const GrammarProgram *p, Error *err)
{
    *s = (GrammarStates){.program = p};
    s->pins.before = s->pins.after = &s->pins;
    choose_bytes(s);
    s->arena = arena_new((size_t)64 << 20);
    if (!s->arena || !take_arrays(s)) {
        grammar_states_deinit(s);
        return fail(err, NO_MEMORY, "no memory for the states of a grammar");
    }
    memset(s->buckets, 0xFF, STATES_BUCKETS * sizeof *s->buckets);
    memset(s->scratch->call_of, 0xFF, p->rule_count * sizeof *s->scratch->call_of);
    StateItem end = item_of(PLACE_ACCEPT, STATE_END);
    state_of(s, &end, 1);
    begin_closure(s->scratch);
    look_at(s, p->rules[0].start, STATE_END);
    s->start = close_state(s);
    ASSERT(s->start != STATE_DEAD);    /* the root has a height, so there is a way through it */
    return OK;
}

void grammar_states_deinit(GrammarStates *s)
{
    arena_free(s->arena);
    *s = (GrammarStates){0};
}

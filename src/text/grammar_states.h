/* grammar_states.h -- what an answer has reached: sets of places with what they return to, each set met once.
 *
 *     root ::= "[" root? "]"        after "[[":   state 4  { (reads "[", 3) (reads "]", 3) }
 *                                                 state 3  { (reads "]", 2) }   what the inner root returns to
 *                                                 state 2  { (ACCEPT, -) }
 *
 * A state is a sorted set of (place, the state that the place's rule returns to). All callers of a rule at one
 * byte share one state to return to, so a state stays small however many ways there are (Earley 1970), and a call
 * at the very end of a rule returns to where that rule returns, so right recursion needs no depth. Equal sets
 * are one state, and a step that was made once is looked up: a deterministic automaton that grows as it is used.
 *
 * All memory is taken at the start. When there is no room for more states those that no answer stands on are
 * forgotten. What is deeper than NESTING_MAX or more ambiguous than ITEMS_MAX is left out; since each item of
 * a state can be completed by itself, what is left can be too: an answer is never led to where it cannot end.
 *
 * Not for several threads: the Grammar that owns it locks.
 */
#ifndef TEXT_GRAMMAR_STATES_H
#define TEXT_GRAMMAR_STATES_H

#include "base/arena.h"
#include "text/grammar_program.h"
#include "text/grammar_utf8.h"

enum {
    STATES_MAX = 1 << 15,
    STATE_ITEMS_MAX = 1 << 19,   /* of all states together */
    ITEMS_MAX = 1 << 14,         /* of one state */
    WALK_MAX = 1 << 10,          /* bytes of a token */
    STATE_END = 0,
    STATE_DEAD = UINT16_MAX, STATE_UNKNOWN = UINT16_MAX - 1,
    RUN_CHARS = 24, RUN_FOREVER = UINT8_MAX,
};

/* A state that must not be forgotten, and is renumbered when others are. */
typedef struct StatePin { struct StatePin *before, *after; uint16_t state; } StatePin;

/* The characters that may come, so many of them in any order, where text is free: within a string. */
typedef struct StateRun {
    uint64_t ascii[2];
    uint8_t chars;               /* 0: no such place; at least RUN_CHARS where it is longer; RUN_FOREVER: without an end */
    bool multibyte;              /* all characters above U+007F too */
    bool known;
} StateRun;

/* Bytes that stand for all that are alike, and how many those are. */
typedef struct StateBytes { uint8_t byte[128], alike[128]; uint32_t count; } StateBytes;

typedef uint64_t StateItem;      /* place << 16 | state */

typedef struct GrammarStates {
    const GrammarProgram *program;
    Arena *arena;
    uint32_t count, item_count;
    uint16_t start;              /* before the first byte */
    uint32_t *first;             /* the items of state i: items[first[i], first[i + 1]) */
    StateItem *items;
    uint16_t *depth, *chain, *buckets, *rows;    /* rows [states][classes]: the state that a byte leads to */
    uint32_t *hash;
    StateRun *runs;
    int32_t *masks;              /* of each state; -1: none. For grammar_mask.c */
    void (*forgotten)(void *with);               /* states were renumbered: masks[] says what is left */
    void *forgotten_with;
    StatePin pins;               /* the head of a ring */
    uint16_t walk[WALK_MAX + 1]; /* states that a walk stands on; renumbered as pins are */
    uint32_t walk_count;
    uint64_t work;               /* items looked at so far: what a walk is bounded by */
    uint64_t starved;            /* steps that were not made, for want of room */
    StateBytes bytes[UTF8_BROKEN];   /* by where in a character */
    struct StateScratch *scratch;
} GrammarStates;

Err grammar_states_init(GrammarStates *, const GrammarProgram *, Error *);
void grammar_states_deinit(GrammarStates *);

/* Where a byte leads; *from is an entry of walk[] or a pin, and may be renumbered. */
uint16_t states_step(GrammarStates *, const uint16_t *from, uint8_t byte);
bool states_complete(const GrammarStates *, uint16_t state);
const StateRun *states_run(GrammarStates *, uint16_t state);

void states_pin(GrammarStates *, StatePin *);
void states_unpin(StatePin *);

#endif

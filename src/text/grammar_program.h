/* grammar_program.h -- rules compiled to places: a nondeterministic automaton over bytes, with calls.
 *
 *     root ::= "a" list          0 ACCEPT     all is said
 *     list ::= "b" list | ""     1 RETURN     the end of any rule
 *                                2 CALL list, then 1        root begins at 3
 *                                3 BYTES {a}, then 2
 *                                4 CALL list, then 1
 *                                5 BYTES {b}, then 4
 *                                6 FORK to 5 or 1           list begins at 6
 *
 * Characters become the bytes of their UTF-8. Of each place is known its height: how many calls must lie on
 * each other, at least, to reach the end of its rule; where there is no way to the end it is NO_WAY, and no
 * answer ever goes there. Left recursion, a rule that begins with itself, is an error that names the rule.
 */
#ifndef TEXT_GRAMMAR_PROGRAM_H
#define TEXT_GRAMMAR_PROGRAM_H

#include "text/grammar_rules.h"

enum {
    PLACES_MAX = 1 << 17,
    BYTE_SETS_MAX = 1 << 12,
    NESTING_MAX = 256,           /* calls that lie on each other in an answer */
    NO_WAY = UINT16_MAX,
    PLACE_ACCEPT = 0, PLACE_RETURN = 1,
};

typedef enum PlaceKind { AT_ACCEPT, AT_RETURN, AT_BYTES, AT_FORK, AT_CALL } PlaceKind;

typedef struct Place {
    uint8_t kind;
    bool passes;                 /* the rule's end can be reached without a byte */
    uint16_t height;
    uint32_t next;
    uint32_t other;              /* BYTES: the set; FORK: the second way; CALL: the rule */
} Place;

typedef struct ByteSet { uint64_t bits[4]; } ByteSet;

typedef struct ProgramRule {
    uint32_t start, order;       /* rules that a rule may begin with have a higher order */
} ProgramRule;

typedef struct GrammarProgram {
    Place *places;
    ProgramRule *rules;
    uint32_t *in_order;          /* rules by their order */
    ByteSet *sets;
    uint32_t place_count, rule_count, set_count, class_count;
    uint8_t class_of[256];       /* bytes that no set tells apart */
} GrammarProgram;

/* Compiles the rules, of which number 0 is the root. `what` as in grammar_rules_read. */
Err grammar_program_make(GrammarProgram *, GrammarRules *, const char *what, Error *);
void grammar_program_deinit(GrammarProgram *);

static inline bool byte_set_has(const ByteSet *s, uint8_t byte) { return s->bits[byte >> 6] >> (byte & 63) & 1; }

/* A byte that no UTF-8 has: before the text of a control token. */
enum { BYTE_CONTROL = 0xFE };

#endif

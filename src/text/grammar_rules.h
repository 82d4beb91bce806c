/* grammar_rules.h -- a grammar as a tree: what grammar_gbnf.c reads and grammar_program.c compiles.
 *
 *     root ::= "[" ( digit+ "," )* "]"           rule 0: SEQUENCE
 *     digit ::= [0-9]                                     TEXT "["
 *                                                         REPEAT 0, ALWAYS
 *                                                             SEQUENCE
 *                                                                 REPEAT 1, ALWAYS -> RULE 1
 *                                                                 TEXT ","
 *                                                         TEXT "]"
 *
 * Nodes are numbers in one array; each list has a largest size, so that no text, however strange, makes a
 * tree that is large or deep. Repetitions of repetitions are one where they mean the same: (x*)* is x*.
 */
#ifndef TEXT_GRAMMAR_RULES_H
#define TEXT_GRAMMAR_RULES_H

#include "base/buf.h"
#include "base/error.h"

enum {
    GRAMMAR_TEXT_MAX = 1 << 20,      /* bytes of source */
    GRAMMAR_NODES_MAX = 1 << 17,
    GRAMMAR_RULES_MAX = 1 << 14,
    GRAMMAR_RANGES_MAX = 1 << 16,
    GRAMMAR_TREE_DEPTH_MAX = 200,
    GRAMMAR_REPEAT_MAX = 1 << 16,
};
#define REPEAT_ALWAYS UINT32_MAX

typedef enum NodeKind { NODE_TEXT, NODE_CHARS, NODE_RULE, NODE_SEQUENCE, NODE_CHOICE, NODE_REPEAT } NodeKind;

typedef struct RuleNode {
    uint8_t kind, depth;
    bool control;                /* TEXT: a control token may spell its beginning */
    uint32_t first, count;       /* TEXT: of bytes; CHARS: of ranges; SEQUENCE, CHOICE: of kids; RULE, REPEAT: first */
    uint32_t min, max;           /* REPEAT */
    uint32_t size;               /* about how many places it compiles to */
    int32_t shared;              /* the rule that was made of it, so that copies share it; -1: none */
} RuleNode;

typedef struct CharRange { uint32_t from, to; } CharRange;   /* code points, both included */

typedef struct RuleName {
    Span name;
    int32_t body, line;          /* -1: not defined yet; where it was first seen */
} RuleName;

typedef struct GrammarRules {
    RuleNode *nodes;
    uint32_t *kids;
    CharRange *ranges;
    RuleName *rules;
    int32_t *buckets;            /* rules by name, open addressing */
    Buf bytes;
    uint32_t node_count, kid_count, range_count, rule_count;
    uint32_t node_room, kid_room, range_room, rule_room, bucket_count;
    bool full;                   /* a limit was reached, or there is no memory */
} GrammarRules;

void grammar_rules_init(GrammarRules *);
void grammar_rules_deinit(GrammarRules *);

/* Each makes a node; when a limit is reached `full` is set and the number means nothing. */
uint32_t rules_text(GrammarRules *, Span bytes, bool control);
uint32_t rules_chars(GrammarRules *, CharRange *ranges, uint32_t count, bool negated);   /* sorts them */
uint32_t rules_rule(GrammarRules *, uint32_t rule);
uint32_t rules_list(GrammarRules *, NodeKind, const uint32_t *kids, uint32_t count);
uint32_t rules_repeat(GrammarRules *, uint32_t child, uint32_t min, uint32_t max);

uint32_t rules_named(GrammarRules *, Span name, int32_t line);   /* the rule of that name, made where it is new */

/* GBNF; `what` names the text in messages. control: see RuleNode. The names of rules point into the text. */
Err grammar_rules_read(GrammarRules *, Span gbnf, bool control, const char *what, Error *);

/* One character of UTF-8; 0: broken. */
size_t utf8_take(Span text, size_t at, uint32_t *code_point);

#endif

/* grammar_vocab.h -- the texts of all tokens as a tree, in one array in the order in which a walk meets them.
 *
 *     " a", " an", " be", "x"      node 0 ' '   after 4     node 1 'a'  " a"   after 3     node 2 'n' " an" after 3
 *                                  node 3 'b'   after 5     node 4 'e' " be"  after 5     node 5 'x' "x"   after 6
 *
 * A walk goes from node to node; where a byte may not come it goes on at `after`, past all that begin so. For each
 * node is known which characters lie below it, so that where text is free a whole branch is decided at once.
 *
 * Tokens without text, tokens that end an answer, and tokens over WALK_MAX bytes are not in the tree. The text of
 * a control token stands behind BYTE_CONTROL, which no other token has and only a literal of a grammar allows.
 */
#ifndef TEXT_GRAMMAR_VOCAB_H
#define TEXT_GRAMMAR_VOCAB_H

#include <pthread.h>

#include "text/grammar.h"
#include "text/grammar_states.h"

typedef struct VocabNode {
    uint32_t after, first;       /* the tokens that end here or below: order[first, nodes[after].first) */
    uint16_t depth;              /* 1: the first byte */
    uint8_t byte;
    uint8_t chars_below;         /* the most characters that follow; UINT8_MAX: so many, or more */
    bool whole;                  /* the bytes up to here are whole characters, and so are all tokens below */
    bool multibyte;              /* some characters below are above U+007F */
    bool long_below;             /* some token below has more than RUN_CHARS characters */
    bool own;                    /* tokens end here: order[first, first of the next node) */
} VocabNode;

typedef struct VocabBelow { uint64_t ascii[2]; } VocabBelow;    /* which bytes below 0x80 follow */

/* All tokens of at most RUN_CHARS characters that consist of the characters of a run. */
typedef struct VocabClass {
    uint64_t ascii[2];
    bool multibyte, made;
    uint32_t *tokens;
} VocabClass;

enum { VOCAB_CLASSES = 8 };

struct GrammarVocab {
    int32_t count;               /* tokens */
    uint32_t words;              /* of a mask */
    VocabNode *nodes;            /* and one more at the end */
    VocabBelow *below;
    uint32_t node_count;
    int32_t *order;              /* tokens, sorted by their bytes */
    uint32_t order_count;
    uint8_t *bytes;
    uint32_t *first;             /* of token i: bytes[first[i], first[i + 1]) */
    int32_t *ends;
    size_t end_count;
    pthread_mutex_t lock;        /* of the classes */
    VocabClass classes[VOCAB_CLASSES];
    int next_class;
};

/* From texts, without a tokenizer. control: NULL, or which are control tokens. */
Err grammar_vocab_of_pieces(GrammarVocab **, const Span *pieces, const bool *control, int32_t count, const int32_t *ends,
                            size_t end_count, Error *);

/* Copies the class of such characters to words of a mask. */
void grammar_vocab_class(GrammarVocab *, const uint64_t ascii[2], bool multibyte, uint32_t *mask);

/* Where the tokens that end at node i end in order[]. */
static inline uint32_t vocab_own_end(const GrammarVocab *v, uint32_t i)
{
    return v->nodes[i + 1 < v->nodes[i].after ? i + 1 : v->nodes[i].after].first;
}

static inline Span vocab_token(const GrammarVocab *v, int32_t id)
{
    return span_of(v->bytes + v->first[id], v->first[id + 1] - v->first[id]);
}

#endif

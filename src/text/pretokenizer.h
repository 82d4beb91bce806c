/* pretokenizer.h -- normalised text to words: a list of steps, each cutting finer or rewriting.
 *
 * A cutting step finds matches (of a pattern, a string, a class of characters) in each word and makes
 * words of the matches and of what lies between them, in one of five ways:
 *
 *     "a--b", matches of "-"    REMOVED            a b
 *                               ISOLATED           a - - b
 *                               MERGED_PREVIOUS    a- - b
 *                               MERGED_NEXT        a - -b
 *                               CONTIGUOUS         a -- b
 *
 * A rewriting step (byte alphabet, metaspace) makes a new text, word by word. Empty words vanish.
 */
#ifndef TEXT_PRETOKENIZER_H
#define TEXT_PRETOKENIZER_H

#include "base/arena.h"
#include "text/aligned.h"
#include "text/char_class.h"
#include "text/pattern.h"

typedef enum SplitWay { SPLIT_REMOVED, SPLIT_ISOLATED, SPLIT_MERGED_PREVIOUS, SPLIT_MERGED_NEXT, SPLIT_CONTIGUOUS } SplitWay;

typedef enum PreStepKind {
    PRE_SPLIT_PATTERN,
    PRE_SPLIT_STRING,
    PRE_SPLIT_CLASS,      /* each character of the class is a match */
    PRE_BYTE_ALPHABET,    /* every byte becomes a letter of GPT-2's alphabet */
    PRE_PREFIX_SPACE,     /* a space before a word that has none */
    PRE_METASPACE,        /* spaces become `string`, which may be put before the word as well */
    PRE_FIXED_LENGTH,     /* `length` characters a word */
} PreStepKind;

typedef enum PrependWhen { PREPEND_NEVER, PREPEND_FIRST, PREPEND_ALWAYS } PrependWhen;

typedef struct PreStep {
    PreStepKind kind;
    SplitWay way;
    bool invert;          /* what does not match is the match */
    Pattern *pattern;
    CharClass *in_class;
    Span string;
    PrependWhen prepend;
    size_t length;
} PreStep;

enum { PRE_STEPS_MAX = 32 };

typedef struct PreTokenizer {
    PreStep steps[PRE_STEPS_MAX];
    int count;
    bool needs_origins;   /* a step asks whether a word begins the user's text */
} PreTokenizer;

void pretokenizer_deinit(PreTokenizer *);
Err pretokenizer_add(PreTokenizer *, PreStep, const char *what, Error *err);   /* takes step.pattern, also on error */
Err pretokenizer_add_pattern(PreTokenizer *, Span expression, SplitWay, bool invert, const char *what, Error *err);

typedef struct Word {
    uint32_t begin, end;  /* bytes of Words.text */
} Word;

/* The words of one stretch of text; of one thread, reused from stretch to stretch. */
typedef struct Words {
    AlignedView text;
    Word *list;
    size_t count, capacity;
    Word *other;          /* what a step reads while it writes the list, and the text it writes */
    size_t other_capacity;
    Aligned texts[2];
    int turn;
    bool failed;
} Words;

void words_init(Words *, bool tracks, size_t bytes_max);
void words_deinit(Words *);
/* The words hold views of `text`, which must know its origins where the pre-tokeniser needs them. */
Err words_cut(Words *, const PreTokenizer *, AlignedView text, Error *err);

#endif

/* normalizer.h -- what happens to a text before it is cut into words: a list of steps.
 *
 * Each step reads a text and writes another one (text/aligned.h keeps the places). The order is the
 * file's. A step that would change nothing is skipped, so plain ASCII pays for a look at each byte.
 */
#ifndef TEXT_NORMALIZER_H
#define TEXT_NORMALIZER_H

#include "text/aligned.h"
#include "text/char_class.h"
#include "text/charsmap.h"
#include "text/pattern.h"
#include "text/trie.h"

typedef enum NormStepKind {
    NORM_NFD, NORM_NFC, NORM_NFKD, NORM_NFKC,
    NORM_LOWERCASE,
    NORM_REMOVE_CLASS,        /* characters of a class go */
    NORM_STRIP,               /* white space at either end goes */
    NORM_PREPEND,             /* `string` before a text that is not empty */
    NORM_REPLACE_STRING,      /* `string` by `by` */
    NORM_REPLACE_PATTERN,     /* each match of `pattern` by `by` */
    NORM_BERT_CLEAN,          /* control characters go, all white space is a space */
    NORM_BERT_HAN,            /* spaces around Han characters */
    NORM_NMT,                 /* what SentencePiece's "nmt" rule does to control characters and spaces */
    NORM_CHARSMAP_GRAPHEMES,  /* tokenizer.json's "Precompiled": by user-perceived characters */
    NORM_BYTE_ALPHABET,       /* every byte becomes a letter of GPT-2's alphabet */
    NORM_SENTENCEPIECE,       /* a whole NormalizerSpec of SentencePiece */
} NormStepKind;

typedef struct NormStep {
    NormStepKind kind;
    bool left, right;         /* NORM_STRIP */
    CharClass *in_class;
    Pattern *pattern;
    Span string, by;
    Charsmap charsmap;
    /* NORM_SENTENCEPIECE */
    const Trie *whole;        /* strings that are not changed */
    bool dummy_prefix, remove_extra_spaces, escape_spaces, space_is_suffix;
} NormStep;

enum { NORM_STEPS_MAX = 64 };

typedef struct Normalizer {
    NormStep steps[NORM_STEPS_MAX];
    int count;
} Normalizer;

void normalizer_deinit(Normalizer *);
Err normalizer_add(Normalizer *, NormStep, const char *what, Error *err);   /* takes step.pattern, also on error */

/* Two texts to write into by turns; of one thread, reused. */
typedef struct NormScratch {
    Aligned texts[2];
} NormScratch;

void norm_scratch_init(NormScratch *, bool tracks, size_t bytes_max);
void norm_scratch_deinit(NormScratch *);

/* *out views `in` itself where nothing changes, or the scratch. `in` is well-formed UTF-8, save for
 * NORM_SENTENCEPIECE, which turns each broken byte into U+FFFD. */
Err normalizer_run(const Normalizer *, NormScratch *, AlignedView in, AlignedView *out, Error *err);

#endif

/* pre_names.h -- what the pre-tokeniser names in GGUF files stand for.
 *
 * A GGUF does not carry the regular expressions of its tokenizer, only a name ("llama-bpe", "qwen2") that
 * llama.cpp gave them. This is the one table of these names. An unknown name is an error where it is
 * looked up: another split gives other ids, and a model that reads them answers nonsense.
 */
#ifndef TEXT_PRE_NAMES_H
#define TEXT_PRE_NAMES_H

#include "base/span.h"

enum { PRE_PATTERNS_MAX = 8 };

typedef enum PreTraits {
    PRE_WHOLE_WORDS_FIRST = 1,   /* a word that is a piece is that piece, whatever the merges say */
    PRE_ADDS_BOS = 2,            /* where the file does not say */
    PRE_PLAIN_TEXT = 4,          /* pieces are spelled in UTF-8, not in GPT-2's byte alphabet */
    PRE_ESCAPES_SPACES = 8,      /* spaces are U+2581 in the pieces */
    PRE_ADDS_SEP = 16,           /* the separator ends a text */
} PreTraits;

typedef struct PreName {
    const char *name;
    unsigned traits;
    const char *patterns[PRE_PATTERNS_MAX];   /* each cuts what the ones before it left; NULL ends the list */
} PreName;

const PreName *pre_name_find(Span name);      /* NULL: not known */
const PreName *pre_name_at(int index);        /* 0, 1, ... until NULL: all of them */

#endif

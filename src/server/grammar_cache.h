/* grammar_cache.h -- grammars that were compiled, by the text that they were compiled from.
 *
 * A program asks for the same form of answer again and again, and compiling it, and the masks that a grammar
 * remembers, are what costs. The least recently used ones go when there are too many, or too much text.
 * Any thread; a text that is being compiled holds nobody up.
 */
#ifndef SERVER_GRAMMAR_CACHE_H
#define SERVER_GRAMMAR_CACHE_H

#include "text/grammar.h"

enum { GRAMMAR_CACHE_ENTRIES = 128, GRAMMAR_CACHE_BYTES_MAX = 1 << 23, GRAMMAR_TEXT_BYTES_MAX = 1 << 20 };

typedef struct GrammarCache GrammarCache;

typedef enum GrammarKind {
    GRAMMAR_GBNF, GRAMMAR_REGEX,
    GRAMMAR_SCHEMA,          /* the text is the schema's JSON */
    GRAMMAR_CHOICES,         /* the text is a JSON list of strings */
    GRAMMAR_JSON_OBJECT,     /* no text */
} GrammarKind;

Err grammar_cache_new(GrammarCache **, Error *);
void grammar_cache_free(GrammarCache *);      /* NULL is allowed */

/* One reference more. Errors are those of the compilers. */
Err grammar_cache_take(GrammarCache *, GrammarKind, Span text, Grammar **out, Error *);

#endif

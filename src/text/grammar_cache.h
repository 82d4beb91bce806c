/* grammar_cache.h -- compiled grammars by what they were compiled from, since requests send the same schema again and again.
 *
 * A grammar that is found brings its states and masks along, so the second request with a schema walks nothing. The
 * least recently used goes when there are more than `entries`; whoever still holds a reference keeps it alive.
 *
 * Any thread, any number at once. Compiling happens outside the lock: two threads that miss the same source at the
 * same time both compile it, and one of the results is kept.
 */
#ifndef TEXT_GRAMMAR_CACHE_H
#define TEXT_GRAMMAR_CACHE_H

#include "text/grammar.h"

typedef struct GrammarCache GrammarCache;

typedef enum GrammarKind {
    GRAMMAR_GBNF, GRAMMAR_REGEX,
    GRAMMAR_SCHEMA,        /* source: the schema as JSON */
    GRAMMAR_CHOICES,       /* source: a JSON list of strings */
    GRAMMAR_JSON_OBJECT,   /* source: empty */
} GrammarKind;

enum { GRAMMAR_SOURCE_BYTES_MAX = 1 << 20, GRAMMAR_CACHE_ENTRIES = 64 };

Err grammar_cache_new(GrammarCache **, int32_t entries, Error *);
void grammar_cache_free(GrammarCache *);     /* NULL is allowed */

/* *out has a reference of its own: grammar_free. Errors are those of the compilers, and are not remembered. */
Err grammar_cache_get(GrammarCache *, GrammarKind, Span source, Grammar **out, Error *);

typedef struct GrammarCacheStats { uint64_t hits, misses; int32_t entries; } GrammarCacheStats;
GrammarCacheStats grammar_cache_stats(GrammarCache *);

#endif

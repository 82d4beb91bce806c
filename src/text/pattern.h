/* pattern.h -- the regular expressions of tokenizers, matched by PCRE2.
 *
 * Published tokenizers write Oniguruma (tokenizer.json); PCRE2 reads almost the same language. What
 * differs is rewritten when a pattern is compiled:
 *
 *     \s \S   the White_Space property: PCRE2 alone also counts U+180E
 *     \w \W   letters, marks, digits, connectors: PCRE2 alone leaves out marks; \b \B with it
 *     \h \H   a hexadecimal digit: in PCRE2 horizontal space
 *     [a&&[^b]]   the intersection of sets, which PCRE2 does not have
 *     $ ^     at every line, not only at the ends of the text
 *
 * A pattern comes from a file and the text from a request, so each match has a bound on its steps
 * and on its memory; passing it is an error (LIMIT_REACHED), never a wrong split.
 */
#ifndef TEXT_PATTERN_H
#define TEXT_PATTERN_H

#include "base/error.h"
#include "base/span.h"

typedef struct Pattern Pattern;

enum { PATTERN_BYTES_MAX = 1 << 15 };

/* `what` names the source of the expression in errors. */
Err pattern_new(Span expression, const char *what, Pattern **out, Error *err);
void pattern_free(Pattern *);

/* A search holds what one thread needs while it matches; any number may use one pattern. */
typedef struct PatternSearch {
    const Pattern *pattern;
    Span text;
    size_t at;                /* where the next match may start */
    void *match;
    bool last_was_empty;
} PatternSearch;

Err pattern_search_init(PatternSearch *, const Pattern *, Span text, Error *err);   /* well-formed UTF-8 */
void pattern_search_deinit(PatternSearch *);
void pattern_search_text(PatternSearch *, Span text);                               /* start over on another */
/* *found false: no further match. Matches never overlap; an empty one moves on by one character. */
Err pattern_search_next(PatternSearch *, bool *found, size_t *begin, size_t *end, Error *err);

#endif

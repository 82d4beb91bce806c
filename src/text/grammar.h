/* grammar.h -- which texts are allowed, compiled from what people write, and which tokens may come next.
 *
 *     GBNF, regex, JSON schema, choices --> rules over bytes --> Grammar (immutable, shared)
 *     Grammar x GrammarVocab (the pieces of a tokenizer, once) --> GrammarMatcher (of one answer): a bit per token
 *
 * A grammar is compiled in bounded time and memory, whatever a stranger writes: limits on rules, states, depth and
 * repetitions are errors that name the place. A matcher allocates nothing after it was made; the masks of states that
 * were met before are remembered in the grammar's own bounded memory, so a mask is mostly a look-up.
 */
#ifndef TEXT_GRAMMAR_H
#define TEXT_GRAMMAR_H

#include "base/json.h"
#include "base/span.h"
#include "text/tokenizer.h"

typedef struct Grammar Grammar;
typedef struct GrammarVocab GrammarVocab;
typedef struct GrammarMatcher GrammarMatcher;

/* BAD_ARGUMENT: names the line, the offset or the schema's path; LIMIT_REACHED: too large. One reference each. */
Err grammar_from_gbnf(Span text, Grammar **, Error *);                 /* llama.cpp's notation; begins at `root` */
Err grammar_from_regex(Span pattern, Grammar **, Error *);             /* the whole answer matches; see grammar_regex.h */
Err grammar_from_schema(json_t *schema, Grammar **, Error *);          /* 2020-12's common part; see grammar_schema.h */
Err grammar_from_choices(const Span *choices, size_t count, Grammar **, Error *);
Err grammar_json_object(Grammar **, Error *);                          /* any JSON object */

Grammar *grammar_share(Grammar *);     /* one more reference; any thread */
void grammar_free(Grammar *);          /* one less; NULL is allowed */

/* Of all matchers so far: masks that were asked for, and those that were not found but walked. */
typedef struct GrammarStats { uint64_t masks, walked; } GrammarStats;
GrammarStats grammar_stats(Grammar *);

/* ends: the ids that end an answer: allowed exactly where the grammar is complete. */
Err grammar_vocab_new(GrammarVocab **, const Tokenizer *, int32_t vocabulary, const int32_t *ends, size_t end_count, Error *);
void grammar_vocab_free(GrammarVocab *);

/* A grammar is used with one vocabulary in its life. */
Err grammar_matcher_new(GrammarMatcher **, Grammar *, const GrammarVocab *, Error *);
void grammar_matcher_free(GrammarMatcher *);
void grammar_matcher_reset(GrammarMatcher *);                           /* to the beginning */
void grammar_matcher_copy(GrammarMatcher *to, const GrammarMatcher *from);    /* of one grammar */

/* Bit i % 32 of word i / 32: token i may come. Lives until the next call. Only ends where all is said. */
const uint32_t *grammar_matcher_allowed(GrammarMatcher *);
bool grammar_matcher_accept(GrammarMatcher *, int32_t id);             /* false: it was not allowed; nothing has changed */
bool grammar_matcher_accept_text(GrammarMatcher *, Span text);         /* bytes, for tests and for text that was given */
bool grammar_matcher_complete(const GrammarMatcher *);                 /* the answer may end here */

#endif

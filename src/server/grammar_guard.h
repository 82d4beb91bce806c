/* grammar_guard.h -- a grammar over the samples of one request: what the engine asks at each token.
 *
 *     <think> anything ... </think>{"city": "Paris"}
 *     free until `after` has come   held to the grammar
 *
 * A matcher per sample, all made before the request is submitted: on the engine's thread nothing is allocated.
 */
#ifndef SERVER_GRAMMAR_GUARD_H
#define SERVER_GRAMMAR_GUARD_H

#include "engine/engine.h"
#include "text/grammar.h"

typedef struct GrammarGuard GrammarGuard;

enum { GUARD_AFTER_BYTES_MAX = 64 };

/* A reference of the grammar is shared. after: empty: held to it from the first token on. */
Err grammar_guard_new(GrammarGuard **, Grammar *, const GrammarVocab *, const Tokenizer *, Span after, int32_t samples,
                      Error *);
void grammar_guard_free(GrammarGuard *);    /* once the request has ended. NULL is allowed */
Constraint grammar_guard_constraint(GrammarGuard *);

#endif

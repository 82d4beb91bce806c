/* answer_guard.h -- what the samples of one request may write: what the engine asks at each token.
 *
 *     <think> anything, but `budget` tokens at most </think>{"city": "Paris"}
 *     free; when the budget is spent,               held to the grammar
 *     the end comes whether it likes or not
 *
 * The end is forced by allowing nothing but its own tokens, one after the other. Where a prompt has opened no section
 * and there is a grammar, that holds from the first token on, so there is no section.
 *
 * All is made before the request is submitted: on the engine's thread nothing is allocated.
 */
#ifndef SERVER_ANSWER_GUARD_H
#define SERVER_ANSWER_GUARD_H

#include "server/generation.h"

typedef struct AnswerGuard AnswerGuard;

enum { GUARD_MARK_BYTES_MAX = 64, GUARD_END_TOKENS_MAX = GUARD_MARK_BYTES_MAX + 1 };

typedef struct AnswerGuardOptions {
    Grammar *grammar;              /* NULL: none. A reference is shared */
    const GrammarVocab *vocab;     /* of the grammar */
    const Tokenizer *tokenizer;
    int32_t vocabulary;            /* logits of a token */
    Span begin, end;               /* around a section of reasoning; both empty: there are none */
    bool open;                     /* the prompt ended inside one */
    int32_t budget;                /* tokens of all sections of a sample; THINKING_ANY: any number */
    int32_t samples;
} AnswerGuardOptions;

Err answer_guard_new(AnswerGuard **, const AnswerGuardOptions *, Error *);
void answer_guard_free(AnswerGuard *);    /* once the request has ended. NULL is allowed */
Constraint answer_guard_constraint(AnswerGuard *);

#endif

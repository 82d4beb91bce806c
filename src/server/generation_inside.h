/* generation_inside.h -- what a Generation is made of; for generation*.c only.
 *
 *     Generation    one exchange
 *       PromptRun   one engine request: a prompt, `made` samples
 *         ChoiceRun one sample
 */
#ifndef SERVER_GENERATION_INSIDE_H
#define SERVER_GENERATION_INSIDE_H

#include "server/answer_guard.h"
#include "server/choice_run.h"
#include "server/service.h"

typedef struct PromptRun {
    Request *request;              /* NULL: not submitted, or closed */
    AnswerGuard *guard;            /* NULL: it may write what it likes */
    KeptToken *scored;             /* of the prompt's tokens from the second on */
    int32_t scored_count;
    Story *story;                  /* NULL: nobody asks for it */
    double submitted;              /* as clock_seconds() */
    RequestTimes times;            /* of the sample that ended last */
    int32_t reused;                /* tokens of the prompt that were not computed again */
} PromptRun;

struct Generation {
    Exchange *exchange;
    Service *service;
    Wire wire;
    void *with;
    GenerationSpec spec;           /* strings are its own */
    PromptRun *prompts;
    int32_t submitted;             /* prompts; the others wait until some of these have ended */
    int32_t made;                  /* samples of each prompt */
    StopMatcher *stops;            /* whose automaton all choices use; NULL: no stop texts */
    ChoiceRun *runs;               /* [prompts x made] */
    int32_t *given;                /* [prompts x n] places in `runs`: those that are given */
    int32_t left;                  /* samples that have not ended */
    bool gone, cancelled, done;    /* gone: nobody reads the answer */
    bool given_up, place_freed;    /* of the queue; given_up: what was not submitted will not be */
    char error[ERROR_TEXT_BYTES];  /* of the first END_ERROR */
};

static inline int32_t generation_made(const Generation *g) { return g->spec.prompt_count * g->made; }
void generation_free(void *generation);

bool generation_spec_check(const GenerationSpec *, const Service *, ApiError *error);
bool generation_refuse(ApiError *error, const Error *from);    /* of engine_submit(); returns false */
uint64_t generation_salt(const ApiKey *key, const char *cache_salt);
uint64_t generation_tenant(const ApiKey *key);
enum { BACKGROUND_PRIORITY = -1000000 };   /* below each that a key may have or a request may name */
int32_t generation_priority(const Exchange *, int32_t asked);

#endif

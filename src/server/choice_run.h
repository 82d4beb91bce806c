/* choice_run.h -- one answer while it is made: from the events of a sample to a Choice and its Deltas.
 *
 *     id -> Detokenizer -> StopMatcher -> DialectReader -> text, reasoning, calls -> emit()
 *            whole           nothing of      what each
 *            characters      a stop text     part is
 *
 * A token's text may be certain only some tokens later, so a delta carries all tokens since the one before it.
 */
#ifndef SERVER_CHOICE_RUN_H
#define SERVER_CHOICE_RUN_H

#include "server/generation.h"
#include "text/detokenizer.h"

typedef struct ChoiceRun {
    Choice choice;
    const GenerationSpec *spec;
    const Tokenizer *tokenizer;
    Detokenizer detokenizer;
    StopMatcher *stops;            /* NULL: no stop texts */
    DialectReader *reader;         /* NULL: all is text */
    Buf whole, certain;            /* between two stages; empty between two events */
    int32_t token_room, told;      /* tokens that fit; tokens that a delta has carried */
    int32_t reasoning_tokens;
    bool in_reasoning, opened;     /* opened: the echo of the prompt is done */
    bool stopped;                  /* a stop text or the only call allowed has come: what follows does not count */
    bool failed;                   /* no memory for it */
    double token_made;             /* when the newest was; 0: none was */
    void (*emit)(void *with, const Delta *);    /* NULL: all is told at the end, by choice_run_tell() */
    void *with;
} ChoiceRun;

/* With at most so many of the best. False: no memory for them. */
bool kept_token_take(KeptToken *, const Sampled *, int32_t best);
void kept_tokens_free(KeptToken *, int32_t count);     /* NULL is allowed, with none */

/* stops: of the spec's stop texts, shared by all choices and alive as long as them; NULL: none. */
Err choice_run_init(ChoiceRun *, const GenerationSpec *, const Tokenizer *, const StopMatcher *stops, Error *);
void choice_run_deinit(ChoiceRun *);         /* a zeroed one is fine */

/* Takes a token or the end. True: the sample need not go on (see `stopped` and `failed`). `error`: what an engine
 * says of END_ERROR. */
bool choice_run_take(ChoiceRun *, const Event *);
/* All of a whole answer once more, through `emit`: for answers that were chosen among several. */
void choice_run_tell(ChoiceRun *, void (*emit)(void *with, const Delta *), void *with);
double choice_run_score(const ChoiceRun *);  /* mean log-probability of its tokens */

#endif

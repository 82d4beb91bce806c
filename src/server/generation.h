/* generation.h -- what an API asks of the engine and what comes back, in no API's words.
 *
 *     body -> (a wire's reader) -> GenerationSpec -> one engine request per prompt, n samples each
 *     events -> ids -> whole characters -> stop texts -> dialect (reasoning, text, tool calls) -> Delta
 *     Delta -> (a wire's writer) -> SSE;   at the end: Choice, all of it -> (the wire) -> JSON
 *
 * A wire is a format of an API. It never sees events, rings or detokenisers; a generation never sees JSON.
 * All of it runs in an exchange's work(), so nothing here needs a lock.
 */
#ifndef SERVER_GENERATION_H
#define SERVER_GENERATION_H

#include "engine/engine.h"
#include "server/exchange.h"
#include "text/dialect.h"
#include "text/grammar.h"
#include "text/stop_matcher.h"

enum { PROMPTS_MAX = 128, CALLS_MAX = 128, CHOICES_MAX = 1024, /* choices: best_of and prompts multiply */
       THINKING_ANY = -1 };

typedef struct PromptIds { int32_t *ids; int32_t count; } PromptIds;

typedef struct GenerationSpec {
    PromptIds prompts[PROMPTS_MAX];   /* taken over */
    int32_t prompt_count;
    int32_t n, best_of;               /* answers to each prompt that are given, and that are made */
    bool beam_search;                 /* then n beams; */
    float length_penalty;             /* score / length^this */
    int32_t max_tokens;               /* TOKENS_ALL: as many as fit */
    SamplerOptions sampling;          /* `end` filled from the tokenizer by generation_spec_init() */
    const char *stop[STOP_STRINGS_MAX];   /* copied */
    int stop_count;
    bool keeps_stop;                  /* vLLM's include_stop_str_in_output */
    bool shows_special;               /* control tokens are text too (skip_special_tokens: false) */
    bool echo;                        /* the prompt's text comes before the answer's */
    int32_t prompt_logprobs;          /* LOGPROBS_NONE, or how many candidates of each token of the prompt */
    Grammar *grammar;                 /* NULL: none. A reference is taken over */
    const Dialect *dialect;           /* how calls and reasoning are written; NULL: all is text */
    bool reads_calls, reads_reasoning;
    bool one_call;                    /* the answer ends with its first call */
    json_t *tools;                    /* the request's tools, as DialectOptions.tools. A reference is taken over; NULL: none */
    bool reasoning_open;              /* the prompt ended inside a section of reasoning */
    int32_t thinking_tokens;          /* of reasoning in each answer, then its end is forced; THINKING_ANY: any number */
    int32_t priority;                 /* higher goes first */
    const char *cache_salt;           /* copied; NULL: the key's own only */
    double queue_seconds, total_seconds;   /* 0: the service's own */
    bool stream, timings;
} GenerationSpec;

/* n 1, the model's own defaults of sampling, ends of the tokenizer, limits of the service. */
void generation_spec_init(GenerationSpec *, const Service *);
void generation_spec_deinit(GenerationSpec *);    /* what was not taken over */

typedef enum Finish { FINISH_NONE, FINISH_STOP, FINISH_LENGTH, FINISH_CALLS, FINISH_CANCELLED, FINISH_EXPIRED,
                      FINISH_ERROR } Finish;

typedef struct ToolCall { char id[32]; Buf name, arguments; } ToolCall;

/* What is kept of an engine's Sampled: no room for what nobody asked for, so that an answer's tokens lie close together. */
typedef struct KeptToken {
    int32_t id;
    float logprob;                    /* NAN: nobody asked */
    int32_t best_count;
    TokenLogprob *best;               /* [best_count] of its own */
} KeptToken;

typedef struct Choice {               /* an answer so far; whole at the end */
    int32_t index, prompt, sample;
    Buf text, reasoning;
    ToolCall *calls;
    int32_t call_count;
    KeptToken *tokens;                /* the sampled ones */
    int32_t token_count;
    const KeptToken *prompt_tokens;   /* [prompt's count - 1] about its tokens from the second on, if asked for */
    int32_t prompt_token_count;
    Finish finish;
    int32_t stop_token;               /* the id that ended it; -1: none */
    const char *stop_text;            /* the stop text that ended it; NULL: none */
    double logprob_sum;
    RequestTimes times;
} Choice;

typedef enum DeltaKind { DELTA_TEXT, DELTA_REASONING, DELTA_CALL, DELTA_ARGUMENTS, DELTA_END } DeltaKind;

typedef struct Delta {
    DeltaKind kind;
    const Choice *choice;
    Span text;                        /* what is new; of DELTA_CALL: the name */
    int32_t call;                     /* DELTA_CALL, DELTA_ARGUMENTS: which one */
    const KeptToken *tokens;          /* those that came since the delta before: their text may be in this one */
    int32_t token_count;
} Delta;

typedef struct Generation Generation;

typedef struct Wire {
    /* Of a stream: writes events. best_of and beams: all deltas come at the end. NULL: only done() is called. */
    void (*delta)(Exchange *, Generation *, const Delta *);
    /* All choices have ended: writes the whole answer, or what closes the stream; then exchange_done(). */
    void (*done)(Exchange *, Generation *);
    void (*free_with)(void *with);
} Wire;

/* Submits, and takes over the exchange: from here on the wire answers. False: refused, *error says why, and
 * the caller answers with it. `with` is the wire's own, freed by free_with in both cases. */
bool generation_begin(Exchange *, GenerationSpec *, const Wire *, void *with, ApiError *error);

void *generation_with(const Generation *);
const GenerationSpec *generation_spec(const Generation *);    /* prompts are still there; `grammar` is not */
int32_t generation_choices(const Generation *);               /* prompts x n, in order */
const Choice *generation_choice(const Generation *, int32_t i);

typedef struct GenerationUsage { int64_t prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens; } GenerationUsage;
GenerationUsage generation_usage(const Generation *);         /* all that was made counts, best_of included */

/* True: nothing is worth giving, since all answers failed or expired with no token; *error says why. */
bool generation_failed(const Generation *, ApiError *error);

/* {"queued_ms", "prompt_ms", "ttft_ms", "predicted_per_second", ...}: on demand. */
json_t *generation_timings(const Generation *);

#endif

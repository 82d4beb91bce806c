/* engine.h -- requests in, tokens out: the loop that serves all of them with one model.
 *
 *     any thread                     the engine's thread                        any thread
 *     engine_submit --> [ queue ] --> engine_step, again and again --> [ events ] --> request_next
 *     request_cancel     bounded      plan, run, commit, sample         bounded,
 *     request_stop                                                     one ring per request
 *
 * Each step computes some rows of some sequences: a token of each that is being generated, a chunk of
 * a prompt, all flat in one batch. What a request receives depends on nothing but the request: not on
 * the company in the batch, the chunks, what was shared, or whether it was interrupted.
 *
 * No step has more than `rows` rows, and those that generate come first. So the time from one token of an
 * answer to its next is at most that of a step of so many rows, however long the prompts are that arrive
 * meanwhile. `prefill_rows` makes it shorter, and the first tokens of new answers later.
 *
 * The engine never waits for a slow reader (a sequence whose ring of events is full rests, and others
 * go on), never lets one request's error end another, and its thread allocates nothing once
 * engine_new() has returned: a request that can never fit is refused by engine_submit(), with the
 * numbers; one that does not fit now waits in the queue. Who goes first is the policy's (waiting.h), and
 * nobody waits for ever (scheduler.h). Wishes and deadlines are heeded between two steps.
 *
 * Where the device computes beside the host, the next step is planned and queued while one computes. Its tokens fly
 * meanwhile: they are chosen, and taken by the next step where they were chosen; the host hears of them after that.
 * One that ends an answer is heard of too late for the row behind it: what that computes is dropped.
 *
 *     device    [ step n           ][ step n + 1       ]      n + 1 takes its tokens from n
 *     host      [ plan n + 1 ][ tell n - 1 ][ plan n + 2 ][ tell n ]
 *
 * So it is where all that the step's rows are for is a token whose choice needs no other (penalties and grammars do).
 *
 *     Engine *engine;
 *     TRY(engine_new(&engine, &options, &model, device, err));
 *     TRY(engine_submit(engine, &(RequestOptions){.prompt = ids, .prompt_count = n, ...}, &request, err));
 *     while (engine_step(engine))
 *         while (request_next(request, &event))
 *             ...
 *     request_close(request);
 *     engine_free(engine);
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "cache/kv_persist.h"
#include "engine/sampler.h"
#include "engine/step_report.h"
#include "engine/story.h"
#include "model/model.h"

typedef struct Engine Engine;
typedef struct Request Request;

/* What the engine needs to know of a model. engine_model() makes it of an opened one. */
typedef struct EngineModel {
    const ModelShape *shape;
    const KvLayout *kv;
    void (*forward)(const void *model, Device *, const Step *, Tensor logits);
    const void *model;
} EngineModel;

EngineModel engine_model(const Model *);

/* Who guesses what comes next; several guesses are checked in one step, and wrong ones cost nothing but
 * their rows. What a request receives does not depend on it. */
typedef struct EngineDrafter {
    /* Writes at most `most` tokens that may follow the `known` ones; returns how many. On the engine's thread. */
    int32_t (*propose)(void *with, const int32_t *tokens, int32_t known, int32_t *drafts, int32_t most);
    void *with;
    int32_t most;              /* of one sequence in one step */
} EngineDrafter;

typedef struct EngineOptions {
    int32_t sequences;         /* that run at the same time: each sample of a request is one */
    int32_t rows;              /* of one step: the budget that all share */
    int32_t prefill_rows;      /* of them, that prompts may take while others generate; 0: all that is left */
    int32_t logit_rows;        /* of one step; at least `sequences` */
    int32_t context;           /* positions of the longest sequence; 0: the model's own */
    int32_t block_tokens;      /* positions of a cache block */
    int64_t cache_tokens;      /* positions that the cache holds in all; 0: see cache_bytes */
    int64_t cache_bytes;       /* memory that the cache may take; both 0: `sequences` whole contexts */
    int32_t state_snapshots;   /* states of fixed size that are kept for prompts that begin alike; 0: none */
    int32_t state_interval;    /* tokens from one to the next; 0: only where pasts part and prompts end */
    const Format *cache_format;
    const char *policy;        /* who goes first: "fcfs", "priority", "spf", "lpf" */
    bool fair;                 /* tenants of one class take turns, by what they were served (tenants.h), and
                                  share the places of the queue (queue_share.h) */
    int32_t patience;          /* steps; once in so many, who has waited longest, and that long, goes next */
    int32_t queue;             /* requests that may wait: not started, or interrupted */
    int32_t events;            /* of one request that may wait to be read; sampled tokens of a whole step always fit */
    KvFilesOptions files;      /* a second home for the cache; directory NULL: none */
    uint64_t key;              /* of the prefix index: random where strangers choose prompts */
    bool forgets;              /* each token recomputes its whole past, as if there were no cache: to see what that costs */
    bool device_chooses;       /* tokens are chosen on the device, all rows of a step at once (choices.h), also where its
                                  memory is the host's */
    bool flies;                /* a step may be run before the tokens of the one before have been told, also where the
                                  device computes while it is called: for tests */
    EngineDrafter drafter;     /* propose NULL: nothing is drafted */
    void (*observe)(void *with, const StepReport *);   /* NULL, or called after each step on the engine's thread */
    void *observe_with;
} EngineOptions;

EngineOptions engine_options_default(void);

Err engine_new(Engine **, const EngineOptions *, const EngineModel *, Device *, Error *);
void engine_free(Engine *);    /* ends what still runs (END_CANCELLED); requests may be closed afterwards. NULL is allowed */

/* Computes one step. False: nothing can be done until a request arrives, is cancelled, or events are
 * read. One thread at a time. */
bool engine_step(Engine *);
/* Sleeps until engine_step() may have something to do, or for so many seconds. */
void engine_wait(Engine *, double seconds);
void engine_wake(Engine *);    /* from any thread: engine_wait() returns */

enum { TOKENS_ALL = -1, SAMPLES_MAX = 128 };

/* What may come next in the answers of one request: a grammar. Called on the engine's thread, allocates nothing. */
typedef struct Constraint {
    /* As SamplePlace.allowed; NULL: all may. Where nothing may come, the answer ends (END_STOP). */
    const uint32_t *(*allowed)(void *with, int32_t sample);
    void (*accept)(void *with, int32_t sample, int32_t id);      /* it came; also called for the token that ends */
    void (*copy)(void *with, int32_t to, int32_t from);          /* a beam goes on from another's past */
    void *with;                /* alive until the last event */
} Constraint;

typedef enum Pooling { POOL_NONE, POOL_LAST, POOL_MEAN } Pooling;

typedef struct RequestOptions {
    const int32_t *prompt;     /* copied */
    int32_t prompt_count;
    int32_t max_tokens;        /* of each sample; TOKENS_ALL: as many as fit; 0: only the prompt is scored */
    int32_t samples;           /* answers to the one prompt, whose past they share; 0 means 1 */
    int32_t priority;          /* for policies that look at it; higher goes first */
    uint64_t salt;             /* only requests with the same salt share their past */
    uint64_t tenant;           /* whose it is: see EngineOptions.fair */
    uint64_t tag;              /* the user's own number of it, for SequenceView; the engine makes nothing of it */
    double queue_seconds;      /* ends with END_EXPIRED if nothing was computed for it by then; 0: waits for ever */
    double total_seconds;      /* ... if it has not ended by then, with what it has; 0: never */
    Constraint constraint;     /* allowed NULL: none */
    int32_t beams;             /* > 0: beam search: the `samples` best of so many beams; no sampling */
    float length_penalty;      /* of beams: sum of log-probabilities / length^this */
    Pooling pooling;           /* of the last hidden states of the prompt, after the last norm ... */
    float *embedding;          /* ... into [D], alive until the last event; with max_tokens 0 */
    SamplerOptions sampling;
    Story *story;              /* NULL, or where to note what happens to it, zeroed; alive until the last event (story.h) */
    bool prompt_logprobs;      /* an EVENT_PROMPT for each token of the prompt but the first ... */
    int32_t score_from;        /* ... that follows a position >= this one */
    float *logits;             /* NULL, or where to put those of the prompt's positions >= score_from:
                                  [prompt_count - score_from, V], alive until the last event */
    void (*notify)(void *with);   /* NULL, or called on the engine's thread at each event; the request is
                                     locked meanwhile, so it may signal somebody, and no more */
    void *notify_with;
    int32_t notify_tokens;     /* so many wait for each other before it is called for them; the first of a sample, and
                                  what is no token, is told of at once. It and `samples` together are at most
                                  EngineOptions.events; 0 means 1 */
} RequestOptions;

typedef enum EventKind {
    EVENT_PROMPT,    /* what the model thinks of a token of the prompt */
    EVENT_TOKEN,     /* a sample has one more token */
    EVENT_END,       /* a sample has ended; the last event of that sample */
} EventKind;

typedef enum EndReason {
    END_STOP,        /* one of sampling.end or sampling.stop came; it is event.token.id */
    END_LENGTH,      /* max_tokens, the context or the cache is used up */
    END_CANCELLED,
    END_EXPIRED,     /* queue_seconds or total_seconds are over */
    END_ERROR,       /* request_error() says what */
} EndReason;

typedef struct RequestTimes {      /* seconds from submission; 0: has not happened */
    double started;                /* first computed on */
    double first_token;
    double ended;
    int32_t prompt_tokens, reused_tokens, generated_tokens;   /* reused: taken from the cache, not computed */
    int32_t preemptions;
    int32_t prompt_steps;          /* steps in which rows of the prompt were computed: its chunks */
    int32_t recomputed_tokens;     /* that were computed, lost by a preemption, and not found in the cache any more */
    double waited;                 /* for a place: before the start, and after each preemption */
} RequestTimes;

typedef struct Event {
    EventKind kind;
    EndReason reason;          /* EVENT_END */
    int32_t sample;            /* from 0 */
    int32_t position;          /* of the token in its sequence */
    int32_t left;              /* EVENT_END: samples of the request that still run */
    double made;               /* clock_seconds() */
    RequestTimes times;        /* EVENT_END */
    Sampled token;             /* id; logprob and best as sampling.logprobs asks */
} Event;

/* BAD_ARGUMENT: a field is wrong. NO_MEMORY: it can never fit. LIMIT_REACHED: the queue, or the
 * tenant's share of it, is full now. IO_FAILED: the device is lost (engine_trouble()). */
Err engine_submit(Engine *, const RequestOptions *, Request **, Error *);
Err engine_check(const Engine *, const RequestOptions *, Error *);    /* all that it says but what the queue does */
bool request_next(Request *, Event *);                   /* false: no event now */
bool request_has_next(Request *);                        /* a look without a lock */
bool request_wait(Request *, double seconds);            /* false: still none */
bool request_ended(Request *);                           /* all events were read */
void request_cancel(Request *);                          /* acts before the next step */
void request_stop(Request *, int32_t sample);            /* one sample ends with END_STOP before the next step */
const char *request_error(const Request *);              /* after END_ERROR */
void request_close(Request *);                           /* cancels what still runs; notify is not called once it
                                                            returns. NULL is allowed */

typedef struct EngineStats {
    int32_t queued, serving;                             /* requests: of which nothing runs, of which something does */
    int32_t waiting, running, resting;                   /* sequences of those that have started; resting: of the
                                                            running ones, those whose events nobody reads */
    int64_t steps, rows, started, preemptions, copies;   /* started: requests */
    int64_t prompt_tokens, reused_tokens, generated_tokens;   /* of what has ended */
    int64_t drafted_tokens, accepted_tokens;
    int32_t groups;
    BlockCounts blocks[KV_GROUPS_MAX];
} EngineStats;

EngineStats engine_stats(const Engine *);                /* on the engine's thread, between steps */
/* Who is there, in no order, at most `most`; returns how many. On the engine's thread, between steps. */
int32_t engine_sequences(const Engine *, SequenceView *out, int32_t most);
/* Recounts all that is held, between steps; an Error says what does not agree. For tests and for doubt. */
Err engine_audit(const Engine *, Error *);
const KvLedger *engine_ledger(const Engine *);
/* What broke the device: whatever ran has ended with it, and no request is taken any more. NULL: all is well. Any thread. */
const Error *engine_trouble(const Engine *);
KvFilesStats engine_files(const Engine *);               /* from any thread */
const KvCache *engine_cache(const Engine *);             /* for cache/kv_usage.h; on the engine's thread, between steps */
const EngineOptions *engine_options(const Engine *);    /* as it was made with */
int32_t engine_longest(const Engine *);                  /* tokens of the longest sequence that fits: prompt and answer */

#endif

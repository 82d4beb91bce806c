/* ridge.h -- the public interface of libridge: open a model, submit requests, step, read events.
 *
 *     ridge_model *model;   ridge_engine *engine;   ridge_request *request;   ridge_error error;
 *
 *     ridge_model_open("path/to/model", NULL, &model, &error);
 *     ridge_engine_new(model, NULL, &engine, &error);
 *     ridge_submit(engine, &(ridge_request_options){.text = "Once upon a time", .max_tokens = 64}, &request, &error);
 *     while (!ridge_ended(request)) {
 *         ridge_step(engine);
 *         for (ridge_event event; ridge_next(request, &event);)
 *             fwrite(event.text, 1, event.text_bytes, stdout);
 *     }
 *     ridge_request_close(request);   ridge_engine_free(engine);   ridge_model_close(model);
 *
 * Ownership. Whoever gets something by a pointer to a pointer gives it back with the _close or _free that
 * is named beside it: requests before their engine, engines before their model. Strings and arrays that
 * are passed in are copied; what an event points at lives until the next call with the same request.
 *
 * Threads. There is no global state: any number of models and engines live in one process. Of one engine,
 * ridge_submit(), ridge_cancel() and ridge_wake() may be called by any thread at any time; ridge_step()
 * and ridge_wait() by one thread at a time; the events of one request are read by one thread at a time.
 * A model is used by one engine at a time (it owns the activations of a step).
 *
 * Errors. Every function that can fail returns a ridge_status and fills a ridge_error (which may be NULL)
 * with one or two sentences that name the file, field or number and say what to do. Nothing here prints,
 * exits, or changes signal handlers.
 *
 * Sizes are in bytes, times in seconds, tokens are ids of the model's vocabulary.
 */
#ifndef RIDGE_H
#define RIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RIDGE_API __attribute__((visibility("default")))

typedef enum ridge_status {
    RIDGE_OK = 0,
    RIDGE_BAD_ARGUMENT,
    RIDGE_BAD_FILE,
    RIDGE_NOT_FOUND,
    RIDGE_UNSUPPORTED,
    RIDGE_NO_MEMORY,
    RIDGE_IO_FAILED,
    RIDGE_LIMIT_REACHED,
    RIDGE_CANCELLED,
} ridge_status;

typedef struct ridge_error {
    ridge_status status;
    char text[1024];
} ridge_error;

typedef struct ridge_model ridge_model;
typedef struct ridge_engine ridge_engine;
typedef struct ridge_request ridge_request;

RIDGE_API const char *ridge_version(void);

/* ---- a model ---- */

typedef struct ridge_model_options {
    int threads;               /* 0: as many as the processor, its cgroup and its affinity allow */
    const char *tier;          /* NULL or "best", "reference", "avx2", "avx512", "amx" */
} ridge_model_options;

/* path: a checkpoint directory or a .gguf; NULL: the default model. options may be NULL. */
RIDGE_API ridge_status ridge_model_open(const char *path, const ridge_model_options *options, ridge_model **out,
                                        ridge_error *error);
RIDGE_API void ridge_model_close(ridge_model *model);

typedef struct ridge_model_facts {
    const char *family;        /* lives as long as the model */
    int64_t parameters;
    int32_t width, layers, vocabulary, context;
    bool has_tokenizer, has_chat_template;
} ridge_model_facts;
RIDGE_API ridge_model_facts ridge_model_about(const ridge_model *model);

/* Text to ids. add_special: with what begins and ends a text for this model. Returns how many ids there
 * are, of which at most ids_max are stored; negative: see error. */
RIDGE_API int64_t ridge_tokenize(const ridge_model *model, const char *text, size_t text_bytes, bool add_special, int32_t *ids,
                                 size_t ids_max, ridge_error *error);
/* Ids to text, likewise in bytes; no zero is added. */
RIDGE_API int64_t ridge_detokenize(const ridge_model *model, const int32_t *ids, size_t count, char *text,
                                   size_t text_bytes_max, ridge_error *error);
/* Renders the model's chat template. messages_json: [{"role": "user", "content": "..."}, ...]. */
RIDGE_API int64_t ridge_render_chat(const ridge_model *model, const char *messages_json, bool add_generation_prompt, char *text,
                                    size_t text_bytes_max, ridge_error *error);

/* ---- an engine ---- */

typedef struct ridge_engine_options {
    int32_t sequences;         /* generated at the same time; 0: 8 */
    int32_t context;           /* positions of the longest; 0: the model's own, 8192 at most */
    int32_t queue;             /* requests that may wait; 0: 64 */
    int64_t cache_bytes;       /* memory for the past; 0: what `sequences` whole contexts need */
    const char *cache_type;    /* NULL: "F16"; "F32", "BF16", "F8_E4M3", "Q8_0" */
    int32_t state_snapshots;   /* of models with states of fixed size, kept for prompts that begin alike; 0: 16, -1: none */
} ridge_engine_options;

/* All memory is taken here; stepping allocates nothing. options may be NULL. */
RIDGE_API ridge_status ridge_engine_new(ridge_model *model, const ridge_engine_options *options, ridge_engine **out,
                                        ridge_error *error);
RIDGE_API void ridge_engine_free(ridge_engine *engine);

RIDGE_API bool ridge_step(ridge_engine *engine);                    /* false: nothing to do now */
RIDGE_API void ridge_wait(ridge_engine *engine, double seconds);    /* until there may be something to do */
RIDGE_API void ridge_wake(ridge_engine *engine);

/* ---- requests ---- */

enum { RIDGE_STOPS_MAX = 16, RIDGE_BEST_MAX = 64 };

typedef struct ridge_request_options {
    const char *text;          /* the prompt, zero-terminated ... */
    const int32_t *ids;        /* ... or as ids; one of the two */
    size_t ids_count;
    int32_t max_tokens;        /* 0: as many as fit */
    int32_t samples;           /* answers to the one prompt; 0: 1 */
    float temperature;         /* 0: the likeliest token */
    int32_t top_k;             /* 0: off */
    float top_p, min_p;        /* 0: off */
    uint64_t seed;
    int32_t logprobs;          /* 0: none; n: of the token and of the n - 1 best beside it */
    bool ignore_end;
    const char *stop[RIDGE_STOPS_MAX];    /* until NULL: texts at which an answer ends */
    void (*notify)(void *with);           /* NULL, or called on the stepping thread when there are new events */
    void *notify_with;
} ridge_request_options;

/* RIDGE_LIMIT_REACHED: the queue is full now. RIDGE_NO_MEMORY: it could never fit. */
RIDGE_API ridge_status ridge_submit(ridge_engine *engine, const ridge_request_options *options, ridge_request **out,
                                    ridge_error *error);

typedef enum ridge_reason {
    RIDGE_GOES_ON,
    RIDGE_END_STOP,            /* the model ended, or a stop text came */
    RIDGE_END_LENGTH,
    RIDGE_END_CANCELLED,
    RIDGE_END_ERROR,           /* `text` says what */
} ridge_reason;

typedef struct ridge_candidate { int32_t id; float logprob; } ridge_candidate;

typedef struct ridge_event {
    int32_t sample;
    ridge_reason reason;       /* RIDGE_GOES_ON: a token; else the end of this sample */
    const char *text;          /* what became certain with it: whole characters, may be empty */
    size_t text_bytes;
    int32_t token;             /* -1 at the end of a sample */
    float logprob;             /* when logprobs were asked for */
    int32_t best_count;
    const ridge_candidate *best;
} ridge_event;

RIDGE_API bool ridge_next(ridge_request *request, ridge_event *event);    /* false: none now */
RIDGE_API bool ridge_ended(const ridge_request *request);                 /* all events were read */
RIDGE_API void ridge_cancel(ridge_request *request);
RIDGE_API void ridge_request_close(ridge_request *request);               /* cancels what still runs */

#ifdef __cplusplus
}
#endif
#endif

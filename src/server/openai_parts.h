/* openai_parts.h -- what OpenAI's APIs have in common: ids, usage, log-probabilities, the options of a stream. */
#ifndef SERVER_OPENAI_PARTS_H
#define SERVER_OPENAI_PARTS_H

#include "server/fields.h"
#include "server/generation.h"
#include "server/service.h"

typedef struct OpenaiReply {       /* what a wire keeps beside the generation */
    char id[96];
    int64_t created;
    const Service *service;
    bool includes_usage, counts_always;    /* of a stream: a last chunk with usage; usage in each chunk */
    bool began;
    int32_t logprobs;              /* of the answer: LOGPROBS_NONE, or how many candidates */
    bool returns_ids;              /* vLLM's return_token_ids */
    bool returns_prompt;           /* prompt_logprobs */
    int32_t choices;
    Buf head;                      /* of all chunks of a stream: up to their choice */
    Buf end;                       /* of the chunk that is being written: what follows its choice */
    bool *opened;                  /* [choices] the first chunk of each was sent */
    int64_t *bytes;                /* [choices] characters of the tokens that were told: for offsets */
} OpenaiReply;

/* What all handlers of generations have in common: opens the body, calls begin(), tells its error. */
void openai_generate(Exchange *, bool (*begin)(Exchange *, Fields *, GenerationSpec *, ApiError *));

/* NULL: no memory. `prefix`: "chatcmpl-". */
OpenaiReply *openai_reply_new(Exchange *, const char *prefix, int32_t choices);
void openai_reply_free(void *);

/* stream_options.include_usage and .continuous_usage_stats. */
void openai_read_stream_options(Fields *, OpenaiReply *, bool stream);

json_t *openai_usage(const Generation *);
const char *openai_finish(const Choice *);
json_t *openai_finish_json(const Choice *);       /* null while it runs */
/* vLLM's: the stop text, the id that was asked for, or null. */
json_t *openai_stop_reason(const Generation *, const Choice *);

/* {"id", "object", "created", "model", "choices"}; the choices are taken over. */
json_t *openai_frame(const OpenaiReply *, const char *object, json_t *choices);
/* Sends a chunk of a stream, with what stream_options ask for. */
void openai_send(Exchange *, const Generation *, OpenaiReply *, const char *object, json_t *choice);
/* The same of a choice that only its index and a text tell from others, written around the text without making an object. */
typedef struct OpenaiChunk {
    const char *object;
    const char *before, *after;    /* {"index": 0, before "the text" after */
} OpenaiChunk;
void openai_send_text(Exchange *, const Generation *, OpenaiReply *, const OpenaiChunk *, int32_t index, Span text);
bool openai_is_plain(const OpenaiReply *, const Delta *);      /* whether this is such a text, and not the first */
/* Ends a stream: usage, [DONE]. An answer that failed as a whole: its error. */
void openai_end_stream(Exchange *, const Generation *, OpenaiReply *, const char *object);
/* Ends an answer that is no stream. True: it has failed, and was told so. */
bool openai_tell_failure(Exchange *, const Generation *);
void openai_add_extras(json_t *answer, const Generation *);    /* usage, timings on demand */

json_t *openai_number(float logprob);             /* JSON knows no infinities: -9999 */
json_t *openai_token_text(const Tokenizer *, int32_t id);      /* broken characters as U+FFFD */
json_t *openai_token_bytes(const Tokenizer *, int32_t id);
/* {"content": [{"token", "logprob", "bytes", "top_logprobs"}]}'s list. */
json_t *openai_logprobs(const Tokenizer *, const KeptToken *, int32_t count);
/* vLLM's: [null, {"id": {"logprob", "rank", "decoded_token"}}, ...]. */
json_t *openai_prompt_logprobs(const Tokenizer *, const Choice *);
json_t *openai_ids(const KeptToken *, int32_t count);

#endif

/* response_reply.h -- how /v1/responses answers: an object with a list of items, or the events that build it up.
 *
 *     response.created, response.in_progress
 *       response.output_item.added                       reasoning, message or function_call
 *         response.content_part.added
 *           response.output_text.delta ... .done         also reasoning_text; function_call_arguments without a part
 *         response.content_part.done
 *       response.output_item.done
 *     response.completed                                 .incomplete, .failed
 */
#ifndef SERVER_RESPONSE_REPLY_H
#define SERVER_RESPONSE_REPLY_H

#include "server/generation.h"
#include "server/random_id.h"
#include "server/response_events.h"
#include "server/service.h"

typedef struct ResponseReply {
    RandomId id;                   /* "resp_..." */
    int64_t created;
    bool background;               /* nobody waits for it */
    uint64_t tenant;
    const Service *service;
    char conversation[128];        /* that the answer is added to; "": none */
    json_t *frame;                 /* owned: the fields of the response that repeat the request's */
    json_t *messages, *input;      /* owned: the conversation so far and what was asked, for the stores; NULL: not stored */
    json_t *output;                /* owned: items that are whole */
    ResponseEvents *events;        /* of a stream in the background, for who comes later; NULL: not kept */
    int64_t sequence;              /* of the next event */
    bool began;
    int32_t logprobs;              /* LOGPROBS_NONE, or how many candidates */

    /* The item that is being written. */
    bool open;
    DeltaKind kind;                /* DELTA_TEXT, DELTA_REASONING or DELTA_CALL */
    RandomId item;
    int32_t call;                  /* DELTA_CALL: which one */
    size_t begin;                  /* of its text in the choice's */
    json_t *told;                  /* owned: log-probabilities of its tokens; NULL: not asked for */
} ResponseReply;

ResponseReply *response_reply_new(const Exchange *);    /* NULL: no memory */
void response_reply_free(void *);
extern const Wire response_wire;
/* Stores what is begun, and answers with it, or with a stream that nobody needs to read, while the work goes on. */
void response_reply_ahead(Exchange *, ResponseReply *, bool stream);

#endif

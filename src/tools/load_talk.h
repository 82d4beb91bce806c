/* load_talk.h -- one conversation with the server under test: the bodies of its requests.
 *
 *     load_talk_begin -> load_talk_ask -> (the server answers) -> load_talk_answer -> load_talk_ask -> ... -> load_talk_end
 *
 * Each turn's request holds all that was said before, the server's own answers included.
 */
#ifndef TOOLS_LOAD_TALK_H
#define TOOLS_LOAD_TALK_H

#include "tools/load_plan.h"

enum { LOAD_TALK_BYTES_MAX = 1 << 26 };

typedef struct LoadWire {
    bool chat;                 /* /v1/chat/completions, else /v1/completions */
    bool ignore_eos;
    const char *model;
    double temperature;        /* below 0: not sent, the server's own */
    json_t *extra;             /* an object whose fields go into every body, before all others; NULL: none */
} LoadWire;

typedef struct LoadTalk {
    int64_t number;
    int32_t turn;              /* the next one to be asked */
    json_t *messages;          /* of a chat */
    Buf text;                  /* of a completion, all turns so far */
} LoadTalk;

void load_talk_begin(LoadTalk *, int64_t number);
/* The body of the next turn's request. */
Err load_talk_ask(LoadTalk *, const LoadPlan *, const LoadWire *, LoadAsk *ask, Buf *body, Error *);
Err load_talk_answer(LoadTalk *, Span text, Error *);
void load_talk_end(LoadTalk *);

#endif

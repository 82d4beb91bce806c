/* load_plan.h -- what is asked of a server under test, and when: a pure function of a seed.
 *
 *     conversation   0          1              2 ...        each with `turns` requests, one after another's answer
 *     arrives        0.00 s     0.31 s         0.36 s       Poisson, `burst` of them at a time; or as soon as a
 *                                                           place is free (rate 0)
 *     prompt         [ shared prefix | its own tokens ]     drawn from (seed, conversation, turn)
 *
 * Made-up prompts are token ids, or words, of which a usual vocabulary has most as one token. The same seed makes the
 * same prompts, so a second run with it meets what the server's prefix cache knows of the first.
 */
#ifndef TOOLS_LOAD_PLAN_H
#define TOOLS_LOAD_PLAN_H

#include "base/buf.h"
#include "base/json.h"
#include "tools/load_lengths.h"

enum { LOAD_PROMPTS_MAX = 1 << 20, LOAD_PROMPT_FILE_BYTES_MAX = 1 << 28 };

typedef struct LoadPrompt {
    json_t *prompt;            /* a text, a list of ids, or a list of messages */
    bool is_messages;
    int32_t output_tokens;     /* 0: the line does not say */
} LoadPrompt;

typedef struct LoadPrompts { LoadPrompt *item; int32_t count; } LoadPrompts;

/* JSONL, {"prompt": TEXT or [IDS]} or {"messages": [...]}, with "max_tokens" if wanted; or plain text, a prompt a line. */
Err load_prompts_read(LoadPrompts *, Span text, const char *name, Error *);
void load_prompts_deinit(LoadPrompts *);

typedef struct LoadPlan {
    uint64_t seed;
    LoadLengths prompt, output;        /* tokens */
    int32_t shared_prefix;             /* tokens that all prompts begin with, before their own */
    int32_t turns;                     /* requests of a conversation */
    bool words;                        /* made-up prompts are words, not ids */
    int32_t id_low, id_high;           /* ids are drawn from [low, high) */
    double rate;                       /* requests per second; 0: not by the clock */
    int32_t burst;                     /* conversations that arrive at one moment */
    const LoadPrompts *prompts;        /* taken in turn, again from the first after the last; NULL: made up */
} LoadPlan;

/* When conversations begin, in seconds from the start. */
typedef struct LoadArrivals {
    PrngStream random;
    double at, mean_gap;
    int32_t burst, left;       /* left: how many more arrive at this moment */
} LoadArrivals;

LoadArrivals load_arrivals(const LoadPlan *);
double load_arrivals_next(LoadArrivals *);

typedef struct LoadAsk { int32_t prompt_tokens, output_tokens; } LoadAsk;    /* prompt_tokens: of the turn's own text */
LoadAsk load_ask(const LoadPlan *, int64_t conversation, int32_t turn);

/* The made-up prompt of a turn; the first turn begins with the shared prefix. */
json_t *load_ids(const LoadPlan *, int64_t conversation, int32_t turn);
bool load_words(const LoadPlan *, int64_t conversation, int32_t turn, Buf *out);
const LoadPrompt *load_prompt(const LoadPlan *, int64_t conversation, int32_t turn);   /* of the file; NULL: made up */

#endif

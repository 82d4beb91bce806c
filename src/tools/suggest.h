/* suggest.h -- which machines, and how, serve a traffic at the least cost.
 *
 * Every machine, format of weights and of the cache, number of shards and size of a batch is planned (tools/plan.h). With
 * prompts of P tokens that take t_p and answers of A tokens in steps of t(b) for b sequences at a time, a replica
 *
 *     serves             1 / (t_p + A t(b) / b)  requests a second
 *     gives a token each t(b) + b t_p / A        since other prompts come between
 *     begins after       t_p + t(b) + w          w: the wait of a queue whose service takes the same time each (M/D/1),
 *                                                 load / (2 (1 - load)) of a request's time
 *
 * and as many replicas are taken as keep their load under LOAD_MAX: above it queues grow faster than what is served.
 */
#ifndef TOOLS_SUGGEST_H
#define TOOLS_SUGGEST_H

#include "tools/plan.h"

enum { SUGGEST_MACHINES_MAX = 16, SUGGEST_FORMATS_MAX = 8, SUGGEST_SHARDS = 4 };
enum { SUGGESTIONS_MAX = SUGGEST_MACHINES_MAX * SUGGEST_FORMATS_MAX * SUGGEST_FORMATS_MAX * SUGGEST_SHARDS };

typedef struct SuggestMachine {
    Machine machine;
    double price;                  /* per hour, of one */
} SuggestMachine;

typedef struct SuggestQuestion {
    const char *model;
    int32_t kv_heads;              /* see PlanModelOptions */
    double rate;                   /* requests per second */
    int32_t prompt, answer;        /* tokens */
    double ttft, latency;          /* seconds, at most; 0: any */
    SuggestMachine machine[SUGGEST_MACHINES_MAX];
    const Format *format[SUGGEST_FORMATS_MAX], *cache[SUGGEST_FORMATS_MAX];   /* a NULL format: as stored */
    int machines, formats, caches;
} SuggestQuestion;

typedef enum SuggestWhy { SUGGEST_MEETS, SUGGEST_NO_ROOM, SUGGEST_TTFT, SUGGEST_LATENCY } SuggestWhy;

/* The cheapest batch of one way; where none meets the bounds, the one that misses them least. */
typedef struct Suggestion {
    const SuggestMachine *machine;
    const char *format;
    const Format *cache;
    int32_t shards, batch;
    int64_t replicas;
    double memory;                 /* bytes, of each machine; NO_ROOM: of a single sequence */
    double ttft, latency, load;
    double price;                  /* per hour, of all */
    int turn;                      /* of equals the first that was tried comes first: the larger format */
    SuggestWhy why;
} Suggestion;

/* out: of *count, those that meet the bounds first, the cheapest first. */
Err suggest(const SuggestQuestion *, Suggestion out[SUGGESTIONS_MAX], int *count, Error *err);

#endif

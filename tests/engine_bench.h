/* engine_bench.h -- an engine on the hash model, for tests: what an answer is depends on nothing but its request.
 *
 *     bench_open(&b, bench_options());
 *     Answer a = solo(&b, asking(some_prompt, 20, 10));
 *     bench_close(&b);
 */
#ifndef ENGINE_BENCH_H
#define ENGINE_BENCH_H

#include "devices/hash/hash_model.h"
#include "engine/engine.h"

enum { VOCABULARY = 40, CONTEXT = 256, BROKEN = 13, ANSWER_MAX = 64 };

/* As the hash model, but what it says after the token BROKEN is no number. */
typedef struct Bench {
    Device *device;
    HashModel model;
    ModelShape shape;
    KvLayout layout;
    Engine *engine;
} Bench;

extern const Bench bench_attention, bench_states, bench_mixed;

EngineOptions bench_options(void);     /* 8 sequences, 64 rows */
void bench_open_as(Bench *, const Bench *kind, EngineOptions);
void bench_open(Bench *, EngineOptions);
void bench_close(Bench *);

extern int32_t some_prompt[CONTEXT];
void fill_prompt(int32_t seed);        /* without BROKEN */

/* Greedy; BROKEN can only come from a prompt: answers never contain it. */
RequestOptions asking(const int32_t *prompt, int32_t count, int32_t max_tokens);
Request *submit(Bench *, RequestOptions);

typedef struct Answer {
    int32_t tokens[ANSWER_MAX], count;
    EndReason reason;
    bool ended;
    RequestTimes times;
} Answer;

void read_answer(Request *, Answer *answers);          /* [samples]; what there is now */
void finish(Bench *, Request *, Answer *answers);
Answer solo(Bench *, RequestOptions);
void assert_same(const Answer *, const Answer *);

#endif

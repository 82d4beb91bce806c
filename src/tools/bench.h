/* bench.h -- how fast a model reads and writes, measured through the engine as any request is served.
 *
 *     pp512        a prompt of 512 tokens, up to its first new token
 *     tg128        128 tokens, one after another, from an empty context
 *     ... @ d4096  the same behind 4096 tokens that are there already and are not counted
 *     tg128 x 8    eight answers at a time, each to a prompt of its own: nothing of the past is shared
 *
 * The conventions are llama-bench's (one warm-up that does not count, then repetitions), so that rows can
 * be held side by side; unlike there, a token is also chosen. The work is what the tally saw go by:
 * weights and cache that had to be read, not what the caches of the processor made of it.
 */
#ifndef TOOLS_BENCH_H
#define TOOLS_BENCH_H

#include "core/verdict.h"
#include "engine/engine.h"

enum { BENCH_REPETITIONS_MAX = 100, BENCH_BATCH_MAX = 512, BENCH_NAME_BYTES = 64 };

typedef struct BenchCase {
    int32_t prompt, generate;      /* one of them is 0 */
    int32_t depth, batch;
} BenchCase;

typedef struct BenchResult {
    BenchCase what;
    int32_t repetitions;
    double tokens;                 /* of a repetition, all sequences together */
    double seconds[BENCH_REPETITIONS_MAX];
    PhaseWork work;                /* of a repetition; seconds: bench_work() */
} BenchResult;

typedef struct BenchSummary {
    double rate, rate_deviation;   /* tokens per second: mean, and the deviation of the sample */
    double seconds, seconds_deviation;
} BenchSummary;

/* tally: the tally watcher of the engine's device; tracer: the one that times, which sees no warm-up, or NULL. */
Err bench_run(Engine *, Device *tally, Device *tracer, int32_t vocabulary, BenchCase, int32_t repetitions, BenchResult *,
              Error *);
BenchSummary bench_summary(const BenchResult *);
double bench_median(const BenchResult *);      /* tokens per second: what a noisy machine disturbs least */
double bench_seconds(const BenchResult *);     /* of the median repetition */
/* What the machine would have needed, over what the median repetition took. */
double bench_share(const BenchResult *, const Machine *);
PhaseWork bench_work(const BenchResult *);     /* what the median repetition took is in it */
void bench_name(BenchCase, char out[BENCH_NAME_BYTES]);

/* Positions that the longest sequence of this case takes. */
int32_t bench_context(BenchCase);

#endif

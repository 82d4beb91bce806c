/* plan.h -- what a machine makes of a model, before anything runs: memory, time, throughput.
 *
 *     memory       weights + batch * (cache of a sequence + activations of a row) + activations of a prompt's step
 *     a step       sum over its lines of work (devices/watch/work.h) of max(bytes / bandwidth, operations / peak),
 *                  over the efficiency that was learned for such calls, if any was (tools/journal.h)
 *     shards       each of N machines has an N-th of each product; after each part of a layer they add up what
 *                  they have: 2 (N - 1) / N of [rows, D] in 16 bits over the link, for each machine
 *                  (Shoeybi et al. 2019, "Megatron-LM"; a ring, Patarasuk and Yuan 2009)
 *     a draft      k guesses, each right with probability a, give (1 - a^(k + 1)) / (1 - a) tokens a step
 *                  (Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding")
 */
#ifndef TOOLS_PLAN_H
#define TOOLS_PLAN_H

#include "tools/journal.h"
#include "tools/plan_model.h"

typedef struct PlanOptions {
    Machine machine;
    const Journal *journal;        /* NULL: nothing is learned of this machine */
    const Format *cache;
    int32_t context;               /* positions that a generated token sees */
    int32_t prompt;                /* tokens */
    int32_t rows;                  /* of a step: a longer prompt takes several */
    int32_t shards, replicas;
} PlanOptions;

typedef struct PlanPart {
    OpCost cost;
    Demand demand;
    double seconds;                /* of one machine without shards */
} PlanPart;

/* One step of generation, or all steps of a prompt. */
typedef struct PlanPhase {
    PlanPart part[WORK_PARTS], all;
    int32_t steps;
    double link_bytes, link_seconds;   /* of each machine */
    double seconds;                /* of all, with shards and link */
    double doubt;                  /* relative; 0: the roofline, nothing was learned */
} PlanPhase;

typedef struct PlanMemory {        /* of one machine */
    double weights, cache, row;    /* cache, row: of each sequence */
    double prompt;                 /* activations of the largest step of a prompt */
    int64_t batch_max;             /* sequences that fit; -1: the machine's memory is not known */
} PlanMemory;

typedef struct PlanBatch {
    int32_t batch;
    double memory;
    bool fits;
    PlanPhase step;                /* of generation */
    double throughput;             /* tokens per second of one replica */
} PlanBatch;

typedef struct PlanDraft {
    int32_t tokens;                /* guesses a step */
    double expected;               /* tokens that a step gives */
    double draft_seconds, verify_seconds;
    double gain;                   /* of throughput: 1 is none */
} PlanDraft;

/* BAD_ARGUMENT: shards that do not divide the heads. */
Err plan_check(const PlanModel *, const PlanOptions *, Error *err);
/* What a sequence of so many tokens keeps, of one machine without shards. */
Err plan_cache_bytes(const PlanModel *, const Format *cache, int32_t tokens, double *out, Error *err);
Err plan_memory(PlanModel *, const PlanOptions *, PlanMemory *out, Error *err);
double plan_memory_bytes(const PlanMemory *, int64_t batch);
/* One prompt, alone, behind `past` positions that are there: its time is TTFT. */
Err plan_prompt(PlanModel *, const PlanOptions *, int32_t past, PlanPhase *out, Error *err);
Err plan_generate(PlanModel *, const PlanOptions *, PlanStep, PlanPhase *out, Error *err);
Err plan_batch(PlanModel *, const PlanOptions *, const PlanMemory *, int32_t batch, PlanBatch *out, Error *err);
/* tokens 0: as many as gain the most. step: without the draft. */
Err plan_draft(PlanModel *, PlanModel *draft, const PlanOptions *, const PlanBatch *, double acceptance, int32_t tokens,
               PlanDraft *out, Error *err);
double plan_expected_tokens(double acceptance, int32_t guesses);

/* Operations for each byte from memory; and whether memory is what limits it on this machine. */
double plan_intensity(const PlanPart *);
bool plan_is_memory_bound(const Machine *, const PlanPart *);
/* Operations for each byte at which both take the same time: of bf16 products where the machine has such; of such
 * arithmetic as the part has. */
double machine_ridge_point(const Machine *);
double plan_ridge_point(const Machine *, const PlanPart *);

#endif

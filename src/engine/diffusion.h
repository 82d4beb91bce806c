/* diffusion.h -- answers by masked refinement: a whole answer begins as masks and becomes text step by step.
 *
 *     prompt      given          block 0            block 1                suffix (may be empty)
 *     step 0      p p p p p p | M  M  M  M  M  M | M  M  M  M  M  M | s s
 *     step 1      p p p p p p | M  t  M  M  t  M | M  M  M  M  M  M | s s     the surest guesses of the block stay
 *     ...
 *     block 0 done             t  t  t  t  t  t | M  M  M  M  M  M | s s     and never change again
 *
 * Each step computes all positions, each of which sees all others, guesses a token for every mask of the
 * block, and keeps some (remask.h). One block is Nie et al. 2025's ("LLaDA") plain diffusion, several its
 * semi-autoregressive one. Guesses are drawn by the house's sampler: LLaDA adds Gumbel noise to the logits
 * and takes the largest, which draws from softmax(logits / temperature) as well. A mask is never guessed.
 *
 * REFINE_PREFIX computes all positions only in the first step of a block; the others take the keys and
 * values of what stands before the block from the cache, as if the guesses of this block did not matter
 * there: an approximation (Wu et al. 2025, "Fast-dLLM", prefix cache), for it looks both ways. In
 * REFINE_EXACT nothing is taken from an earlier step.
 *
 * Several answers are refined at once, as many as fit into the rows of a step; others take turns. What
 * one becomes depends on nothing but its own options. Nothing is shared between sequences: a position's
 * keys depend on all that follows it.
 *
 *     TRY(diffusion_new(&diffusion, &options, &model, device, err));
 *     TRY(diffusion_begin(diffusion, &(RefineOptions){.prompt = ids, ...}, &refinement, err));
 *     while (diffusion_step(diffusion))
 *         ... look at refinement->tokens ...
 *     diffusion_end(diffusion, refinement);
 *     diffusion_free(diffusion);
 *
 * All memory is taken by diffusion_new(). One thread. Never runs a model that is not bidirectional.
 */
#ifndef ENGINE_DIFFUSION_H
#define ENGINE_DIFFUSION_H

#include "engine/engine.h"
#include "engine/remask.h"

typedef struct Diffusion Diffusion;

typedef struct DiffusionOptions {
    int32_t sequences;           /* that are refined at the same time */
    int32_t context;             /* positions of the longest: prompt, answer and suffix; 0: the model's own */
    int32_t rows;                /* of one step; at least `context`; 0: that */
    int32_t logit_rows;          /* of one step: the longest block at least */
    int32_t block_tokens;        /* positions of a cache block: nothing to do with an answer's blocks */
    const Format *cache_format;
} DiffusionOptions;

typedef enum RefineCache { REFINE_EXACT, REFINE_PREFIX } RefineCache;

typedef struct RefineOptions {
    const int32_t *prompt, *suffix;     /* copied */
    int32_t prompt_count, suffix_count;
    int32_t length;              /* tokens of the answer */
    int32_t block;               /* tokens of a block; divides `length` */
    int32_t steps;               /* of the whole answer; a multiple of the number of blocks, at most `length` */
    Remask remask;
    float remask_temperature;    /* 0: the surest stay */
    RefineCache cache;
    uint32_t sample;             /* which of several answers to one prompt: each draws its own */
    SamplerOptions sampling;     /* no penalties. After a block with one of `end` no other is begun */
} RefineOptions;

typedef struct Refinement {      /* to be looked at between steps */
    RefineOptions options;       /* prompt and suffix are NULL */
    int32_t *tokens;             /* [total] masks where nothing is known yet */
    int32_t total, first;        /* the answer is tokens[first .. first + options.length) */
    int32_t step, block;         /* steps done; the block that is being refined, from 0 */
    int32_t masks;               /* left in the answer */
    const Guess *guesses;        /* of the last step of this one, by position; */
    int32_t guess_count;         /* those with `stays` are known now */
    int64_t rows;                /* computed for it so far */
    bool ended;                  /* by its last step, a token of `end`, or an error */
    Error error;                 /* OK: none */
} Refinement;

DiffusionOptions diffusion_options_default(void);
Err diffusion_new(Diffusion **, const DiffusionOptions *, const EngineModel *, Device *, Error *);
void diffusion_free(Diffusion *);                 /* NULL is allowed */

/* BAD_ARGUMENT: a field is wrong. NO_MEMORY: it can never fit. LIMIT_REACHED: `sequences` run already. */
Err diffusion_begin(Diffusion *, const RefineOptions *, Refinement **, Error *);
bool diffusion_step(Diffusion *);                 /* of as many as fit. False: all have ended */
void diffusion_end(Diffusion *, Refinement *);    /* at any time; its place is free again */

/* The logits of positions [from, count) of texts that see all of themselves: [count - from, V] each, where
 * masks may stand anywhere. Row i is as the model gives it, whatever logits_shift says. */
typedef struct DiffusionText {
    const int32_t *ids;
    int32_t count, from;
    float *logits;
} DiffusionText;

Err diffusion_logits(Diffusion *, const DiffusionText *, int32_t count, Error *);

const KvLedger *diffusion_ledger(const Diffusion *);
int32_t diffusion_context(const Diffusion *);

#endif

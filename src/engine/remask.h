/* remask.h -- of the tokens that a step of refinement has guessed, which stay; the others are masks again.
 *
 *     low_confidence   those with the largest probability p of the guess            LLaDA
 *     maskgit_plus     the same, where p is of the distribution at the temperature  Dream; Chang et al. 2022, "MaskGIT"
 *     topk_margin      ... the largest p of the best less p of the second best      Dream; Kim et al. 2025
 *     entropy          ... the smallest entropy                                     Dream
 *     random           any                                                          LLaDA
 *     origin           each for itself, with the chance 1 - s / t                   Dream; Austin et al. 2021
 *
 * All but origin keep a fixed number in each step: masks / steps, one more in the first masks % steps. origin
 * keeps as many as chance has it, and all that are left in the last step; its time t goes from 1 to
 * REMASK_TIME_END, as Dream's does.
 *
 * A temperature of the choice (Dream's alg_temp) draws those that stay by softmax(confidence / temperature)
 * without replacement, which is the same as taking the largest of confidence / temperature plus Gumbel noise.
 *
 * Pure functions; the loop is in diffusion.h.
 */
#ifndef ENGINE_REMASK_H
#define ENGINE_REMASK_H

#include <stdbool.h>
#include <stdint.h>

typedef enum Remask {
    REMASK_LOW_CONFIDENCE,
    REMASK_MASKGIT_PLUS,
    REMASK_TOPK_MARGIN,
    REMASK_ENTROPY,
    REMASK_RANDOM,
    REMASK_ORIGIN,
} Remask;

#define REMASK_NAMES "low_confidence,maskgit_plus,topk_margin,entropy,random,origin"
#define REMASK_TIME_END 1e-3

typedef struct Guess {
    int32_t position, id;
    double confidence;         /* the larger, the more it deserves to stay; any order of magnitude */
    bool stays;
} Guess;

/* How sure the model is of `id`, from the logits [n] of its position. unit: an even random number in [0, 1). */
double remask_confidence(Remask, const float *logits, int32_t n, int32_t id, float temperature, double unit);
/* The confidence with the noise that a choice at `temperature` > 0 needs. */
double remask_noisy(double confidence, float temperature, double unit);
/* How many of so many masks step `step` of `steps` makes known. */
int32_t remask_count(int32_t masks, int32_t steps, int32_t step);
/* With which chance origin keeps a guess. */
double remask_chance(int32_t steps, int32_t step);
/* Marks the `stay` surest; of equals the earlier ones. */
void remask_choose(Guess *, int32_t count, int32_t stay);

#endif

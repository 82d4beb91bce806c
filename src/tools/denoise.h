/* denoise.h -- how well a diffusion model fills in, and what its cache changes.
 *
 * Two questions. How likely are the tokens of a text where every so many-th is masked and all others are
 * given (a loss that can be repeated exactly)? What does it answer to prompts, how fast, and are the answers
 * those of another way of computing them?
 */
#ifndef TOOLS_DENOISE_H
#define TOOLS_DENOISE_H

#include "engine/diffusion.h"

typedef struct Infill {
    int32_t window, every, first;    /* in each window the positions i % every == first are masked; first > 0 */
} Infill;

typedef struct InfillSum { double nats; int64_t tokens, windows; } InfillSum;

/* A last part that fills no window is left out. One window a step: logit rows for all of it. */
Err denoise_infill(Diffusion *, const ModelShape *, const Infill *, const int32_t *ids, int64_t count, InfillSum *, Error *);

typedef struct DenoiseTask {
    const int32_t *prompt, *expected;    /* expected_count 0: nothing is */
    int32_t prompt_count, expected_count;
    int32_t length;                      /* of the answer */
    int32_t *answer;                     /* [length] filled in */
} DenoiseTask;

typedef struct DenoiseFigures {
    int64_t steps, rows, tokens, questions, right;   /* right: begins with all that is expected */
    double seconds;
} DenoiseFigures;

/* As many at once as fit. o: what all have in common; block, steps 0: one block, one token a step. */
Err denoise_tasks(Diffusion *, const DenoiseTask *, int32_t count, const RefineOptions *o, DenoiseFigures *, Error *);

#endif

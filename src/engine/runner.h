/* runner.h -- a plan becomes a step on the device, and logits come back.
 *
 *     plan -> copies of blocks -> tokens, positions, tables -> forward -> logits and hidden states,
 *                                                                         a few rows at a time
 *
 * Tokens that fly are taken from where they were chosen, by the first rows of the step.
 *
 * All tensors of a step are taken at start, as large as the largest step; the largest step is shown to
 * the device as well, so that it can take its activations. A step writes only as much as it has rows.
 */
#ifndef ENGINE_RUNNER_H
#define ENGINE_RUNNER_H

#include "engine/choices.h"

typedef struct RunnerOptions {
    int32_t sequences, rows, logit_rows;
    int32_t hidden_rows;       /* of which a step may want the hidden states; 0: never any */
    Sampler *sampler;          /* tokens are chosen on the device where they can be (choices.h); NULL: never */
} RunnerOptions;

typedef struct Runner Runner;

Err runner_new(Runner **, RunnerOptions, const EngineModel *, const KvCache *, Device *, Arena *, Error *);
void runner_run(Runner *, const Plan *);
const Error *runner_trouble(const Runner *);           /* what broke the device; NULL: all is well */
/* The logits of the plan's i-th wanted row, [V]; ask in ascending order. Valid until the next call. */
const float *runner_logits(Runner *, int32_t i);
/* The token that was chosen from the i-th wanted row of the plan of this turn, on the device; NULL: none was, ask for the
 * logits. Waits for that step, not for one that was run after it. */
const Chosen *runner_chosen(Runner *, int32_t turn, int32_t i);
/* Whether all tokens of the plan that was run last are chosen on the device, and the next step needs to know none of them:
 * then they fly, and it is run before they have come. */
bool runner_flies(Runner *, const Plan *);
/* The same of the i-th row whose hidden state is wanted, [D]. */
const float *runner_hidden(Runner *, int32_t i);

#endif

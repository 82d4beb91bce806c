/* choices.h -- the tokens of a step that are chosen on the device, where the logits are.
 *
 *     plan -> how each token is to be chosen -> forward -> op_choose -> ids come back: some bytes a row,
 *                                                                       not V logits
 *
 * A row is chosen from there if a token is all that is wanted of it; what a grammar allows goes along, a bit a token. Where a
 * grammar has a word about drafts, several answers begin from the row, a search goes on from it, the prompt's logits are
 * asked for, or a step penalises more tokens than there is room for, its logits come to the host and the sampler chooses
 * as ever. The token is the same either way: both are kernels/choose/choose.h.
 */
#ifndef ENGINE_CHOICES_H
#define ENGINE_CHOICES_H

#include "engine/scheduler.h"

typedef struct Choices Choices;

Err choices_new(Choices **, int32_t rows, int32_t vocabulary, Sampler *, Device *, Arena *, Error *);

/* Before the forward pass: which rows of the plan's logits, and how. */
void choices_prepare(Choices *, const Plan *);
/* Behind it: chooses. While the device plans: as many as there may be. */
void choices_run(Choices *, Tensor logits);
void choices_plan(Choices *, Tensor logits);

/* Of the i-th row of logits of the plan of this turn; NULL: it was not chosen here. Waits for it. */
const Chosen *choices_of(Choices *, int32_t turn, int32_t i);

/* Whether all tokens of the plan that was prepared last were chosen here, each is the next of its sequence, and how the ones
 * after them are chosen does not depend on them. Then they fly: sequences say where they are. */
bool choices_fly(Choices *, const Plan *);
/* The ids, where they are on the device: [rows, 1] I32. */
Tensor choices_ids(const Choices *);

#endif

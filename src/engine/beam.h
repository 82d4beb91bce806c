/* beam.h -- beam search: of all answers, those with the best score, looked for along the best few at once.
 *
 *     step     all beams were computed: of their continuations the best `beams` go on, whosever they are
 *
 *       beam 0  "the cat"  -3.1  --+--> "the cat sat"  -3.9     beam 0     goes on in place
 *       beam 1  "a dog"    -3.3  --|--> "a dog ran"    -4.2     beam 1
 *       beam 2  "one day"  -5.0    +--> "the cat is"   -4.4     beam 2     forks; its own past goes back
 *
 *     score of an answer   sum of log-probabilities / length^length_penalty, the token that ends it included
 *
 * A continuation that ends the answer is kept with its score if it is among the best `beams` of all, and as
 * many are kept. The search is over when so many are kept and the best beam, ended here, would be no better
 * than the worst of them; at the limit of tokens the beams themselves are kept. Then the best `samples` are
 * delivered, the best first, all events at once. So do transformers' beam search (early_stopping=False).
 *
 * The beams are the sequences of the request. They share blocks, and a fork copies a table, no block. Those
 * whose row came in an earlier step than the others' (a step has a budget) wait for them: what is kept of a
 * row is its few best continuations. Equal scores: the lower beam, then the lower id, goes first, so the
 * answer depends on nothing but the request. Log-probabilities are the model's own, after the constraint, which
 * only forbids; bias, penalties and temperature are not looked at.
 */
#ifndef ENGINE_BEAM_H
#define ENGINE_BEAM_H

#include "engine/deliver.h"

enum { BEAMS_MAX = 64 };
#define LENGTH_PENALTY_MOST 10.0f

/* BAD_ARGUMENT: names the field, and what is valid. sequences: that the engine can run at a time. */
Err beam_check(const RequestOptions *, int32_t sequences, int32_t longest, Error *);

/* limit: tokens of the longest answer, its prompt included. NULL: no memory. */
Beam *beam_new(const RequestOptions *, int32_t limit);
void beam_free(Beam *);                        /* NULL is allowed */
int32_t beam_answers(const Beam *);            /* that will be delivered */
int32_t beam_events(const Beam *);             /* tokens that they may have together */

/* The logits of the last known row of a beam came. */
Err beam_row(Deliver *, Sequence *, const float *logits, Error *);

#endif

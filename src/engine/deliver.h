/* deliver.h -- what the logits of a step become: tokens, events, further samples, ends.
 *
 *     row of the prompt, scored    -> EVENT_PROMPT about the next token, logits copied out
 *     last known row               -> the next token -> EVENT_TOKEN, or EVENT_END
 *     last row of a prompt         -> the same for every sample: the others fork here
 *     row whose hidden state is wanted  -> the embedding (pooling.h); the last of the prompt ends it
 *     a drafted row                -> the same, if its token is the one that came; else it is taken back,
 *                                     and those after it
 *
 * The only place that samples. An error of the sampler (logits that are no numbers, a mask that leaves
 * nothing) ends the one request with END_ERROR.
 */
#ifndef ENGINE_DELIVER_H
#define ENGINE_DELIVER_H

#include "engine/runner.h"

typedef struct DeliverCounts {
    int64_t prompt_tokens, reused_tokens, generated_tokens;
    int64_t drafted_tokens, accepted_tokens;
} DeliverCounts;

typedef struct Deliver {
    Sequence *sequences;           /* all slots */
    int32_t count, vocabulary;
    int32_t width;                 /* D, of hidden states */
    Scheduler *scheduler;
    Sampler *sampler;
    DeliverCounts counts;
} Deliver;

void deliver_step(Deliver *, Runner *, const Plan *);

/* The sequence ends: its event goes out, its blocks go back, its slot is unused. The token that ended it, if
 * one did, goes with the event. */
void deliver_end(Deliver *, Sequence *, EndReason, const Sampled *token);
void deliver_end_request(Deliver *, Request *, EndReason);      /* all its sequences */

#endif

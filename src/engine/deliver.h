/* deliver.h -- what the logits of a step become: tokens, events, further samples, ends.
 *
 *     row of the prompt, scored    -> EVENT_PROMPT about the next token, logits copied out
 *     last known row               -> the next token -> EVENT_TOKEN, or EVENT_END
 *     last row of a prompt         -> the same for every sample: the others fork here
 *     row whose hidden state is wanted  -> the embedding (pooling.h); the last of the prompt ends it
 *     a drafted row                -> the same, if its token is the one that came; else it is taken back,
 *                                     and those after it
 *
 * The only place that samples. A constraint is asked before each token and told of each that came, once and
 * in order: a draft that is wrong was never chosen, and what a preemption loses is computed again, not sampled
 * again. An error of the sampler (logits that are no numbers, a mask that leaves
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
    int32_t vocabulary;
    int32_t width;                 /* D, of hidden states */
    Scheduler *scheduler;
    Sampler *sampler;
    Request *ended;                /* those all of whose samples have: whoever lets them go empties the list */
    DeliverCounts counts;
} Deliver;

void deliver_step(Deliver *, Runner *, const Plan *);

/* The sequence ends: its event goes out, its blocks and its slot go back. The token that ended it, if one did,
 * goes with the event. */
void deliver_end(Deliver *, Sequence *, EndReason, const Sampled *token);
void deliver_end_event(Deliver *, Request *, Event *end);       /* of one answer; the last of all lets the request go */
void deliver_end_request(Deliver *, Request *, EndReason);      /* all its sequences */

#endif

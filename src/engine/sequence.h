/* sequence.h -- one answer being made: tokens that are known, and how far the cache has come.
 *
 *     tokens    [ p p p p p p p p | g g g | d d ]
 *                                 prompt  known   known + drafted
 *     cache     [ x x x x x x ]
 *                             computed
 *
 * A step lets sequences catch up: it computes rows from `computed` on. A prompt, a chunk of it, the
 * token that was sampled last, drafted tokens: all are rows that are known but not computed. When
 * `computed` reaches `known`, the last row's logits give the next token. Preempting a sequence sets
 * `computed` to 0, nothing else. Drafted tokens are computed once, behind the last known one; those that
 * the logits confirm become known, and `computed` goes back behind the others (with a state of fixed
 * size, to where the step began).
 */
#ifndef ENGINE_SEQUENCE_H
#define ENGINE_SEQUENCE_H

#include "engine/request.h"

typedef enum SequenceState {
    SEQUENCE_UNUSED,
    SEQUENCE_FOLLOWS,     /* a further sample: waits until the first has computed the prompt, then forks */
    SEQUENCE_WAITING,     /* holds nothing of the cache */
    SEQUENCE_RUNNING,     /* holds the blocks of `computed` tokens */
} SequenceState;

typedef struct Sequence {
    int32_t slot;              /* its number, also in the cache; never changes */
    SequenceState state;
    Request *request;
    int32_t sample;
    uint64_t arrival;          /* of the request */
    uint64_t salt;
    int32_t *tokens;           /* [context] */
    int32_t prompt, known, drafted, computed;
    bool caught_up;            /* it had computed all that it knew since it last started */
    int32_t limit;             /* known never passes it */
    int32_t scored;            /* logits of the prompt's positions before this one are not wanted any more */
    int32_t pooled;            /* hidden states of the prompt's positions before this one are not wanted any more */
    bool resting;              /* nobody reads its events ... */
    bool planned;              /* it is in the plan; both are set while planning */
    RequestTimes times;
} Sequence;

/* An embedding is being made of its prompt: hidden states are wanted, and no logits. */
static inline bool sequence_pools(const Sequence *s) { return s->pooled < s->prompt; }
/* The first position whose logits are wanted. */
static inline int32_t sequence_wants_from(const Sequence *s)
{
    if (sequence_pools(s))
        return s->known;
    return s->scored < s->prompt ? s->scored : s->known - 1;
}
/* What the cache may contribute: never a row of which something is wanted. */
static inline int32_t sequence_reusable(const Sequence *s)
{
    return sequence_pools(s) ? s->pooled : sequence_wants_from(s);
}
static inline int32_t sequence_rows_left(const Sequence *s) { return s->known + s->drafted - s->computed; }
/* How many tokens may be drafted behind the known ones: all but the last it may have are worth a row. Only
 * the last known row is left then, so that rejected drafts never add up. */
static inline int32_t sequence_draft_room(const Sequence *s)
{
    bool ready = s->state == SEQUENCE_RUNNING && s->known > s->prompt && s->computed == s->known - 1;
    return ready ? s->limit - s->known - 1 : 0;
}

#endif

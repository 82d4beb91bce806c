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
 * `computed` to 0; its tokens are its request's memory, so it can wait without a slot. Drafted tokens are
 * computed once, behind the last known one; those that the logits confirm become known, and `computed`
 * goes back behind the others (with a state of fixed size, to where the step began). A token that flies was chosen on
 * the device and has not come to the host: the next step takes it from there (engine.h).
 */
#ifndef ENGINE_SEQUENCE_H
#define ENGINE_SEQUENCE_H

#include "engine/request.h"

typedef enum SequenceState {
    SEQUENCE_WAITING,     /* holds nothing of the cache, not even a slot */
    SEQUENCE_FOLLOWS,     /* a further sample: waits until the leader has computed the prompt, then forks */
    SEQUENCE_RUNNING,     /* holds a slot, and the blocks of `computed` tokens */
    SEQUENCE_ENDED,
} SequenceState;

struct Sequence {
    int32_t slot;              /* in the cache; -1: none. One that follows has one while its leader runs */
    SequenceState state;
    Request *request;
    int32_t sample;
    uint64_t salt;
    int32_t *tokens;           /* [limit] */
    int32_t prompt, known, drafted, computed;
    int32_t flying;            /* the token behind the known ones is chosen, and still on the device: 1 + its place
                                  there; else 0 */
    bool caught_up;            /* it had computed all that it knew since it last started */
    int32_t limit;             /* known never passes it */
    int32_t scored;            /* logits of the prompt's positions before this one are not wanted any more */
    int32_t pooled;            /* hidden states of the prompt's positions before this one are not wanted any more */
    bool resting;              /* nobody reads its events ... */
    bool planned;              /* it is in the plan; both are set while planning */
    RequestTimes times;

    /* The scheduler's own. */
    Sequence *before, *after;  /* in its list */
    uint64_t turn;             /* of those that run: who started first */
    int32_t lost;              /* positions that were computed when it was preempted */
    int64_t waits_from_step;
    double waits_from;
};

static inline Sequence *request_leader(const Request *r) { return &r->sequences[r->leader]; }

/* What the next step takes for known. One that was interrupted waits for its token. */
static inline int32_t sequence_coming(const Sequence *s) { return s->known + (s->flying && s->caught_up); }
/* An embedding is being made of its prompt: hidden states are wanted, and no logits. */
static inline bool sequence_pools(const Sequence *s) { return s->pooled < s->prompt; }
/* The first position whose logits are wanted. */
static inline int32_t sequence_wants_from(const Sequence *s)
{
    if (sequence_pools(s))
        return s->known;
    return s->scored < s->prompt ? s->scored : sequence_coming(s) - 1;
}
/* What the cache may contribute: never a row of which something is wanted. */
static inline int32_t sequence_reusable(const Sequence *s)
{
    return sequence_pools(s) ? s->pooled : sequence_wants_from(s);
}
static inline int32_t sequence_rows_left(const Sequence *s)
{
    bool ends = s->flying && s->known + 1 == s->limit;      /* with the token that flies: nothing comes after it */
    return ends ? 0 : sequence_coming(s) + s->drafted - s->computed;
}
/* A beam that was computed and waits for the others of its search: it has no row, only blocks that they may need. */
static inline bool sequence_idles(const Sequence *s)
{
    return s->state == SEQUENCE_RUNNING && s->request->beam && s->computed == s->known;
}
/* How many tokens may be drafted behind the known ones: all but the last it may have are worth a row. Only
 * the last known row is left then, so that rejected drafts never add up. */
static inline int32_t sequence_draft_room(const Sequence *s)
{
    bool ready = s->state == SEQUENCE_RUNNING && !s->request->beam && s->known > s->prompt && s->computed == s->known - 1;
    return ready ? s->limit - s->known - 1 : 0;
}

#endif

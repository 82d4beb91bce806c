/* scheduler.h -- who computes what in the next step, as a value.
 *
 *     plan    row     0 1 2   3 4 5 6 7 8 9         outs: rows whose logits are wanted,
 *             entry   A B C   D D D D D D D               always the last ones of an entry
 *                     decoding a chunk of a prompt
 *
 * A step has a budget of rows and of logits. First every sequence that is generating gets its row, so
 * that a long prompt never stops the others; prompts share what is left. Blocks are had in the order
 * of the policy: a sequence that finds none takes them from the last one behind it, which starts
 * again later (its named blocks are still cached then, most likely). The first in order can thus
 * always go on, and ends one day: nothing deadlocks, nobody starves.
 *
 * A waiting sequence starts when the blocks for all its known tokens are there, beside those that
 * the running ones were promised for theirs. Who waits first starts first.
 *
 * Sequences whose events nobody reads rest: they are passed over, and give way to all others.
 *
 * Drafted tokens are rows like others, the last of an entry. What they are worth is known once the logits
 * have been looked at: then scheduler_accept() says how many were right, and the rest is taken back.
 */
#ifndef ENGINE_SCHEDULER_H
#define ENGINE_SCHEDULER_H

#include "cache/kv_cache.h"
#include "engine/sequence.h"

typedef struct Policy {
    const char *name;
    bool (*before)(const Sequence *a, const Sequence *b);   /* a strict order that never changes */
} Policy;

const Policy *policy_find(const char *name);   /* NULL: unknown */

typedef struct PlanEntry {
    Sequence *sequence;
    int32_t first, rows, outs;       /* positions [first, first + rows); logits of the last `outs` ... */
    int32_t after;                   /* ... before the last `after`, which a refinement computes but does not ask */
    int32_t drafted;                 /* the last rows, whose tokens are not known to be right */
    int32_t hiddens;                 /* the last rows, whose hidden states are wanted */
    int32_t events;                  /* that it may make */
} PlanEntry;

typedef struct Plan {
    int32_t entries, rows, outs, hiddens;
    PlanEntry *entry;
    BlockCopies copies;
} Plan;

typedef struct SchedulerOptions {
    const Policy *policy;
    int32_t sequences, rows, logit_rows;
} SchedulerOptions;

typedef struct Scheduler Scheduler;

Scheduler *scheduler_new(Arena *, SchedulerOptions, KvCache *);   /* NULL: the arena is full */

void scheduler_add(Scheduler *, Sequence *);                      /* waits from now on */
void scheduler_fork(Scheduler *, const Sequence *from, Sequence *to);   /* runs on from the same past */
void scheduler_remove(Scheduler *, Sequence *);                   /* gives all back */

const Plan *scheduler_plan(Scheduler *);                          /* valid until the next */
void scheduler_commit(Scheduler *, const Plan *);                 /* the step was computed */
void scheduler_accept(Scheduler *, const PlanEntry *, int32_t right);   /* of an entry with drafted rows, so many were */

int64_t scheduler_preemptions(const Scheduler *);

#endif

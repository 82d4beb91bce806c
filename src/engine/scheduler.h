/* scheduler.h -- who computes what in the next step, as a value.
 *
 *     plan    row     0 1 2   3 4 5 6 7 8 9         outs: rows whose logits are wanted,
 *             entry   A B C   D D D D D D D               always the last ones of an entry
 *                     decoding a chunk of a prompt
 *
 * A step has a budget of rows and of logits. First every sequence that is generating gets its row, so
 * that a long prompt never stops the others; prompts share what is left, or prefill_rows of it.
 *
 *     waiting.h  --start-->  running, in order  --end-->
 *                 parked <--preempt--'
 *                    '-----start again---->
 *
 * The running ones stand in an order: promoted requests first, then by class (priority), then by turn,
 * a number drawn at each start. It is strict, and while both run the order of two changes only when one is
 * promoted, once in its life. A running sequence that finds no blocks takes them from the last one behind
 * it, which is parked: its named blocks are still cached then, most likely, when it starts again.
 *
 * Those that wait stand in an order too: promoted ones, then by class, then parked ones before those that
 * have not started, among which the policy chooses. The first starts when slots for all its samples and the
 * blocks for all its known tokens are there, beside those that the running ones were promised for theirs.
 * Nobody starts before it. It takes slots and blocks only from lower classes, unless they were promoted.
 *
 * So nothing deadlocks: the first of those that run can take from all others whatever it lacks, and a
 * request that could not run alone was never let in; it goes on in each step, and ends. When nobody runs, the
 * first that waits finds all free. And nobody starves: as nobody starts before the first that waits, the
 * running ones become fewer until it fits. Who it is may change as others arrive, for whom the policy or
 * the class speaks; but once in `patience` steps the one that came first of those that wait, if it waits that
 * long, is promoted, and only those that were promoted earlier, which are finitely many, go before it from
 * then on, wherever it stands. (Once in so many steps, not everybody who waited so long: in an overload that
 * would be all of them, and neither classes nor turns of tenants would mean anything any more.)
 *
 * Sequences whose events nobody reads rest: they are passed over, and give way to all others.
 *
 * So do beams that wait for the others of their search: those may need the blocks, to catch up.
 *
 * Drafted tokens are rows like others, the last of an entry. What they are worth is known once the logits
 * have been looked at: then scheduler_accept() says how many were right, and the rest is taken back.
 *
 * What a step costs here grows with the sequences that run, not with their square: lists, in which who
 * starts is put near its place, and a sum of what was promised that is kept as the plan grows.
 */
#ifndef ENGINE_SCHEDULER_H
#define ENGINE_SCHEDULER_H

#include "engine/sequence.h"
#include "engine/waiting.h"

typedef struct PlanEntry {
    Sequence *sequence;              /* NULL: it has ended since */
    int32_t first, rows, outs;       /* positions [first, first + rows); logits of the last `outs` ... */
    int32_t after;                   /* ... before the last `after`, which a refinement computes but does not ask */
    int32_t drafted;                 /* the last rows, whose tokens are not known to be right */
    int32_t hiddens;                 /* the last rows, whose hidden states are wanted */
    int32_t events;                  /* that it may make, and has not yet */
} PlanEntry;

struct Plan {
    int32_t turn;                    /* 0 or 1: one after the other */
    int32_t entries, rows, outs, hiddens;
    PlanEntry *entry;
    BlockCopies copies;
};

typedef struct SchedulerOptions {
    const Policy *policy;
    bool fair;                       /* tenants take turns */
    int32_t patience;                /* steps */
    int32_t requests;                /* that there can be, waiting and running */
    int32_t sequences, rows, logit_rows;
    int32_t prefill_rows;            /* 0: all that is left */
} SchedulerOptions;

typedef struct SchedulerCounts {
    int32_t serving;                 /* requests of which something runs */
    int32_t waiting, running, resting;   /* sequences of requests that have started; resting: of the running ones */
    int64_t started, preemptions;    /* since the beginning: requests, sequences */
} SchedulerCounts;

typedef struct Scheduler Scheduler;

Scheduler *scheduler_new(Arena *, SchedulerOptions, KvCache *);   /* NULL: the arena is full */

void scheduler_add(Scheduler *, Request *);                       /* waits from now on */
void scheduler_fork(Scheduler *, const Sequence *leader, Sequence *to);   /* runs on from the same past */
/* `to`, which runs or was interrupted, goes on from the past of `from` and not from its own. Its tokens are there. */
void scheduler_follow(Scheduler *, const Sequence *from, Sequence *to);
void scheduler_remove(Scheduler *, Sequence *);                   /* gives all back: it has ended */
void scheduler_forget(Scheduler *, Request *);                    /* all its sequences were removed */

const Plan *scheduler_plan(Scheduler *);                          /* valid until the next but one */
void scheduler_commit(Scheduler *, const Plan *);                 /* the step was computed */
void scheduler_land(Scheduler *, const Plan *);                   /* what it gives is told now: nothing of it flies any more */
void scheduler_accept(Scheduler *, const PlanEntry *, int32_t right);   /* of an entry with drafted rows, so many were */
void scheduler_generated(Scheduler *, const Request *);           /* it has a token more: its tenant was served */

void scheduler_forget_pasts(Scheduler *);                         /* of all that generate: they compute them again */

Sequence *scheduler_running(const Scheduler *);                   /* the first; ->after is the next */
const Sequence *scheduler_in_slot(const Scheduler *, int32_t slot);   /* NULL: none runs there */
SchedulerCounts scheduler_counts(const Scheduler *);
Err scheduler_audit(const Scheduler *, Error *);                  /* lists, slots and counts agree */

#endif

#include "engine/scheduler.h"

#include <string.h>

#include "base/checked.h"
#include "base/clock.h"

struct Scheduler {
    SchedulerOptions o;
    KvCache *cache;
    Sequence **order;          /* [sequences] waiting and running, in the order of the policy */
    int32_t count;
    Plan plan;
    int64_t preemptions;
};

/* --- policies --- */

static bool arrived_before(const Sequence *a, const Sequence *b)
{
    return a->arrival != b->arrival ? a->arrival < b->arrival : a->sample < b->sample;
}

static bool matters_more(const Sequence *a, const Sequence *b)
{
    int32_t pa = a->request->options.priority, pb = b->request->options.priority;
    return pa != pb ? pa > pb : arrived_before(a, b);
}

static const Policy policies[] = {
    {"fcfs", arrived_before},
    {"priority", matters_more},
};

const Policy *policy_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(policies); i++)
        if (!strcmp(policies[i].name, name))
            return &policies[i];
    return NULL;
}

/* --- who is there --- */

Scheduler *scheduler_new(Arena *arena, SchedulerOptions o, KvCache *cache)
{
    Scheduler *s = ARENA_NEW(arena, Scheduler);
    if (!s)
        return NULL;
    s->o = o;
    s->cache = cache;
    s->order = ARENA_ARRAY(arena, Sequence *, (size_t)o.sequences);
    s->plan.entry = ARENA_ARRAY(arena, PlanEntry, (size_t)o.sequences);
    s->plan.copies.max = o.sequences * KV_GROUPS_MAX;   /* a sequence has one block that is partly filled */
    s->plan.copies.copy = ARENA_ARRAY(arena, BlockCopy, (size_t)s->plan.copies.max);
    return s->order && s->plan.entry && s->plan.copies.copy ? s : NULL;
}

static void insert(Scheduler *s, Sequence *q)
{
    ASSERT(s->count < s->o.sequences);
    int32_t at = s->count++;
    for (; at > 0 && s->o.policy->before(q, s->order[at - 1]); at--)
        s->order[at] = s->order[at - 1];
    s->order[at] = q;
}

void scheduler_add(Scheduler *s, Sequence *q)
{
    q->state = SEQUENCE_WAITING;
    q->computed = 0;
    insert(s, q);
}

void scheduler_fork(Scheduler *s, const Sequence *from, Sequence *to)
{
    kv_cache_fork(s->cache, from->slot, to->slot);
    to->state = SEQUENCE_RUNNING;
    to->computed = from->computed;
    to->caught_up = from->caught_up;
    to->scored = to->prompt;
    insert(s, to);
}

void scheduler_remove(Scheduler *s, Sequence *q)
{
    int32_t at = 0;
    while (s->order[at] != q)
        at++;
    memmove(s->order + at, s->order + at + 1, (size_t)(--s->count - at) * sizeof *s->order);
    kv_cache_drop(s->cache, q->slot);
    q->state = SEQUENCE_WAITING;
}

int64_t scheduler_preemptions(const Scheduler *s) { return s->preemptions; }

/* --- memory --- */

static void plan_remove(Plan *plan, const Sequence *q)
{
    for (int32_t i = 0; i < plan->entries; i++)
        if (plan->entry[i].sequence == q) {
            plan->rows -= plan->entry[i].rows;
            plan->outs -= plan->entry[i].outs;
            plan->hiddens -= plan->entry[i].hiddens;
            q->request->promised -= plan->entry[i].events;
            plan->entries--;
            memmove(plan->entry + i, plan->entry + i + 1, (size_t)(plan->entries - i) * sizeof *plan->entry);
            return;
        }
}

static void preempt(Scheduler *s, Sequence *q)
{
    plan_remove(&s->plan, q);
    kv_cache_drop(s->cache, q->slot);
    q->state = SEQUENCE_WAITING;
    q->computed = 0;
    q->planned = q->caught_up = false;
    q->times.preemptions++;
    s->preemptions++;
}

/* Takes the blocks of the last running sequence that rests or stands behind q. False: there is none. */
static bool preempt_one(Scheduler *s, const Sequence *q)
{
    Sequence *behind = NULL;
    for (int32_t i = s->count - 1; i >= 0; i--) {
        Sequence *other = s->order[i];
        if (other == q || other->state != SEQUENCE_RUNNING)
            continue;
        if (other->resting) {
            preempt(s, other);
            return true;
        }
        if (!behind && s->o.policy->before(q, other))
            behind = other;
    }
    if (behind)
        preempt(s, behind);
    return behind;
}

/* Whether q can have blocks for all that is known of it, beside what others were promised. */
static bool has_room(const Scheduler *s, const Sequence *q)
{
    int32_t promised[KV_GROUPS_MAX] = {0};
    for (int32_t i = 0; i < s->count; i++)
        if (s->order[i]->state == SEQUENCE_RUNNING && s->order[i] != q)
            kv_cache_promise(s->cache, s->order[i]->slot, s->order[i]->known, promised);
    return kv_cache_has_room(s->cache, q->slot, q->known, promised);
}

static bool start(Scheduler *s, Sequence *q)
{
    q->computed = kv_cache_match(s->cache, q->slot, q->tokens, sequence_reusable(q), q->salt);
    while (!has_room(s, q))
        if (!preempt_one(s, q)) {
            kv_cache_drop(s->cache, q->slot);
            q->computed = 0;
            return false;
        }
    q->state = SEQUENCE_RUNNING;
    if (q->times.started == 0) {
        q->times.started = clock_seconds() - q->request->submitted;
        q->times.reused_tokens = q->computed;
    }
    return true;
}

/* --- the plan --- */

/* How many events the last row of what is known makes: a token of each sample. */
static int32_t events_of_last(const Sequence *q)
{
    return q->known == q->prompt && q->sample == 0 ? q->request->options.samples : 1;
}

static void cut(PlanEntry *e, int32_t rows)
{
    e->outs = (int32_t)max_i64(0, e->outs - (e->rows - rows));
    e->drafted = (int32_t)max_i64(0, e->drafted - (e->rows - rows));
    e->hiddens = (int32_t)max_i64(0, e->hiddens - (e->rows - rows));
    e->rows = rows;
}

/* As much as the budgets of rows and logits, and the room for events, allow; not past a state to be kept. */
static PlanEntry entry_for(const Scheduler *s, Sequence *q)
{
    PlanEntry e = {.sequence = q, .first = q->computed, .drafted = q->drafted, .rows = sequence_rows_left(q)};
    cut(&e, (int32_t)min_i64(e.rows, s->o.rows - s->plan.rows));
    if (e.rows > 0)
        cut(&e, kv_cache_stop(s->cache, q->slot, e.first, e.first + e.rows) - e.first);
    e.outs = (int32_t)max_i64(0, e.first + e.rows - max_i64(sequence_wants_from(q), e.first));
    e.hiddens = sequence_pools(q) ? (int32_t)max_i64(0, e.first + e.rows - max_i64(q->pooled, e.first)) : 0;
    int32_t room = request_room(q->request) - q->request->promised - (events_of_last(q) - 1);
    int32_t outs_max = (int32_t)max_i64(0, min_i64(room, s->o.logit_rows - s->plan.outs));
    if (e.outs > outs_max)
        cut(&e, e.rows - (e.outs - outs_max));
    return e;
}

/* The rows that there are blocks for; if there is none for a single row, others must give theirs. */
static bool find_blocks(Scheduler *s, PlanEntry *e)
{
    const Sequence *q = e->sequence;
    do
        for (int32_t rows = e->rows; rows > 0; rows /= 2)
            if (kv_cache_extend(s->cache, q->slot, e->first, e->first + rows, e->drafted > e->rows - rows, &s->plan.copies)) {
                cut(e, rows);
                return true;
            }
    while (preempt_one(s, q));
    return false;
}

static void plan_rows(Scheduler *s, Sequence *q)
{
    PlanEntry e = entry_for(s, q);
    if (e.rows <= 0 || !find_blocks(s, &e))
        return;
    e.events = e.outs > 0 ? e.outs + events_of_last(q) - 1 : 0;
    s->plan.entry[s->plan.entries++] = e;
    s->plan.rows += e.rows;
    s->plan.outs += e.outs;
    s->plan.hiddens += e.hiddens;
    q->request->promised += e.events;
    q->planned = true;
}

static void plan_begin(Scheduler *s)
{
    s->plan.entries = s->plan.rows = s->plan.outs = s->plan.hiddens = s->plan.copies.count = 0;
    for (int32_t i = 0; i < s->count; i++) {
        s->order[i]->planned = false;
        s->order[i]->request->promised = 0;
        s->order[i]->resting = request_room(s->order[i]->request) <= 0;
    }
}

static bool generating(const Sequence *q) { return q->state == SEQUENCE_RUNNING && q->caught_up; }

const Plan *scheduler_plan(Scheduler *s)
{
    plan_begin(s);
    for (int32_t i = 0; i < s->count; i++)
        if (generating(s->order[i]))
            plan_rows(s, s->order[i]);
    bool starting = true;
    for (int32_t i = 0; i < s->count && s->plan.rows < s->o.rows; i++) {
        Sequence *q = s->order[i];
        if (q->state == SEQUENCE_WAITING && !q->resting && starting)
            starting = start(s, q);
        if (q->state == SEQUENCE_RUNNING && !q->planned)
            plan_rows(s, q);
    }
    return &s->plan;
}

static void commit(Scheduler *s, Sequence *q, int32_t good)
{
    q->computed = kv_cache_commit(s->cache, q->slot, q->tokens, good);
    q->caught_up |= q->computed == q->known;
    q->drafted = 0;
}

void scheduler_commit(Scheduler *s, const Plan *plan)
{
    for (int32_t i = 0; i < plan->entries; i++) {
        const PlanEntry *e = &plan->entry[i];
        if (e->drafted == 0)
            commit(s, e->sequence, e->first + e->rows);
    }
}

void scheduler_accept(Scheduler *s, const PlanEntry *e, int32_t right)
{
    ASSERT(right >= 0 && right <= e->drafted);
    e->sequence->caught_up = true;
    commit(s, e->sequence, e->first + e->rows - e->drafted + right);
}

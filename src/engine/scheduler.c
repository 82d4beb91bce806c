#include "engine/scheduler.h"

#include <string.h>

#include "base/checked.h"
#include "base/clock.h"

static const uint64_t TURN_NONE = UINT64_MAX;   /* waits */

typedef struct List { Sequence *first, *last; } List;

struct Scheduler {
    SchedulerOptions o;
    KvCache *cache;
    Waiting *waiting;          /* requests that have not started */
    List running, parked;      /* both in order */
    Sequence **in_slot;        /* [sequences] */
    int32_t *slot, slots;      /* free ones */
    int32_t promised[KV_GROUPS_MAX];   /* blocks that the running ones lack for what is known of them */
    int32_t rows_most;         /* of the plan, as far as it is made */
    uint64_t turns, promotions;
    int64_t steps, promoted_at;
    int32_t idle;              /* of those that run */
    SchedulerCounts counts;
    StoryWait waits_for;       /* why the first that waits did not start in the last plan */
    double waits_since, waited[STORY_WAITS];   /* for what those that wait have waited so far: seconds */
    Plan plans[2], *plan;      /* the one before it may still fly */
};

/* --- order --- */

/* Negative: a goes before b wherever they meet; 0: of one class. */
static int rank(const Request *a, const Request *b)
{
    if (a->promoted != b->promoted)
        return promoted_before(a->promoted, b->promoted) ? -1 : 1;
    return a->priority > b->priority ? -1 : a->priority < b->priority;
}

static bool before(const Sequence *a, const Sequence *b)
{
    int ranks = rank(a->request, b->request);
    if (ranks != 0)
        return ranks < 0;
    if (a->turn != b->turn)
        return a->turn < b->turn;
    if (a->request != b->request)
        return a->request->arrival < b->request->arrival;
    return a->sample < b->sample;
}

static void list_insert(List *list, Sequence *q)
{
    Sequence *at = list->last;
    while (at && before(q, at))
        at = at->before;
    q->before = at;
    q->after = at ? at->after : list->first;
    *(q->after ? &q->after->before : &list->last) = q;
    *(at ? &at->after : &list->first) = q;
}

static void list_remove(List *list, Sequence *q)
{
    *(q->after ? &q->after->before : &list->last) = q->before;
    *(q->before ? &q->before->after : &list->first) = q->after;
    q->before = q->after = NULL;
}

/* --- who is there --- */

static bool take_plan(Plan *plan, Arena *arena, int32_t sequences)
{
    plan->entry = ARENA_ARRAY(arena, PlanEntry, (size_t)sequences);
    plan->copies.max = sequences * KV_GROUPS_MAX;   /* a sequence has one block that is partly filled */
    plan->copies.copy = ARENA_ARRAY(arena, BlockCopy, (size_t)plan->copies.max);
    return plan->entry && plan->copies.copy;
}

Scheduler *scheduler_new(Arena *arena, SchedulerOptions o, KvCache *cache)
{
    Scheduler *s = ARENA_NEW(arena, Scheduler);
    if (!s)
        return NULL;
    s->o = o;
    s->cache = cache;
    s->waiting = waiting_new(arena, o.policy, o.fair, o.requests, cache);
    s->in_slot = ARENA_ARRAY(arena, Sequence *, (size_t)o.sequences);
    s->slot = ARENA_ARRAY(arena, int32_t, (size_t)o.sequences);
    if (!s->waiting || !s->in_slot || !s->slot || !take_plan(&s->plans[0], arena, o.sequences) ||
        !take_plan(&s->plans[1], arena, o.sequences))
        return NULL;
    s->plans[1].turn = 1;
    s->plan = s->plans;
    while (s->slots < o.sequences) {
        s->slot[s->slots] = o.sequences - 1 - s->slots;
        s->slots++;
    }
    return s;
}

/* Itself, and those that will fork from it. */
static int32_t slots_of(const Sequence *q)
{
    return 1 + (q == request_leader(q->request) ? q->request->followers : 0);
}

static void take_slot(Scheduler *s, Sequence *q)
{
    ASSERT(s->slots > 0 && q->slot < 0);
    q->slot = s->slot[--s->slots];
}

static void give_slot(Scheduler *s, Sequence *q)
{
    s->slot[s->slots++] = q->slot;
    q->slot = -1;
}

/* The next of those that follow q; NULL: none. */
static Sequence *follower(const Sequence *q)
{
    Sequence *end = q->request->sequences + q->request->options.samples;
    for (Sequence *next = q->request->sequences + q->sample + 1; next < end; next++)
        if (next->state == SEQUENCE_FOLLOWS)
            return next;
    return NULL;
}

static void take_slots(Scheduler *s, Sequence *q)
{
    take_slot(s, q);
    for (int32_t more = slots_of(q) - 1; more > 0; more--)
        take_slot(s, q = follower(q));
}

static void give_slots(Scheduler *s, Sequence *q)
{
    give_slot(s, q);
    for (int32_t more = slots_of(q) - 1; more > 0; more--)
        give_slot(s, q = follower(q));
}

static void enter(Scheduler *s, Sequence *q)
{
    q->state = SEQUENCE_RUNNING;
    s->in_slot[q->slot] = q;
    list_insert(&s->running, q);
    s->counts.running++;
    s->counts.serving += q->request->running++ == 0;
}

/* Nothing is left of it in the cache. */
static void leave(Scheduler *s, Sequence *q)
{
    s->in_slot[q->slot] = NULL;
    kv_cache_drop(s->cache, q->slot);
    give_slots(s, q);
    list_remove(&s->running, q);
    s->counts.running--;
    s->counts.resting -= q->resting;
    s->counts.serving -= --q->request->running == 0;
    q->computed = 0;
}

static void begin_to_wait(Scheduler *s, Sequence *q)
{
    q->state = SEQUENCE_WAITING;
    q->turn = TURN_NONE;
    q->waits_from_step = s->steps;
}

/* Since the last look those that wait have waited for what they waited for then. */
static void count_wait(Scheduler *s)
{
    double now = clock_seconds();
    s->waited[s->waits_for] += now - s->waits_since;
    s->waits_since = now;
}

static void begin_story(Scheduler *s, Story *story)
{
    count_wait(s);
    memcpy(story->waited, s->waited, sizeof story->waited);
    story->ahead = waiting_count(s->waiting) + s->counts.waiting;
}

/* It starts, or ends before. */
static void tell_waits(Scheduler *s, Story *story)
{
    count_wait(s);
    for (int w = STORY_SLOT; w < STORY_WAITS; w++)
        story->waits[w] = s->waited[w] - story->waited[w];
}

void scheduler_add(Scheduler *s, Request *r)
{
    Sequence *q = request_leader(r);
    if (r->options.story)
        begin_story(s, r->options.story);
    begin_to_wait(s, q);
    q->waits_from = r->submitted;
    waiting_add(s->waiting, r);
}

void scheduler_fork(Scheduler *s, const Sequence *leader, Sequence *to)
{
    memcpy(to->tokens, leader->tokens, (size_t)leader->prompt * sizeof *to->tokens);
    kv_cache_fork(s->cache, leader->slot, to->slot);
    to->computed = leader->computed;
    to->caught_up = leader->caught_up;
    to->turn = leader->turn;
    to->times = leader->times;
    to->times.reused_tokens = 0;   /* once, for all samples */
    to->request->followers--;
    enter(s, to);
}

/* The past of one that was interrupted itself is what the cache still knows of it. */
void scheduler_follow(Scheduler *s, const Sequence *from, Sequence *to)
{
    if (to->state != SEQUENCE_RUNNING)
        return;
    kv_cache_drop(s->cache, to->slot);
    to->caught_up = false;
    if (from->state == SEQUENCE_RUNNING) {
        kv_cache_fork(s->cache, from->slot, to->slot);
        to->computed = from->computed;
        to->caught_up = from->caught_up;
    } else {
        to->computed = kv_cache_match(s->cache, to->slot, to->tokens, sequence_reusable(to), to->salt);
    }
}

/* A match of no tokens leaves an empty past. */
void scheduler_forget_pasts(Scheduler *s)
{
    for (Sequence *q = s->running.first; q; q = q->after) {
        if (!q->caught_up)
            continue;
        kv_cache_drop(s->cache, q->slot);
        q->computed = kv_cache_match(s->cache, q->slot, q->tokens, 0, q->salt);
        q->caught_up = false;
    }
}

static void stop_waiting(Scheduler *s, Sequence *q)
{
    if (q->request->started) {
        list_remove(&s->parked, q);
        s->counts.waiting--;
    } else {
        waiting_remove(s->waiting, q->request);
        if (q->request->options.story)
            tell_waits(s, q->request->options.story);
    }
}

/* The leader ends before those that follow could fork: the first of them takes its place. */
static void hand_over(Scheduler *s, Sequence *leader)
{
    Request *r = leader->request;
    Sequence *heir = follower(leader);
    memcpy(heir->tokens, leader->tokens, (size_t)leader->prompt * sizeof *heir->tokens);
    if (heir->slot >= 0)
        give_slot(s, heir);
    List *list = leader->state == SEQUENCE_RUNNING ? &s->running : r->started ? &s->parked : NULL;
    if (list)
        list_remove(list, leader);
    Sequence was = *heir;
    *heir = *leader;
    heir->sample = was.sample;
    heir->tokens = was.tokens;
    r->leader = heir->sample;
    r->followers--;
    if (list)
        list_insert(list, heir);
    if (heir->slot >= 0)
        s->in_slot[heir->slot] = heir;
    leader->slot = -1;
    leader->times.reused_tokens = 0;   /* the heir tells of it */
}

/* It ends while a step computes rows of it, or before what it was given there is told. */
static void plan_forget(Plan *plan, const Sequence *q)
{
    for (int32_t i = 0; i < plan->entries; i++)
        if (plan->entry[i].sequence == q) {
            q->request->promised -= plan->entry[i].events;
            plan->entry[i].sequence = NULL;
        }
}

void scheduler_remove(Scheduler *s, Sequence *q)
{
    Request *r = q->request;
    for (int i = 0; i < 2; i++)
        plan_forget(&s->plans[i], q);
    if (q->state == SEQUENCE_FOLLOWS) {
        r->followers--;
        if (q->slot >= 0)
            give_slot(s, q);
    } else if (slots_of(q) > 1) {
        hand_over(s, q);
    } else if (q->state == SEQUENCE_RUNNING) {
        leave(s, q);
    } else {
        stop_waiting(s, q);
    }
    q->state = SEQUENCE_ENDED;
}

void scheduler_forget(Scheduler *s, Request *r) { waiting_forget(s->waiting, r); }

Sequence *scheduler_running(const Scheduler *s) { return s->running.first; }

const Sequence *scheduler_in_slot(const Scheduler *s, int32_t slot) { return s->in_slot[slot]; }

void scheduler_generated(Scheduler *s, const Request *r) { waiting_serve(s->waiting, r, GENERATED_TOKEN_COUNTS); }

SchedulerCounts scheduler_counts(const Scheduler *s) { return s->counts; }

static bool runs_first(const Sequence *q)
{
    for (const Sequence *other = q->request->sequences; other < q; other++)
        if (other->state == SEQUENCE_RUNNING)
            return false;
    return true;
}

Err scheduler_audit(const Scheduler *s, Error *err)
{
    SchedulerCounts seen = {0};
    int32_t slots = s->slots;
    for (const Sequence *q = s->running.first; q; q = q->after) {
        if (q->state != SEQUENCE_RUNNING || s->in_slot[q->slot] != q || (q->after && !before(q, q->after)))
            return fail(err, LIMIT_REACHED, "what runs in slot %d is not in its place", q->slot);
        slots += slots_of(q);
        seen.running++;
        seen.serving += runs_first(q);
    }
    for (const Sequence *q = s->parked.first; q; q = q->after, seen.waiting++)
        if (q->state != SEQUENCE_WAITING || q->slot >= 0 || (q->after && !before(q, q->after)))
            return fail(err, LIMIT_REACHED, "sample %d of request %llu waits, but not in its place", q->sample,
                        (unsigned long long)q->request->arrival);
    if (slots != s->o.sequences || seen.running != s->counts.running || seen.waiting != s->counts.waiting
        || seen.serving != s->counts.serving)
        return fail(err, LIMIT_REACHED, "%d of %d slots, %d of %d run, %d of %d wait, %d of %d requests are served", slots,
                    s->o.sequences, seen.running, s->counts.running, seen.waiting, s->counts.waiting, seen.serving,
                    s->counts.serving);
    return OK;
}

/* --- nobody waits for ever --- */

/* Who came first of those that wait, and were not promoted. Those that rest wait for their readers. */
static Sequence *oldest(const Scheduler *s)
{
    Request *fresh = waiting_oldest(s->waiting);
    Sequence *oldest = fresh ? request_leader(fresh) : NULL;
    for (Sequence *q = s->parked.first; q; q = q->after)
        if (!q->resting && q->request->promoted == 0 && (!oldest || q->request->arrival < oldest->request->arrival))
            oldest = q;
    return oldest;
}

static void promote(Scheduler *s, Request *r)
{
    r->promoted = ++s->promotions;
    s->promoted_at = s->steps;
    waiting_promote(s->waiting, r);
    for (int32_t i = 0; i < r->options.samples; i++) {
        Sequence *q = &r->sequences[i];
        List *list = q->state == SEQUENCE_RUNNING ? &s->running
                   : q->state == SEQUENCE_WAITING && r->started ? &s->parked : NULL;
        if (list) {
            list_remove(list, q);
            list_insert(list, q);
        }
    }
}

static void promote_oldest(Scheduler *s)
{
    if (!waiting_too_long(s->promoted_at, s->steps, s->o.patience))
        return;
    Sequence *q = oldest(s);
    if (q && waiting_too_long(q->waits_from_step, s->steps, s->o.patience))
        promote(s, q->request);
}

/* --- memory and slots --- */

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

/* What q lacks for all that is known of it is promised to it, or not any more. */
static void promise(Scheduler *s, const Sequence *q, int32_t sign)
{
    int32_t lacks[KV_GROUPS_MAX] = {0};
    kv_cache_promise(s->cache, q->slot, sequence_coming(q), lacks);
    for (int32_t g = 0; g < KV_GROUPS_MAX; g++)
        s->promised[g] += sign * lacks[g];
}

static void tell_preemption(Story *story, const Sequence *q, const Sequence *by, StoryReason reason)
{
    if (story->preemptions++ < STORY_PREEMPTIONS)
        story->preemption[story->preemptions - 1] = (StoryPreemption){
            .at = clock_seconds() - q->request->submitted, .by = by->request->options.tag, .reason = reason,
            .sample = q->sample, .computed = q->computed};
}

/* It goes on, with what the cache still had. */
static void tell_return(Story *story, const Sequence *q, double now)
{
    for (int32_t i = 0; i < story->preemptions && i < STORY_PREEMPTIONS; i++) {
        StoryPreemption *p = &story->preemption[i];
        if (p->sample == q->sample && p->back == 0) {
            p->back = now - q->request->submitted;
            p->found = q->computed;
        }
    }
}

/* by: who needs what it has. */
static void preempt(Scheduler *s, Sequence *q, const Sequence *by, StoryReason reason)
{
    if (q->request->options.story)
        tell_preemption(q->request->options.story, q, by, q->resting ? STORY_RESTED : reason);
    if (q->planned)
        plan_remove(s->plan, q);
    promise(s, q, -1);
    q->lost = q->computed;
    leave(s, q);
    begin_to_wait(s, q);
    list_insert(&s->parked, q);
    q->waits_from = clock_seconds();
    q->drafted = 0;
    q->planned = q->caught_up = false;
    q->times.preemptions++;
    s->counts.waiting++;
    s->counts.preemptions++;
}

/* Whether `other`, which runs, must let q have what it holds. */
static bool gives_way(const Sequence *other, const Sequence *q)
{
    if (other->resting || sequence_idles(other))
        return true;
    if (q->state == SEQUENCE_RUNNING)
        return before(q, other);
    return other->request->promoted == 0 && q->request->priority > other->request->priority;
}

/* Preempts the last running sequence that rests, or else gives way to q. False: there is none. */
static bool preempt_one(Scheduler *s, const Sequence *q, StoryReason reason)
{
    Sequence *last = NULL;
    for (Sequence *other = s->running.last; other && !(last && s->counts.resting == 0); other = other->before) {
        if (other == q)
            continue;
        if (other->resting) {
            last = other;
            break;
        }
        if (!last && gives_way(other, q))
            last = other;
    }
    if (last)
        preempt(s, last, q, reason);
    return last;
}

/* A slot for q, and for each of those that follow it. */
static bool find_slots(Scheduler *s, const Sequence *q)
{
    int32_t needs = slots_of(q), had = s->slots;
    for (const Sequence *other = s->running.last; other && had < needs; other = other->before)
        had += gives_way(other, q) ? slots_of(other) : 0;
    if (had < needs)
        return false;
    while (s->slots < needs)
        preempt_one(s, q, STORY_FOR_SLOT);
    return true;
}

static void account_start(Scheduler *s, Sequence *q)
{
    Request *r = q->request;
    double now = clock_seconds();
    Story *story = r->options.story;
    if (story && r->started)
        tell_return(story, q, now);
    if (!r->started) {
        if (story)
            story->prefix = kv_cache_explain(s->cache, q->tokens, sequence_reusable(q), q->salt);
        r->started = true;
        q->times.started = now - r->submitted;
        q->times.reused_tokens = q->computed;
        s->counts.started++;
        waiting_serve(s->waiting, r, (int64_t)(q->prompt - q->computed) * PROMPT_TOKEN_COUNTS);
    }
    q->times.waited += now - q->waits_from;
    q->times.recomputed_tokens += (int32_t)max_i64(0, q->lost - q->computed);
    q->lost = 0;
}

static bool start(Scheduler *s, Sequence *q)
{
    if (!find_slots(s, q)) {
        s->waits_for = STORY_SLOT;
        return false;
    }
    take_slots(s, q);
    q->computed = kv_cache_match(s->cache, q->slot, q->tokens, sequence_reusable(q), q->salt);
    while (!kv_cache_has_room(s->cache, q->slot, q->known, s->promised))
        if (!preempt_one(s, q, STORY_FOR_BLOCKS)) {
            s->waits_for = STORY_BLOCKS;
            kv_cache_drop(s->cache, q->slot);
            give_slots(s, q);
            q->computed = 0;
            return false;
        }
    stop_waiting(s, q);
    q->turn = ++s->turns;
    account_start(s, q);
    enter(s, q);
    promise(s, q, 1);
    return true;
}

/* Whether it is worth asking who is next. */
static bool somebody_may_start(const Scheduler *s)
{
    return s->slots > 0 || s->counts.resting > 0 || s->idle > 0 || s->o.policy->classes;
}

/* Of those that wait: in a class, who was interrupted goes before who has not started. */
static Sequence *next_waiting(Scheduler *s)
{
    if (!somebody_may_start(s))
        return NULL;
    Sequence *parked = s->parked.first;
    while (parked && parked->resting)
        parked = parked->after;
    Request *first = waiting_first(s->waiting);
    Sequence *fresh = first ? request_leader(first) : NULL;
    if (!parked || !fresh)
        return parked ? parked : fresh;
    return rank(first, parked->request) < 0 ? fresh : parked;
}

/* --- the plan --- */

/* How many events the last row of what is known makes: a token of each sample. */
static int32_t events_of_last(const Sequence *q)
{
    return sequence_coming(q) == q->prompt ? slots_of(q) : 1;
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
    cut(&e, (int32_t)min_i64(e.rows, s->rows_most - s->plan->rows));
    if (e.rows > 0)
        cut(&e, kv_cache_stop(s->cache, q->slot, e.first, e.first + e.rows) - e.first);
    e.outs = (int32_t)max_i64(0, e.first + e.rows - max_i64(sequence_wants_from(q), e.first));
    e.hiddens = sequence_pools(q) ? (int32_t)max_i64(0, e.first + e.rows - max_i64(q->pooled, e.first)) : 0;
    int32_t room = request_room(q->request) - q->request->promised - (events_of_last(q) - 1);
    int32_t outs_max = (int32_t)max_i64(0, min_i64(room, s->o.logit_rows - s->plan->outs));
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
            if (kv_cache_extend(s->cache, q->slot, e->first, e->first + rows, e->drafted > e->rows - rows, &s->plan->copies)) {
                cut(e, rows);
                return true;
            }
    while (preempt_one(s, q, STORY_FOR_BLOCKS));
    return false;
}

static void plan_rows(Scheduler *s, Sequence *q)
{
    PlanEntry e = entry_for(s, q);
    if (e.rows <= 0)
        return;
    promise(s, q, -1);
    bool found = find_blocks(s, &e);
    promise(s, q, 1);
    if (!found)
        return;
    e.events = e.outs > 0 ? e.outs + events_of_last(q) - 1 : 0;
    s->plan->entry[s->plan->entries++] = e;
    s->plan->rows += e.rows;
    s->plan->outs += e.outs;
    s->plan->hiddens += e.hiddens;
    q->request->promised += e.events;
    q->planned = true;
}

static void look_at_readers(Scheduler *s, const List *list, bool runs)
{
    for (Sequence *q = list->first; q; q = q->after) {
        q->planned = false;
        q->resting = request_room(q->request) <= q->request->promised;
        if (runs) {
            s->counts.resting += q->resting;
            s->idle += sequence_idles(q);
            promise(s, q, 1);
        } else if (q->resting) {
            q->waits_from_step = s->steps;   /* for its reader, not for a place */
        }
    }
}

static void plan_begin(Scheduler *s)
{
    s->plan = &s->plans[1 - s->plan->turn];
    s->plan->entries = s->plan->rows = s->plan->outs = s->plan->hiddens = s->plan->copies.count = 0;
    s->counts.resting = s->idle = 0;
    memset(s->promised, 0, sizeof s->promised);
    look_at_readers(s, &s->running, true);
    look_at_readers(s, &s->parked, false);
    waiting_ask(s->waiting);
    promote_oldest(s);
    count_wait(s);
    s->waits_for = s->slots > 0 ? STORY_ROWS : STORY_SLOT;
}

/* Those that generate: a row each, and what was drafted for them. First those whose token flies, as it is put into the
 * first rows on the device. */
static void plan_generating(Scheduler *s)
{
    s->rows_most = s->o.rows;
    for (int flying = 1; flying >= 0; flying--)
        for (Sequence *q = s->running.first; q; q = q->after)
            if (q->caught_up && flying == (q->flying > 0))
                plan_rows(s, q);
}

/* Prompts, and those that start, in one order. Where somebody cannot start, nobody behind it does. */
static void plan_prompts(Scheduler *s)
{
    if (s->plan->rows > 0 && s->o.prefill_rows > 0)
        s->rows_most = (int32_t)min_i64(s->o.rows, (int64_t)s->plan->rows + s->o.prefill_rows);
    Sequence *next = next_waiting(s), *q = s->running.first;
    bool starting = true;
    int64_t preemptions = s->counts.preemptions;
    while (s->plan->rows < s->rows_most && (next || q)) {
        if (starting && preemptions != s->counts.preemptions)   /* who was interrupted may be before `next` */
            next = next_waiting(s);
        preemptions = s->counts.preemptions;
        if (next && (!q || rank(next->request, q->request) < 0)) {
            starting = start(s, next);
            q = starting ? next : s->running.first;   /* who stood here may have been preempted */
            next = starting ? next_waiting(s) : NULL;
            continue;
        }
        if (!q->planned)
            plan_rows(s, q);
        q = q->after;
    }
}

const Plan *scheduler_plan(Scheduler *s)
{
    plan_begin(s);
    plan_generating(s);
    plan_prompts(s);
    return s->plan;
}

static void commit(Scheduler *s, Sequence *q, int32_t good)
{
    q->computed = kv_cache_commit(s->cache, q->slot, q->tokens, good);
    q->caught_up |= q->computed == q->known;
    q->drafted = 0;
}

void scheduler_commit(Scheduler *s, const Plan *plan)
{
    s->steps++;
    for (int32_t i = 0; i < plan->entries; i++) {
        const PlanEntry *e = &plan->entry[i];
        if (!e->sequence)
            continue;
        e->sequence->times.prompt_steps += e->first < e->sequence->prompt;
        if (e->drafted == 0)
            commit(s, e->sequence, e->first + e->rows);
    }
}

void scheduler_land(Scheduler *s, const Plan *plan)
{
    Plan *landed = &s->plans[plan->turn];
    for (int32_t i = 0; i < landed->entries; i++) {
        PlanEntry *e = &landed->entry[i];
        if (!e->sequence)
            continue;
        e->sequence->flying = 0;
        e->sequence->request->promised -= e->events;
        e->events = 0;
    }
}

void scheduler_accept(Scheduler *s, const PlanEntry *e, int32_t right)
{
    ASSERT(right >= 0 && right <= e->drafted);
    e->sequence->caught_up = true;
    commit(s, e->sequence, e->first + e->rows - e->drafted + right);
}

#include "engine/engine.h"

#include <math.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/clock.h"
#include "cache/kv_audit.h"
#include "engine/beam.h"
#include "engine/deliver.h"
#include "engine/pooling.h"
#include "engine/queue_share.h"

enum { QUEUE_MAX = 1 << 16, EVENTS_MAX = 1 << 16, ROWS_MAX = 1 << 16 };
static const size_t ARENA_BYTES_MAX = (size_t)1 << 35;   /* addresses; only what is used is touched */

struct Engine {
    EngineOptions o;
    EngineModel model;
    Arena *arena;
    KvLedger ledger;
    KvCache *cache;
    KvPersist *persist;            /* NULL: the cache has no second home */
    int32_t fetching;              /* requests that wait for files to be read, and are not with the scheduler yet */
    Scheduler *scheduler;
    Runner *runner;
    Deliver deliver;
    const Plan *flying;            /* a step whose tokens are chosen and were not told yet; NULL: none */
    bool flies;                    /* steps may be run before those of the one before were told */
    Request **request;             /* [queue + sequences] all there are but for those in the inbox, in no order */
    int32_t requests;
    uint64_t arrivals;
    double deadline;               /* no request expires before it */
    int64_t steps, rows, copies, ended;
    SchedulerCounts told;          /* what the observer knows, and: */
    int64_t told_ended;
    int64_t left_queue;            /* requests that have started, when last looked at */

    _Atomic(const Error *) trouble;   /* of the device */
    atomic_bool heeds;             /* something is wished of a request */
    pthread_mutex_t lock;          /* for what follows */
    pthread_cond_t wake;
    bool woken;
    Request **inbox;               /* ring [queue] */
    int32_t first, arrived;
    int32_t queued;                /* requests beside the inbox of which nothing runs, when last told */
    QueueShare *share;             /* NULL: tenants do not take turns */
};

static void forward_model(const void *model, Device *d, const Step *step, Tensor logits)
{
    model_forward(model, d, step, logits);
}

EngineModel engine_model(const Model *m)
{
    return (EngineModel){.shape = &m->shape, .kv = &m->kv, .forward = forward_model, .model = m};
}

EngineOptions engine_options_default(void)
{
    return (EngineOptions){.sequences = 32, .rows = 512, .logit_rows = 64, .block_tokens = 16, .state_snapshots = 16,
                           .state_interval = 512, .cache_format = &format_f32, .policy = "fcfs", .patience = 1000,
                           .queue = 1024, .events = 256};
}

/* --- birth and end --- */

static Err check_options(const EngineOptions *o, Error *err)
{
    const struct { const char *name; int64_t value, min, max; } bounds[] = {
        {"rows of a step", o->rows, 1, ROWS_MAX},
        {"logit rows of a step", o->logit_rows, 1, ROWS_MAX},
        {"rows of prompts in a step", o->prefill_rows, 0, ROWS_MAX},
        {"patience", o->patience, 1, INT32_MAX},
        {"queue", o->queue, 1, QUEUE_MAX},
        {"events", o->events, 1, EVENTS_MAX},
        {"context", o->context, 0, INT32_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(bounds); i++)
        if (bounds[i].value < bounds[i].min || bounds[i].value > bounds[i].max)
            return fail(err, BAD_ARGUMENT, "%s: %lld; it must be from %lld to %lld", bounds[i].name,
                        (long long)bounds[i].value, (long long)bounds[i].min, (long long)bounds[i].max);
    if (!policy_find(o->policy))
        return fail(err, BAD_ARGUMENT, "policy '%s' is unknown; there are %s", o->policy ? o->policy : "", policy_names());
    return OK;
}

static Err open_cache(Engine *e, Device *device, Error *err)
{
    KvOptions o = {
        .format = e->o.cache_format, .block_tokens = e->o.block_tokens, .sequences = e->o.sequences,
        .context = e->o.context, .rows = e->o.rows, .tokens = e->o.cache_tokens, .bytes = e->o.cache_bytes, .key = e->o.key,
        .state_snapshots = e->o.state_snapshots, .state_interval = e->o.state_interval,
    };
    TRY(kv_ledger_init(&e->ledger, e->model.kv, &o, err));
    return kv_cache_new(&e->cache, &e->ledger, e->model.kv, device, e->arena, err);
}

static Err take_host(Engine *e, Error *err)
{
    int32_t requests = e->o.queue + e->o.sequences;
    SchedulerOptions o = {
        .policy = policy_find(e->o.policy), .fair = e->o.fair, .patience = e->o.patience, .requests = requests,
        .sequences = e->o.sequences, .rows = e->o.rows, .logit_rows = e->o.logit_rows, .prefill_rows = e->o.prefill_rows,
    };
    e->inbox = ARENA_ARRAY(e->arena, Request *, (size_t)e->o.queue);
    e->request = ARENA_ARRAY(e->arena, Request *, (size_t)requests);
    e->scheduler = scheduler_new(e->arena, o, e->cache);
    e->share = e->o.fair ? queue_share_new(e->arena, e->o.queue) : NULL;
    if (!e->inbox || !e->request || !e->scheduler || (e->o.fair && !e->share))
        return fail(err, NO_MEMORY, "no memory for %d sequences", e->o.sequences);
    e->deadline = INFINITY;
    e->deliver = (Deliver){.vocabulary = e->model.shape->V, .width = e->model.shape->D, .scheduler = e->scheduler,
                           .sampler = sampler_new(e->arena, e->model.shape->V)};
    if (!e->deliver.sampler)
        return fail(err, NO_MEMORY, "no memory to sample from %d tokens", e->model.shape->V);
    return OK;
}

static void init_lock(Engine *e)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&e->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&e->lock, NULL);
    atomic_init(&e->heeds, false);
    atomic_init(&e->trouble, NULL);
}

static void wake_from_files(void *with) { engine_wake(with); }

static Err build(Engine *e, Device *device, Error *err)
{
    RunnerOptions o = {e->o.sequences, e->o.rows, e->o.logit_rows, e->o.rows, NULL};
    TRY(open_cache(e, device, err));
    TRY(take_host(e, err));
    if (device_is_apart(device) || e->o.device_chooses)
        o.sampler = e->deliver.sampler;
    e->flies = (device_is_apart(device) || e->o.flies) && !e->o.drafter.propose && !e->o.forgets;
    TRY(runner_new(&e->runner, o, &e->model, e->cache, device, e->arena, err));
    init_lock(e);
    arena_seal(e->arena);
    if (e->o.files.directory)
        TRY(kv_persist_open(&e->persist, &e->o.files, e->cache, device, (KvFilesWake){wake_from_files, e}, err));
    return OK;
}

Err engine_new(Engine **out, const EngineOptions *options, const EngineModel *model, Device *device, Error *err)
{
    TRY(check_options(options, err));
    if (model->shape->bidirectional)
        return fail(err, UNSUPPORTED,
                    "family '%s' is a diffusion model: it refines a whole answer and continues nothing token by token; "
                    "use `ridge run`, `ridge chat`, `ridge logits`, or `ridge denoise` to measure it",
                    model->shape->family);
    int32_t context = options->context ? options->context : model->shape->context, most = model->shape->positions_max;
    if (most && context > most)
        return fail(err, BAD_ARGUMENT, "a context of %d is asked for, but the model has a table of %d positions", context,
                    most);
    Arena *arena = arena_new(ARENA_BYTES_MAX);
    Engine *e = arena ? ARENA_NEW(arena, Engine) : NULL;
    if (!e) {
        arena_free(arena);
        return fail(err, NO_MEMORY, "no memory for an engine");
    }
    e->arena = arena;
    e->o = *options;
    e->model = *model;
    e->o.context = context;
    Err result = build(e, device, err);
    if (result != OK) {
        arena_free(arena);
        return result;
    }
    *out = e;
    return OK;
}

/* --- submission --- */

static Err check_prompt(const Engine *e, const RequestOptions *o, Error *err)
{
    if (o->prompt_count < 1)
        return fail(err, BAD_ARGUMENT, "the prompt is empty: it needs at least one token");
    for (int32_t i = 0; i < o->prompt_count; i++)
        if (o->prompt[i] < 0 || o->prompt[i] >= e->model.shape->V)
            return fail(err, BAD_ARGUMENT, "token %d of the prompt is %d; the vocabulary has %d", i, o->prompt[i],
                        e->model.shape->V);
    return OK;
}

static Err check_room(const Engine *e, const RequestOptions *o, Error *err)
{
    int64_t longest = engine_longest(e);
    int64_t needs = (int64_t)o->prompt_count + (o->max_tokens == TOKENS_ALL ? 1 : o->max_tokens);
    if (needs <= longest)
        return OK;
    return fail(err, NO_MEMORY, "the prompt has %d tokens and needs room for %lld in all; %lld fit (context %d, cache %lld)",
                o->prompt_count, (long long)needs, (long long)longest, e->o.context, (long long)kv_ledger_longest(&e->ledger));
}

static Err check_deadline(const char *name, double seconds, Error *err)
{
    return seconds >= 0 ? OK : fail(err, BAD_ARGUMENT, "%s: %g; it must not be negative", name, seconds);   /* nor NaN */
}

/* More would fill the room for events first, and nobody would be told to read them. */
static Err check_notify(const Engine *e, const RequestOptions *o, Error *err)
{
    int32_t most = e->o.events - (o->samples > 1 ? o->samples : 1);
    if (o->notify_tokens <= 1 ? o->notify_tokens >= 0 : o->notify_tokens <= most)
        return OK;
    return fail(err, BAD_ARGUMENT, "notify_tokens: %d; it must be from 0 to %d, with room for %d events", o->notify_tokens,
                most > 1 ? most : 1, e->o.events);
}

Err engine_check(const Engine *e, const RequestOptions *o, Error *err)
{
    int32_t samples_max = e->o.sequences < SAMPLES_MAX ? e->o.sequences : SAMPLES_MAX;
    const Error *trouble = engine_trouble(e);
    if (trouble)
        return fail(err, IO_FAILED, "%s", trouble->text);
    if (o->samples < 0 || o->samples > samples_max)
        return fail(err, BAD_ARGUMENT, "samples: %d; it must be from 1 to %d", o->samples, samples_max);
    if (o->max_tokens < TOKENS_ALL)
        return fail(err, BAD_ARGUMENT, "max_tokens: %d; it must not be negative", o->max_tokens);
    TRY(check_prompt(e, o, err));
    if (o->score_from < 0 || o->score_from >= o->prompt_count)
        return fail(err, BAD_ARGUMENT, "score_from: %d; the prompt has %d tokens", o->score_from, o->prompt_count);
    TRY(check_room(e, o, err));
    TRY(check_notify(e, o, err));
    TRY(beam_check(o, e->o.sequences, engine_longest(e), err));
    TRY(pooling_check(o, e->model.shape->D, err));
    TRY(check_deadline("queue_seconds", o->queue_seconds, err));
    TRY(check_deadline("total_seconds", o->total_seconds, err));
    return sampler_options_check(&o->sampling, e->model.shape->V, err);
}

static Err refuse(const Engine *e, bool full, Error *err)
{
    if (full)
        return fail(err, LIMIT_REACHED, "%d requests are waiting already; try again later", e->o.queue);
    return fail(err, LIMIT_REACHED, "your requests hold their share of the %d places in the queue; try again later",
                e->o.queue);
}

static Err enqueue(Engine *e, Request *r, Error *err)
{
    pthread_mutex_lock(&e->lock);
    int32_t places = e->o.queue - e->arrived - e->queued;
    bool full = places <= 0, fits = !full && (!e->share || queue_share_take(e->share, r->options.tenant, places));
    if (fits) {
        r->holds_place = true;
        e->inbox[(e->first + e->arrived++) % e->o.queue] = r;
        e->woken = true;
        pthread_cond_signal(&e->wake);
    }
    pthread_mutex_unlock(&e->lock);
    return fits ? OK : refuse(e, full, err);
}

/* Where angles depend on the length of the prompt, so do keys: only prompts of one length share. */
static uint64_t salt_of(const Engine *e, const RequestOptions *o)
{
    return e->model.shape->length_matters ? o->salt * 0x9e3779b97f4a7c15u + (uint64_t)o->prompt_count : o->salt;
}

static Err take_sums(const Engine *e, Request *r, Error *err)
{
    if (r->options.pooling == POOL_MEAN && !(r->sums = calloc((size_t)e->model.shape->D, sizeof *r->sums)))
        return fail(err, NO_MEMORY, "no memory for the sums of an embedding");
    return OK;
}

Err engine_submit(Engine *e, const RequestOptions *options, Request **out, Error *err)
{
    RequestOptions o = *options;
    if (o.samples == 0)
        o.samples = 1;
    TRY(engine_check(e, &o, err));
    Request *r;
    TRY(request_new(&r, e, &o, (RequestBirth){e->o.events, engine_longest(e), salt_of(e, &o)}, err));
    Err result = take_sums(e, r, err);
    if (result == OK)
        result = enqueue(e, r, err);
    if (result != OK) {
        request_let_go(r);
        request_close(r);
        return result;
    }
    *out = r;
    return OK;
}

/* --- between steps --- */

/* Who came: at most as many as the queue allows to wait, so that there is an end. */
static Request *next_arrival(Engine *e)
{
    Request *r = NULL;
    pthread_mutex_lock(&e->lock);
    if (e->arrived > 0) {
        r = e->inbox[e->first];
        e->first = (e->first + 1) % e->o.queue;
        e->arrived--;
        e->queued++;
    }
    pthread_mutex_unlock(&e->lock);
    return r;
}

static void let_in(Engine *e)
{
    for (Request *r; (r = next_arrival(e));) {
        ASSERT(e->requests < e->o.queue + e->o.sequences);
        r->arrival = ++e->arrivals;
        r->place = e->requests;
        e->request[e->requests++] = r;
        e->deadline = fmin(e->deadline, request_deadline(r));
        const Sequence *q = request_leader(r);
        if (r->options.story)
            r->options.story->waits[STORY_STEP] = clock_seconds() - r->submitted;
        r->fetch = kv_persist_fetch(e->persist, q->tokens, sequence_reusable(q), q->salt);
        if (r->fetch)
            e->fetching++;
        else
            scheduler_add(e->scheduler, r);
    }
}

/* Its past was read from files, or it cannot wait for that: now it is the scheduler's. */
static void end_fetch(Engine *e, Request *r)
{
    if (!r->fetch)
        return;
    kv_persist_cancel(e->persist, r->fetch);
    r->fetch = 0;
    e->fetching--;
    Story *story = r->options.story;
    if (story)
        story->waits[STORY_FILES] = clock_seconds() - r->submitted - story->waits[STORY_STEP];
    scheduler_add(e->scheduler, r);
}

static void settle_fetches(Engine *e)
{
    kv_persist_step(e->persist);
    for (int32_t i = 0; e->fetching > 0 && i < e->requests; i++)
        if (!kv_persist_waits(e->persist, e->request[i]->fetch))
            end_fetch(e, e->request[i]);
}

static void end_request(Engine *e, Request *r, EndReason reason)
{
    end_fetch(e, r);
    deliver_end_request(&e->deliver, r, reason);
}

static void heed(Engine *e, Request *r)
{
    if (atomic_load(&r->cancelled))
        end_request(e, r, END_CANCELLED);
    for (int32_t i = 0; i < r->options.samples; i++)
        if (request_take_stop(r, i) && r->sequences[i].state != SEQUENCE_ENDED) {
            end_fetch(e, r);
            if (r->beam)
                deliver_end_request(&e->deliver, r, END_STOP);
            else
                deliver_end(&e->deliver, &r->sequences[i], END_STOP, NULL);
        }
}

static void expire(Engine *e, double now)
{
    if (now < e->deadline)
        return;
    e->deadline = INFINITY;
    for (int32_t i = 0; i < e->requests; i++) {
        Request *r = e->request[i];
        double deadline = request_deadline(r);
        if (r->left == 0)
            continue;
        if (deadline <= now)
            end_request(e, r, END_EXPIRED);
        else
            e->deadline = fmin(e->deadline, deadline);
    }
}

static void leave_queue(Engine *e, Request *r)
{
    if (e->share && r->holds_place)
        queue_share_give(e->share, r->options.tenant);
    r->holds_place = false;
}

/* Requests all of whose samples have ended are let go once nobody here looks at them any more. */
static void let_go(Engine *e)
{
    SchedulerCounts counts = scheduler_counts(e->scheduler);
    Request *ended = e->deliver.ended;
    pthread_mutex_lock(&e->lock);
    for (int32_t i = 0; i < e->requests && counts.started > e->left_queue; i++)
        if (e->request[i]->started)
            leave_queue(e, e->request[i]);
    for (Request *r = ended; r; r = r->next_ended, e->requests--) {
        leave_queue(e, r);
        e->request[r->place] = e->request[e->requests - 1];
        e->request[r->place]->place = r->place;
    }
    e->queued = e->requests - counts.serving;
    pthread_mutex_unlock(&e->lock);
    e->left_queue = counts.started;
    e->deliver.ended = NULL;
    for (Request *r = ended, *next; r; r = next, e->ended++) {
        next = r->next_ended;
        scheduler_forget(e->scheduler, r);
        request_let_go(r);
    }
}

/* What is wished is read before who came is: so whoever wishes something has come by then. */
static void look_around(Engine *e, double now)
{
    bool heeds = atomic_exchange(&e->heeds, false);
    let_in(e);
    for (int32_t i = 0; heeds && i < e->requests; i++)
        heed(e, e->request[i]);
    expire(e, now);
    settle_fetches(e);
    let_go(e);
}

void engine_free(Engine *e)
{
    if (!e)
        return;
    let_in(e);
    for (int32_t i = 0; i < e->requests; i++)
        end_request(e, e->request[i], END_CANCELLED);
    let_go(e);
    kv_persist_close(e->persist);
    pthread_cond_destroy(&e->wake);
    pthread_mutex_destroy(&e->lock);
    arena_free(e->arena);
}

/* --- the loop --- */

static void draft(Engine *e)
{
    const EngineDrafter *by = &e->o.drafter;
    for (Sequence *q = by->propose ? scheduler_running(e->scheduler) : NULL; q; q = q->after) {
        int32_t most = (int32_t)min_i64(by->most, sequence_draft_room(q));
        q->drafted = most > 0 ? by->propose(by->with, q->tokens, q->known, q->tokens + q->known, most) : 0;
        ASSERT(q->drafted >= 0 && q->drafted <= max_i64(most, 0));
    }
}

/* What is seen of a plan before it is committed. */
static StepReport report_of(const Plan *plan)
{
    StepReport report = {.entries = plan->entries, .rows = plan->rows, .outs = plan->outs};
    for (int32_t i = 0; i < plan->entries; i++) {
        const PlanEntry *entry = &plan->entry[i];
        *(entry->sequence->caught_up ? &report.decode_rows : &report.prefill_rows) += entry->rows;
        report.longest = (int32_t)max_i64(report.longest, entry->first + entry->rows);
    }
    return report;
}

/* at: when the step began, was planned, was computed, was delivered. */
static void observe(Engine *e, StepReport report, const double at[4])
{
    EngineStats stats = engine_stats(e);
    SchedulerCounts counts = scheduler_counts(e->scheduler);
    report.step = e->steps;
    report.begun = at[0];
    report.plan_seconds = at[1] - at[0];
    report.forward_seconds = at[2] - at[1];
    report.deliver_seconds = at[3] - at[2];
    report.queued = stats.queued;
    report.serving = stats.serving;
    report.waiting = stats.waiting;
    report.running = stats.running;
    report.resting = stats.resting;
    report.started = (int32_t)(counts.started - e->told.started);
    report.preemptions = (int32_t)(counts.preemptions - e->told.preemptions);
    report.ended = (int32_t)(e->ended - e->told_ended);
    e->told = counts;
    e->told_ended = e->ended;
    e->o.observe(e->o.observe_with, &report);
}

/* Nothing can be computed: sleeps until files have been read, or somebody wants something. */
static bool wait_for_files(Engine *e)
{
    static const double SECONDS = 0.05;
    if (e->fetching > 0)
        engine_wait(e, SECONDS);
    return e->fetching > 0;
}

static void deliver(Engine *e, const Plan *plan)
{
    scheduler_land(e->scheduler, plan);
    deliver_step(&e->deliver, e->runner, plan);
    atomic_store(&e->trouble, runner_trouble(e->runner));
}

/* Tells what flies. False: nothing does. */
static bool land(Engine *e)
{
    const Plan *plan = e->flying;
    e->flying = NULL;
    if (!plan)
        return false;
    deliver(e, plan);
    let_go(e);
    return true;
}

bool engine_step(Engine *e)
{
    double at[4] = {clock_seconds()};
    look_around(e, at[0]);
    draft(e);
    const Plan *plan = scheduler_plan(e->scheduler);
    if (plan->entries == 0)
        return land(e) || wait_for_files(e);
    StepReport report = report_of(plan);
    at[1] = clock_seconds();
    runner_run(e->runner, plan);
    at[2] = clock_seconds();
    story_step(plan, e->steps + 1, at[0], at[2] - at[0]);
    land(e);
    scheduler_commit(e->scheduler, plan);
    if (e->flies && runner_flies(e->runner, plan))
        e->flying = plan;
    else
        deliver(e, plan);
    if (e->o.forgets)
        scheduler_forget_pasts(e->scheduler);
    e->steps++;
    e->rows += plan->rows;
    e->copies += plan->copies.count;
    let_go(e);
    at[3] = clock_seconds();
    if (e->o.observe)
        observe(e, report, at);
    return true;
}

static void wake(Engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->woken = true;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
}

void engine_wake(Engine *e) { wake(e); }

void engine_heed(Engine *e)
{
    atomic_store(&e->heeds, true);
    wake(e);
}

/* Not longer than until somebody expires. */
void engine_wait(Engine *e, double seconds)
{
    struct timespec until = clock_deadline(fmin(seconds, e->deadline - clock_seconds()));
    pthread_mutex_lock(&e->lock);
    while (!e->woken)
        if (pthread_cond_timedwait(&e->wake, &e->lock, &until) != 0)
            break;
    e->woken = false;
    pthread_mutex_unlock(&e->lock);
}

/* --- what it says of itself --- */

const KvLedger *engine_ledger(const Engine *e) { return &e->ledger; }
const Error *engine_trouble(const Engine *e) { return atomic_load(&e->trouble); }
KvFilesStats engine_files(const Engine *e) { return kv_persist_stats(e->persist); }
const KvCache *engine_cache(const Engine *e) { return e->cache; }

const EngineOptions *engine_options(const Engine *e) { return &e->o; }
int32_t engine_longest(const Engine *e) { return (int32_t)min_i64(e->o.context, kv_ledger_longest(&e->ledger)); }

Err engine_audit(const Engine *e, Error *err)
{
    for (int32_t i = 0; i < e->o.sequences; i++) {
        const Sequence *q = scheduler_in_slot(e->scheduler, i);
        TRY(kv_audit_slot(e->cache, i, q ? q->computed : 0, err));
    }
    TRY(scheduler_audit(e->scheduler, err));
    return kv_audit_pools(e->cache, err);
}

static int32_t count_arrived(const Engine *e)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&e->lock;   /* an Engine is never a constant */
    pthread_mutex_lock(lock);
    int32_t arrived = e->arrived;
    pthread_mutex_unlock(lock);
    return arrived;
}

EngineStats engine_stats(const Engine *e)
{
    SchedulerCounts counts = scheduler_counts(e->scheduler);
    const DeliverCounts *delivered = &e->deliver.counts;
    EngineStats stats = {
        .queued = count_arrived(e) + e->requests - counts.serving, .serving = counts.serving,
        .waiting = counts.waiting, .running = counts.running, .resting = counts.resting,
        .steps = e->steps, .rows = e->rows, .copies = e->copies,
        .started = counts.started, .preemptions = counts.preemptions,
        .prompt_tokens = delivered->prompt_tokens, .reused_tokens = delivered->reused_tokens,
        .generated_tokens = delivered->generated_tokens,
        .drafted_tokens = delivered->drafted_tokens, .accepted_tokens = delivered->accepted_tokens,
        .groups = e->ledger.groups,
    };
    for (int32_t g = 0; g < stats.groups; g++)
        stats.blocks[g] = kv_cache_counts(e->cache, g);
    return stats;
}

static SequencePhase phase_of(const Sequence *q)
{
    switch (q->state) {
    case SEQUENCE_FOLLOWS: return PHASE_FOLLOWS;
    case SEQUENCE_RUNNING: return q->resting ? PHASE_RESTS : q->caught_up ? PHASE_GENERATES : PHASE_PREFILL;
    default: return q->request->started ? PHASE_PREEMPTED : PHASE_QUEUED;
    }
}

static SequenceView view_of(const Sequence *q, double now)
{
    const Request *r = q->request;
    return (SequenceView){
        .request = r, .tag = r->options.tag, .tenant = r->options.tenant, .sample = q->sample, .slot = q->slot,
        .phase = phase_of(q), .prompt = q->prompt, .known = q->known, .computed = q->computed,
        .reused = q->times.reused_tokens, .limit = q->limit, .priority = r->options.priority,
        .preemptions = q->times.preemptions, .promoted = r->promoted > 0, .age = now - r->submitted,
        .waiting = q->state == SEQUENCE_WAITING ? now - q->waits_from : 0,
    };
}

int32_t engine_sequences(const Engine *e, SequenceView *out, int32_t most)
{
    double now = clock_seconds();
    int32_t count = 0;
    for (int32_t i = 0; i < e->requests; i++) {
        const Request *r = e->request[i];
        for (int32_t j = 0; j < r->options.samples && count < most; j++)
            if (r->sequences[j].state != SEQUENCE_ENDED)
                out[count++] = view_of(&r->sequences[j], now);
    }
    return count;
}

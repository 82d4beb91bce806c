#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "cache/kv_audit.h"
#include "engine/deliver.h"
#include "engine/pooling.h"

enum { QUEUE_MAX = 1 << 16, EVENTS_MAX = 1 << 16, ROWS_MAX = 1 << 16 };
static const size_t ARENA_BYTES_MAX = (size_t)1 << 38;   /* addresses; only what is used is touched */

struct Engine {
    EngineOptions o;
    EngineModel model;
    Arena *arena;
    KvLedger ledger;
    KvCache *cache;
    Scheduler *scheduler;
    Runner *runner;
    Deliver deliver;               /* holds the sequences */
    uint64_t arrivals;
    int64_t steps, rows, copies;

    pthread_mutex_t lock;          /* for what follows */
    pthread_cond_t wake;
    bool woken;
    Request **queue;               /* ring [o.queue] */
    int32_t first, queued;
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
    return (EngineOptions){.sequences = 32, .rows = 512, .logit_rows = 64, .block_tokens = 16, .cache_format = &format_f32,
                           .policy = "fcfs", .queue = 1024, .events = 256, .state_snapshots = 16, .state_interval = 512};
}

/* --- birth and end --- */

static Err check_options(const EngineOptions *o, Error *err)
{
    const struct { const char *name; int64_t value, min, max; } bounds[] = {
        {"rows of a step", o->rows, 1, ROWS_MAX},
        {"logit rows of a step", o->logit_rows, 1, ROWS_MAX},
        {"queue", o->queue, 1, QUEUE_MAX},
        {"events", o->events, 1, EVENTS_MAX},
        {"context", o->context, 0, INT32_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(bounds); i++)
        if (bounds[i].value < bounds[i].min || bounds[i].value > bounds[i].max)
            return fail(err, BAD_ARGUMENT, "%s: %lld; it must be from %lld to %lld", bounds[i].name,
                        (long long)bounds[i].value, (long long)bounds[i].min, (long long)bounds[i].max);
    if (!policy_find(o->policy))
        return fail(err, BAD_ARGUMENT, "policy '%s' is unknown; there are fcfs and priority", o->policy);
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

static bool take_sequences(Engine *e)
{
    Sequence *all = ARENA_ARRAY(e->arena, Sequence, (size_t)e->o.sequences);
    for (int32_t i = 0; all && i < e->o.sequences; i++) {
        all[i].slot = i;
        all[i].tokens = ARENA_ARRAY(e->arena, int32_t, (size_t)e->o.context);
        if (!all[i].tokens)
            return false;
    }
    e->deliver = (Deliver){.sequences = all, .count = e->o.sequences, .vocabulary = e->model.shape->V,
                           .width = e->model.shape->D};
    return all;
}

static Err take_host(Engine *e, Error *err)
{
    SchedulerOptions o = {policy_find(e->o.policy), e->o.sequences, e->o.rows, e->o.logit_rows};
    e->queue = ARENA_ARRAY(e->arena, Request *, (size_t)e->o.queue);
    e->scheduler = scheduler_new(e->arena, o, e->cache);
    if (!e->queue || !e->scheduler || !take_sequences(e))
        return fail(err, NO_MEMORY, "no memory for %d sequences", e->o.sequences);
    e->deliver.scheduler = e->scheduler;
    e->deliver.sampler = sampler_new(e->arena, e->model.shape->V);
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
}

static Err build(Engine *e, Device *device, Error *err)
{
    RunnerOptions o = {e->o.sequences, e->o.rows, e->o.logit_rows, e->o.rows};
    TRY(open_cache(e, device, err));
    TRY(take_host(e, err));
    TRY(runner_new(&e->runner, o, &e->model, e->cache, device, e->arena, err));
    init_lock(e);
    arena_seal(e->arena);
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

static void end_unstarted(Request *r, EndReason reason)
{
    for (int32_t i = 0; i < r->options.samples; i++) {
        r->left--;
        Event end = {.kind = EVENT_END, .reason = reason, .sample = i, .position = r->options.prompt_count,
                     .left = r->left, .times = {.ended = clock_seconds() - r->submitted}, .token = {.id = -1}};
        request_push(r, &end);
    }
    request_let_go(r);
}

void engine_free(Engine *e)
{
    if (!e)
        return;
    for (; e->queued > 0; e->queued--, e->first = (e->first + 1) % e->o.queue)
        end_unstarted(e->queue[e->first], END_CANCELLED);
    for (int32_t i = 0; i < e->deliver.count; i++)
        if (e->deliver.sequences[i].request)
            deliver_end_request(&e->deliver, e->deliver.sequences[i].request, END_CANCELLED);
    pthread_cond_destroy(&e->wake);
    pthread_mutex_destroy(&e->lock);
    arena_free(e->arena);
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

static Err check_request(const Engine *e, const RequestOptions *o, Error *err)
{
    int32_t samples_max = e->o.sequences < SAMPLES_MAX ? e->o.sequences : SAMPLES_MAX;
    if (o->samples < 1 || o->samples > samples_max)
        return fail(err, BAD_ARGUMENT, "samples: %d; it must be from 1 to %d", o->samples, samples_max);
    if (o->max_tokens < TOKENS_ALL)
        return fail(err, BAD_ARGUMENT, "max_tokens: %d; it must not be negative", o->max_tokens);
    TRY(check_prompt(e, o, err));
    if (o->score_from < 0 || o->score_from >= o->prompt_count)
        return fail(err, BAD_ARGUMENT, "score_from: %d; the prompt has %d tokens", o->score_from, o->prompt_count);
    TRY(check_room(e, o, err));
    TRY(pooling_check(o, e->model.shape->D, err));
    return sampler_options_check(&o->sampling, e->model.shape->V, err);
}

static Err enqueue(Engine *e, Request *r, Error *err)
{
    pthread_mutex_lock(&e->lock);
    bool fits = e->queued < e->o.queue;
    if (fits) {
        e->queue[(e->first + e->queued++) % e->o.queue] = r;
        e->woken = true;
        pthread_cond_signal(&e->wake);
    }
    pthread_mutex_unlock(&e->lock);
    return fits ? OK : fail(err, LIMIT_REACHED, "%d requests are waiting already; try again later", e->o.queue);
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
    TRY(check_request(e, &o, err));
    Request *r;
    TRY(request_new(&r, e, &o, e->o.events, err));
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

/* --- admission --- */

static Sequence *unused(const Engine *e)
{
    for (int32_t i = 0; i < e->deliver.count; i++)
        if (e->deliver.sequences[i].state == SEQUENCE_UNUSED)
            return &e->deliver.sequences[i];
    return NULL;
}

static int32_t unused_count(const Engine *e)
{
    int32_t count = 0;
    for (int32_t i = 0; i < e->deliver.count; i++)
        count += e->deliver.sequences[i].state == SEQUENCE_UNUSED;
    return count;
}

/* Where angles depend on the length of the prompt, so do keys: only prompts of one length share. */
static uint64_t salt_of(const Engine *e, const RequestOptions *o)
{
    return e->model.shape->length_matters ? o->salt * 0x9e3779b97f4a7c15u + (uint64_t)o->prompt_count : o->salt;
}

static void begin(Engine *e, Request *r)
{
    const RequestOptions *o = &r->options;
    bool scores = o->prompt_logprobs || o->logits != NULL;
    int64_t longest = engine_longest(e);
    e->arrivals++;
    for (int32_t i = 0; i < o->samples; i++) {
        Sequence *q = unused(e);
        *q = (Sequence){
            .slot = q->slot, .tokens = q->tokens, .request = r, .sample = i, .arrival = e->arrivals,
            .salt = salt_of(e, o), .prompt = o->prompt_count, .known = o->prompt_count,
            .limit = (int32_t)(o->max_tokens == TOKENS_ALL ? longest : o->prompt_count + o->max_tokens),
            .scored = scores && i == 0 ? o->score_from : o->prompt_count, .state = SEQUENCE_FOLLOWS,
            .pooled = pooling_first(o),
        };
        memcpy(q->tokens, o->prompt, (size_t)o->prompt_count * sizeof *q->tokens);
        if (i == 0)
            scheduler_add(e->scheduler, q);
    }
}

/* The first that was cancelled, else the first of all if there are sequences for its samples. */
static int32_t queue_next(const Engine *e)
{
    for (int32_t i = 0; i < e->queued; i++)
        if (atomic_load(&e->queue[(e->first + i) % e->o.queue]->cancelled))
            return i;
    return e->queued > 0 && e->queue[e->first]->options.samples <= unused_count(e) ? 0 : -1;
}

static Request *queue_take(Engine *e)
{
    Request *r = NULL;
    pthread_mutex_lock(&e->lock);
    int32_t at = queue_next(e);
    if (at >= 0) {
        r = e->queue[(e->first + at) % e->o.queue];
        for (; at > 0; at--)   /* those before it move up by one */
            e->queue[(e->first + at) % e->o.queue] = e->queue[(e->first + at - 1) % e->o.queue];
        e->first = (e->first + 1) % e->o.queue;
        e->queued--;
    }
    pthread_mutex_unlock(&e->lock);
    return r;
}

static void admit(Engine *e)
{
    for (Request *r; (r = queue_take(e));)
        if (atomic_load(&r->cancelled))
            end_unstarted(r, END_CANCELLED);
        else
            begin(e, r);
}

static void end_cancelled(Engine *e)
{
    for (int32_t i = 0; i < e->deliver.count; i++) {
        Request *r = e->deliver.sequences[i].request;
        if (r && atomic_load(&r->cancelled))
            deliver_end_request(&e->deliver, r, END_CANCELLED);
    }
}

/* --- the loop --- */

static void draft(Engine *e)
{
    const EngineDrafter *by = &e->o.drafter;
    for (int32_t i = 0; by->propose && i < e->deliver.count; i++) {
        Sequence *q = &e->deliver.sequences[i];
        int32_t most = (int32_t)min_i64(by->most, sequence_draft_room(q));
        q->drafted = most > 0 ? by->propose(by->with, q->tokens, q->known, q->tokens + q->known, most) : 0;
        ASSERT(q->drafted >= 0 && q->drafted <= max_i64(most, 0));
    }
}

bool engine_step(Engine *e)
{
    end_cancelled(e);
    admit(e);
    draft(e);
    const Plan *plan = scheduler_plan(e->scheduler);
    if (plan->entries == 0)
        return false;
    runner_run(e->runner, plan);
    scheduler_commit(e->scheduler, plan);
    deliver_step(&e->deliver, e->runner, plan);
    e->steps++;
    e->rows += plan->rows;
    e->copies += plan->copies.count;
    return true;
}

void engine_wake(Engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->woken = true;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
}

void engine_wait(Engine *e, double seconds)
{
    struct timespec deadline = clock_deadline(seconds);
    pthread_mutex_lock(&e->lock);
    while (!e->woken)
        if (pthread_cond_timedwait(&e->wake, &e->lock, &deadline) != 0)
            break;
    e->woken = false;
    pthread_mutex_unlock(&e->lock);
}

/* --- what it says of itself --- */

const KvLedger *engine_ledger(const Engine *e) { return &e->ledger; }
const KvCache *engine_cache(const Engine *e) { return e->cache; }

const EngineOptions *engine_options(const Engine *e) { return &e->o; }
int32_t engine_longest(const Engine *e) { return (int32_t)min_i64(e->o.context, kv_ledger_longest(&e->ledger)); }

Err engine_audit(const Engine *e, Error *err)
{
    for (int32_t i = 0; i < e->deliver.count; i++) {
        const Sequence *q = &e->deliver.sequences[i];
        int32_t computed = q->state == SEQUENCE_RUNNING ? q->computed : 0;
        TRY(kv_audit_slot(e->cache, i, computed, err));
    }
    return kv_audit_pools(e->cache, err);
}

EngineStats engine_stats(const Engine *e)
{
    EngineStats stats = {
        .steps = e->steps, .rows = e->rows, .copies = e->copies, .preemptions = scheduler_preemptions(e->scheduler),
        .prompt_tokens = e->deliver.counts.prompt_tokens, .reused_tokens = e->deliver.counts.reused_tokens,
        .generated_tokens = e->deliver.counts.generated_tokens,
        .drafted_tokens = e->deliver.counts.drafted_tokens, .accepted_tokens = e->deliver.counts.accepted_tokens,
        .queued = e->queued, .groups = e->ledger.groups,
    };
    for (int32_t i = 0; i < e->deliver.count; i++) {
        const Sequence *q = &e->deliver.sequences[i];
        stats.waiting += q->state == SEQUENCE_WAITING || q->state == SEQUENCE_FOLLOWS;
        stats.running += q->state == SEQUENCE_RUNNING;
        stats.resting += q->state == SEQUENCE_RUNNING && q->resting;
    }
    for (int32_t g = 0; g < stats.groups; g++)
        stats.blocks[g] = kv_cache_counts(e->cache, g);
    return stats;
}

#include "engine/sequence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "engine/beam.h"
#include "engine/pooling.h"

static size_t event_bytes(const RequestOptions *o)
{
    int32_t best = o->sampling.logprobs > 0 ? o->sampling.logprobs : 0;
    size_t bytes = offsetof(Event, token.best) + (size_t)best * sizeof(TokenLogprob);
    return (bytes + 7) & ~(size_t)7;
}

static void init_sequences(Request *r, RequestBirth birth, int32_t limit)
{
    const RequestOptions *o = &r->options;
    bool scores = o->prompt_logprobs || o->logits != NULL;
    for (int32_t i = 0; i < o->samples; i++)
        r->sequences[i] = (Sequence){
            .slot = -1, .state = i == 0 ? SEQUENCE_WAITING : SEQUENCE_FOLLOWS, .request = r, .sample = i,
            .salt = birth.salt, .tokens = r->tokens + (size_t)i * (size_t)limit, .prompt = o->prompt_count,
            .known = o->prompt_count, .limit = limit, .scored = scores && i == 0 ? o->score_from : o->prompt_count,
            .pooled = pooling_first(o),
        };
    memcpy(r->tokens, o->prompt, (size_t)o->prompt_count * sizeof *r->tokens);
    r->options.prompt = r->tokens;
    r->followers = o->samples - 1;
}

static void init_lock(Request *r)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->arrived, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&r->lock, NULL);
}

static void free_memory(Request *r)
{
    free(r->sequences);
    free(r->tokens);
    free(r->events);
    free(r->sums);
    beam_free(r->beam);
    free(r);
}

/* At least one step's tokens of all samples, beside the reserved ends; of a search, all its tokens. */
static bool take_events(Request *r, int32_t events)
{
    int32_t samples = r->options.samples;
    r->left = r->ends_left = r->beam ? beam_answers(r->beam) : samples;
    r->reserved = r->beam ? beam_events(r->beam) : 0;
    r->capacity = (events > samples ? events : samples) + r->left + r->reserved;
    r->event_bytes = event_bytes(&r->options);
    r->events = calloc((size_t)r->capacity, r->event_bytes);
    return r->events;
}

/* A search has a sequence for each beam. */
static bool take_beams(Request *r, int32_t limit)
{
    if (r->options.beams == 0)
        return true;
    r->beam = beam_new(&r->options, limit);
    r->options.samples = r->options.beams;
    return r->beam;
}

Err request_new(Request **out, Engine *engine, const RequestOptions *o, RequestBirth birth, Error *err)
{
    int32_t limit = o->max_tokens == TOKENS_ALL ? birth.longest : o->prompt_count + o->max_tokens;
    size_t sequences = (size_t)(o->beams > 0 ? o->beams : o->samples);
    Request *r = calloc(1, sizeof *r);
    if (!r)
        return fail(err, NO_MEMORY, "no memory for a request");
    r->options = *o;
    r->sequences = calloc(sequences, sizeof *r->sequences);
    r->tokens = malloc(sequences * (size_t)limit * sizeof *r->tokens);
    if (!take_beams(r, limit) || !take_events(r, birth.events) || !r->sequences || !r->tokens) {
        free_memory(r);
        return fail(err, NO_MEMORY, "no memory for %zu answers of %d tokens", sequences, limit);
    }
    init_sequences(r, birth, limit);
    init_lock(r);
    atomic_init(&r->holders, 2);
    atomic_init(&r->cancelled, false);
    r->engine = engine;
    r->waiter = -1;
    r->submitted = clock_seconds();
    *out = r;
    return OK;
}

static void release(Request *r)
{
    if (atomic_fetch_sub(&r->holders, 1) != 1)
        return;
    pthread_cond_destroy(&r->arrived);
    pthread_mutex_destroy(&r->lock);
    free_memory(r);
}

int32_t request_room(Request *r)
{
    pthread_mutex_lock(&r->lock);
    int32_t room = r->capacity - r->count - r->left - r->reserved;
    r->full = room <= r->options.samples;
    pthread_mutex_unlock(&r->lock);
    return room;
}

/* Behind the lock: whether it waits for others of its kind. */
static bool waits_for_others(const Request *r, const Event *e)
{
    return e->kind == EVENT_TOKEN && e->position > r->options.prompt_count && r->count < r->options.notify_tokens;
}

void request_push(Request *r, Event *event)
{
    event->made = clock_seconds();
    pthread_mutex_lock(&r->lock);
    ASSERT(r->count < r->capacity);
    int32_t at = (r->first + r->count++) % r->capacity;
    memcpy(r->events + (size_t)at * r->event_bytes, event, r->event_bytes);
    pthread_cond_broadcast(&r->arrived);
    if (r->options.notify && !waits_for_others(r, event))
        r->options.notify(r->options.notify_with);
    pthread_mutex_unlock(&r->lock);
}

void request_let_go(Request *r)
{
    pthread_mutex_lock(&r->lock);
    r->engine = NULL;
    pthread_mutex_unlock(&r->lock);
    release(r);
}

double request_deadline(const Request *r)
{
    const RequestOptions *o = &r->options;
    double total = o->total_seconds > 0 ? r->submitted + o->total_seconds : INFINITY;
    return !r->started && o->queue_seconds > 0 ? fmin(total, r->submitted + o->queue_seconds) : total;
}

bool request_take_stop(Request *r, int32_t sample)
{
    uint64_t bit = (uint64_t)1 << sample % 64;
    return (atomic_fetch_and(&r->stopped[sample / 64], ~bit) & bit) != 0;
}

bool request_has_next(Request *r) { return atomic_load(&r->count) > 0; }

bool request_next(Request *r, Event *out)
{
    pthread_mutex_lock(&r->lock);
    bool any = r->count > 0;
    if (any) {
        memcpy(out, r->events + (size_t)r->first * r->event_bytes, r->event_bytes);
        r->first = (r->first + 1) % r->capacity;
        if (--r->count == 0)
            r->first = 0;              /* memory that caches still have */
        r->ends_left -= out->kind == EVENT_END;
        if (r->full && r->engine)      /* it may be asleep; the lock keeps it alive */
            engine_wake(r->engine);
        r->full = false;
    }
    pthread_mutex_unlock(&r->lock);
    return any;
}

bool request_wait(Request *r, double seconds)
{
    struct timespec deadline = clock_deadline(seconds);
    pthread_mutex_lock(&r->lock);
    while (r->count == 0 && r->ends_left > 0)
        if (pthread_cond_timedwait(&r->arrived, &r->lock, &deadline) != 0)
            break;
    bool any = r->count > 0;
    pthread_mutex_unlock(&r->lock);
    return any;
}

bool request_ended(Request *r)
{
    pthread_mutex_lock(&r->lock);
    bool ended = r->ends_left == 0;
    pthread_mutex_unlock(&r->lock);
    return ended;
}

void request_cancel(Request *r)
{
    pthread_mutex_lock(&r->lock);
    atomic_store(&r->cancelled, true);
    if (r->engine)
        engine_heed(r->engine);
    pthread_mutex_unlock(&r->lock);
}

void request_stop(Request *r, int32_t sample)
{
    ASSERT(sample >= 0 && sample < r->options.samples);
    pthread_mutex_lock(&r->lock);
    atomic_fetch_or(&r->stopped[sample / 64], (uint64_t)1 << sample % 64);
    if (r->engine)
        engine_heed(r->engine);
    pthread_mutex_unlock(&r->lock);
}

const char *request_error(const Request *r) { return r->error.text; }

void request_close(Request *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->options.notify = NULL;
    pthread_mutex_unlock(&r->lock);
    request_cancel(r);
    release(r);
}

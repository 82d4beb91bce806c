#include "engine/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"

static size_t event_bytes(const RequestOptions *o)
{
    int32_t best = o->sampling.logprobs > 0 ? o->sampling.logprobs : 0;
    size_t bytes = offsetof(Event, token.best) + (size_t)best * sizeof(TokenLogprob);
    return (bytes + 7) & ~(size_t)7;
}

static void request_init(Request *r, Engine *engine)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->arrived, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&r->lock, NULL);
    atomic_init(&r->holders, 2);
    atomic_init(&r->cancelled, false);
    r->engine = engine;
    r->left = r->ends_left = r->options.samples;
    r->submitted = clock_seconds();
}

Err request_new(Request **out, Engine *engine, const RequestOptions *o, int32_t events, Error *err)
{
    size_t prompt_bytes = (size_t)o->prompt_count * sizeof *o->prompt;
    Request *r = calloc(1, sizeof *r);
    int32_t *prompt = malloc(prompt_bytes);
    if (!r || !prompt)
        goto failed;
    /* At least one step's tokens of all samples, beside the reserved ends. */
    r->capacity = (events > o->samples ? events : o->samples) + o->samples;
    r->event_bytes = event_bytes(o);
    r->events = calloc((size_t)r->capacity, r->event_bytes);
    if (!r->events)
        goto failed;
    memcpy(prompt, o->prompt, prompt_bytes);
    r->options = *o;
    r->options.prompt = prompt;
    request_init(r, engine);
    *out = r;
    return OK;
failed:
    free(prompt);
    free(r);
    return fail(err, NO_MEMORY, "no memory for a request of %d tokens", o->prompt_count);
}

static void release(Request *r)
{
    if (atomic_fetch_sub(&r->holders, 1) != 1)
        return;
    pthread_cond_destroy(&r->arrived);
    pthread_mutex_destroy(&r->lock);
    free((void *)r->options.prompt);
    free(r->events);
    free(r->sums);
    free(r);
}

int32_t request_room(Request *r)
{
    pthread_mutex_lock(&r->lock);
    int32_t room = r->capacity - r->count - r->left;
    r->full = room <= r->options.samples;
    pthread_mutex_unlock(&r->lock);
    return room;
}

void request_push(Request *r, const Event *event)
{
    pthread_mutex_lock(&r->lock);
    ASSERT(r->count < r->capacity);
    int32_t at = (r->first + r->count++) % r->capacity;
    memcpy(r->events + (size_t)at * r->event_bytes, event, r->event_bytes);
    pthread_cond_broadcast(&r->arrived);
    if (r->options.notify)
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

/* Whoever made room, or a wish, tells the engine, which may be asleep. The lock keeps it alive. */
static void wake_engine(Request *r)
{
    if (r->engine)
        engine_wake(r->engine);
}

bool request_next(Request *r, Event *out)
{
    pthread_mutex_lock(&r->lock);
    bool any = r->count > 0;
    if (any) {
        memcpy(out, r->events + (size_t)r->first * r->event_bytes, r->event_bytes);
        r->first = (r->first + 1) % r->capacity;
        r->count--;
        r->ends_left -= out->kind == EVENT_END;
        if (r->full)
            wake_engine(r);
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
    wake_engine(r);
    pthread_mutex_unlock(&r->lock);
}

const char *request_error(const Request *r) { return r->error.text; }

void request_close(Request *r)
{
    if (!r)
        return;
    request_cancel(r);
    release(r);
}

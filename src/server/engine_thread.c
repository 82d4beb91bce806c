#include "server/engine_thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"

static const double IDLE_SECONDS = 0.5;   /* it is woken anyhow */

typedef struct Between {                  /* on the stack of who waits */
    void (*call)(void *with, const Engine *);
    void *with;
    bool done;
    struct Between *next;
} Between;

struct EngineThread {
    EngineThreadOptions o;
    pthread_t thread;
    pthread_mutex_t lock;                 /* for what follows */
    pthread_cond_t called;
    Between *calls;
    bool ended;
    EngineNow now;
    double step_began;                    /* 0: none runs */
    atomic_bool stop, has_calls;
};

static void run_calls(EngineThread *t)
{
    if (!atomic_load(&t->has_calls))
        return;
    pthread_mutex_lock(&t->lock);
    atomic_store(&t->has_calls, false);
    for (; t->calls; t->calls = t->calls->next) {
        t->calls->call(t->calls->with, t->o.engine);
        t->calls->done = true;
    }
    pthread_cond_broadcast(&t->called);
    pthread_mutex_unlock(&t->lock);
}

static DeviceWork work_of(const EngineThread *t) { return t->o.work ? t->o.work(t->o.work_with) : (DeviceWork){0}; }

static void mark_step(EngineThread *t, double began)
{
    pthread_mutex_lock(&t->lock);
    t->step_began = began;
    pthread_mutex_unlock(&t->lock);
}

static void publish(EngineThread *t, double began, bool computed)
{
    EngineStats stats = engine_stats(t->o.engine);
    DeviceWork work = work_of(t);
    double seconds = clock_seconds() - began;
    pthread_mutex_lock(&t->lock);
    if (computed) {
        metrics_observe(t->o.metrics, METRIC_ITERATION_TOKENS, (double)(stats.rows - t->now.stats.rows));
        t->now.step_seconds = seconds;
        t->now.step = (DeviceWork){work.bytes - t->now.work.bytes, work.operations - t->now.work.operations};
        t->now.busy_seconds += seconds;
    }
    t->now.stats = stats;
    t->now.work = work;
    if (t->o.steps)
        t->now.steps = *t->o.steps;
    t->step_began = 0;
    pthread_mutex_unlock(&t->lock);
}

static void *engine_loop(void *with)
{
    pthread_setname_np(pthread_self(), "engine");
    EngineThread *t = with;
    while (!atomic_load(&t->stop)) {
        run_calls(t);
        double began = clock_seconds();
        mark_step(t, began);
        bool computed = engine_step(t->o.engine);
        t->o.stepped(t->o.stepped_with);
        publish(t, began, computed);
        if (!computed)
            engine_wait(t->o.engine, IDLE_SECONDS);
    }
    pthread_mutex_lock(&t->lock);
    t->ended = true;
    pthread_cond_broadcast(&t->called);
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

Err engine_thread_new(EngineThread **out, const EngineThreadOptions *o, Error *err)
{
    EngineThread *t = calloc(1, sizeof *t);
    if (!t)
        return fail(err, NO_MEMORY, "no memory for the engine's thread");
    t->o = *o;
    t->now = (EngineNow){.present = true, .machine = o->machine, .cache_bytes = engine_ledger(o->engine)->pool_bytes,
                         .work = work_of(t),
                         .stats = engine_stats(o->engine)};
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->called, NULL);
    if (pthread_create(&t->thread, NULL, engine_loop, t) != 0) {
        free(t);
        return fail(err, NO_MEMORY, "the engine's thread could not be started");
    }
    *out = t;
    return OK;
}

void engine_thread_free(EngineThread *t)
{
    if (!t)
        return;
    atomic_store(&t->stop, true);
    engine_wake(t->o.engine);
    pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->called);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* Out of the list of those that were not called. */
static void withdraw(EngineThread *t, Between *b)
{
    for (Between **at = &t->calls; *at; at = &(*at)->next)
        if (*at == b) {
            *at = b->next;
            return;
        }
}

bool engine_thread_between(EngineThread *t, void (*call)(void *with, const Engine *), void *with)
{
    Between b = {.call = call, .with = with};
    pthread_mutex_lock(&t->lock);
    b.next = t->calls;
    t->calls = &b;
    atomic_store(&t->has_calls, true);
    engine_wake(t->o.engine);
    while (!b.done && !t->ended)
        pthread_cond_wait(&t->called, &t->lock);
    if (!b.done)
        withdraw(t, &b);
    pthread_mutex_unlock(&t->lock);
    return b.done;
}

EngineNow engine_thread_now(EngineThread *t)
{
    pthread_mutex_lock(&t->lock);
    EngineNow now = t->now;
    pthread_mutex_unlock(&t->lock);
    return now;
}

double engine_thread_stuck(EngineThread *t)
{
    pthread_mutex_lock(&t->lock);
    double began = t->step_began;
    pthread_mutex_unlock(&t->lock);
    return began > 0 ? clock_seconds() - began : 0;
}

#include "server/workers.h"

#include <stdlib.h>

#include "base/clock.h"
#include "server/exchange_parts.h"

enum { TURNS_OF_WOKEN = 8,     /* before one of a fresh one */
       TOLD_AT_ONCE = 64 };

typedef struct TurnQueue { Exchange *first, *last; } TurnQueue;

struct Workers {
    pthread_mutex_t lock;            /* for all of it */
    pthread_cond_t work, idle;       /* idle: one has ended */
    TurnQueue woken, fresh;
    Exchange *all;
    int running, turns, count;
    int sleeping;                    /* threads with nothing to do */
    bool stop;
    pthread_t threads[WORKERS_MAX];
};

static void queue_put(TurnQueue *q, Exchange *x)
{
    x->next = NULL;
    if (q->last)
        q->last->next = x;
    else
        q->first = x;
    q->last = x;
}

static Exchange *queue_take(TurnQueue *q)
{
    Exchange *x = q->first;
    if (x && !(q->first = x->next))
        q->last = NULL;
    return x;
}

static Exchange *next_turn(Workers *w)
{
    bool fresh_first = !w->woken.first || (w->fresh.first && w->turns >= TURNS_OF_WOKEN);
    w->turns = fresh_first ? 0 : w->turns + 1;
    return queue_take(fresh_first ? &w->fresh : &w->woken);
}

/* A queued or running exchange is held by its turn. */
static void put_turn(TurnQueue *q, Exchange *x)
{
    x->turn = TURN_WAITS;
    queue_put(q, x);
}

/* Exchanges with something to read, held until that is told: one wake-up of the HTTP thread for all that a step of the
 * engine has brought, not one for each. */
typedef struct Untold { Exchange *list[TOLD_AT_ONCE]; int count; } Untold;

static void tell(Untold *u)
{
    exchange_tell_ready(u->list, u->count);
    for (int i = 0; i < u->count; i++)
        exchange_let_go(u->list[i]);
    u->count = 0;
}

static void run_turn(Workers *w, Exchange *x, Untold *u)
{
    x->turn = TURN_RUNS;
    pthread_mutex_unlock(&w->lock);
    if (!x->handled)
        tell(u);                     /* a first turn may take long */
    bool last = exchange_turn(x);
    if (x->must_tell) {
        x->must_tell = false;
        exchange_hold(x);
        u->list[u->count++] = x;
    }
    pthread_mutex_lock(&w->lock);
    bool again = x->turn == TURN_AGAIN && !last;
    x->turn = TURN_NONE;
    if (last) {
        x->ended = true;
        w->running--;
        pthread_cond_broadcast(&w->idle);
    }
    if (again)
        put_turn(&w->woken, x);
    pthread_mutex_unlock(&w->lock);
    if (!again)
        exchange_let_go(x);
    pthread_mutex_lock(&w->lock);
}

static void *worker(void *with)
{
    pthread_setname_np(pthread_self(), "worker");
    Workers *w = with;
    Untold untold = {.count = 0};
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        Exchange *x = untold.count < TOLD_AT_ONCE ? next_turn(w) : NULL;
        if (x)
            run_turn(w, x, &untold);
        else if (untold.count > 0) {
            pthread_mutex_unlock(&w->lock);
            tell(&untold);
            pthread_mutex_lock(&w->lock);
        } else {
            w->sleeping++;
            pthread_cond_wait(&w->work, &w->lock);
            w->sleeping--;
        }
    }
    pthread_mutex_unlock(&w->lock);
    tell(&untold);
    return NULL;
}

Err workers_new(Workers **out, int count, Error *err)
{
    Workers *w = calloc(1, sizeof *w);
    if (!w)
        return fail(err, NO_MEMORY, "no memory for %d workers", count);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (; w->count < count; w->count++)
        if (pthread_create(&w->threads[w->count], NULL, worker, w) != 0) {
            int started = w->count;
            workers_free(w);
            return fail(err, NO_MEMORY, "only %d of %d threads for requests could be started", started, count);
        }
    *out = w;
    return OK;
}

void workers_free(Workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->count; i++)
        pthread_join(w->threads[i], NULL);
    ASSERT(!w->all);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->idle);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

/* ---- exchanges ---- */

void workers_enter(Workers *w, Exchange *x)
{
    pthread_mutex_lock(&w->lock);
    x->after = w->all;
    if (w->all)
        w->all->before = x;
    w->all = x;
    pthread_mutex_unlock(&w->lock);
}

void workers_leave(Workers *w, Exchange *x)
{
    pthread_mutex_lock(&w->lock);
    if (x->before)
        x->before->after = x->after;
    else
        w->all = x->after;
    if (x->after)
        x->after->before = x->before;
    pthread_mutex_unlock(&w->lock);
}

void workers_take(Workers *w, Exchange *x)
{
    exchange_hold(x);
    pthread_mutex_lock(&w->lock);
    ASSERT(x->turn == TURN_NONE && !x->ended && !x->taken);
    x->taken = true;
    w->running++;
    put_turn(&w->fresh, x);
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
}

/* Somebody must be woken for it. */
static void poke(Workers *w, Exchange *x)
{
    if (x->turn == TURN_RUNS)
        x->turn = TURN_AGAIN;
    else if (x->turn == TURN_NONE && x->taken && !x->ended) {
        exchange_hold(x);
        put_turn(&w->woken, x);
    }
}

void workers_poke_later(Workers *w, Exchange *x)
{
    pthread_mutex_lock(&w->lock);
    poke(w, x);
    pthread_mutex_unlock(&w->lock);
}

/* One for so many turns as it tells of at once: those of a step are short, and two threads would wait for each other. */
static void wake(Workers *w)
{
    int turns = 0, threads = 0;
    for (Exchange *x = w->woken.first; x && threads < w->sleeping; x = x->next)
        if (turns++ % TOLD_AT_ONCE == 0) {
            pthread_cond_signal(&w->work);
            threads++;
        }
}

void workers_wake(Workers *w)
{
    pthread_mutex_lock(&w->lock);
    wake(w);
    pthread_mutex_unlock(&w->lock);
}

void workers_poke(Workers *w, Exchange *x)
{
    pthread_mutex_lock(&w->lock);
    poke(w, x);
    wake(w);
    pthread_mutex_unlock(&w->lock);
}

bool workers_ended(Workers *w, Exchange *x)
{
    pthread_mutex_lock(&w->lock);
    bool ended = x->ended || !x->taken;
    pthread_mutex_unlock(&w->lock);
    return ended;
}

bool workers_drain(Workers *w, double seconds)
{
    struct timespec deadline = clock_deadline(seconds);
    pthread_mutex_lock(&w->lock);
    while (w->running > 0)
        if (pthread_cond_timedwait(&w->idle, &w->lock, &deadline) != 0)
            break;
    bool drained = w->running == 0;
    pthread_mutex_unlock(&w->lock);
    return drained;
}

void workers_poke_all(Workers *w)
{
    pthread_mutex_lock(&w->lock);
    for (Exchange *x = w->all; x; x = x->after)
        poke(w, x);
    wake(w);
    pthread_mutex_unlock(&w->lock);
}

void workers_hang_up_all(Workers *w)
{
    pthread_mutex_lock(&w->lock);
    for (Exchange *x = w->all; x; x = x->after) {
        atomic_store(&x->gone, true);
        poke(w, x);
    }
    wake(w);
    pthread_mutex_unlock(&w->lock);
}

int workers_running(Workers *w)
{
    pthread_mutex_lock(&w->lock);
    int running = w->running;
    pthread_mutex_unlock(&w->lock);
    return running;
}

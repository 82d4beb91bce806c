#include "server/workers.h"

#include <stdlib.h>

#include "base/clock.h"
#include "server/exchange_parts.h"

enum { TURNS_OF_WOKEN = 8,     /* before one of a fresh one */
       TURNS_AT_ONCE = 64 };

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

/* A queued or running exchange is held by its turn. */
static void put_turn(TurnQueue *q, Exchange *x)
{
    x->turn = TURN_WAITS;
    queue_put(q, x);
}

/* What a worker runs at once: all that a step of the engine has woken, with one wait for the lock and one wake-up of the HTTP
 * thread; or one fresh exchange, whose first turn may take long. */
typedef struct Turns {
    Exchange *list[TURNS_AT_ONCE];
    bool last[TURNS_AT_ONCE];
    int count;
} Turns;

static bool take_turn(TurnQueue *q, Turns *t)
{
    Exchange *x = queue_take(q);
    if (!x)
        return false;
    x->turn = TURN_RUNS;
    t->list[t->count++] = x;
    return true;
}

static void take_turns(Workers *w, Turns *t)
{
    t->count = 0;
    if (w->turns < TURNS_OF_WOKEN || !w->fresh.first)
        while (t->count < TURNS_AT_ONCE && take_turn(&w->woken, t))
            w->turns++;
    if (t->count == 0) {
        w->turns = 0;
        take_turn(&w->fresh, t);
    }
}

static void run_turns(Turns *t)
{
    Exchange *told[TURNS_AT_ONCE];
    int told_count = 0;
    for (int i = 0; i < t->count; i++) {
        Exchange *x = t->list[i];
        t->last[i] = exchange_turn(x);
        if (x->must_tell)
            told[told_count++] = x;
        x->must_tell = false;
    }
    exchange_tell_ready(told, told_count);
}

/* Leaves those in the list that their turns hold no more. */
static void end_turns(Workers *w, Turns *t)
{
    int left = 0;
    for (int i = 0; i < t->count; i++) {
        Exchange *x = t->list[i];
        bool again = x->turn == TURN_AGAIN && !t->last[i];
        x->turn = TURN_NONE;
        if (t->last[i]) {
            x->ended = true;
            w->running--;
            pthread_cond_broadcast(&w->idle);
        }
        if (again)
            put_turn(&w->woken, x);
        else
            t->list[left++] = x;
    }
    t->count = left;
}

static void *worker(void *with)
{
    pthread_setname_np(pthread_self(), "worker");
    Workers *w = with;
    Turns turns;
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        take_turns(w, &turns);
        if (turns.count == 0) {
            w->sleeping++;
            pthread_cond_wait(&w->work, &w->lock);
            w->sleeping--;
            continue;
        }
        pthread_mutex_unlock(&w->lock);
        run_turns(&turns);
        pthread_mutex_lock(&w->lock);
        end_turns(w, &turns);
        pthread_mutex_unlock(&w->lock);
        for (int i = 0; i < turns.count; i++)
            exchange_let_go(turns.list[i]);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
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

/* One for so many turns as it takes at once: those of a step are short, and two threads would wait for each other. */
static void wake(Workers *w)
{
    int turns = 0, threads = 0;
    for (Exchange *x = w->woken.first; x && threads < w->sleeping; x = x->next)
        if (turns++ % TURNS_AT_ONCE == 0) {
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

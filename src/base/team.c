/* team.c -- workers wait at a word each; a run ends, and a barrier opens, when one word moves on. */
#include "base/team.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cpu_count.h"
#include "base/numa.h"

/* Longer than the serial stretches between two operations, shorter than anybody notices as load. */
#define SPIN_SECONDS 200e-6
enum { PAUSES_PER_CLOCK = 32, CACHE_LINE = 64 };

/* A number that moves on, and threads that wait for it. A cache line of its own. */
typedef struct Word {
    _Alignas(CACHE_LINE) _Atomic uint32_t value;
    _Atomic uint32_t sleepers;
} Word;

typedef struct Worker {
    Word go;                 /* moves on when there is something to do */
    Team *team;
    pthread_t thread;
    int index;
    cpu_set_t cpus;          /* that it may use; none: all */
} Worker;

struct Team {
    Word phase;              /* moves on when all `count` have arrived */
    _Alignas(CACHE_LINE) _Atomic int arrived;
    _Alignas(CACHE_LINE) TeamTask *task;      /* NULL: end */
    void *context;
    int count;
    int threads;             /* the caller's included */
    bool spins, running;
    Worker *workers;         /* [threads]; the first is the caller's and stays unused */
};

static void spin_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The kernel looks at the value again before it lets the thread sleep, and word_advance() looks at
 * sleepers after it has changed the value: one of the two sees the other. */
static void word_sleep(Word *w, uint32_t old)
{
    atomic_fetch_add(&w->sleepers, 1);
    while (atomic_load(&w->value) == old)
        syscall(SYS_futex, &w->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&w->sleepers, 1);
}

/* Returns when the value is no longer `old`. */
static void word_wait(Word *w, uint32_t old, bool spins)
{
    double end = 0;
    while (spins) {
        for (int i = 0; i < PAUSES_PER_CLOCK; i++) {
            if (atomic_load_explicit(&w->value, memory_order_acquire) != old)
                return;
            spin_pause();
        }
        double now = seconds_now();
        if (end == 0)
            end = now + SPIN_SECONDS;
        else if (now > end)
            break;
    }
    word_sleep(w, old);
}

static void word_advance(Word *w)
{
    atomic_fetch_add(&w->value, 1);
    if (atomic_load(&w->sleepers) > 0)
        syscall(SYS_futex, &w->value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* Whoever arrives last opens the phase. `arrived` is back at 0 before anyone can arrive again. Who is
 * not last reads nothing of the team after it has arrived: the next run may begin at once. */
static void arrive(Team *t)
{
    int count = t->count;
    if (atomic_fetch_add(&t->arrived, 1) + 1 == count) {
        atomic_store(&t->arrived, 0);
        word_advance(&t->phase);
    }
}

/* A phase cannot end without this thread, so the value read here is the one that will move on. */
void team_barrier(Team *t)
{
    if (t->count == 1)
        return;
    uint32_t phase = atomic_load(&t->phase.value);
    arrive(t);
    word_wait(&t->phase, phase, t->spins);
}

void team_run(Team *t, int count, TeamTask *task, void *context)
{
    ASSERT(count >= 1 && count <= t->threads && !t->running);
    t->task = task;
    t->context = context;
    t->count = count;
    t->running = true;
    for (int i = 1; i < count; i++)
        word_advance(&t->workers[i].go);
    task(context, 0, count);
    team_barrier(t);
    t->running = false;
}

/* One CPU, or where threads may move, all those of its node; a machine of one node leaves them alone. */
static cpu_set_t cpus_for(const NumaTopology *t, int cpu, bool pin)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int node = numa_node_of(t, cpu);
    for (int i = t->first[node]; i < t->first[node + 1]; i++)
        if (t->cpu[i] < CPU_SETSIZE && (pin ? t->cpu[i] == cpu : t->nodes > 1))
            CPU_SET(t->cpu[i], &set);
    return set;
}

static void *worker_main(void *argument)
{
    pthread_setname_np(pthread_self(), "team");
    Worker *w = argument;
    Team *t = w->team;
    if (CPU_COUNT(&w->cpus))
        pthread_setaffinity_np(pthread_self(), sizeof w->cpus, &w->cpus);   /* a wish: the work is right without it */
    for (uint32_t seen = 0;; seen++) {
        word_wait(&w->go, seen, t->spins);
        if (!t->task)
            return NULL;
        t->task(t->context, w->index, t->count);
        arrive(t);
    }
}

/* Signals are for the thread that started the program, so the workers block them all. */
static bool start_worker(Team *t, int index, cpu_set_t cpus)
{
    Worker *w = &t->workers[index];
    sigset_t all, before;
    w->team = t;
    w->index = index;
    w->cpus = cpus;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&w->thread, NULL, worker_main, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

Err team_new(Team **out, int threads, bool pin, Error *err)
{
    int cpus = cpu_count();
    if (threads == 0)
        threads = cpus < TEAM_THREADS_MAX ? cpus : TEAM_THREADS_MAX;
    if (threads < 1 || threads > TEAM_THREADS_MAX)
        return fail(err, BAD_ARGUMENT, "%d threads: must be from 1 to %d (0: one for each CPU)",
                    threads, TEAM_THREADS_MAX);
    Team *t = aligned_alloc(CACHE_LINE, sizeof *t);
    Worker *workers = aligned_alloc(CACHE_LINE, (size_t)threads * sizeof *workers);
    if (!t || !workers) {
        free(t);
        free(workers);
        return fail(err, NO_MEMORY, "no memory for a team of %d threads", threads);
    }
    memset(t, 0, sizeof *t);
    memset(workers, 0, (size_t)threads * sizeof *workers);
    t->workers = workers;
    t->spins = threads <= cpus;
    t->threads = 1;
    NumaTopology topology = numa_topology("");
    int cpu[TEAM_THREADS_MAX];
    numa_plan(&topology, threads, cpu);
    for (; t->threads < threads; t->threads++)
        if (!start_worker(t, t->threads, cpus_for(&topology, cpu[t->threads], pin))) {
            int started = t->threads;
            team_free(t);
            return fail(err, NO_MEMORY, "the system starts only %d threads of %d: ask for fewer",
                        started, threads);
        }
    *out = t;
    return OK;
}

void team_free(Team *t)
{
    if (!t)
        return;
    ASSERT(!t->running);
    t->task = NULL;
    for (int i = 1; i < t->threads; i++)
        word_advance(&t->workers[i].go);
    for (int i = 1; i < t->threads; i++)
        pthread_join(t->workers[i].thread, NULL);
    free(t->workers);
    free(t);
}

int team_threads(const Team *t) { return t->threads; }

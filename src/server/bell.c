#include "server/bell.h"

#include "base/clock.h"

void bell_init(Bell *b)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->cond, &attributes);
    pthread_condattr_destroy(&attributes);
    b->rung = false;
}

void bell_deinit(Bell *b)
{
    pthread_cond_destroy(&b->cond);
    pthread_mutex_destroy(&b->lock);
}

void bell_ring(void *bell)
{
    Bell *b = bell;
    pthread_mutex_lock(&b->lock);
    b->rung = true;
    pthread_cond_signal(&b->cond);
    pthread_mutex_unlock(&b->lock);
}

void bell_wait(Bell *b, double seconds)
{
    struct timespec until = clock_deadline(seconds);
    pthread_mutex_lock(&b->lock);
    while (!b->rung && pthread_cond_timedwait(&b->cond, &b->lock, &until) == 0)
        ;
    b->rung = false;
    pthread_mutex_unlock(&b->lock);
}

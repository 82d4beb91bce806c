/* clock.h -- seconds that only go forward. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <time.h>

static inline double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The moment `seconds` from now, as pthread_cond_timedwait() wants it of a condition on this clock. */
static inline struct timespec clock_deadline(double seconds)
{
    const double day = 86400;   /* whoever waits longer may ask again */
    double at = clock_seconds() + (seconds < 0 ? 0 : seconds < day ? seconds : day);
    return (struct timespec){(time_t)at, (long)((at - (double)(time_t)at) * 1e9)};
}

#endif

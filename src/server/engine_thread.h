/* engine_thread.h -- the thread that steps the engine, and nothing else.
 *
 *     loop:  what was asked for between two steps;  engine_step;  publish what it says of itself;  sleep if idle
 */
#ifndef SERVER_ENGINE_THREAD_H
#define SERVER_ENGINE_THREAD_H

#include "server/metrics.h"

typedef struct EngineThread EngineThread;

typedef struct EngineThreadOptions {
    Engine *engine;
    Metrics *metrics;
    const StepCounts *steps;             /* where the engine tells of its steps; NULL: nowhere */
    void (*stepped)(void *with);         /* after each step, whether it computed or not: requests may have news */
    void *stepped_with;
    DeviceWork (*work)(void *with);      /* NULL: unknown */
    void *work_with;
    Machine machine;                     /* what it can do; bytes_per_second 0: unknown */
} EngineThreadOptions;

Err engine_thread_new(EngineThread **, const EngineThreadOptions *, Error *);
void engine_thread_free(EngineThread *);      /* ends after the step; NULL is allowed */

/* call(with) between two steps, on that thread; waits for it. False: it has ended. */
bool engine_thread_between(EngineThread *, void (*call)(void *with, const Engine *), void *with);
EngineNow engine_thread_now(EngineThread *);  /* as of the last step; any thread */
/* For how long the present step has gone on; 0: none runs. A step that never ends is a broken device. */
double engine_thread_stuck(EngineThread *);

#endif

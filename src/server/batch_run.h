/* batch_run.h -- lines of requests to lines of answers, some at a time, such that it may be broken off anywhere.
 *
 *     input      line  line  line  line  line  line ...
 *                  |     |     |     `-- each becomes an exchange of the service, in_flight of them at a time
 *                  v     v     v
 *     answers    appended as they end, a write for each line: in the order of their ends, not of the input
 *
 * Whoever runs it again with the same two files goes on: lines whose custom_id has an answer are passed over. What
 * a crash has torn off (a last line without its end) is cut away first. So each line has one answer in the end,
 * whatever happened in between; a line that was in flight when it happened is asked again.
 *
 * Not a thread of its own: batch_run_step() does what can be done now and never waits; `ready` says that there may
 * be more. A call that the service refuses for now (429, 503 with Retry-After) is asked again later.
 */
#ifndef SERVER_BATCH_RUN_H
#define SERVER_BATCH_RUN_H

#include "server/exchange.h"

enum { BATCH_IN_FLIGHT_MAX = 1024 };

typedef struct BatchRun BatchRun;

typedef struct BatchRunOptions {
    Service *service;
    Span input;                      /* outlives the run */
    const char *answers;             /* the path of a file that is there or not */
    bool own_answers;                /* nobody else writes there: from a line that is no answer on, all is cut away.
                                        Otherwise that is an error, and the file stays as it is */
    const char *endpoint;            /* NULL: each that a batch may call */
    const ApiKey *key;               /* outlives the run; NULL: none */
    int32_t in_flight;
    void (*ready)(void *with);       /* from any thread */
    void *ready_with;
} BatchRunOptions;

typedef struct BatchCounts {
    int64_t total;                   /* lines */
    int64_t completed, failed;       /* with an answer; failed: an error, or a status that is not 200 */
    int64_t before;                  /* of both: found in the file at the start */
    int64_t prompt_tokens, completion_tokens;   /* of the answers of this run */
} BatchCounts;

/* BAD_FILE: the file of answers has other lines; IO_FAILED. */
Err batch_run_new(BatchRun **, const BatchRunOptions *, Error *);
/* *ended: each line has its answer, safe on the disk. An error is one of the disk: call again when there is room. */
Err batch_run_step(BatchRun *, bool *ended, Error *);
double batch_run_pause(const BatchRun *);        /* seconds after which to step again, though nothing was ready */
/* From now on each line that has no answer gets this error instead. Static texts. */
void batch_run_give_up(BatchRun *, const char *code, const char *message);
BatchCounts batch_run_counts(const BatchRun *);
void batch_run_free(BatchRun *);                 /* hangs up what is in flight. NULL is allowed */

int64_t batch_count_lines(Span input);

#endif

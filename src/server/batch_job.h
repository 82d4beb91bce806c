/* batch_job.h -- one batch, from the file that was given to the two that come of it.
 *
 *     validating --> in_progress --> finalizing --> completed
 *          |           |    `- its time is over: the rest is refused --> finalizing --> expired
 *          v           v
 *       failed     cancelling --> cancelled
 *
 *     DIR/batch_9c....json       its object as the API shows it, and whose it is: written whole at each change of status
 *     DIR/batch_9c....answers    grows while it runs (answer_log.h), and goes when the two files have been made
 *
 * Each step can be done again after a crash: answers that are there are kept, and the two files have names that
 * come from the batch's own.
 *
 * A job is stepped by one thread. Its object may be looked at, and `wants_cancel` set, by others under `lock`,
 * which belongs to all jobs.
 */
#ifndef SERVER_BATCH_JOB_H
#define SERVER_BATCH_JOB_H

#include <pthread.h>

#include "server/batch_run.h"
#include "server/file_store.h"

enum { BATCH_LINES_MAX = 50000, BATCH_SECONDS = 24 * 3600, BATCH_FLIGHTS = 16 };

typedef enum BatchStatus {
    BATCH_VALIDATING, BATCH_IN_PROGRESS, BATCH_FINALIZING, BATCH_CANCELLING,
    BATCH_COMPLETED, BATCH_FAILED, BATCH_EXPIRED, BATCH_CANCELLED,
} BatchStatus;

typedef struct BatchPlace {          /* what all jobs share */
    Service *service;
    FileStore *files;
    char *directory;
    pthread_mutex_t lock;            /* for the objects of the jobs, and the list that they are in */
    pthread_mutex_t saving;          /* one state is written at a time, the newest last; taken before `lock` */
    void (*ready)(void *with);
    void *ready_with;
} BatchPlace;

typedef struct BatchJob {
    BatchPlace *place;
    char id[RANDOM_ID_BYTES], owner[FILE_OWNER_BYTES];
    BatchStatus status;              /* under the lock, as the next */
    json_t *object;                  /* as the API shows it */
    char endpoint[64], input_file_id[RANDOM_ID_BYTES];   /* of the object, these never change */
    int64_t expires_at;
    bool expired;                    /* its time was over while it ran */
    bool has_turn;                   /* under the lock: it is being stepped, so it may not be freed */
    const ApiKey *key;               /* whose calls its lines are; NULL: no keys are asked for */
    FileMap input;                   /* mapped while it runs */
    BatchRun *run;
} BatchJob;

typedef struct BatchOrder {          /* what a caller asks for */
    const char *owner;
    const ApiKey *key;
    const char *endpoint, *input_file_id, *window;
    json_t *metadata;                /* borrowed; NULL: none */
} BatchOrder;

Err batch_job_new(BatchJob **, BatchPlace *, const BatchOrder *, Error *);
Err batch_job_read(BatchJob **, BatchPlace *, const char *path, Error *);   /* of an earlier life */
void batch_job_free(BatchJob *);     /* NULL is allowed */
void batch_job_halt(BatchJob *);     /* what is in flight is hung up, and asked again in the next life */
void batch_job_forget(BatchJob *);   /* removes its state from the disk */

Err batch_job_save(BatchJob *, Error *);
BatchStatus batch_job_status(BatchJob *);
static inline bool batch_job_ended(const BatchJob *j) { return j->status >= BATCH_COMPLETED; }   /* under the lock */
/* Under the lock. False: it has ended, or is about to. */
bool batch_job_cancel(BatchJob *);
/* Does what can be done now. An error is one of the disk or of memory: it may be stepped again. */
Err batch_job_step(BatchJob *, Error *);
/* It cannot run, ever: a batch of a key that is gone. */
void batch_job_fail(BatchJob *, const char *code, const char *param, const char *message);

#endif

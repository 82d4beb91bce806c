/* request.h -- a request between the thread that made it and the engine's thread.
 *
 * It is allocated and freed by the threads of the engine's user, with all that its sequences will know
 * (pages that no token reaches are never touched); the engine's own thread only fills them, and its ring
 * of events, whose size is fixed at birth:
 *
 *     engine --> [ e | e | e |   |   | reserved: one end per sample that still runs ] --> request_next
 *
 * Two parties hold it, the user and the engine; the last to let go frees it.
 */
#ifndef ENGINE_REQUEST_H
#define ENGINE_REQUEST_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/engine.h"

typedef struct Sequence Sequence;
typedef struct Beam Beam;

struct Request {
    RequestOptions options;        /* prompt: that of the first sequence */
    double submitted;
    atomic_int holders;
    atomic_bool cancelled;
    _Atomic uint64_t stopped[SAMPLES_MAX / 64];   /* a bit a sample */

    /* The engine's thread only, once it is submitted. */
    Sequence *sequences;           /* [options.samples]: of a search, which has a beam, that says how many beams */
    Beam *beam;                    /* NULL: it samples (beam.h) */
    int32_t *tokens;               /* of all sequences */
    uint64_t arrival;              /* 1, 2, ... */
    int32_t place;                 /* among the engine's requests */
    uint64_t fetch;                /* 0, or it waits for files to be read (cache/kv_persist.h), and is not the
                                      scheduler's yet */
    Request *next_ended;
    bool holds_place;              /* of the queue (queue_share.h) */
    int32_t left;                  /* samples that have not ended */
    int32_t promised;              /* events that steps will make that are planned, or not told yet */
    Error error;                   /* written before the first END_ERROR */
    double *sums;                  /* [D] of a mean over hidden states (pooling.h); NULL: none is asked for */

    /* The scheduler's own (scheduler.h, waiting.h). */
    int32_t leader;                /* the sequence that computes the prompt for those that follow */
    int32_t followers;             /* that have not forked yet */
    int32_t running;               /* sequences */
    int32_t waiter, tenant;        /* places; waiter -1: it does not wait to start */
    bool started;
    int32_t priority;              /* its class */
    uint64_t promoted;             /* 0: it was not; else 1, 2, ... in the order of promotions */

    pthread_mutex_t lock;          /* for what follows */
    pthread_cond_t arrived;
    Engine *engine;                /* NULL: it is gone */
    uint8_t *events;               /* [capacity] of event_bytes */
    size_t event_bytes;
    int32_t capacity, first;
    atomic_int count;              /* of events to read; changes behind the lock only */
    int32_t reserved;              /* of the capacity, for answers of a search, which come all at once */
    int32_t ends_left;             /* ends that were not read yet */
    bool full;                     /* the engine found too little room: wake it when an event is read */
};

typedef struct RequestBirth {
    int32_t events;                /* that may wait to be read */
    int32_t longest;               /* tokens of the longest sequence */
    uint64_t salt;                 /* of its past */
} RequestBirth;

Err request_new(Request **, Engine *, const RequestOptions *, RequestBirth, Error *);

/* For the engine's thread. */
int32_t request_room(Request *);                        /* events that fit beside the reserved ones */
void request_push(Request *, Event *);                  /* says when it was made */
double request_deadline(const Request *);               /* when it expires, as clock_seconds(); INFINITY: never */
bool request_take_stop(Request *, int32_t sample);      /* somebody wants that sample to end; said once */
void request_let_go(Request *);                         /* the engine has done with it, for good */

/* Promoted requests go before others, in the order of their promotions. */
static inline bool promoted_before(uint64_t a, uint64_t b) { return a - 1 < b - 1; }

/* From any thread: before its next step the engine looks at what is wished of requests. */
void engine_heed(Engine *);

#endif

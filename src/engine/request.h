/* request.h -- a request between the thread that made it and the engine's thread.
 *
 * It is allocated and freed by the threads of the engine's user; the engine's own thread only fills
 * its ring of events, whose size is fixed at birth:
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

struct Request {
    RequestOptions options;        /* prompt: the request's own copy */
    double submitted;
    atomic_int holders;
    atomic_bool cancelled;

    /* The engine's thread only. */
    int32_t left;                  /* samples that have not ended */
    int32_t promised;              /* events that the step being planned will make */
    Error error;                   /* written before the first END_ERROR */
    double *sums;                  /* [D] of a mean over hidden states (pooling.h); NULL: none is asked for */

    pthread_mutex_t lock;          /* for what follows */
    pthread_cond_t arrived;
    Engine *engine;                /* NULL: it is gone */
    uint8_t *events;               /* [capacity] of event_bytes */
    size_t event_bytes;
    int32_t capacity, first, count;
    int32_t ends_left;             /* ends that were not read yet */
    bool full;                     /* the engine found too little room: wake it when an event is read */
};

Err request_new(Request **, Engine *, const RequestOptions *, int32_t events, Error *);

/* For the engine's thread. */
int32_t request_room(Request *);                        /* events that fit beside the reserved ones */
void request_push(Request *, const Event *);
void request_let_go(Request *);                         /* the engine has done with it, for good */

#endif

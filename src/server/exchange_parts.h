/* exchange_parts.h -- what an Exchange is made of: for exchange.c and workers.c alone. */
#ifndef SERVER_EXCHANGE_PARTS_H
#define SERVER_EXCHANGE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "server/routes.h"
#include "server/server_log.h"

enum { EXCHANGE_ID_BYTES = 72, EXCHANGE_OUT_HEADERS_MAX = 16 };

/* Whose turn it is; behind the workers' lock. */
typedef enum ExchangeTurn {
    TURN_NONE,       /* nobody wants to run it */
    TURN_WAITS,      /* it is in a queue */
    TURN_RUNS,       /* a worker has it */
    TURN_AGAIN,      /* ... and somebody has poked it meanwhile */
} ExchangeTurn;

struct Exchange {
    Service *service;
    const ApiKey *key;
    bool background;
    RouteMatch match;
    char *part[ROUTE_PARTS_MAX];       /* percent-decoded; NULL: not valid */
    char *query;                       /* "name\0value\0name\0value\0\0", percent-decoded; NULL: none */
    char *words;                       /* one allocation: method, path, headers, body */
    const char *method, *path;
    ExchangeHeader headers[EXCHANGE_HEADERS_MAX];
    int header_count;
    Span body;
    char id[EXCHANGE_ID_BYTES];
    uint64_t number;
    double received;

    /* of handlers and work(), which never run twice at a time */
    bool handled, bad_uri;
    bool over;                         /* no work is left: true with the answer, but for exchange_json_ahead() */
    void *state;
    void (*work)(Exchange *);
    void (*free_state)(void *);
    ServerLogLine line;                /* for the log, the metrics and the trace */
    json_t *why;                       /* its stories; NULL: none are told */

    pthread_mutex_t lock;              /* for the answer */
    Buf out;
    size_t read;                       /* of `out` */
    bool began, stream, done;
    bool full;                         /* more was put than an answer may hold: it is lost */
    bool wants_room;                   /* work() waits until some of it is read */
    bool outlives, unread;             /* its work may go on unread, and does */
    bool in_turn, must_tell;           /* of who writes: what was put during a turn is told after it */
    int status;
    char content_type[64];
    char *out_headers[2 * EXCHANGE_OUT_HEADERS_MAX];
    int out_header_count;
    atomic_bool gone, stopped;
    int64_t bytes_out;

    pthread_mutex_t ready_lock;        /* for these; taken before `lock`, never after it */
    void (*ready)(void *with);         /* NULL: nobody wants to be told any more */
    void (*ready_all)(void *with);
    void *ready_with;

    atomic_int holders;
    ExchangeTurn turn;                 /* behind the workers' lock, as these are */
    bool taken, ended;                 /* ended: its last turn is over */
    Exchange *next;                    /* in a queue */
    Exchange *before, *after;          /* among all */
};

/* One turn on a worker: the handler, or work(). True: it was the last one. */
bool exchange_turn(Exchange *);
void exchange_tell_ready(Exchange *const *, int count);
bool exchange_leave(Exchange *);   /* nobody reads it any more. False: then it shall end */

#endif

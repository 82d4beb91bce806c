/* exchange.h -- one call of an API and its answer, whoever brought it: a connection, a line of a batch, a test.
 *
 *     who brings it                      a worker of the service                     the engine's thread
 *     exchange_new, service_take --> [ queue ] --> route's handler
 *                                        answers at once: exchange_json, exchange_refuse
 *                                        or later: sets work(), submits requests <--- exchange_poke (notify)
 *     exchange_ready() is called <-----  exchange_put ... exchange_done
 *     exchange_read: bytes of the answer
 *     exchange_hang_up: nobody wants it any more; work() sees exchange_gone(), and ends what it began; or, after
 *         exchange_outlive(), goes on unread
 *     exchange_stop: another call wants it to end; work() sees exchange_stopped(), and tells what it has
 *     exchange_release
 *
 * The handler and work() run on a worker, never two at once for one exchange: a poke during work() leads to
 * another one. So what they keep in `state` needs no lock. What crosses threads (the bytes of the answer, done,
 * gone) lies behind the exchange's own lock.
 *
 * An answer that nobody reads is bounded: exchange_room() tells how much more may be put, and work() leaves
 * events in the engine's ring meanwhile; when bytes are read, the exchange is poked.
 */
#ifndef SERVER_EXCHANGE_H
#define SERVER_EXCHANGE_H

#include "base/span.h"
#include "engine/engine.h"
#include "server/api_error.h"

typedef struct Exchange Exchange;
typedef struct Service Service;
typedef struct ApiKey ApiKey;       /* api_keys.h: whose call it is */
typedef struct Route Route;         /* routes.h */

enum { EXCHANGE_HEADERS_MAX = 64, EXCHANGE_OUT_BYTES_MAX = 1 << 26, EXCHANGE_OUT_FULL = 1 << 18 };

typedef struct ExchangeHeader { const char *name, *value; } ExchangeHeader;

typedef struct ExchangeCall {        /* what came in; copied by exchange_new */
    const char *method, *path;       /* without the query */
    const char *query;               /* "limit=20&after=x"; NULL: none */
    const ExchangeHeader *headers;
    int header_count;
    Span body;
    const ApiKey *key;               /* NULL: no keys are asked for */
    bool background;                 /* what it generates goes behind all that live calls want */
    void (*ready)(void *with);       /* something may be read, or it is done; any thread, may come too often */
    void (*ready_all)(void *with);   /* after ready() of this and perhaps many others, for one of them; NULL: nothing */
    void *ready_with;
} ExchangeCall;

/* ---- for who brings it ---- */

Err exchange_new(Exchange **, Service *, const ExchangeCall *, Error *);
void exchange_refuse_path(Exchange *);        /* instead of service_take(): no route has it; 404 or 405 */
void exchange_hang_up(Exchange *);            /* cancels what runs for it; any thread */
void exchange_release(Exchange *);            /* ready() is not called any more once it returns. Hangs up if it is not done */

bool exchange_began(Exchange *);              /* status and headers are settled, the body may follow */
int exchange_status(const Exchange *);
const char *exchange_content_type(const Exchange *);
int exchange_out_headers(const Exchange *, ExchangeHeader *out, int most);   /* X-Request-Id, Retry-After, ... */
size_t exchange_read(Exchange *, void *to, size_t most);   /* 0: nothing now; see exchange_ended */
bool exchange_ended(Exchange *);              /* done, and all of it was read */
bool exchange_is_stream(const Exchange *);    /* its length is not known beforehand */
size_t exchange_length(Exchange *);           /* of an answer that is no stream and done */

/* ---- for handlers and work() ---- */

Service *exchange_service(const Exchange *);
const char *exchange_id(const Exchange *);    /* "req_5f..." or the caller's own X-Request-Id */
uint64_t exchange_number(const Exchange *);   /* from 1: what /ridge/state calls the request */
const ApiKey *exchange_key(const Exchange *);
bool exchange_is_background(const Exchange *);
double exchange_received(const Exchange *);   /* clock_seconds() */
Span exchange_body(const Exchange *);
const char *exchange_path_part(const Exchange *, int i);    /* what stood for the i-th {} of the route's path */
const char *exchange_header(const Exchange *, const char *name);   /* NULL: not sent */
const char *exchange_query(const Exchange *, const char *name);    /* percent-decoded; NULL: not there */

/* Answers with all at once, and is done. The json is taken over; NULL: no memory, 500. */
void exchange_json(Exchange *, int status, json_t *);
/* The same, and the work goes on until exchange_done() or exchange_stop(), with nobody who could hang up. */
void exchange_json_ahead(Exchange *, int status, json_t *);
/* It has not begun. From now on its work goes on when nobody reads it any more, and what is put then is dropped. */
void exchange_outlive(Exchange *);
void exchange_text(Exchange *, int status, const char *content_type, Span);
void exchange_refuse(Exchange *, const ApiError *);         /* in the shape of the route; also in a stream */

void exchange_add_header(Exchange *, const char *name, const char *value);    /* before it begins */
void exchange_stream(Exchange *, const char *content_type); /* begins: status 200 */
void exchange_put(Exchange *, Span);
/* "event: ...\ndata: {...}\n\n"; event NULL: data only. Takes the json. */
void exchange_event(Exchange *, const char *event, json_t *);
/* A data event of a text that many have in common and a json within it. Takes the json. */
void exchange_event_within(Exchange *, Span before, json_t *, Span after);
void exchange_done(Exchange *);
size_t exchange_room(Exchange *);             /* bytes that may be put until it is full; 0: wait for a poke */
bool exchange_gone(Exchange *);               /* hung up: nobody reads the answer */
bool exchange_stopped(Exchange *);            /* by exchange_stop(): what there is shall be told, and no more made */
bool exchange_is_done(Exchange *);
void exchange_stop(Exchange *);               /* its work shall end, and who reads is told so; any thread that holds it */

/* From now on each poke leads to work(); `state` is given back by free_state when the exchange ends. */
void exchange_continue(Exchange *, void *state, void (*work)(Exchange *), void (*free_state)(void *));
void *exchange_state(const Exchange *);
void exchange_poke(Exchange *);               /* from any thread; takes no lock that a caller may hold but the queue's */
void exchange_poke_later(Exchange *);         /* for `notify` of requests: heeded when the engine's step ends */
void exchange_hold(Exchange *);               /* it stays until one more exchange_let_go(): for who pokes later */
void exchange_let_go(Exchange *);

/* A sample of a request of the engine has ended (its EVENT_END): for the log's line, the metrics and the trace of
 * this call. `finish`: as the API calls it ("stop"), static. A prompt counts once, with sample 0. */
void exchange_account(Exchange *, const Event *end, const char *finish);
/* The stories of its requests, for the log; taken over. */
void exchange_explain(Exchange *, json_t *stories);

#endif

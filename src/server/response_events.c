#include "server/response_events.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/buf.h"

/* Of one exchange: its state. Behind the lock of the events, but for `next`. */
typedef struct Follower {
    ResponseEvents *events;
    Exchange *exchange;            /* held */
    int64_t next;
    struct Follower *before, *after;
} Follower;

struct ResponseEvents {
    pthread_mutex_t lock;
    int holders;
    Buf text, begins;              /* begins: of each event in the text, a size_t */
    int64_t count;
    bool ended, cut;               /* cut: some were not kept */
    Follower *followers;
};

ResponseEvents *response_events_new(void)
{
    ResponseEvents *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    pthread_mutex_init(&e->lock, NULL);
    e->holders = 1;
    buf_init(&e->text, RESPONSE_EVENTS_BYTES_MAX);
    buf_init(&e->begins, RESPONSE_EVENTS_BYTES_MAX);
    return e;
}

ResponseEvents *response_events_share(ResponseEvents *e)
{
    if (!e)
        return NULL;
    pthread_mutex_lock(&e->lock);
    e->holders++;
    pthread_mutex_unlock(&e->lock);
    return e;
}

void response_events_drop(ResponseEvents *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->lock);
    bool last = --e->holders == 0;
    pthread_mutex_unlock(&e->lock);
    if (!last)
        return;
    buf_deinit(&e->text);
    buf_deinit(&e->begins);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* ---- writing ---- */

static void poke_followers(ResponseEvents *e)
{
    for (Follower *r = e->followers; r; r = r->after)
        exchange_poke(r->exchange);
}

/* A stream with a gap would be worse than a short one: after the first that is not kept, none is. */
void response_events_put(ResponseEvents *e, const char *type, const json_t *event)
{
    pthread_mutex_lock(&e->lock);
    size_t begin = e->text.bytes;
    bool kept = !e->cut && buf_printf(&e->text, "event: %s\ndata: ", type) &&
                buf_put_json(&e->text, event, 0) && buf_put_text(&e->text, "\n\n") &&
                buf_put(&e->begins, &begin, sizeof begin);
    if (kept) {
        e->count++;
        poke_followers(e);
    } else {
        buf_cut(&e->text, begin);
        e->cut = true;
    }
    pthread_mutex_unlock(&e->lock);
}

void response_events_end(ResponseEvents *e)
{
    pthread_mutex_lock(&e->lock);
    e->ended = true;
    poke_followers(e);
    pthread_mutex_unlock(&e->lock);
}

size_t response_events_bytes(ResponseEvents *e)
{
    pthread_mutex_lock(&e->lock);
    size_t bytes = e->text.bytes + e->begins.bytes;
    pthread_mutex_unlock(&e->lock);
    return bytes;
}

/* ---- reading ---- */

static size_t begin_of(const ResponseEvents *e, int64_t i)
{
    size_t begin = e->text.bytes;
    if (i < e->count)
        memcpy(&begin, e->begins.data + (size_t)i * sizeof begin, sizeof begin);
    return begin;
}

static void work(Exchange *x)
{
    Follower *r = exchange_state(x);
    ResponseEvents *e = r->events;
    pthread_mutex_lock(&e->lock);
    for (; r->next < e->count && exchange_room(x) > 0; r->next++) {
        size_t from = begin_of(e, r->next), to = begin_of(e, r->next + 1);
        exchange_put(x, span_of(e->text.data + from, to - from));
    }
    bool over = e->ended && r->next >= e->count, cut = e->cut;
    pthread_mutex_unlock(&e->lock);
    if (over && cut) {
        ApiError error;
        api_refuse(&error, 500, NULL, "the rest of this stream was too long to be kept; GET the response without stream");
        exchange_refuse(x, &error);
    } else if (over || exchange_gone(x)) {
        exchange_done(x);
    }
}

static void free_follower(void *state)
{
    Follower *r = state;
    ResponseEvents *e = r->events;
    pthread_mutex_lock(&e->lock);
    *(r->before ? &r->before->after : &e->followers) = r->after;
    if (r->after)
        r->after->before = r->before;
    pthread_mutex_unlock(&e->lock);
    exchange_let_go(r->exchange);
    response_events_drop(e);
    free(r);
}

void response_events_read(ResponseEvents *e, Exchange *x, int64_t first)
{
    Follower *r = calloc(1, sizeof *r);
    if (!r) {
        ApiError error;
        api_refuse(&error, 500, NULL, "no memory for a request");
        exchange_refuse(x, &error);
        return;
    }
    exchange_hold(x);
    *r = (Follower){.events = response_events_share(e), .exchange = x, .next = first};
    pthread_mutex_lock(&e->lock);
    r->after = e->followers;
    if (r->after)
        r->after->before = r;
    e->followers = r;
    pthread_mutex_unlock(&e->lock);
    exchange_continue(x, r, work, free_follower);
    exchange_stream(x, "text/event-stream");
    work(x);
}

/* exchange_out.c -- the answer of an exchange: written by a worker, read by who brought the call. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "server/exchange_parts.h"
#include "server/api_keys.h"

static bool tell_one(Exchange *x, bool all)
{
    pthread_mutex_lock(&x->ready_lock);
    void (*tell)(void *with) = x->ready && all ? x->ready_all : x->ready;
    if (tell)
        tell(x->ready_with);
    pthread_mutex_unlock(&x->ready_lock);
    return tell;
}

void exchange_tell_ready(Exchange *const *list, int count)
{
    bool told_all = false;
    for (int i = 0; i < count; i++)
        tell_one(list[i], false);
    for (int i = 0; i < count && !told_all; i++)
        told_all = tell_one(list[i], true);
}

/* Of a turn the worker tells (workers.c), once for all that was put in it. */
static void tell_of_put(Exchange *x)
{
    if (x->in_turn)
        x->must_tell = true;
    else
        exchange_tell_ready(&x, 1);
}

/* ---- headers ---- */

void exchange_add_header(Exchange *x, const char *name, const char *value)
{
    if (x->out_header_count + 2 > 2 * EXCHANGE_OUT_HEADERS_MAX || strpbrk(value, "\r\n"))
        return;
    char *name_copy = strdup(name), *value_copy = strdup(value);
    if (!name_copy || !value_copy) {
        free(name_copy);
        free(value_copy);
        return;
    }
    pthread_mutex_lock(&x->lock);
    ASSERT(!x->began);
    x->out_headers[x->out_header_count++] = name_copy;
    x->out_headers[x->out_header_count++] = value_copy;
    pthread_mutex_unlock(&x->lock);
}

int exchange_out_headers(const Exchange *x, ExchangeHeader *out, int most)
{
    int count = 0;
    if (count < most)
        out[count++] = (ExchangeHeader){"X-Request-Id", x->id};
    for (int i = 0; i < x->out_header_count && count < most; i += 2)
        out[count++] = (ExchangeHeader){x->out_headers[i], x->out_headers[i + 1]};
    return count;
}

/* ---- writing ---- */

static void begin(Exchange *x, int status, const char *content_type, bool stream)
{
    ASSERT(!x->began);
    x->began = true;
    x->stream = stream;
    x->status = status;
    snprintf(x->content_type, sizeof x->content_type, "%s", content_type);
}

/* What was read makes room. */
static void forget_read(Exchange *x)
{
    if (x->read > 0 && x->read >= x->out.bytes / 2) {
        x->out.bytes -= x->read;
        memmove(x->out.data, x->out.data + x->read, x->out.bytes);
        x->read = 0;
    }
}

/* What nobody can hold is lost as a whole: an answer with a gap would be worse than none. */
static void lose_if_full(Exchange *x)
{
    if (x->out.full) {
        x->full = true;
        atomic_store(&x->gone, true);
    }
}

static void put(Exchange *x, Span s)
{
    if (x->unread)
        return;
    forget_read(x);
    buf_put_span(&x->out, s);
    lose_if_full(x);
}

void exchange_text(Exchange *x, int status, const char *content_type, Span text)
{
    pthread_mutex_lock(&x->lock);
    begin(x, status, content_type, false);
    put(x, text);
    x->done = x->over = true;
    pthread_mutex_unlock(&x->lock);
    tell_of_put(x);
}

/* Appends; false: it is NULL, holds what JSON cannot say, or is too long. Takes the json. */
static bool put_json(Buf *out, json_t *json)
{
    bool put_all = json && buf_put_json(out, json, JSON_ENCODE_ANY);
    json_decref(json);
    return put_all && !out->full;
}

void exchange_json(Exchange *x, int status, json_t *json)
{
    static const char none[] = "{\"error\":{\"message\":\"no memory for the answer\",\"type\":\"server_error\"}}";
    Buf text;
    buf_init(&text, EXCHANGE_OUT_BYTES_MAX);
    bool ok = put_json(&text, json);
    exchange_text(x, ok ? status : 500, "application/json", ok ? buf_span(&text) : span_text(none));
    buf_deinit(&text);
}

void exchange_json_ahead(Exchange *x, int status, json_t *json)
{
    exchange_json(x, status, json);
    x->over = false;
}

void exchange_stream(Exchange *x, const char *content_type)
{
    pthread_mutex_lock(&x->lock);
    begin(x, 200, content_type, true);
    pthread_mutex_unlock(&x->lock);
    tell_of_put(x);
}

void exchange_put(Exchange *x, Span s)
{
    pthread_mutex_lock(&x->lock);
    ASSERT(x->began && !x->done);
    put(x, s);
    pthread_mutex_unlock(&x->lock);
    tell_of_put(x);
}

void exchange_outlive(Exchange *x)
{
    pthread_mutex_lock(&x->lock);
    ASSERT(!x->began);
    x->outlives = true;
    pthread_mutex_unlock(&x->lock);
}

bool exchange_leave(Exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool leaves = x->outlives;
    if (leaves) {
        x->unread = true;
        x->read = 0;
        buf_clear(&x->out);
    }
    pthread_mutex_unlock(&x->lock);
    if (leaves)
        exchange_poke(x);      /* it may have waited for room */
    return leaves;
}

/* Written where it will be read. */
static void put_event(Exchange *x, const char *event, Span before, json_t *json, Span after)
{
    pthread_mutex_lock(&x->lock);
    ASSERT(x->began && !x->done);
    forget_read(x);
    Buf *out = &x->out;
    size_t start = out->bytes;
    if (event)
        buf_printf(out, "event: %s\n", event);
    buf_put_text(out, "data: ");
    buf_put_span(out, before);
    if (put_json(out, json)) {
        buf_put_span(out, after);
    } else if (!out->full) {
        buf_cut(out, start);
        buf_put_text(out, "data: {\"error\":{\"message\":\"no memory for this part\",\"type\":\"server_error\"}}");
    }
    buf_put_text(out, "\n\n");
    if (x->unread)
        buf_clear(out);
    lose_if_full(x);
    pthread_mutex_unlock(&x->lock);
    tell_of_put(x);
}

void exchange_event(Exchange *x, const char *event, json_t *json) { put_event(x, event, (Span){0}, json, (Span){0}); }

void exchange_event_within(Exchange *x, Span before, json_t *json, Span after) { put_event(x, NULL, before, json, after); }

static void refuse_stream(Exchange *x, const ApiError *e)
{
    const RouteList *list = x->match.list;
    if (list && list->error_event)
        list->error_event(x, e);
    else
        exchange_event(x, NULL, list && list->error_json ? list->error_json(e) : api_error_json(e));
    exchange_done(x);
}

void exchange_refuse(Exchange *x, const ApiError *e)
{
    ASSERT(!exchange_is_done(x));
    if (exchange_began(x)) {
        refuse_stream(x, e);
        return;
    }
    if (e->retry_after_seconds > 0) {
        char seconds[32];
        snprintf(seconds, sizeof seconds, "%.0f", e->retry_after_seconds < 1 ? 1 : e->retry_after_seconds + 0.49);
        exchange_add_header(x, "Retry-After", seconds);
    }
    if (e->status == 401)
        exchange_add_header(x, "WWW-Authenticate", "Bearer");
    const RouteList *list = x->match.list;
    exchange_json(x, e->status, list && list->error_json ? list->error_json(e) : api_error_json(e));
}

void exchange_done(Exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->done = x->over = true;
    pthread_mutex_unlock(&x->lock);
    tell_of_put(x);
}

size_t exchange_room(Exchange *x)
{
    pthread_mutex_lock(&x->lock);
    size_t held = x->out.bytes - x->read;
    x->wants_room = held >= EXCHANGE_OUT_FULL / 2;
    pthread_mutex_unlock(&x->lock);
    return held < EXCHANGE_OUT_FULL ? EXCHANGE_OUT_FULL - held : 0;
}

bool exchange_gone(Exchange *x) { return atomic_load(&x->gone); }
bool exchange_stopped(Exchange *x) { return atomic_load(&x->stopped); }

bool exchange_is_done(Exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool done = x->done;
    pthread_mutex_unlock(&x->lock);
    return done;
}

/* ---- reading ---- */

bool exchange_began(Exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool began = x->began;
    pthread_mutex_unlock(&x->lock);
    return began;
}

int exchange_status(const Exchange *x) { return x->status; }
const char *exchange_content_type(const Exchange *x) { return x->content_type; }
bool exchange_is_stream(const Exchange *x) { return x->stream; }

size_t exchange_read(Exchange *x, void *to, size_t most)
{
    pthread_mutex_lock(&x->lock);
    size_t left = x->full ? 0 : x->out.bytes - x->read, bytes = left < most ? left : most;
    if (bytes > 0)
        memcpy(to, x->out.data + x->read, bytes);
    x->read += bytes;
    x->bytes_out += (int64_t)bytes;
    bool poke = x->wants_room && left - bytes < EXCHANGE_OUT_FULL / 2;
    if (poke)
        x->wants_room = false;
    pthread_mutex_unlock(&x->lock);
    if (poke)
        exchange_poke(x);
    return bytes;
}

bool exchange_ended(Exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool ended = x->done && (x->read == x->out.bytes || x->full);
    pthread_mutex_unlock(&x->lock);
    return ended;
}

size_t exchange_length(Exchange *x)
{
    pthread_mutex_lock(&x->lock);
    ASSERT(x->done && !x->stream);
    size_t bytes = x->out.bytes;
    pthread_mutex_unlock(&x->lock);
    return bytes;
}

#include "server/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

#include "base/clock.h"
#include "server/exchange_parts.h"
#include "server/api_keys.h"
#include "server/metrics.h"
#include "server/otlp.h"
#include "server/service.h"
#include "server/uri_text.h"
#include "server/workers.h"

/* ---- birth ---- */

static size_t words_bytes(const ExchangeCall *c)
{
    size_t bytes = strlen(c->method) + strlen(c->path) + c->body.bytes + 3;
    for (int i = 0; i < c->header_count; i++)
        bytes += strlen(c->headers[i].name) + strlen(c->headers[i].value) + 2;
    return bytes;
}

static const char *copy_word(char **to, const char *word)
{
    const char *copy = *to;
    *to = stpcpy(*to, word) + 1;
    return copy;
}

static void copy_call(Exchange *x, const ExchangeCall *c)
{
    char *to = x->words;
    x->method = copy_word(&to, c->method);
    x->path = copy_word(&to, c->path);
    for (int i = 0; i < c->header_count; i++)
        x->headers[i] = (ExchangeHeader){copy_word(&to, c->headers[i].name), copy_word(&to, c->headers[i].value)};
    x->header_count = c->header_count;
    x->body = span_of(to, c->body.bytes);
    *span_copy(to, c->body) = 0;
}

/* The caller's own, where it is one that a log can bear; else a new one. */
static void choose_id(Exchange *x)
{
    const char *given = exchange_header(x, "x-request-id");
    size_t bytes = given ? strlen(given) : 0;
    if (bytes > 0 && bytes < sizeof x->id &&
        strspn(given, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == bytes) {
        memcpy(x->id, given, bytes + 1);
        return;
    }
    uint64_t random[2] = {(uint64_t)(uintptr_t)x, (uint64_t)(1e9 * clock_seconds())};
    if (getrandom(random, sizeof random, GRND_NONBLOCK) < 0)
        random[0] *= 0x9e3779b97f4a7c15u;   /* names need not be secret */
    snprintf(x->id, sizeof x->id, "req_%016llx%08x", (unsigned long long)random[0], (unsigned)random[1]);
}

/* Parts and query: what cannot be decoded stays NULL, and the call is refused when its turn comes. */
static bool decode_uri(Exchange *x, const char *query)
{
    for (int i = 0; i < x->match.part_count; i++) {
        x->part[i] = malloc(x->match.parts[i].bytes + 1);
        if (!x->part[i])
            return false;
        x->bad_uri |= !uri_decode(x->match.parts[i], false, x->part[i]);
    }
    if (!query)
        return true;
    x->query = malloc(2 * strlen(query) + 2);
    if (x->query)
        x->bad_uri |= !uri_decode_query(span_text(query), x->query);
    return x->query;
}

static void exchange_free(Exchange *x)
{
    json_decref(x->why);
    if (x->free_state && x->state)
        x->free_state(x->state);
    for (int i = 0; i < ROUTE_PARTS_MAX; i++)
        free(x->part[i]);
    for (int i = 0; i < x->out_header_count; i++)
        free(x->out_headers[i]);
    buf_deinit(&x->out);
    key_drop(x->key);
    pthread_mutex_destroy(&x->lock);
    pthread_mutex_destroy(&x->ready_lock);
    free(x->query);
    free(x->words);
    free(x);
}

Err exchange_new(Exchange **out, Service *s, const ExchangeCall *c, Error *err)
{
    static _Atomic uint64_t numbers;
    if (c->header_count > EXCHANGE_HEADERS_MAX)
        return fail(err, LIMIT_REACHED, "%d headers; at most %d are read", c->header_count, EXCHANGE_HEADERS_MAX);
    Exchange *x = calloc(1, sizeof *x);
    if (!x)
        return fail(err, NO_MEMORY, "no memory for a request");
    *x = (Exchange){.service = s, .key = key_share(c->key), .background = c->background, .received = clock_seconds(),
                    .ready = c->ready, .ready_all = c->ready_all, .ready_with = c->ready_with, .words = malloc(words_bytes(c))};
    x->number = 1 + atomic_fetch_add(&numbers, 1);
    pthread_mutex_init(&x->lock, NULL);
    pthread_mutex_init(&x->ready_lock, NULL);
    atomic_init(&x->holders, 1);
    atomic_init(&x->gone, false);
    atomic_init(&x->stopped, false);
    buf_init(&x->out, EXCHANGE_OUT_BYTES_MAX);
    if (x->words) {
        copy_call(x, c);
        choose_id(x);
        x->match = route_find(s->o.routes, x->method, x->path);
    }
    if (!x->words || !decode_uri(x, c->query)) {
        exchange_free(x);
        return fail(err, NO_MEMORY, "no memory for a request of %zu bytes", c->body.bytes);
    }
    workers_enter(s->workers, x);
    *out = x;
    return OK;
}

/* ---- turns ---- */

void exchange_refuse_path(Exchange *x)
{
    ApiError e;
    if (!x->match.allowed[0] || x->match.route)
        api_refuse(&e, 404, NULL, "there is nothing at %s; see docs/SERVING.md, or GET / for a page", x->path);
    else {
        api_refuse(&e, 405, NULL, "%s does not take %s; it takes %s", x->path, x->method, x->match.allowed);
        exchange_add_header(x, "Allow", x->match.allowed);
    }
    exchange_refuse(x, &e);
}

static bool may_run(Exchange *x)
{
    ApiError e;
    if (x->bad_uri)
        api_refuse(&e, 400, NULL, "the path or the query is no valid percent-encoded UTF-8");
    else if (x->match.route->access == ACCESS_ADMIN && x->key && !x->key->admin)
        api_refuse(&e, 403, NULL, "this key may not see what others do: it is not marked as \"admin\" in the file of keys");
    else if (service_is_stopping(x->service) && !strcmp(x->method, "POST"))
        api_refuse(&e, 503, NULL, "the server is stopping; send this to another, or again later");
    else
        return true;
    exchange_refuse(x, &e);
    return false;
}

static void first_turn(Exchange *x)
{
    x->handled = true;
    if (exchange_gone(x))
        exchange_done(x);
    else if (!x->match.route)
        exchange_refuse_path(x);
    else if (may_run(x))
        x->match.route->handle(x);
    ASSERT(exchange_is_done(x) || x->work);
}

bool exchange_turn(Exchange *x)
{
    x->in_turn = true;
    if (!x->handled)
        first_turn(x);
    else if (!x->over)
        x->work(x);
    x->in_turn = false;
    if (!x->over)
        return false;
    if (x->free_state && x->state)
        x->free_state(x->state);
    x->state = NULL;
    return true;
}

void exchange_continue(Exchange *x, void *state, void (*work)(Exchange *), void (*free_state)(void *))
{
    x->state = state;
    x->work = work;
    x->free_state = free_state;
}

void *exchange_state(const Exchange *x) { return x->state; }
void exchange_poke(Exchange *x) { workers_poke(x->service->workers, x); }
void exchange_poke_later(Exchange *x) { workers_poke_later(x->service->workers, x); }

/* ---- its end ---- */

static void tell(Exchange *x)
{
    ServerLogLine *line = &x->line;
    line->id = x->id;
    line->number = x->number;
    line->method = x->method;
    line->path = x->path;
    line->key = x->key ? x->key->name : NULL;
    line->status = x->status;
    line->gone = atomic_load(&x->gone);
    line->quiet = x->match.route && x->match.route->access == ACCESS_OPEN && x->status < 400;
    line->bytes = x->bytes_out;
    line->total_seconds = clock_seconds() - x->received;
    metrics_answered(x->service->metrics, line->gone && !x->status ? 499 : x->status);
    server_log_request(x->service->o.log, line);
    otlp_put(x->service->o.otlp, line, exchange_header(x, "traceparent"));
}

void exchange_hold(Exchange *x) { atomic_fetch_add(&x->holders, 1); }

void exchange_let_go(Exchange *x)
{
    if (atomic_fetch_sub(&x->holders, 1) != 1)
        return;
    tell(x);
    workers_leave(x->service->workers, x);
    exchange_free(x);
}

void exchange_stop(Exchange *x)
{
    atomic_store(&x->stopped, true);
    exchange_poke(x);
}

void exchange_hang_up(Exchange *x)
{
    if (!exchange_is_done(x) && !exchange_leave(x)) {   /* done: there is nothing left that would be his */
        atomic_store(&x->gone, true);
        exchange_poke(x);
    }
    exchange_tell_ready(&x, 1);
}

void exchange_release(Exchange *x)
{
    pthread_mutex_lock(&x->ready_lock);
    x->ready = NULL;
    pthread_mutex_unlock(&x->ready_lock);
    if (!exchange_is_done(x))
        exchange_hang_up(x);
    exchange_let_go(x);
}

void exchange_account(Exchange *x, const Event *end, const char *finish)
{
    const RequestTimes *t = &end->times;
    ServerLogLine *line = &x->line;
    if (end->sample == 0) {
        line->prompt_tokens += t->prompt_tokens;
        line->cached_tokens += t->reused_tokens;
    }
    line->completion_tokens += t->generated_tokens;
    line->queue_seconds = t->started;
    if (t->first_token > 0 && (line->first_token_seconds == 0 || t->first_token < line->first_token_seconds))
        line->first_token_seconds = t->first_token;
    line->finish = finish;
    metrics_sample(x->service->metrics, end);
}

void exchange_explain(Exchange *x, json_t *stories)
{
    json_decref(x->why);
    x->line.why = x->why = stories;
}

/* ---- what came in ---- */

Service *exchange_service(const Exchange *x) { return x->service; }
const char *exchange_id(const Exchange *x) { return x->id; }
uint64_t exchange_number(const Exchange *x) { return x->number; }
const ApiKey *exchange_key(const Exchange *x) { return x->key; }
bool exchange_is_background(const Exchange *x) { return x->background; }
double exchange_received(const Exchange *x) { return x->received; }
Span exchange_body(const Exchange *x) { return x->body; }

const char *exchange_path_part(const Exchange *x, int i)
{
    ASSERT(i >= 0 && i < x->match.part_count);
    return x->part[i];
}

const char *exchange_header(const Exchange *x, const char *name)
{
    for (int i = 0; i < x->header_count; i++)
        if (!strcasecmp(x->headers[i].name, name))
            return x->headers[i].value;
    return NULL;
}

const char *exchange_query(const Exchange *x, const char *name) { return uri_query_find(x->query, name); }

#include "server/http.h"

#include <errno.h>
#include <math.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file_map.h"
#include "server/connections.h"
#include "server/http_thread.h"

/* A body of so many bytes is read to its end before it is refused: the connection can be used again. */
enum { REFUSED_BODY_BYTES = 1 << 16, CHUNK_BYTES = 1 << 14, LEAVING_SECONDS = 2 };

struct Http {
    HttpOptions o;
    struct MHD_Daemon *daemon;
    HttpThread *thread;
    Connections *connections;
    _Atomic(Service *) service;       /* NULL: it is loading */
    atomic_bool closing;
    FileMap cert, key;
};

typedef struct Call {                 /* one request of a connection */
    Http *http;
    struct MHD_Connection *connection;
    Connection *watch;
    char *path, *query;               /* one allocation; query NULL: none */
    const char *method;
    bool begun, drops, refused;       /* drops: the body is not kept */
    bool unframed;                    /* nobody can tell where the body ends */
    ApiError refusal;
    const ApiKey *key;
    Buf body;
    size_t dropped;
    Exchange *exchange;
    pthread_mutex_t lock;             /* for this: the connection is put aside until ready() */
    bool waits;
    PutAside aside;
} Call;

/* ---- put aside, and going on ---- */

static void on_ready(void *with)
{
    Call *c = with;
    pthread_mutex_lock(&c->lock);
    if (c->waits)
        http_thread_go_on(c->http->thread, &c->aside);
    c->waits = false;
    pthread_mutex_unlock(&c->lock);
}

static void on_ready_all(void *with) { http_thread_wake(((Call *)with)->http->thread); }

static void on_hung_up(void *with) { exchange_hang_up(((Call *)with)->exchange); }

/* Behind c->lock: what becomes ready later finds that it waits. */
static void put_aside(Call *c)
{
    c->waits = true;
    c->aside.connection = c->connection;
    MHD_suspend_connection(c->connection);
}

static ssize_t read_answer(void *with, uint64_t at, char *to, size_t most)
{
    Call *c = with;
    (void)at;
    pthread_mutex_lock(&c->lock);
    ssize_t got = (ssize_t)exchange_read(c->exchange, to, most);
    if (got == 0) {
        bool ended = exchange_ended(c->exchange);
        if (exchange_gone(c->exchange) || atomic_load(&c->http->closing))
            got = MHD_CONTENT_READER_END_WITH_ERROR;
        else if (ended)
            got = MHD_CONTENT_READER_END_OF_STREAM;
        else
            put_aside(c);
    }
    pthread_mutex_unlock(&c->lock);
    return got;
}

/* ---- what came in ---- */

static const char *header(const Call *c, const char *name)
{
    return MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, name);
}

/* The first that is wrong counts. */
#define REFUSE(call, ...)                                      \
    do {                                                       \
        if (!(call)->refused)                                  \
            api_refuse(&(call)->refusal, __VA_ARGS__);         \
        (call)->refused = (call)->drops = true;                \
    } while (0)

/* "Bearer sk-..." or x-api-key. */
static Span secret_of(const Call *c)
{
    const char *bearer = header(c, "Authorization"), *plain = header(c, "x-api-key");
    if (bearer && !strncasecmp(bearer, "Bearer ", 7))
        return span_text(bearer + 7 + strspn(bearer + 7, " "));
    return plain ? span_text(plain) : (Span){0};
}

static void check_key(Call *c)
{
    double wait;
    if (keys_count(c->http->o.keys) == 0)
        return;
    Span secret = secret_of(c);
    c->key = keys_find(c->http->o.keys, secret);
    if (!c->key) {
        REFUSE(c, 401, NULL, secret.bytes ? "this API key is unknown" : "an API key is needed: Authorization: Bearer KEY");
        c->refusal.code = "invalid_api_key";
    } else if (!key_admits(c->key, clock_seconds(), &wait)) {
        REFUSE(c, 429, NULL, "%s may send %g requests a minute; try again in %.0f s", c->key->name, c->key->per_minute,
               ceil(wait));
        c->refusal.retry_after_seconds = ceil(wait);
    }
}

static void check_headers(Call *c)
{
    const char *coding = header(c, "Content-Encoding"), *length = header(c, "Content-Length");
    if (MHD_get_connection_values(c->connection, MHD_HEADER_KIND, NULL, NULL) > EXCHANGE_HEADERS_MAX)
        REFUSE(c, 431, NULL, "more than %d headers", EXCHANGE_HEADERS_MAX);
    if (length && strtoull(length, NULL, 10) > c->http->o.body_bytes)
        REFUSE(c, 413, NULL, "the body has %.20s bytes; at most %zu are read", length, c->http->o.body_bytes);
    if (coding && strcasecmp(coding, "identity"))
        REFUSE(c, 415, NULL, "Content-Encoding: a body must be sent as it is, not compressed");
}

static enum MHD_Result count_length(void *with, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind, (void)value;
    *(int *)with += !strcasecmp(name, "Content-Length");
    return MHD_YES;
}

/* What a proxy before this server might read in another way than the library does. */
static void check_framing(Call *c, const char *version)
{
    const char *coding = header(c, "Transfer-Encoding");
    int lengths = 0;
    MHD_get_connection_values(c->connection, MHD_HEADER_KIND, count_length, &lengths);
    if (!strcmp(version, "HTTP/1.1") && !header(c, "Host"))
        REFUSE(c, 400, NULL, "the header Host is missing, which HTTP/1.1 asks for");
    c->unframed = lengths > 1 || (lengths && coding) || (coding && strcasecmp(coding, "chunked"));
    if (coding && strcasecmp(coding, "chunked"))
        REFUSE(c, 501, NULL, "Transfer-Encoding: '%.64s' is not known; a body has a Content-Length, or comes chunked", coding);
    else if (c->unframed)
        REFUSE(c, 400, NULL, "Content-Length: a body has one length, or is chunked and has none");
}

static bool body_is_long(const Call *c)
{
    const char *length = header(c, "Content-Length");
    return length && strtoull(length, NULL, 10) > REFUSED_BODY_BYTES;
}

static int take_header(void *with, enum MHD_ValueKind kind, const char *name, const char *value)
{
    ExchangeCall *call = with;
    (void)kind;
    if (call->header_count == EXCHANGE_HEADERS_MAX)
        return MHD_NO;
    ((ExchangeHeader *)call->headers)[call->header_count++] = (ExchangeHeader){name, value ? value : ""};
    return MHD_YES;
}

/* False: no memory. */
static bool make_exchange(Call *c, Service *s)
{
    ExchangeHeader headers[EXCHANGE_HEADERS_MAX];
    ExchangeCall call = {.method = c->method, .path = c->path, .query = c->query, .headers = headers, .key = c->key,
                         .body = buf_span(&c->body), .ready = on_ready, .ready_all = on_ready_all,
                         .ready_with = c};
    MHD_get_connection_values(c->connection, MHD_HEADER_KIND, (MHD_KeyValueIterator)take_header, &call);
    if (exchange_new(&c->exchange, s, &call, NULL) != OK)
        return false;
    buf_deinit(&c->body);
    return true;
}

/* ---- what goes out ---- */

/* Whether the page that the browser shows may read this: its own name, or NULL. */
static const char *allowed_origin(const Call *c)
{
    const char *origin = header(c, "Origin"), *allowed = c->http->o.cors_origin;
    if (!origin || !allowed || !*origin)
        return NULL;
    if (!strcmp(allowed, "*"))
        return "*";
    size_t bytes = strlen(origin);
    for (const char *at = allowed; (at = strstr(at, origin)); at += bytes)
        if ((at == allowed || at[-1] == ',') && (at[bytes] == 0 || at[bytes] == ','))
            return origin;
    return NULL;
}

static enum MHD_Result send_response(Call *c, int status, struct MHD_Response *r)
{
    const char *origin = allowed_origin(c);
    if (!r)
        return MHD_NO;
    if (origin) {
        MHD_add_response_header(r, "Access-Control-Allow-Origin", origin);
        MHD_add_response_header(r, "Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
    }
    if (c->http->o.cors_origin)
        MHD_add_response_header(r, "Vary", "Origin");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    enum MHD_Result result = MHD_queue_response(c->connection, (unsigned)status, r);
    MHD_destroy_response(r);
    return result;
}

/* An exchange that began: its head is settled. */
static enum MHD_Result send_exchange(Call *c)
{
    ExchangeHeader headers[EXCHANGE_HEADERS_MAX];
    Exchange *x = c->exchange;
    bool stream = exchange_is_stream(x);
    struct MHD_Response *r = MHD_create_response_from_callback(stream ? MHD_SIZE_UNKNOWN : exchange_length(x), CHUNK_BYTES,
                                                               read_answer, c, NULL);
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, "Content-Type", exchange_content_type(x));
    if (stream)
        MHD_add_response_header(r, "Cache-Control", "no-store");
    int count = exchange_out_headers(x, headers, EXCHANGE_HEADERS_MAX);
    for (int i = 0; i < count; i++)
        MHD_add_response_header(r, headers[i].name, headers[i].value);
    return send_response(c, exchange_status(x), r);
}

static void keep(void *text) { (void)text; }

/* Of a text that is always there. */
static struct MHD_Response *respond(const char *text)
{
    return MHD_create_response_from_buffer_with_free_callback(strlen(text), (void *)text, keep);
}

/* OPTIONS: what a path takes; for a browser, what pages of others may send. */
static enum MHD_Result send_options(Call *c)
{
    Service *s = atomic_load(&c->http->service);
    RouteMatch m = route_find(s ? s->o.routes : NULL, "OPTIONS", strcmp(c->path, "*") ? c->path : "/v1/models");
    struct MHD_Response *r = respond("");
    if (!r)
        return MHD_NO;
    if (m.allowed[0])
        MHD_add_response_header(r, "Allow", m.allowed);
    if (allowed_origin(c)) {
        const char *wanted = header(c, "Access-Control-Request-Headers");
        MHD_add_response_header(r, "Access-Control-Allow-Methods", m.allowed[0] ? m.allowed : "GET, POST, OPTIONS");
        MHD_add_response_header(r, "Access-Control-Allow-Headers", wanted && strlen(wanted) < 1000 ? wanted : "*");
        MHD_add_response_header(r, "Access-Control-Max-Age", "86400");
    }
    return send_response(c, m.list ? 204 : 404, r);
}

static enum MHD_Result send_loading(Call *c)
{
    static const char text[] = "{\"status\":\"loading model\",\"error\":{\"message\":\"the model is being loaded\","
                               "\"type\":\"unavailable_error\",\"param\":null,\"code\":null}}";
    struct MHD_Response *r = respond(text);
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, "Content-Type", "application/json");
    MHD_add_response_header(r, "Retry-After", "1");
    return send_response(c, 503, r);
}

/* ---- a request, step by step ---- */

/* The headers are there. */
static enum MHD_Result begin(Call *c, const char *method, const char *version)
{
    c->begun = true;
    c->method = method;
    Service *s = atomic_load(&c->http->service);
    if (atomic_load(&c->http->closing))
        return MHD_NO;
    if (!s || !strcmp(method, "OPTIONS")) {
        connection_answers(c->watch, NULL, NULL);
        return s ? send_options(c) : send_loading(c);
    }
    RouteMatch m = route_find(s->o.routes, method, c->path);
    check_framing(c, version);
    check_headers(c);
    if (m.route && m.route->access != ACCESS_OPEN)
        check_key(c);
    c->drops |= !m.route;
    return MHD_YES;
}

static enum MHD_Result take_body(Call *c, const char *data, size_t bytes)
{
    if (!c->drops && c->body.bytes + bytes > c->http->o.body_bytes) {
        REFUSE(c, 413, NULL, "the body has more than the %zu bytes that are read", c->http->o.body_bytes);
        connection_cut(c->watch, 413, "the body has more bytes than are read");
        return MHD_NO;
    }
    c->dropped += c->drops ? bytes : 0;
    if (c->dropped > c->http->o.body_bytes) {
        connection_cut(c->watch, 413, "the body has more bytes than are read");
        return MHD_NO;
    }
    return c->drops || buf_put(&c->body, data, bytes) ? MHD_YES : MHD_NO;
}

/* It has begun: out with it. Else aside until it has. */
static enum MHD_Result go_on(Call *c)
{
    pthread_mutex_lock(&c->lock);
    bool began = exchange_began(c->exchange), gone = exchange_gone(c->exchange);
    if (!began && !gone)
        put_aside(c);
    pthread_mutex_unlock(&c->lock);
    return began ? send_exchange(c) : gone ? MHD_NO : MHD_YES;
}

/* All of it is there that will be looked at. */
static enum MHD_Result hand_over(Call *c)
{
    Service *s = atomic_load(&c->http->service);
    if (!make_exchange(c, s))
        return MHD_NO;
    connection_answers(c->watch, on_hung_up, c);
    if (c->refused)
        exchange_refuse(c->exchange, &c->refusal);
    else if (c->drops)
        exchange_refuse_path(c->exchange);
    else
        service_take(s, c->exchange);
    return go_on(c);
}

static enum MHD_Result on_request(void *with, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *bytes, void **of_call)
{
    Call *c = *of_call;
    (void)with, (void)url;
    if (!c || !c->path || !c->watch)
        return MHD_NO;
    if (!c->begun) {
        c->connection = connection;
        if (begin(c, method, version) != MHD_YES)
            return MHD_NO;
        if (!(c->drops && (c->unframed || body_is_long(c))))
            return MHD_YES;
        connection_lingers(c->watch);
        return hand_over(c);
    }
    if (c->exchange)
        return go_on(c);
    if (*bytes > 0) {
        enum MHD_Result result = take_body(c, data, *bytes);
        *bytes = 0;
        return result;
    }
    return hand_over(c);
}

/* The first line has come: "/v1/models?limit=2", or with the scheme and host before it. */
static void *on_uri(void *with, const char *uri, struct MHD_Connection *connection)
{
    Http *http = with;
    Call *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->http = http;
    c->connection = connection;
    c->watch = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    buf_init(&c->body, http->o.body_bytes);
    pthread_mutex_init(&c->lock, NULL);
    if (!strncasecmp(uri, "http://", 7) || !strncasecmp(uri, "https://", 8)) {
        const char *path = strchr(uri + 8, '/');
        uri = path ? path : "/";
    }
    c->path = strdup(uri);
    char *query = c->path ? strchr(c->path, '?') : NULL;
    if (query) {
        *query = 0;
        c->query = query + 1;
    }
    if (c->watch)
        connection_reads(c->watch);
    return c;
}

static void on_completed(void *with, struct MHD_Connection *connection, void **of_call, enum MHD_RequestTerminationCode why)
{
    Call *c = *of_call;
    (void)with, (void)connection, (void)why;
    if (!c)
        return;
    if (c->watch)
        connection_rests(c->watch);
    if (c->exchange)
        exchange_release(c->exchange);
    key_drop(c->key);
    buf_deinit(&c->body);
    pthread_mutex_destroy(&c->lock);
    free(c->path);
    free(c);
    *of_call = NULL;
}

static void on_connection(void *with, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    Http *http = with;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *context = connection_open(http->connections,
                                   MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
    else {
        connection_close(*context);
        *context = NULL;
    }
}

/* Paths stay as they came: each part is decoded by itself, so "%2F" is no slash. */
static size_t leave_as_is(void *with, struct MHD_Connection *connection, char *text)
{
    (void)with, (void)connection;
    return strlen(text);
}

static void on_log(void *with, const char *format, va_list args)
{
    Http *http = with;
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = 0;
    server_log_event(http->o.log, LOG_DEBUG, "http: %s", text);
}

/* ---- birth and end ---- */

static Err read_tls(Http *h, Error *err)
{
    if (!h->o.tls_cert && !h->o.tls_key)
        return OK;
    if (!h->o.tls_cert || !h->o.tls_key)
        return fail(err, BAD_ARGUMENT, "TLS wants both: --tls-cert and --tls-key");
    if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return fail(err, UNSUPPORTED, "this libmicrohttpd (%s) was built without TLS: put a proxy with TLS before ridge",
                    MHD_get_version());
    TRY(file_map_init(&h->cert, h->o.tls_cert, err));
    return file_map_init(&h->key, h->o.tls_key, err);
}

static char *text_of(Span s)
{
    char *text = malloc(s.bytes + 1);
    if (text)
        *span_copy(text, s) = 0;
    return text;
}

static Err start(Http *h, const Listener *l, Error *err)
{
    bool tls = h->o.tls_cert != NULL;
    char *cert = text_of(h->cert.span), *key = text_of(h->key.span);
    struct MHD_OptionItem of_tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, cert}, {MHD_OPTION_HTTPS_MEM_KEY, 0, key},
                                      {MHD_OPTION_END, 0, NULL}};
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0);
    /* Ours come first (connections.h); this one ends an answer that nobody takes. */
    unsigned stalled = (unsigned)ceil(fmax(h->o.idle_seconds, h->o.request_seconds)) + 2;
    h->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_log, h, MHD_OPTION_LISTEN_SOCKET, dup(l->fd),
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)h->o.connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)h->o.per_address, MHD_OPTION_CONNECTION_MEMORY_LIMIT, h->o.header_bytes, MHD_OPTION_CONNECTION_TIMEOUT,
        stalled, MHD_OPTION_URI_LOG_CALLBACK, on_uri, h, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_UNESCAPE_CALLBACK, leave_as_is, h,
        MHD_OPTION_ARRAY, tls ? of_tls : none, MHD_OPTION_END);
    free(cert);
    if (key)
        explicit_bzero(key, strlen(key));
    free(key);
    if (!h->daemon)
        return fail(err, IO_FAILED, "the HTTP server could not start%s",
                    tls ? ": are --tls-cert and --tls-key PEM files that belong together?" : "");
    return http_thread_new(&h->thread, h->daemon, err);
}

Err http_new(Http **out, const HttpOptions *o, const Listener *l, Error *err)
{
    ConnectionLimits limits = {.most = o->connections, .idle_seconds = o->idle_seconds,
                               .request_seconds = o->request_seconds, .plain = !o->tls_cert};
    Http *h = calloc(1, sizeof *h);
    if (!h)
        return fail(err, NO_MEMORY, "no memory for a server");
    h->o = *o;
    Err result = read_tls(h, err);
    if (result == OK)
        result = connections_new(&h->connections, &limits, err);
    if (result == OK)
        result = start(h, l, err);
    if (result != OK)
        http_free(h);
    else
        *out = h;
    return result;
}

void http_serve(Http *h, Service *s) { atomic_store(&h->service, s); }

/* Until nobody is being answered, or for so many seconds. */
static void wait_for_answers(Http *h, double seconds)
{
    double until = clock_seconds() + seconds;
    while (connections_answering(h->connections) > 0 && clock_seconds() < until)
        usleep(5000);
}

void http_free(Http *h)
{
    if (!h)
        return;
    if (h->daemon) {
        MHD_socket listening = MHD_quiesce_daemon(h->daemon);
        wait_for_answers(h, LEAVING_SECONDS);
        atomic_store(&h->closing, true);
        connections_hang_up_all(h->connections);
        wait_for_answers(h, LEAVING_SECONDS);
        http_thread_free(h->thread);
        MHD_stop_daemon(h->daemon);
        if (listening != MHD_INVALID_SOCKET)
            close(listening);
    }
    connections_free(h->connections);
    file_map_deinit(&h->cert);
    file_map_deinit(&h->key);
    free(h);
}

#include "server/otlp.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

bool trace_parent_read(const char *text, TraceParent *out)
{
    static const char hex[] = "0123456789abcdef";
    if (strlen(text) < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-' || !strncmp(text, "ff", 2) ||
        (text[55] && (text[55] != '-' || !strncmp(text, "00", 2))))
        return false;
    if (strspn(text, hex) != 2 || strspn(text + 3, hex) != 32 || strspn(text + 36, hex) != 16 || strspn(text + 53, hex) != 2)
        return false;
    if (strspn(text + 3, "0") >= 32 || strspn(text + 36, "0") >= 16)   /* all zeros: no trace */
        return false;
    memcpy(out->trace, text + 3, 32);
    memcpy(out->span, text + 36, 16);
    out->trace[32] = out->span[16] = 0;
    out->sampled = (strchr(hex, text[54]) - hex) & 1;
    return true;
}

#ifdef RIDGE_CURL
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

enum { RECORDS_MAX = 1024, RECORDS_AT_ONCE = 64 };
static const double GATHER_SECONDS = 1, SEND_SECONDS = 2;

typedef struct Record {
    TraceParent parent;            /* trace "": none came */
    char id[72], method[16], path[96], key[64], finish[24];
    double ended;                  /* Unix time */
    ServerLogLine line;            /* its numbers */
} Record;

struct Otlp {
    char url[512], model[128];
    ServerLog *log;
    pthread_t thread;
    pthread_mutex_t lock;          /* for what follows */
    pthread_cond_t wake;
    Metrics *metrics;
    Record records[RECORDS_MAX];   /* a ring */
    int first, count;
    bool stop, failed;             /* failed: the last time; it is told once */
};

/* ---- one record as JSON ---- */

static void random_hex(char *out, int bytes)
{
    uint8_t random[16] = {1};
    if (getrandom(random, sizeof random, GRND_NONBLOCK) < 0)
        random[1] = (uint8_t)time(NULL);
    for (int i = 0; i < bytes; i++)
        sprintf(out + 2 * i, "%02x", random[i]);
}

static json_t *text_attribute(const char *name, const char *value)
{
    return json_pack("{s:s, s:{s:s}}", "key", name, "value", "stringValue", value);
}

static json_t *number_attribute(const char *name, int64_t value)   /* OTLP writes 64 bits as text */
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return json_pack("{s:s, s:{s:s}}", "key", name, "value", "intValue", text);
}

static json_t *span_json(const char *trace, const char *span, const char *parent, const char *name, int kind, double from,
                         double to, json_t *attributes)
{
    char begin[24], end[24];
    snprintf(begin, sizeof begin, "%.0f", 1e9 * from);
    snprintf(end, sizeof end, "%.0f", 1e9 * fmax(from, to));
    return json_pack("{s:s, s:s, s:s*, s:s, s:i, s:s, s:s, s:o}", "traceId", trace, "spanId", span, "parentSpanId",
                     parent[0] ? parent : NULL, "name", name, "kind", kind, "startTimeUnixNano", begin, "endTimeUnixNano", end,
                     "attributes", attributes);
}

static const char *operation_of(const char *path)
{
    return strstr(path, "chat") || strstr(path, "messages") || strstr(path, "responses") ? "chat"
           : strstr(path, "embed")                                                       ? "embeddings"
                                                                                         : "text_completion";
}

static json_t *root_attributes(const Otlp *o, const Record *r)
{
    json_t *a = json_array();
    json_array_append_new(a, text_attribute("http.request.method", r->method));
    json_array_append_new(a, text_attribute("url.path", r->path));
    json_array_append_new(a, number_attribute("http.response.status_code", r->line.status));
    json_array_append_new(a, text_attribute("ridge.request.id", r->id));
    if (r->key[0])
        json_array_append_new(a, text_attribute("enduser.id", r->key));
    if (!r->finish[0])
        return a;
    json_array_append_new(a, text_attribute("gen_ai.operation.name", operation_of(r->path)));
    json_array_append_new(a, text_attribute("gen_ai.provider.name", "ridge"));
    json_array_append_new(a, text_attribute("gen_ai.request.model", o->model));
    json_array_append_new(a, text_attribute("gen_ai.response.model", o->model));
    json_array_append_new(a, number_attribute("gen_ai.usage.input_tokens", r->line.prompt_tokens));
    json_array_append_new(a, number_attribute("gen_ai.usage.output_tokens", r->line.completion_tokens));
    json_array_append_new(a, number_attribute("gen_ai.usage.cached_tokens", r->line.cached_tokens));
    json_array_append_new(a, json_pack("{s:s, s:{s:{s:[{s:s}]}}}", "key", "gen_ai.response.finish_reasons", "value",
                                       "arrayValue", "values", "stringValue", r->finish));
    return a;
}

static void put_spans(const Otlp *o, const Record *r, json_t *spans)
{
    char trace[33], root[17], child[17], name[128];
    const ServerLogLine *l = &r->line;
    double begin = r->ended - l->total_seconds, started = begin + l->queue_seconds, first = begin + l->first_token_seconds;
    snprintf(name, sizeof name, "%s %s", r->method, r->path);
    random_hex(trace, 16);
    random_hex(root, 8);
    if (r->parent.trace[0])
        memcpy(trace, r->parent.trace, sizeof trace);
    json_array_append_new(spans, span_json(trace, root, r->parent.span, name, 2, begin, r->ended, root_attributes(o, r)));
    const struct { const char *name; double from, to; bool there; } parts[] = {
        {"queue", begin, started, l->queue_seconds > 0},
        {"prefill", started, first, l->first_token_seconds > 0},
        {"decode", first, r->ended, l->first_token_seconds > 0},
    };
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (!parts[i].there)
            continue;
        random_hex(child, 8);
        json_array_append_new(spans, span_json(trace, child, root, parts[i].name, 1, parts[i].from, parts[i].to, json_array()));
    }
}

static char *body_of(const Otlp *o, const Record *records, int count)
{
    json_t *spans = json_array();
    for (int i = 0; i < count; i++)
        put_spans(o, &records[i], spans);
    json_t *whole = json_pack("{s:[{s:{s:[o, o]}, s:[{s:{s:s, s:s}, s:o}]}]}", "resourceSpans", "resource", "attributes",
                              text_attribute("service.name", "ridge"), text_attribute("service.version", RIDGE_VERSION),
                              "scopeSpans", "scope", "name", "ridge", "version", RIDGE_VERSION, "spans", spans);
    char *text = whole ? json_dumps(whole, JSON_COMPACT) : NULL;
    json_decref(whole);
    return text;
}

/* ---- the thread ---- */

static size_t ignore(char *data, size_t size, size_t count, void *with)
{
    (void)data, (void)with;
    return size * count;
}

static bool post(const Otlp *o, const char *body)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    long status = 0;
    if (!curl)
        return false;
    curl_easy_setopt(curl, CURLOPT_URL, o->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(1e3 * SEND_SECONDS));
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
    CURLcode result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return result == CURLE_OK && status >= 200 && status < 300;
}

/* Behind the lock, but not while it sends. */
static void send_some(Otlp *o)
{
    static Record taken[RECORDS_AT_ONCE];
    int count = 0;
    for (; count < RECORDS_AT_ONCE && o->count > 0; count++, o->count--, o->first = (o->first + 1) % RECORDS_MAX)
        taken[count] = o->records[o->first];
    pthread_mutex_unlock(&o->lock);
    char *body = body_of(o, taken, count);
    bool sent = body && post(o, body);
    free(body);
    pthread_mutex_lock(&o->lock);
    if (!sent && o->metrics)
        metrics_spans_lost(o->metrics, count);
    if (!sent && !o->failed)
        server_log_event(o->log, LOG_WARNING, "no traces are taken at %s; they are dropped", o->url);
    o->failed = !sent;
}

static void *send_all(void *with)
{
    Otlp *o = with;
    pthread_mutex_lock(&o->lock);
    while (!o->stop || o->count > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += (time_t)GATHER_SECONDS;
        while (!o->stop && o->count < RECORDS_AT_ONCE)
            if (pthread_cond_timedwait(&o->wake, &o->lock, &until) != 0)
                break;
        if (o->count > 0)
            send_some(o);
        if (o->stop && o->failed)
            break;
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

/* ---- birth and end ---- */

Err otlp_new(Otlp **out, const char *endpoint, ServerLog *log, Error *err)
{
    if (strncmp(endpoint, "http://", 7) && strncmp(endpoint, "https://", 8))
        return fail(err, BAD_ARGUMENT, "--otlp-endpoint %s: begins with neither http:// nor https://", endpoint);
    Otlp *o = calloc(1, sizeof *o);
    if (!o)
        return fail(err, NO_MEMORY, "no memory for traces");
    size_t bytes = strlen(endpoint);
    while (bytes > 0 && endpoint[bytes - 1] == '/')
        bytes--;
    const char *path = strchr(endpoint + 8, '/');
    snprintf(o->url, sizeof o->url, "%.*s%s", (int)bytes, endpoint, path && path < endpoint + bytes ? "" : "/v1/traces");
    o->log = log;
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->wake, NULL);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (pthread_create(&o->thread, NULL, send_all, o) != 0) {
        free(o);
        return fail(err, NO_MEMORY, "no thread for traces");
    }
    *out = o;
    return OK;
}

void otlp_free(Otlp *o)
{
    if (!o)
        return;
    pthread_mutex_lock(&o->lock);
    o->stop = true;
    pthread_cond_signal(&o->wake);
    pthread_mutex_unlock(&o->lock);
    pthread_join(o->thread, NULL);
    pthread_cond_destroy(&o->wake);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

void otlp_serve(Otlp *o, const char *model, Metrics *m)
{
    if (!o)
        return;
    pthread_mutex_lock(&o->lock);
    snprintf(o->model, sizeof o->model, "%s", model);
    o->metrics = m;
    pthread_mutex_unlock(&o->lock);
}

static void copy_line(Record *r, const ServerLogLine *l)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    r->ended = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    r->line = *l;
    r->line.why = NULL;
    snprintf(r->id, sizeof r->id, "%s", l->id);
    snprintf(r->method, sizeof r->method, "%s", l->method);
    snprintf(r->path, sizeof r->path, "%s", l->path);
    snprintf(r->key, sizeof r->key, "%s", l->key ? l->key : "");
    snprintf(r->finish, sizeof r->finish, "%s", l->finish ? l->finish : "");
    for (char *at = r->path; *at; at++)   /* it may be cut in the middle of a character */
        *at = (unsigned char)*at < 128 ? *at : '?';
}

void otlp_put(Otlp *o, const ServerLogLine *l, const char *parent)
{
    TraceParent from = {0};
    if (!o || l->quiet || (parent && trace_parent_read(parent, &from) && !from.sampled))
        return;
    pthread_mutex_lock(&o->lock);
    if (o->count == RECORDS_MAX) {
        if (o->metrics)
            metrics_spans_lost(o->metrics, 1);
    } else {
        Record *r = &o->records[(o->first + o->count++) % RECORDS_MAX];
        *r = (Record){.parent = from};
        copy_line(r, l);
        if (o->count >= RECORDS_AT_ONCE)
            pthread_cond_signal(&o->wake);
    }
    pthread_mutex_unlock(&o->lock);
}

#else

Err otlp_new(Otlp **out, const char *endpoint, ServerLog *log, Error *err)
{
    (void)out, (void)log;
    return fail(err, UNSUPPORTED, "--otlp-endpoint %s: this ridge was built without libcurl (libcurl4-openssl-dev)", endpoint);
}
void otlp_free(Otlp *o) { (void)o; }
void otlp_serve(Otlp *o, const char *model, Metrics *m) { (void)o, (void)model, (void)m; }
void otlp_put(Otlp *o, const ServerLogLine *l, const char *parent) { (void)o, (void)l, (void)parent; }

#endif

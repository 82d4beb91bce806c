#include "main/load_client.h"

#ifdef RIDGE_CURL

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "tools/load_chunk.h"
#include "tools/load_sse.h"

enum { ERROR_BODY_BYTES_MAX = 4096, URL_BYTES_MAX = 2048, READY_MAX = 64 };
static const double PROGRESS_EVERY_SECONDS = 0.25;

typedef struct Client Client;

/* A place for one conversation at a time; its connection is used again. */
typedef struct Lane {
    Client *client;
    CURL *easy;
    LoadTalk talk;
    LoadAsk ask;
    LoadRecord record;
    SseParser sse;
    Buf body, said, refusal;   /* sent; the answer's text; what came with a status other than 200 */
    double last_text;
    bool has_usage, complete;  /* complete: the stream said that it ends here */
    Error error;               /* of the stream; code OK: none */
    struct Lane *next_free;
} Lane;

struct Client {
    const LoadOptions *o;
    LoadTally *tally;
    CURLM *multi;
    struct curl_slist *headers;
    char url[URL_BYTES_MAX];
    int epoll;
    double began, wake_curl;   /* wake_curl: when libcurl wants to be called; below 0: not by the clock */
    Lane *lane, *free;
    int32_t lanes, running;
    LoadArrivals arrivals;
    double next_arrival;
    int64_t conversations, asked, errors_in_a_row;
    double next_progress;
    Error *err;
    Err result;                /* of the whole run */
};

static double now(const Client *c) { return clock_seconds() - c->began; }

static void url_of(const LoadOptions *o, const char *path, char out[URL_BYTES_MAX])
{
    size_t bytes = strlen(o->url);
    while (bytes && o->url[bytes - 1] == '/')
        bytes--;
    if (bytes >= 3 && !strncmp(o->url + bytes - 3, "/v1", 3))
        bytes -= 3;
    snprintf(out, URL_BYTES_MAX, "%.*s/v1%s", (int)(bytes < 1024 ? bytes : 1024), o->url, path);
}

static struct curl_slist *headers_of(const LoadOptions *o)
{
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
    list = curl_slist_append(list, "Expect:");   /* no round trip before a long body */
    char key[1024];
    snprintf(key, sizeof key, "Authorization: Bearer %s", o->api_key ? o->api_key : "");
    return o->api_key ? curl_slist_append(list, key) : list;
}

/* ---- what comes back ---- */

/* On the clock that all programs of a machine share, so that the times of several can be laid side by side. */
static void write_time(const Lane *l, const char *what, double at, double since)
{
    FILE *out = l->client->o->times;
    if (out)
        fprintf(out, "%s,%lld,%d,%.6f,%.3f\n", what, (long long)l->talk.number, l->talk.turn, l->client->began + at,
                1e3 * (at - since));
}

static void take_text(Lane *l, double at)
{
    if (l->record.chunks++ == 0) {
        l->record.first = at;
        write_time(l, "first", at, l->record.asked);
    } else {
        double gap = at - l->last_text;
        write_time(l, "next", at, l->last_text);
        l->record.longest_gap = gap > l->record.longest_gap ? gap : l->record.longest_gap;
        if (load_tally_gap(l->client->tally, gap, l->client->err) != OK)
            l->client->result = NO_MEMORY;
    }
    l->last_text = at;
}

static void take_event(void *with, SseEvent event)
{
    Lane *l = with;
    LoadChunk chunk;
    bool remembers = l->client->o->plan.turns > 1;
    if (l->error.code != OK || load_chunk_read(event.data, &chunk, remembers ? &l->said : NULL, &l->error) != OK)
        return;
    if (chunk.has_text)
        take_text(l, now(l->client));
    l->complete |= chunk.done || chunk.finished;
    if (chunk.has_usage) {
        l->has_usage = true;
        l->record.prompt_tokens = chunk.prompt_tokens;
        l->record.cached_tokens = chunk.cached_tokens;
        l->record.output_tokens = chunk.output_tokens;
    }
}

static size_t take_bytes(char *data, size_t one, size_t count, void *with)
{
    Lane *l = with;
    size_t bytes = one * count;
    long status = 0;
    curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) {
        size_t room = ERROR_BODY_BYTES_MAX - l->refusal.bytes;
        buf_put(&l->refusal, data, bytes < room ? bytes : room);
        return bytes;
    }
    if (sse_feed(&l->sse, span_of(data, bytes), &l->error) != OK || l->error.code != OK)
        return 0;   /* libcurl ends the transfer */
    return bytes;
}

/* ---- lanes ---- */

static bool lane_open(Client *c, Lane *l)
{
    *l = (Lane){.client = c, .easy = curl_easy_init(), .next_free = c->free};
    buf_init(&l->body, 2 * (size_t)LOAD_TALK_BYTES_MAX);
    buf_init(&l->said, LOAD_TALK_BYTES_MAX);
    buf_init(&l->refusal, ERROR_BODY_BYTES_MAX);
    sse_init(&l->sse, take_event, l);
    c->free = l;
    if (!l->easy)
        return false;
    curl_easy_setopt(l->easy, CURLOPT_URL, c->url);
    curl_easy_setopt(l->easy, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(l->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(l->easy, CURLOPT_PROXY, "");   /* what is measured is the server */
    curl_easy_setopt(l->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(l->easy, CURLOPT_TIMEOUT_MS, (long)(1e3 * c->o->timeout_seconds));
    curl_easy_setopt(l->easy, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(l->easy, CURLOPT_WRITEDATA, l);
    curl_easy_setopt(l->easy, CURLOPT_PRIVATE, l);
    return true;
}

static void lane_close(Lane *l)
{
    if (l->easy) {
        curl_multi_remove_handle(l->client->multi, l->easy);
        curl_easy_cleanup(l->easy);
    }
    load_talk_end(&l->talk);
    sse_deinit(&l->sse);
    buf_deinit(&l->body);
    buf_deinit(&l->said);
    buf_deinit(&l->refusal);
}

static bool may_ask(const Client *c)
{
    return c->asked < c->o->requests && (c->o->duration <= 0 || now(c) < c->o->duration) && c->result == OK &&
           c->errors_in_a_row < LOAD_ERRORS_IN_A_ROW_MAX;
}

/* The next turn of the lane's conversation, counted from `at`. */
static void lane_ask(Lane *l, double at)
{
    Client *c = l->client;
    buf_clear(&l->body);
    buf_clear(&l->said);
    buf_clear(&l->refusal);
    sse_deinit(&l->sse);
    sse_init(&l->sse, take_event, l);
    l->record = (LoadRecord){.asked = at};
    l->error = (Error){0};
    l->has_usage = l->complete = false;
    c->result = load_talk_ask(&l->talk, &c->o->plan, &c->o->wire, &l->ask, &l->body, c->err);
    if (c->result != OK)
        return;
    curl_easy_setopt(l->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)l->body.bytes);
    curl_easy_setopt(l->easy, CURLOPT_POSTFIELDS, l->body.data);
    c->asked++;
    c->running++;
    curl_multi_add_handle(c->multi, l->easy);
}

static void lane_free(Lane *l)
{
    load_talk_end(&l->talk);
    l->next_free = l->client->free;
    l->client->free = l;
}

static void start_due(Client *c)
{
    bool by_clock = c->o->plan.rate > 0;
    while (c->free && may_ask(c) && (!by_clock || c->next_arrival <= now(c))) {
        Lane *l = c->free;
        c->free = l->next_free;
        load_talk_begin(&l->talk, c->conversations++);
        lane_ask(l, by_clock ? c->next_arrival : now(c));
        if (by_clock)
            c->next_arrival = load_arrivals_next(&c->arrivals);
    }
}

/* ---- a request is over ---- */

static const char *curl_kind(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST: return "no connection";
    case CURLE_OPERATION_TIMEDOUT: return "timeout";
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE: return "connection broken";
    default: return "transfer";
    }
}

/* The kind of error, with its text; NULL: the request was answered. */
static const char *failure_of(Lane *l, CURLcode code, char kind[32], char text[256])
{
    long status = 0;
    curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &status);
    if (l->error.code != OK) {
        snprintf(text, 256, "%.255s", l->error.text);
        return "error in the stream";
    }
    if (code != CURLE_OK) {
        snprintf(text, 256, "%s", curl_easy_strerror(code));
        return curl_kind(code);
    }
    if (status != 200) {
        load_error_text(buf_span(&l->refusal), text, 256);
        snprintf(kind, 32, "HTTP %ld", status);
        return kind;
    }
    snprintf(text, 256, "it ended without finish_reason and [DONE]");
    return l->complete ? NULL : "stream cut short";
}

static void record_answer(Lane *l, double at)
{
    Client *c = l->client;
    l->record.ended = at;
    write_time(l, "end", at, l->record.asked);
    if (!l->record.chunks)
        l->record.first = at;   /* all of it was no text: special tokens, say */
    if (!l->has_usage) {
        l->record.counted = true;
        l->record.prompt_tokens = l->ask.prompt_tokens;
        l->record.output_tokens = l->record.chunks;
    }
    c->errors_in_a_row = 0;
    if (load_tally_add(c->tally, l->record, c->err) != OK)
        c->result = NO_MEMORY;
}

static void request_over(Lane *l, CURLcode code)
{
    Client *c = l->client;
    char kind[32], text[256];
    double at = now(c);
    const char *failure = failure_of(l, code, kind, text);
    curl_multi_remove_handle(c->multi, l->easy);
    c->running--;
    if (failure) {
        load_tally_error(c->tally, failure, text);
        c->errors_in_a_row++;
    } else {
        record_answer(l, at);
    }
    bool goes_on = !failure && l->talk.turn < c->o->plan.turns && may_ask(c);
    if (goes_on)
        c->result = load_talk_answer(&l->talk, buf_span(&l->said), c->err);
    if (goes_on && c->result == OK)
        lane_ask(l, at);
    else
        lane_free(l);
}

static void collect(Client *c)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(c->multi, &left))) {
        char *lane;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &lane);
        request_over((Lane *)lane, code);
    }
}

/* ---- the loop ---- */

static int watch_socket(CURL *easy, curl_socket_t socket, int what, void *with, void *known)
{
    Client *c = with;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(c->epoll, EPOLL_CTL_DEL, socket, NULL);
        curl_multi_assign(c->multi, socket, NULL);
        return 0;
    }
    struct epoll_event event = {.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0),
                                .data.fd = socket};
    epoll_ctl(c->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket, &event);
    curl_multi_assign(c->multi, socket, c);   /* any address: it is known now */
    return 0;
}

static int set_timer(CURLM *multi, long milliseconds, void *with)
{
    Client *c = with;
    (void)multi;
    c->wake_curl = milliseconds < 0 ? -1 : now(c) + 1e-3 * (double)milliseconds;
    return 0;
}

static double sleep_seconds(const Client *c)
{
    double at = now(c) + PROGRESS_EVERY_SECONDS;
    if (c->wake_curl >= 0 && c->wake_curl < at)
        at = c->wake_curl;
    if (c->o->plan.rate > 0 && c->free && may_ask(c) && c->next_arrival < at)
        at = c->next_arrival;
    double seconds = at - now(c);
    return seconds > 0 ? seconds : 0;
}

/* epoll_wait() knows milliseconds only, too coarse for arrivals: so the set itself is polled. */
static void wait_and_work(Client *c)
{
    struct epoll_event ready[READY_MAX];
    double seconds = sleep_seconds(c);
    struct timespec sleep = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    struct pollfd set = {.fd = c->epoll, .events = POLLIN};
    int running, count = ppoll(&set, 1, &sleep, NULL) > 0 ? epoll_wait(c->epoll, ready, READY_MAX, 0) : 0;
    for (int i = 0; i < count; i++) {
        int what = (ready[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) | (ready[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (ready[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(c->multi, ready[i].data.fd, what, &running);
    }
    if (c->wake_curl >= 0 && c->wake_curl <= now(c)) {
        c->wake_curl = -1;
        curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    collect(c);
}

static void show_progress(Client *c)
{
    double at = now(c), tokens = 0;
    if (!c->o->progress || at < c->next_progress)
        return;
    c->next_progress = at + PROGRESS_EVERY_SECONDS;
    tokens = (double)(c->tally->gaps + c->tally->records);
    c->o->progress(c->o->with, c->tally->records + c->tally->errors, at, tokens / at);
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void drive(Client *c)
{
    double cpu = cpu_seconds();
    c->began = clock_seconds();
    c->next_arrival = load_arrivals_next(&c->arrivals);
    for (;;) {
        start_due(c);
        if (c->result != OK || c->o->interrupted() || (!c->running && !may_ask(c)))
            break;
        wait_and_work(c);
        show_progress(c);
    }
    c->tally->seconds = now(c);
    c->tally->own_cpu_seconds = cpu_seconds() - cpu;
}

/* A connection is an open file; there may be more of them than the usual 1,024. */
static void allow_files(int32_t lanes)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= (rlim_t)lanes + 64)
        return;
    limit.rlim_cur = limit.rlim_max < (rlim_t)lanes + 64 ? limit.rlim_max : (rlim_t)lanes + 64;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static bool client_open(Client *c)
{
    url_of(c->o, c->o->wire.chat ? "/chat/completions" : "/completions", c->url);
    c->arrivals = load_arrivals(&c->o->plan);
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    c->multi = curl_multi_init();
    c->headers = headers_of(c->o);
    c->lane = calloc((size_t)c->o->lanes, sizeof *c->lane);
    if (c->epoll < 0 || !c->multi || !c->headers || !c->lane)
        return false;
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)c->o->lanes);
    allow_files(c->o->lanes);
    while (c->lanes < c->o->lanes)
        if (!lane_open(c, &c->lane[c->lanes++]))
            return false;
    return true;
}

static void client_close(Client *c)
{
    for (int32_t i = 0; i < c->lanes; i++)
        lane_close(&c->lane[i]);
    if (c->multi)
        curl_multi_cleanup(c->multi);
    if (c->epoll >= 0)
        close(c->epoll);
    curl_slist_free_all(c->headers);
    free(c->lane);
}

Err load_client_run(const LoadOptions *o, LoadTally *tally, Error *err)
{
    Client c = {.o = o, .tally = tally, .err = err, .wake_curl = -1};
    ASSERT(o->lanes > 0 && o->lanes <= LOAD_LANES_MAX && o->plan.burst > 0 && o->plan.turns > 0);
    if (client_open(&c))
        drive(&c);
    else
        c.result = fail(err, NO_MEMORY, "no memory or no sockets for %d connections: lower --concurrency", o->lanes);
    client_close(&c);
    return c.result;
}

/* ---- the model's name ---- */

static size_t keep_bytes(char *data, size_t one, size_t count, void *with)
{
    return buf_put(with, data, one * count) ? one * count : 0;
}

static Err read_model(const LoadOptions *o, CURLcode code, long status, Span answer, char *out, size_t bytes, Error *err)
{
    char text[256];
    if (code != CURLE_OK)
        return fail(err, IO_FAILED, "%s: %s. Is the server running, and is this its address?", o->url,
                    curl_easy_strerror(code));
    load_error_text(answer, text, sizeof text);
    if (status != 200)
        return fail(err, IO_FAILED, "%s/v1/models: HTTP %ld: %s", o->url, status, text);
    json_t *list = json_loadb((const char *)answer.data, answer.bytes, 0, NULL);
    const char *id = json_string_value(json_object_get(json_array_get(json_object_get(list, "data"), 0), "id"));
    bool found = id && strlen(id) < bytes;
    if (found)
        snprintf(out, bytes, "%s", id);
    json_decref(list);
    return found ? OK : fail(err, BAD_FILE, "%s/v1/models lists no model: name one with --model", o->url);
}

Err load_client_model(const LoadOptions *o, char *out, size_t bytes, Error *err)
{
    Buf answer;
    char url[URL_BYTES_MAX];
    long status = 0;
    CURL *easy = curl_easy_init();
    struct curl_slist *headers = headers_of(o);
    if (!easy || !headers)
        return fail(err, NO_MEMORY, "no memory for a connection");
    buf_init(&answer, 1 << 20);
    url_of(o, "/models", url);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 10000L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    Err result = read_model(o, code, status, buf_span(&answer), out, bytes, err);
    buf_deinit(&answer);
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
    return result;
}

#else

static const char ABSENT[] = "this ridge was built without libcurl, through which it would ask servers: "
                             "apt-get install libcurl4-openssl-dev, then make clean and make";

Err load_client_model(const LoadOptions *o, char *out, size_t bytes, Error *err)
{
    (void)o, (void)out, (void)bytes;
    return fail(err, UNSUPPORTED, "%s", ABSENT);
}

Err load_client_run(const LoadOptions *o, LoadTally *tally, Error *err)
{
    (void)o, (void)tally;
    return fail(err, UNSUPPORTED, "%s", ABSENT);
}

#endif

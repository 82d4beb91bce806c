#include "server/server_log.h"

#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct ServerLog {
    pthread_mutex_t lock;
    FILE *to;
    LogFormat format;
    LogLevel level;
};

static const char *const levels[] = {
    [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

Err server_log_new(ServerLog **out, FILE *to, LogFormat format, LogLevel level, Error *err)
{
    ServerLog *l = calloc(1, sizeof *l);
    if (!l)
        return fail(err, NO_MEMORY, "no memory for a log");
    *l = (ServerLog){.to = to, .format = format, .level = level};
    pthread_mutex_init(&l->lock, NULL);
    *out = l;
    return OK;
}

void server_log_free(ServerLog *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* "12:03:55.120 info  " */
static void put_time(ServerLog *l, LogLevel level)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &parts);
    fprintf(l->to, "%02d:%02d:%02d.%03d %-7s ", parts.tm_hour, parts.tm_min, parts.tm_sec, (int)(now.tv_nsec / 1000000),
            levels[level]);
}

static json_t *new_line(LogLevel level)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return json_pack("{s:f, s:s}", "time", (double)now.tv_sec + 1e-9 * (double)now.tv_nsec, "level", levels[level]);
}

static void put_line(ServerLog *l, json_t *line)
{
    json_dumpf(line, l->to, JSON_COMPACT | JSON_REAL_PRECISION(13));   /* the milliseconds of a date */
    fputc('\n', l->to);
    json_decref(line);
}

/* What came from outside may hold anything: control characters never reach a terminal. */
static void put_path(FILE *to, const char *path)
{
    for (int i = 0; path[i] && i < 256; i++)
        fputc((unsigned char)path[i] < ' ' || path[i] == 127 ? '?' : path[i], to);
}

static void put_request_text(ServerLog *l, const ServerLogLine *r)
{
    fprintf(l->to, "%s %s ", r->id, r->method);
    put_path(l->to, r->path);
    fprintf(l->to, " %d", r->status);
    if (r->key)
        fprintf(l->to, " %s", r->key);
    if (r->finish)
        fprintf(l->to, " prompt %lld (%lld cached) answer %lld %s queue %.1f ms ttft %.1f ms", (long long)r->prompt_tokens,
                (long long)r->cached_tokens, (long long)r->completion_tokens, r->finish, 1e3 * r->queue_seconds,
                1e3 * r->first_token_seconds);
    fprintf(l->to, " total %.1f ms%s\n", 1e3 * r->total_seconds, r->gone ? " hung up" : "");
}

static json_t *request_json(const ServerLogLine *r, LogLevel level)
{
    json_t *line = new_line(level), *path = json_string(r->path);
    json_object_set_new(line, "id", json_string(r->id));
    json_object_set_new(line, "method", json_string(r->method));
    json_object_set_new(line, "path", path ? path : json_string("?"));
    json_object_set_new(line, "status", json_integer(r->status));
    if (r->key)
        json_object_set_new(line, "key", json_string(r->key));
    if (r->finish) {
        json_object_set_new(line, "prompt_tokens", json_integer(r->prompt_tokens));
        json_object_set_new(line, "cached_tokens", json_integer(r->cached_tokens));
        json_object_set_new(line, "completion_tokens", json_integer(r->completion_tokens));
        json_object_set_new(line, "finish", json_string(r->finish));
        json_object_set_new(line, "queue_ms", json_real(1e3 * r->queue_seconds));
        json_object_set_new(line, "ttft_ms", json_real(1e3 * r->first_token_seconds));
    }
    json_object_set_new(line, "total_ms", json_real(1e3 * r->total_seconds));
    json_object_set_new(line, "bytes", json_integer(r->bytes));
    if (r->gone)
        json_object_set_new(line, "hung_up", json_true());
    if (r->why) {
        json_object_set_new(line, "number", json_integer((json_int_t)r->number));
        json_object_set(line, "why", (json_t *)r->why);
    }
    return line;
}

void server_log_request(ServerLog *l, const ServerLogLine *r)
{
    LogLevel level = r->status >= 500 ? LOG_WARNING : r->quiet ? LOG_DEBUG : LOG_INFO;
    if (!l || level > l->level)
        return;
    pthread_mutex_lock(&l->lock);
    if (l->format == LOG_JSON)
        put_line(l, request_json(r, level));
    else {
        put_time(l, level);
        put_request_text(l, r);
    }
    fflush(l->to);
    pthread_mutex_unlock(&l->lock);
}

void server_log_event(ServerLog *l, LogLevel level, const char *format, ...)
{
    if (!l || level > l->level)
        return;
    char text[ERROR_TEXT_BYTES + 256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&l->lock);
    if (l->format == LOG_JSON) {
        json_t *line = new_line(level), *event = json_string(text);
        json_object_set_new(line, "event", event ? event : json_string("?"));
        put_line(l, line);
    } else {
        put_time(l, level);
        fprintf(l->to, "%s\n", text);
    }
    fflush(l->to);
    pthread_mutex_unlock(&l->lock);
}

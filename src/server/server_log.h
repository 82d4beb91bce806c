/* server_log.h -- one line for each request, for people or for programs; never what was asked, never a key.
 *
 *     text   12:03:55.120 info  req_5f2c POST /v1/chat/completions 200 alice prompt 812 (768 cached) answer 64 ...
 *     json   {"time": 1764417835.12, "level": "info", "id": "req_5f2c", "method": "POST", ...}
 *
 * Other events ("keys were read again") are lines of the same kind. Any thread; lines are never mixed.
 */
#ifndef SERVER_SERVER_LOG_H
#define SERVER_SERVER_LOG_H

#include <stdio.h>

#include "base/error.h"

typedef struct ServerLog ServerLog;

/* Requests are told at info; those of /health and the like at debug. */
typedef enum LogLevel { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG } LogLevel;
typedef enum LogFormat { LOG_TEXT, LOG_JSON } LogFormat;

typedef struct ServerLogLine {
    const char *id, *method, *path, *key;    /* key: its name; NULL: none */
    int status;
    bool gone, quiet;                        /* quiet: a probe, of which a log would fill */
    int64_t prompt_tokens, cached_tokens, completion_tokens, bytes;
    double queue_seconds, first_token_seconds, total_seconds;    /* 0: has not happened */
    const char *finish;                      /* NULL: nothing was generated */
    uint64_t number;                         /* by which other lines' stories call it */
    const struct json_t *why;                /* its stories (story_json.h), told in JSON only; NULL: nobody asked */
} ServerLogLine;

/* `to` is not closed by it. */
Err server_log_new(ServerLog **, FILE *to, LogFormat, LogLevel, Error *);
void server_log_free(ServerLog *);           /* NULL is allowed: here and below it means silence */
void server_log_request(ServerLog *, const ServerLogLine *);
void server_log_event(ServerLog *, LogLevel, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif

/* serve_flags.h -- the options of `ridge serve`: where it listens, who may call, and what it may take. */
#ifndef MAIN_SERVE_FLAGS_H
#define MAIN_SERVE_FLAGS_H

#include "engine/engine.h"
#include "main/flags.h"
#include "server/http.h"

typedef struct ServeFlags {
    /* where and who */
    const char *host, *name, *key_file, *cors_origin, *tls_cert, *tls_key, *state_dir, *otlp_endpoint;
    FlagList keys;
    int32_t port;
    /* limits of HTTP */
    int32_t connections, per_address, workers;
    int64_t header_bytes, body_bytes;
    float idle_seconds, request_seconds, drain_seconds;
    /* the engine */
    int32_t sequences, rows, queue;
    int64_t cache_bytes, cache_tokens;
    const char *policy, *cache_dir;
    bool fair;
    int32_t prefill_rows, stream_interval;
    int64_t cache_dir_bytes;
    float queue_seconds, total_seconds, bandwidth;
    /* what it tells */
    int32_t log_format, log_level;
    bool explain_cache, explain_requests;
} ServeFlags;

ServeFlags serve_flags_default(void);

enum { SERVE_HTTP_FLAGS = 21, SERVE_ENGINE_FLAGS = 15 };
extern const Flag serve_http_flags[SERVE_HTTP_FLAGS], serve_engine_flags[SERVE_ENGINE_FLAGS];
#define SERVE_GROUPS(options)                                                                                        \
    {"server", serve_http_flags, SERVE_HTTP_FLAGS, options}, {"engine", serve_engine_flags, SERVE_ENGINE_FLAGS, options}

HttpOptions serve_http_options(const ServeFlags *);
EngineOptions serve_engine_options(const ServeFlags *);

#endif

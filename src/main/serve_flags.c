#include "main/serve_flags.h"

#include <sys/random.h>


#define AT(field) .offset = offsetof(ServeFlags, field)
#define TEXT(field) .kind = FLAG_TEXT, AT(field)
#define WHOLE(field, least, most) .kind = FLAG_INT, AT(field), .min = least, .max = most
#define LONG(field, least, most) .kind = FLAG_LONG, AT(field), .min = least, .max = most
#define SECONDS(field, least) .kind = FLAG_FLOAT, AT(field), .min = least, .max = 1e7

const Flag serve_http_flags[SERVE_HTTP_FLAGS] = {
    {"--host", NULL, "ADDRESS", TEXT(host),
     .help = "where to listen: 127.0.0.1 unless told otherwise; 0.0.0.0 or :: for everybody, or unix:PATH"},
    {"--port", NULL, "N", WHOLE(port, 0, 65535), .help = "8080; 0: one that is free, printed at start"},
    {"--model-name", "--alias", "NAME", TEXT(name),
     .help = "what /v1/models calls the model; without it the name of its file"},
    {"--api-key", NULL, "KEY", .kind = FLAG_LIST, AT(keys),
     .help = "a key that callers must send, with what a line of the file may say (\"KEY NAME priority=5\"); may be given "
             "several times"},
    {"--api-key-file", NULL, "FILE", TEXT(key_file),
     .help = "keys, one a line: KEY [NAME] [admin] [priority=N] [requests/min=N]; read again on SIGHUP"},
    {"--cors-origin", NULL, "ORIGIN", TEXT(cors_origin),
     .help = "whose pages in a browser may call: *, or https://a.example,https://b.example; without it nobody else's"},
    {"--tls-cert", NULL, "FILE", TEXT(tls_cert), .help = "certificate chain in PEM; with --tls-key the server speaks HTTPS"},
    {"--tls-key", NULL, "FILE", TEXT(tls_key), .help = "its private key in PEM"},
    {"--state-dir", NULL, "DIR", TEXT(state_dir), .help = "where files and batches are kept; without it their APIs refuse"},
    {"--connections", NULL, "N", WHOLE(connections, 1, 65536), .help = "open connections at most (4096)"},
    {"--connections-per-address", NULL, "N", WHOLE(per_address, 0, 65536), .help = "of one address at most; 0: any number"},
    {"--header-bytes", NULL, "N", LONG(header_bytes, 4096, 1 << 20), .help = "of a request's headers at most (32768)"},
    {"--body-bytes", NULL, "N", LONG(body_bytes, 1, 1 << 30), .help = "of a request's body at most (33554432)"},
    {"--idle-seconds", NULL, "S", SECONDS(idle_seconds, 0.1), .help = "a connection without a request is closed after (90)"},
    {"--request-seconds", NULL, "S", SECONDS(request_seconds, 0.1), .help = "in which a request must come in whole (60)"},
    {"--drain-seconds", NULL, "S", SECONDS(drain_seconds, 0),
     .help = "that a stop waits for what runs, before it ends with what it has (30)"},
    {"--workers", NULL, "N", WHOLE(workers, 1, 256), .help = "threads for JSON, templates and text (2)"},
    {"--log-format", NULL, "FORM", .kind = FLAG_CHOICE, AT(log_format), .choices = "text,json",
     .help = "a line for each request on stderr: text or json; never what was asked"},
    {"--log-level", NULL, "LEVEL", .kind = FLAG_CHOICE, AT(log_level), .choices = "error,warning,info,debug",
     .help = "info: requests; debug: probes like /health too"},
    {"--explain-requests", NULL, NULL, .kind = FLAG_SWITCH, AT(explain_requests),
     .help = "with --log-format json: each request's line also says what it waited for, what of its prompt was found, its "
             "steps and their company; `ridge why` explains it"},
    {"--otlp-endpoint", NULL, "URL", TEXT(otlp_endpoint),
     .help = "send a trace of each request to this OpenTelemetry collector: http://localhost:4318"},
};

const Flag serve_engine_flags[SERVE_ENGINE_FLAGS] = {
    {"--max-num-seqs", "--parallel", "N", WHOLE(sequences, 1, 4096),
     .help = "answers that are generated at the same time (32)"},
    {"--step-rows", "--ubatch-size", "N", WHOLE(rows, 1, 65536),
     .help = "rows of one step (512): long prompts come in pieces of what running answers leave of it"},
    {"--queue", NULL, "N", WHOLE(queue, 1, 65536),
     .help = "requests that may wait; one more is told to try later, with 429 (1024)"},
    {"--prefill-rows", NULL, "N", WHOLE(prefill_rows, 0, 65536),
     .help = "of a step that prompts may take while answers run; 0: all that is left. Fewer: answers flow more evenly"},
    {"--policy", NULL, "NAME", TEXT(policy),
     .help = "who goes first: priority (by class, batches behind live calls; then who came first), fcfs (who came first), "
             "spf (the shortest prompt) or lpf (the longest known beginning)"},
    {"--fair", NULL, NULL, .kind = FLAG_SWITCH, AT(fair), .help = "keys of one priority take turns, by what they were served"},
    {"--cache-bytes", NULL, "N", LONG(cache_bytes, 0, 1LL << 46),
     .help = "memory of the cache; 0: what --max-num-seqs whole contexts need, but at most half of what is free, of a GPU "
             "nearly all"},
    {"--cache-tokens", NULL, "N", LONG(cache_tokens, 0, 1LL << 40), .help = "... or the tokens that it holds"},
    {"--cache-dir", NULL, "DIR", TEXT(cache_dir),
     .help = "a second home of what was computed: prompts that begin alike are restored from it after a restart"},
    {"--cache-dir-bytes", NULL, "N", LONG(cache_dir_bytes, 0, 1LL << 46), .help = "of its files at most; 0: 8 GiB"},
    {"--bandwidth", NULL, "GB/s", .kind = FLAG_FLOAT, AT(bandwidth), .min = 0, .max = 1e5,
     .help = "that the memory can give, for /metrics and the page; 0: what `ridge probe` has measured"},
    {"--stream-interval", NULL, "N", WHOLE(stream_interval, 1, 64),
     .help = "tokens of an answer that are told at once, after its first (1): more leave more of the machine to the model; an "
             "answer with stop texts is told token by token"},
    {"--explain-cache", NULL, NULL, .kind = FLAG_SWITCH, AT(explain_cache),
     .help = "tell on stderr what the cache holds, shares and wastes: every ten seconds, and at the end"},
    {"--queue-seconds", NULL, "S", SECONDS(queue_seconds, 0), .help = "a request that waits longer ends; 0: never"},
    {"--total-seconds", NULL, "S", SECONDS(total_seconds, 0),
     .help = "a request that takes longer ends with what it has; 0: never"},
};

ServeFlags serve_flags_default(void)
{
    EngineOptions e = engine_options_default();
    return (ServeFlags){.host = "127.0.0.1", .port = 8080, .connections = 4096, .workers = 2, .header_bytes = 32768,
                        .body_bytes = 32 << 20, .idle_seconds = 90, .request_seconds = 60, .drain_seconds = 30,
                        .sequences = e.sequences, .rows = e.rows, .queue = e.queue, .policy = e.policy, .stream_interval = 1,
                        .log_level = LOG_INFO};
}

HttpOptions serve_http_options(const ServeFlags *f)
{
    return (HttpOptions){.connections = f->connections, .per_address = f->per_address, .header_bytes = (size_t)f->header_bytes,
                         .body_bytes = (size_t)f->body_bytes, .idle_seconds = f->idle_seconds,
                         .request_seconds = f->request_seconds, .cors_origin = f->cors_origin, .tls_cert = f->tls_cert,
                         .tls_key = f->tls_key};
}

EngineOptions serve_engine_options(const ServeFlags *f)
{
    EngineOptions e = engine_options_default();
    e.sequences = f->sequences;
    e.rows = f->rows;
    e.logit_rows = e.logit_rows > f->sequences ? e.logit_rows : f->sequences;
    e.queue = f->queue;
    e.policy = f->policy;
    e.cache_bytes = f->cache_bytes;
    e.cache_tokens = f->cache_tokens;
    e.prefill_rows = f->prefill_rows;
    e.fair = f->fair;
    e.files.directory = f->cache_dir;
    e.files.bytes_max = f->cache_dir_bytes;
    if (getrandom(&e.key, sizeof e.key, GRND_NONBLOCK) != (ssize_t)sizeof e.key)
        e.key = 0x9e3779b97f4a7c15u;
    return e;
}

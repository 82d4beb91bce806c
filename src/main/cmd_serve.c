/* cmd_serve.c -- ridge serve: opens the model, listens, and keeps the manners of a service. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number_text.h"
#include "cache/kv_explain.h"
#include "core/machine.h"
#include "devices/watch/watch.h"
#include "main/profile_out.h"
#include "main/serve_flags.h"
#include "main/serve_learn.h"
#include "main/session.h"
#include "model/identity.h"
#include "server/engine_thread.h"
#include "server/otlp.h"
#include "server/systemd.h"
#include "store/store.h"
#include "tools/phase_meter.h"
#include "tools/profile_work.h"

enum { FILES_BESIDE_CONNECTIONS = 128, EXPLANATION_BYTES_MAX = 1 << 16 };
static const double EXPLAIN_SECONDS = 10;

typedef struct Server {
    ServeFlags flags;
    ModelFlags model;
    Listener listener;
    Keys *keys;
    ServerLog *log;
    Otlp *otlp;
    Http *http;
    Session session;
    Service *service;
    StepCounts steps;
    PhaseMeter meter;
} Server;

/* ---- signals ---- */

static int wake = -1;                              /* an eventfd: a signal has come */
static atomic_bool serving, stop_asked, reload_asked;

static void on_signal(int signal)
{
    uint64_t one = 1;
    int kept = errno;
    if (signal == SIGHUP)
        atomic_store(&reload_asked, true);
    else if (!atomic_load(&serving) || atomic_exchange(&stop_asked, true))
        _exit(128 + signal);                       /* nothing runs yet, or the second one: at once */
    if (write(wake, &one, sizeof one) < 0)         /* it is full: awake already */
        errno = kept;
    errno = kept;
}

static Err catch_signals(Error *err)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake < 0)
        return fail(err, IO_FAILED, "no eventfd: %s", strerror(errno));
    for (size_t i = 0; i < COUNT_OF(signals); i++)
        sigaction(signals[i], &(struct sigaction){.sa_handler = on_signal, .sa_flags = SA_RESTART}, NULL);
    return OK;
}

/* ---- opening ---- */

/* A connection is a file, and many systems give a process 1,024 unless it asks. */
static Err allow_files(const ServeFlags *f, Error *err)
{
    struct rlimit files;
    rlim_t wanted = (rlim_t)f->connections + FILES_BESIDE_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= wanted)
        return OK;
    files.rlim_cur = files.rlim_max < wanted ? files.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur < wanted)
        return fail(err, BAD_ARGUMENT, "--connections %d needs %llu open files; this process may have %llu (ulimit -n)",
                    f->connections, (unsigned long long)wanted, (unsigned long long)files.rlim_cur);
    return OK;
}

static DeviceWork work_of(void *with)
{
    const Session *s = with;
    const Tally *t = tally_read(s->tally);
    return (DeviceWork){t->total.weight_bytes + t->total.cache_bytes, t->total.operations};
}

/* With --profile each operation is timed. */
static void profile_of(void *with, Profile *out)
{
    const Session *s = with;
    profile_take_work(out, s->tells_trace ? trace_read(s->tracer) : &tally_read(s->tally)->work);
}

static Err open_listener(Server *s, Error *err)
{
    TRY(listener_inherit(&s->listener, err));
    return s->listener.fd >= 0 ? OK : listener_open(&s->listener, s->flags.host, s->flags.port, err);
}

static Err read_keys(Server *s, Error *err)
{
    const ServeFlags *f = &s->flags;
    return f->key_file || f->keys.count ? keys_read_file(s->keys, f->key_file, f->keys.item, f->keys.count, err) : OK;
}

static Err open_doors(Server *s, Error *err)
{
    const ServeFlags *f = &s->flags;
    if (f->explain_requests && (f->log_format != LOG_JSON || f->log_level < LOG_INFO))
        return fail(err, BAD_ARGUMENT, "--explain-requests writes into the lines of requests: it wants --log-format json, and "
                    "--log-level info or debug");
    TRY(catch_signals(err));
    TRY(allow_files(f, err));
    TRY(server_log_new(&s->log, stderr, (LogFormat)f->log_format, (LogLevel)f->log_level, err));
    TRY(keys_new(&s->keys, err));
    TRY(read_keys(s, err));
    if (f->otlp_endpoint)
        TRY(otlp_new(&s->otlp, f->otlp_endpoint, s->log, err));
    TRY(open_listener(s, err));
    HttpOptions http = serve_http_options(f);
    http.keys = s->keys;
    http.log = s->log;
    return http_new(&s->http, &http, &s->listener, err);
}

/* What was measured once, and what was told instead. */
static Machine machine_of(const Server *s)
{
    Machine m;
    Error err;
    Err result = machine_of_this(device_is_apart(s->session.computes), &m, &err);
    if (result != OK && result != NOT_FOUND)
        server_log_event(s->log, LOG_WARNING, "no shares of what is possible: %s", err.text);
    if (result != OK)
        m = (Machine){0};
    if (s->flags.bandwidth > 0)
        m.bytes_per_second = 1e9 * s->flags.bandwidth;
    return m;
}

/* On the engine's thread, which also writes the operations between: see --trace. */
static void observe_step(void *with, const StepReport *r)
{
    Server *s = with;
    TraceEvents *events = s->session.events;
    char rows[96];
    step_counts_take(&s->steps, r);
    phase_meter_take(&s->meter, r);
    s->steps.prefill = s->meter.prefill;
    s->steps.decode = s->meter.decode;
    if (!events)
        return;
    snprintf(rows, sizeof rows, "\"step\": %lld, \"decode_rows\": %d, \"prefill_rows\": %d", (long long)r->step,
             r->decode_rows, r->prefill_rows);
    double forward = r->begun + r->plan_seconds, deliver = forward + r->forward_seconds;
    trace_events_put(events, "step", "plan", r->begun, r->plan_seconds, rows);
    trace_events_put(events, "step", "forward", forward, r->forward_seconds, rows);
    trace_events_put(events, "step", "deliver", deliver, r->deliver_seconds, rows);
}

static Err open_model(Server *s, Error *err)
{
    const ServeFlags *f = &s->flags;
    TRY(session_open_model(&s->session, &s->model, err));
    EngineOptions engine = serve_engine_options(f);
    char identity[IDENTITY_BYTES];
    if (f->cache_dir)
        TRY(checkpoint_identity(&s->session.package.checkpoint, identity, err));
    engine.files.model = identity;
    engine.device_chooses = true;      /* dozens of answers at a time: by all threads */
    engine.observe = observe_step;
    engine.observe_with = s;
    TRY(session_open_engine(&s->session, &s->model, engine, err));
    tally_reset(s->session.tally);               /* of what was only planned */
    ServiceOptions o = {.model_name = f->name, .package = &s->session.package, .model = s->session.model,
                        .engine = s->session.engine, .workers = f->workers, .body_bytes_max = (size_t)f->body_bytes,
                        .queue_seconds = f->queue_seconds, .total_seconds = f->total_seconds,
                        .drain_seconds = f->drain_seconds, .stream_interval = f->stream_interval,
                        .state_dir = f->state_dir, .keys = s->keys, .log = s->log,
                        .otlp = s->otlp, .explains = f->explain_requests, .steps = &s->steps, .work = work_of,
                        .profile = profile_of, .work_with = &s->session};
    o.machine = machine_of(s);
    phase_meter_start(&s->meter, s->session.tally);
    TRY(service_new(&s->service, &o, err));
    http_serve(s->http, s->service);
    return OK;
}

static void print_start(const Server *s)
{
    const KvLedger *l = engine_ledger(s->session.engine);
    double weights = 0;
    for (size_t i = 0; i < store_count(s->session.package.checkpoint.store); i++)
        weights += (double)store_at(s->session.package.checkpoint.store, i)->bytes.bytes;
    int path = !strncmp(s->listener.name, "unix:", 5);
    printf("ridge: %s%s serves %s: weights %.1f MB, cache %.1f MB for %s tokens, %d answers at a time of up to %s tokens%s\n",
           path ? "" : s->flags.tls_cert ? "https://" : "http://", s->listener.name, s->service->model_name, weights / 1e6,
           (double)l->pool_bytes / 1e6, number_text((uint64_t)l->options.tokens).text, l->options.sequences,
           number_text((uint64_t)engine_longest(s->session.engine)).text, keys_count(s->keys) ? "" : "; no keys are asked for");
    fflush(stdout);
}

/* ---- running ---- */

static void reload(Server *s)
{
    Error err;
    char state[96];
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%.0f", 1e6 * clock_seconds());
    systemd_notify(state);
    if (read_keys(s, &err) == OK)
        server_log_event(s->log, LOG_INFO, "keys were read again: there are %d", keys_count(s->keys));
    else
        server_log_event(s->log, LOG_ERROR, "the keys stay as they were: %s", err.text);
    systemd_notify("READY=1");
}

static void take_usage(void *with, const Engine *e) { *(KvUsage *)with = kv_cache_usage(engine_cache(e)); }

static void explain_cache(Server *s)
{
    KvUsage usage;
    Buf text;
    buf_init(&text, EXPLANATION_BYTES_MAX);
    if (service_between_steps(s->service, take_usage, &usage) && kv_explain(&usage, &text))
        fwrite(text.data, 1, text.bytes, stderr);
    buf_deinit(&text);
}

/* What limited the answers, into the log. */
static void log_verdict(const Server *s)
{
    Buf text;
    EngineNow now = engine_thread_now(s->service->thread);
    if (now.steps.decode.steps <= 0)
        return;
    buf_init(&text, EXPLANATION_BYTES_MAX);
    verdict_tell(&now.machine, "decode", &now.steps.decode, &text);
    server_log_event(s->log, LOG_INFO, "%s", text.data);
    buf_deinit(&text);
}

/* Until a stop is asked for. */
static void watch_over(Server *s)
{
    double watchdog = systemd_watchdog_seconds(), every = watchdog / 2, explained = clock_seconds();
    if (s->flags.explain_cache && !(every > 0 && every < EXPLAIN_SECONDS))
        every = EXPLAIN_SECONDS;
    while (!atomic_load(&stop_asked)) {
        struct pollfd woken = {.fd = wake, .events = POLLIN};
        uint64_t count;
        poll(&woken, 1, every > 0 ? (int)(1000 * every) : -1);
        if (read(wake, &count, sizeof count) < 0)
            count = 0;   /* it was time, and no signal */
        if (atomic_exchange(&reload_asked, false))
            reload(s);
        if (s->flags.explain_cache && clock_seconds() - explained >= EXPLAIN_SECONDS) {
            explain_cache(s);
            explained = clock_seconds();
        }
        if (service_health(s->service) == SERVICE_WELL)
            systemd_notify("WATCHDOG=1");
    }
}

static Err serve(Server *s, Error *err)
{
    TRY(open_doors(s, err));
    TRY(open_model(s, err));
    atomic_store(&serving, true);
    print_start(s);
    systemd_notify("READY=1");
    watch_over(s);
    systemd_notify("STOPPING=1");
    server_log_event(s->log, LOG_INFO, "stopping: what runs may end within %g seconds", (double)s->flags.drain_seconds);
    service_stop(s->service);
    log_verdict(s);
    serve_learn(&s->session, s->model.model, &s->meter, &s->steps);
    if (s->flags.explain_cache)
        explain_cache(s);
    return OK;
}

static Err close_server(Server *s, Error *err)
{
    http_free(s->http);
    service_free(s->service);
    profile_out_add(s->session.profile, &s->meter.decode);
    otlp_free(s->otlp);
    listener_close(&s->listener);
    keys_free(s->keys);
    server_log_free(s->log);
    return session_close(&s->session, err);
}

/* ---- the command ---- */

static int run(int argc, char **argv);
static const FlagGroup groups[] = {SERVE_GROUPS(NULL), MODEL_GROUP(NULL), {0}};
const Command command_serve = {
    .name = "serve",
    .arguments = "[-m MODEL] [options]",
    .summary = "answer over HTTP, many at a time",
    .description =
        "Serves a model to programs that speak the APIs of OpenAI (/v1/chat/completions, /v1/completions, /v1/embeddings, "
        "/v1/responses, /v1/models), of Anthropic (/v1/messages) or of llama.cpp (/completion, /props, ...), and to people: "
        "a page at /. Requests come when they like; each step of the engine computes a token of every running answer and a "
        "piece of the prompts that wait. Prompts that begin alike share what was computed.\n\n"
        "Memory is taken at start: a request that can never fit is refused with the numbers, one that does not fit now "
        "waits, and when --queue requests wait the next is told to try later. A closed connection frees what it held within "
        "one step.\n\n"
        "Without keys anybody who reaches the port may call: so it listens on this machine only, unless --host says "
        "otherwise. SIGTERM: no new requests, what runs may end within --drain-seconds; a second one ends at once. SIGHUP "
        "reads the file of keys again. /health says whether it is well, /metrics counts for Prometheus. It takes a socket "
        "from systemd (LISTEN_FDS) and tells it when it is ready; share/ridge.service is a unit.",
    .examples = "  ridge serve\n"
                "  curl http://127.0.0.1:8080/v1/completions -d '{\"prompt\": \"Once upon a time\", \"max_tokens\": 20}'\n"
                "  ridge serve -m model.gguf --host 0.0.0.0 --api-key-file keys --max-num-seqs 64 --cache-bytes 4000000000\n",
    .groups = groups,
    .run = run,
};

static int run(int argc, char **argv)
{
    static Server s;
    Error err, closing;
    int status, word_count;
    s = (Server){.flags = serve_flags_default(), .model = model_flags_default(), .listener = {.fd = -1}};
    s.model.touches = true;
    const FlagGroup filled[] = {SERVE_GROUPS(&s.flags), MODEL_GROUP(&s.model), {0}};
    if (!command_begin(&command_serve, filled, argc, argv, NULL, 0, &word_count, &status))
        return status;
    Err result = serve(&s, &err);
    Err closed = close_server(&s, &closing);
    if (result != OK || closed != OK)
        return command_fail(result != OK ? &err : &closing);
    return 0;
}

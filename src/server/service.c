#include "server/service.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "server/engine_thread.h"
#include "text/grammar_cache.h"
#include "server/api_keys.h"
#include "server/batches.h"
#include "server/metrics.h"
#include "server/otlp.h"
#include "server/response_store.h"
#include "server/server_log.h"
#include "server/workers.h"
#include "store/store.h"

enum { WORKERS_DEFAULT = 2 };
static const double LAST_WORDS_SECONDS = 5;   /* for writing what a cancelled request has */
static const double STEP_SECONDS_MAX = 120;   /* a longer step is a broken device */

/* ---- birth and end ---- */

/* The last part of the path: "models/story.gguf" -> "story". */
static void choose_name(Service *s)
{
    const Store *store = s->package ? s->package->checkpoint.store : NULL;
    const char *path = store && store_gguf(store) ? store_file(store, 0)->path : s->package ? s->package->path : "none";
    const char *end = path + strlen(path);
    while (end > path + 1 && end[-1] == '/')
        end--;
    const char *begin = end;
    while (begin > path && begin[-1] != '/')
        begin--;
    if (end - begin > 5 && !strncmp(end - 5, ".gguf", 5))
        end -= 5;
    if (s->o.model_name)
        snprintf(s->model_name, sizeof s->model_name, "%s", s->o.model_name);
    else
        snprintf(s->model_name, sizeof s->model_name, "%.*s", (int)(end - begin), begin);
}

static Err open_templates(Service *s, Error *err)
{
    const ChatSource *plain = package_chat(s->package, NULL, false), *tools = package_chat(s->package, NULL, true);
    if (plain)
        TRY(chat_template_new(&s->chat, span_text(plain->text), "chat_template", err));
    if (tools)
        TRY(chat_template_new(&s->chat_tools, span_text(tools->text), "chat_template", err));
    return OK;
}

/* What a conversation's tools are written in is said by the template for tools, where there is one. */
static void choose_dialect(Service *s)
{
    const ChatSource *source = package_chat(s->package, NULL, true);
    s->dialect = dialect_of_template(span_text(source ? source->text : ""));
}

/* An answer ends where the tokenizer or the checkpoint's defaults say; a grammar must know all of these. */
static Err open_grammars(Service *s, Error *err)
{
    if (!s->tokenizer)
        return OK;
    TokenIds ends = s->defaults.options.end;
    const SpecialTokens *specials = tokenizer_specials(s->tokenizer);
    for (int i = 0; i < specials->ends_count; i++)
        token_ids_add(&ends, specials->ends[i]);
    TRY(grammar_vocab_new(&s->vocab, s->tokenizer, s->o.model->shape.V, ends.id, (size_t)ends.count, err));
    return grammar_cache_new(&s->grammars, GRAMMAR_CACHE_ENTRIES, err);
}

static Err open_model(Service *s, Error *err)
{
    int32_t vocabulary = s->o.model->shape.V;
    s->tokenizer = s->package->tokenizer;
    TRY(open_templates(s, err));
    choose_dialect(s);
    TRY(sampler_defaults_read(s->package->generation, s->package->path, vocabulary, &s->defaults, err));
    return open_grammars(s, err);
}

static void wake_workers(void *workers) { workers_wake(workers); }

static Err open_service(Service *s, Error *err)
{
    choose_name(s);
    TRY(response_store_new(&s->responses, err));
    TRY(response_store_new(&s->conversations, err));
    if (s->o.model)
        TRY(open_model(s, err));
    TRY(metrics_new(&s->metrics, s->model_name, s->engine ? engine_longest(s->engine) : 1, err));
    otlp_serve(s->o.otlp, s->model_name, s->metrics);
    TRY(workers_new(&s->workers, s->o.workers ? s->o.workers : WORKERS_DEFAULT, err));
    if (!s->engine)
        return OK;
    EngineThreadOptions thread = {.engine = s->engine, .metrics = s->metrics, .steps = s->o.steps, .stepped = wake_workers,
                                  .stepped_with = s->workers, .work = s->o.work, .work_with = s->o.work_with,
                                  .machine = s->o.machine};
    TRY(engine_thread_new(&s->thread, &thread, err));
    return s->o.state_dir ? batches_open(&s->batches, s, s->o.state_dir, s->o.keys, err) : OK;
}

Err service_new(Service **out, const ServiceOptions *o, Error *err)
{
    Service *s = calloc(1, sizeof *s);
    if (!s)
        return fail(err, NO_MEMORY, "no memory for a service");
    *s = (Service){.o = *o, .package = o->package, .engine = o->engine, .created = time(NULL),
                    .started = clock_seconds()};
    Err result = open_service(s, err);
    if (result != OK)
        service_free(s);
    else
        *out = s;
    return result;
}

void service_free(Service *s)
{
    if (!s)
        return;
    batches_close(s->batches);
    engine_thread_free(s->thread);   /* it wakes them */
    workers_free(s->workers);
    otlp_serve(s->o.otlp, s->model_name, NULL);
    metrics_free(s->metrics);
    response_store_free(s->responses);
    response_store_free(s->conversations);
    grammar_cache_free(s->grammars);
    grammar_vocab_free(s->vocab);
    chat_template_free(s->chat);
    chat_template_free(s->chat_tools);
    free(s);
}

/* ---- at work ---- */

void service_take(Service *s, Exchange *x) { workers_take(s->workers, x); }

bool service_between_steps(Service *s, void (*call)(void *with, const Engine *), void *with)
{
    return s->thread && engine_thread_between(s->thread, call, with);
}

int32_t service_vocabulary(const Service *s) { return s->o.model ? s->o.model->shape.V : tokenizer_size(s->tokenizer); }

const char *service_lost(const Service *s)
{
    const Error *trouble = s->engine ? engine_trouble(s->engine) : NULL;
    return trouble ? trouble->text : NULL;
}

ServiceHealth service_health(const Service *s)
{
    if (service_is_stopping(s))
        return SERVICE_STOPPING;
    if (service_lost(s))
        return SERVICE_LOST;
    return s->thread && engine_thread_stuck(s->thread) > STEP_SECONDS_MAX ? SERVICE_STUCK : SERVICE_WELL;
}

/* ---- stopping ---- */

bool service_is_stopping(const Service *s) { return atomic_load(&s->stopping); }
bool service_time_is_up(const Service *s) { return atomic_load(&s->time_is_up); }

void service_stop(Service *s)
{
    atomic_store(&s->stopping, true);
    batches_stop(s->batches);
    if (workers_drain(s->workers, s->o.drain_seconds))
        return;
    server_log_event(s->o.log, LOG_WARNING, "%d requests still run after %.0f seconds: they end with what they have",
                     workers_running(s->workers), s->o.drain_seconds);
    atomic_store(&s->time_is_up, true);
    workers_poke_all(s->workers);
    if (workers_drain(s->workers, LAST_WORDS_SECONDS))
        return;
    workers_hang_up_all(s->workers);
    workers_drain(s->workers, LAST_WORDS_SECONDS);
}

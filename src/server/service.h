/* service.h -- a model as a service: exchanges in, answers out, over any number of threads.
 *
 *     HTTP threads      bytes <-> exchanges (http.h); no JSON, no text
 *     workers           routes, JSON, templates, tokenizers, grammars; detokenising and writing of answers
 *     engine's thread   steps, and nothing else; pokes exchanges
 *
 * What handlers need of the model lies here in plain sight; all of it is immutable once service_new() has
 * returned, but for what says that it has a lock of its own.
 */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include <stdatomic.h>

#include "core/machine.h"
#include "engine/engine.h"
#include "engine/sampler_defaults.h"
#include "model/package.h"
#include "server/exchange.h"
#include "server/routes.h"
#include "server/step_counts.h"
#include "text/chat_template.h"
#include "text/dialect.h"
#include "text/grammar.h"

typedef struct Metrics Metrics;          /* metrics.h; has its own lock */
typedef struct ServerLog ServerLog;      /* server_log.h; likewise */
typedef struct GrammarCache GrammarCache;   /* text/grammar_cache.h; likewise */
typedef struct Profile Profile;          /* plan/profile.h */
typedef struct ResponseStore ResponseStore; /* response_store.h; likewise */

typedef struct ServiceOptions {
    const char *model_name;          /* as /v1/models calls it; NULL: from the path */
    bool any_model;                  /* calls that name another one are answered by this one */
    const Package *package;          /* outlives the service, as do: */
    const Model *model;
    Engine *engine;                  /* these three NULL: no model, for tests of the wire */
    const RouteList *routes;         /* besides the APIs' own; NULL: none */
    int32_t workers;                 /* 0: 2 */
    size_t body_bytes_max;
    int32_t stream_interval;         /* tokens of an answer that are told at once; 0: 1 */
    double queue_seconds, total_seconds;   /* limits of a request that names none; 0: none */
    double drain_seconds;            /* how long a stop waits for what runs */
    const char *state_dir;           /* files and batches; NULL: those APIs refuse */
    struct Keys *keys;               /* api_keys.h: whose the batches of an earlier life are; NULL: no keys are asked for */
    ServerLog *log;                  /* NULL: silent */
    bool explains;                   /* the log's lines of requests say what `ridge why` needs */
    struct Otlp *otlp;               /* otlp.h: traces of requests; NULL: none */
    const StepCounts *steps;         /* that EngineOptions.observe fills (step_counts.h); NULL: none */
    DeviceWork (*work)(void *with);  /* of the device so far, on the engine's thread; NULL: unknown */
    void (*profile)(void *with, Profile *);   /* adds its lines, likewise; NULL: unknown */
    void *work_with;                 /* of both */
    Machine machine;                 /* what it can do; bytes_per_second 0: unknown */
} ServiceOptions;

struct Service {
    ServiceOptions o;
    const Package *package;
    const Tokenizer *tokenizer;
    Engine *engine;
    char model_name[128];
    int64_t created;                 /* Unix time of its start */
    double started;                  /* ... as clock_seconds() */
    ChatTemplate *chat, *chat_tools; /* NULL: the model has none; chat_tools: for conversations with tools */
    const Dialect *dialect;          /* of chat_tools, or of chat; never NULL */
    SamplerDefaults defaults;
    GrammarVocab *vocab;             /* NULL: no tokenizer */
    GrammarCache *grammars;
    ResponseStore *responses, *conversations;
    Metrics *metrics;
    struct Batches *batches;         /* batches.h; NULL: no state_dir */
    struct Workers *workers;         /* workers.h */
    struct EngineThread *thread;     /* engine_thread.h; NULL: no engine */
    atomic_bool stopping, time_is_up;
};

Err service_new(Service **, const ServiceOptions *, Error *);     /* starts workers and the engine's thread */
void service_take(Service *, Exchange *);                         /* to a worker; any thread */
/* No new generation is begun (503); what runs may end within drain_seconds; then it is cancelled. */
void service_stop(Service *);
bool service_is_stopping(const Service *);       /* generations are refused with 503 */
bool service_time_is_up(const Service *);        /* what runs is to be cancelled, and told with what it has; pokes come */
void service_free(Service *);

int32_t service_vocabulary(const Service *);     /* token ids are below it */

/* Stuck: a step never ends. Lost: the device is broken; generations are refused with 503. */
typedef enum ServiceHealth { SERVICE_WELL, SERVICE_STOPPING, SERVICE_STUCK, SERVICE_LOST } ServiceHealth;
ServiceHealth service_health(const Service *);
const char *service_lost(const Service *);       /* what broke the device, in words; NULL: nothing */

/* Between two steps, on the engine's thread: call(with). Waits for it. For snapshots of what only that thread
 * may look at. False: the service has ended. */
bool service_between_steps(Service *, void (*call)(void *with, const Engine *), void *with);

#endif

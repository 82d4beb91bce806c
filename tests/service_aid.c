#include "service_aid.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "devices/cpu/cpu_device.h"
#include "test.h"

struct ServiceAid {
    Package package;
    Device *device;
    DeviceCalls calls;             /* the device's own, but for: */
    Model *model;
    Engine *engine;
    Service *service;
};

struct AidCall {
    Exchange *exchange;
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    int arrivals;
    Buf text;
};

/* ---- a device that can be lost ---- */

static atomic_bool lost;

static const Error *trouble(const Device *d)
{
    static const Error error = {IO_FAILED, "the device fell off while computing"};
    (void)d;
    return atomic_load(&lost) ? &error : NULL;
}

static void make_fragile(ServiceAid *a)
{
    atomic_store(&lost, false);
    a->calls = *a->device->calls;
    a->calls.trouble = trouble;
    a->device->calls = &a->calls;
}

void service_aid_break(ServiceAid *a)
{
    (void)a;
    atomic_store(&lost, true);
}

static Err open_parts(ServiceAid *a, int32_t sequences, int32_t queue, Error *err)
{
    TRY(package_open(&a->package, NULL, err));
    TRY(cpu_device_open(&(CpuOptions){.tier = TIER_BEST, .threads = 1}, &a->device, err));
    make_fragile(a);
    TRY(model_open(&a->package.checkpoint, a->device, NULL, &a->model, err));
    EngineOptions o = engine_options_default();
    EngineModel model = engine_model(a->model);
    o.sequences = sequences;
    o.queue = queue;
    o.context = 512;
    TRY(engine_new(&a->engine, &o, &model, a->device, err));
    ServiceOptions service = {.model_name = "base", .package = &a->package, .model = a->model, .engine = a->engine, .workers = 2,
                              .body_bytes_max = 1 << 24, .drain_seconds = 0.05};
    return service_new(&a->service, &service, err);
}

Err service_aid_open(ServiceAid **out, int32_t sequences, int32_t queue, Error *err)
{
    ServiceAid *a = calloc(1, sizeof *a);
    Err result = open_parts(a, sequences, queue, err);
    if (result != OK)
        service_aid_close(a);
    else
        *out = a;
    return result;
}

void service_aid_close(ServiceAid *a)
{
    if (!a)
        return;
    if (a->service)
        service_stop(a->service);
    service_free(a->service);
    engine_free(a->engine);
    model_close(a->model);
    device_close(a->device);
    package_close(&a->package);
    free(a);
}

Service *service_aid_service(ServiceAid *a) { return a->service; }

/* ---- calls ---- */

static void on_ready(void *with)
{
    AidCall *c = with;
    pthread_mutex_lock(&c->lock);
    c->arrivals++;
    pthread_cond_signal(&c->arrived);
    pthread_mutex_unlock(&c->lock);
}

AidCall *aid_begin(ServiceAid *a, const char *method, const char *path, const char *body, const ApiKey *key)
{
    Error err;
    AidCall *c = calloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->arrived, NULL);
    buf_init(&c->text, 1 << 26);
    char before[256];
    size_t bytes = strcspn(path, "?");
    assert_true(bytes < sizeof before);
    memcpy(before, path, bytes);
    before[bytes] = 0;
    ExchangeCall call = {.method = method, .path = before, .query = path[bytes] ? path + bytes + 1 : NULL, .key = key,
                         .body = span_text(body), .ready = on_ready, .ready_with = c};
    assert_int_equal(exchange_new(&c->exchange, a->service, &call, &err), OK);
    service_take(a->service, c->exchange);
    return c;
}

size_t aid_read(AidCall *c, size_t most)
{
    char chunk[4096];
    for (;;) {
        size_t wanted = most < sizeof chunk ? most : sizeof chunk;
        size_t bytes = exchange_began(c->exchange) ? exchange_read(c->exchange, chunk, wanted) : 0;
        if (bytes > 0)
            buf_put(&c->text, chunk, bytes);
        if (bytes > 0 || exchange_ended(c->exchange))
            return bytes;
        pthread_mutex_lock(&c->lock);
        while (c->arrivals == 0)
            pthread_cond_wait(&c->arrived, &c->lock);
        c->arrivals = 0;
        pthread_mutex_unlock(&c->lock);
    }
}

const char *aid_so_far(const AidCall *c) { return c->text.data ? c->text.data : ""; }

const char *aid_finish(AidCall *c)
{
    while (aid_read(c, SIZE_MAX) > 0)
        ;
    return aid_so_far(c);
}

int aid_status(const AidCall *c) { return exchange_status(c->exchange); }

void aid_end(AidCall *c)
{
    exchange_release(c->exchange);
    buf_deinit(&c->text);
    pthread_cond_destroy(&c->arrived);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

json_t *aid_call(ServiceAid *a, const char *method, const char *path, const char *body, const ApiKey *key, int *status)
{
    AidCall *c = aid_begin(a, method, path, body, key);
    const char *text = aid_finish(c);
    json_error_t at;
    json_t *json = json_loads(text, 0, &at);
    if (!json)
        print_error("%s %s: no JSON: %.2000s\n", method, path, text);
    if (status)
        *status = aid_status(c);
    aid_end(c);
    return json;
}

json_t *aid_post(ServiceAid *a, const char *path, const char *body, int *status)
{
    return aid_call(a, "POST", path, body, NULL, status);
}

/* ---- what is left ---- */

typedef struct Held { EngineStats stats; Err audit; } Held;

static void look(void *with, const Engine *engine)
{
    Held *held = with;
    Error err;
    held->stats = engine_stats(engine);
    held->audit = engine_audit(engine, &err);
}

bool aid_idle(ServiceAid *a)
{
    for (int tries = 0; tries < 500; tries++) {
        Held held;
        if (!service_between_steps(a->service, look, &held))
            return false;
        const EngineStats *s = &held.stats;
        if (held.audit == OK && s->queued + s->waiting + s->running == 0 && s->blocks[0].held == 0)
            return true;
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
    return false;
}

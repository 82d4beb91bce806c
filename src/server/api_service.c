/* api_service.c -- what the service says of itself: /health, /v1/models, /metrics. */
#include "server/engine_thread.h"
#include "server/service.h"

static void health(Exchange *x)
{
    static const char *const texts[] = {[SERVICE_WELL] = "ok", [SERVICE_STOPPING] = "stopping",
                                        [SERVICE_STUCK] = "error: a step of the engine does not end",
                                        [SERVICE_LOST] = "error: the device is lost"};
    ServiceHealth h = service_health(exchange_service(x));
    if (h != SERVICE_WELL)
        exchange_add_header(x, "Retry-After", "5");
    exchange_json(x, h == SERVICE_WELL ? 200 : 503, json_pack("{s:s, s:s*}", "status", texts[h], "message",
                                                        service_lost(exchange_service(x))));
}

static void ping(Exchange *x) { exchange_text(x, 200, "text/plain; charset=utf-8", span_text("pong\n")); }

static json_t *model_json(const Service *s)
{
    json_t *model = json_pack("{s:s, s:s, s:I, s:s, s:s}", "id", s->model_name, "object", "model", "created",
                              (json_int_t)s->created, "owned_by", "ridge", "root", s->model_name);
    if (s->o.model && s->engine)
        json_object_set_new(model, "max_model_len", json_integer(engine_longest(s->engine)));
    if (s->o.model)
        json_object_set_new(model, "meta",
                            json_pack("{s:i, s:i, s:i, s:I}", "n_vocab", (int)s->o.model->shape.V, "n_ctx_train",
                                      (int)s->o.model->shape.context, "n_embd", (int)s->o.model->shape.D, "n_params",
                                      (json_int_t)s->o.model->parameters));
    return model;
}

static void models(Exchange *x)
{
    exchange_json(x, 200, json_pack("{s:s, s:[o]}", "object", "list", "data", model_json(exchange_service(x))));
}

static void model(Exchange *x)
{
    const Service *s = exchange_service(x);
    if (!strcmp(exchange_path_part(x, 0), s->model_name)) {
        exchange_json(x, 200, model_json(s));
        return;
    }
    ApiError e;
    api_refuse(&e, 404, "model", "there is no model '%s' here; this server runs '%s'", exchange_path_part(x, 0), s->model_name);
    e.code = "model_not_found";
    exchange_refuse(x, &e);
}

static void ask_cache(void *with, const Engine *e) { *(KvUsage *)with = kv_cache_usage(engine_cache(e)); }

static void metrics(Exchange *x)
{
    const Service *s = exchange_service(x);
    EngineNow now = s->thread ? engine_thread_now(s->thread) : (EngineNow){0};
    KvUsage usage;
    bool asked = service_between_steps(exchange_service(x), ask_cache, &usage);
    Buf text;
    buf_init(&text, 1 << 20);
    metrics_write(s->metrics, &now, asked ? &usage : NULL, &text);
    exchange_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_span(&text));
    buf_deinit(&text);
}

static const Route list[] = {
    {"GET", "/health", ACCESS_OPEN, health},       {"GET", "/v1/health", ACCESS_OPEN, health},
    {"GET", "/ping", ACCESS_OPEN, ping},           {"GET", "/v1/models", ACCESS_KEY, models},
    {"GET", "/v1/models/{*}", ACCESS_KEY, model},  {"GET", "/metrics", ACCESS_KEY, metrics},
};
const RouteList routes_service = ROUTES(list, api_error_json);

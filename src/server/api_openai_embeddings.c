/* POST /v1/embeddings: texts as vectors, of the last hidden states of the model.
 *
 *     input             "text"  |  ["text", ...]  |  [id, ...]  |  [[id, ...], ...]
 *     pooling           "mean" of all positions, or "last"; ridge's own field
 *     normalize         to length 1, as OpenAI's are; ridge's own field, true unless told otherwise
 *     encoding_format   "float", or "base64" of little-endian F32
 *
 * Each input is a request of the engine. Some at a time are submitted, the next ones as those end, so that a long
 * list takes no more of the queue than others leave.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/openai_parts.h"
#include "server/prompt_fields.h"
#include "server/sampling_fields.h"
#include "server/generation_inside.h"

enum { INPUTS_MAX = 2048, AT_A_TIME = 32 };

typedef struct Embedding {
    Request *request;              /* NULL: not submitted, or over */
    PromptIds prompt;
    float *vector;                 /* [D]; NULL until it is submitted */
} Embedding;

typedef struct EmbeddingJob {
    Exchange *exchange;
    const Service *service;
    Embedding *inputs;
    int32_t count, submitted, ended;
    int32_t width;                 /* D */
    int64_t tokens;
    Pooling pooling;
    bool base64, normalize;
    int32_t priority;
    const char *cache_salt;        /* its own */
    ApiError error;                /* status 0: none */
} EmbeddingJob;

/* ---- end ---- */

/* The engine writes into the vector until the request's end was read. */
static void close_input(Embedding *e)
{
    Event event;
    if (e->request) {
        request_cancel(e->request);
        while (!request_ended(e->request))
            if (!request_next(e->request, &event))
                request_wait(e->request, 1);
        request_close(e->request);
    }
    e->request = NULL;
}

static void job_free(void *job)
{
    EmbeddingJob *j = job;
    if (!j)
        return;
    for (int32_t i = 0; j->inputs && i < j->count; i++) {
        close_input(&j->inputs[i]);
        free(j->inputs[i].prompt.ids);
        free(j->inputs[i].vector);
    }
    free(j->inputs);
    free((char *)j->cache_salt);
    free(j);
}

/* ---- the answer ---- */

static void put_base64(Buf *out, Span bytes)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.bytes; i += 3) {
        size_t left = bytes.bytes - i;
        uint32_t b = (uint32_t)bytes.data[i] << 16 | (left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0) |
                     (left > 2 ? bytes.data[i + 2] : 0);
        char four[4] = {letters[b >> 18], letters[b >> 12 & 63], left > 1 ? letters[b >> 6 & 63] : '=',
                        left > 2 ? letters[b & 63] : '='};
        buf_put(out, four, sizeof four);
    }
}

static json_t *vector_json(const EmbeddingJob *j, const float *v)
{
    size_t width = (size_t)j->width;
    if (!j->base64) {
        json_t *list = json_array();
        for (size_t i = 0; i < width; i++)
            json_array_append_new(list, json_real((double)v[i]));
        return list;
    }
    Buf text;
    buf_init(&text, 8 * width + 8);
    put_base64(&text, span_of(v, width * sizeof *v));
    json_t *out = json_stringn(text.data, text.bytes);
    buf_deinit(&text);
    return out;
}

static void normalize(float *v, int32_t width)
{
    double sum = 0;
    for (int32_t i = 0; i < width; i++)
        sum += (double)v[i] * (double)v[i];
    double scale = sum > 0 ? 1 / sqrt(sum) : 0;
    for (int32_t i = 0; i < width; i++)
        v[i] = (float)((double)v[i] * scale);
}

static void answer(EmbeddingJob *j)
{
    json_t *data = json_array();
    for (int32_t i = 0; i < j->count; i++) {
        if (j->normalize)
            normalize(j->inputs[i].vector, j->width);
        json_array_append_new(data, json_pack("{s:s, s:i, s:o}", "object", "embedding", "index", (int)i, "embedding",
                                              vector_json(j, j->inputs[i].vector)));
    }
    exchange_json(j->exchange, 200,
                  json_pack("{s:s, s:o, s:s, s:{s:I, s:I}}", "object", "list", "data", data, "model", j->service->model_name,
                            "usage", "prompt_tokens", (json_int_t)j->tokens, "total_tokens", (json_int_t)j->tokens));
}

/* ---- at work ---- */

static void notify(void *exchange) { exchange_poke_later(exchange); }

static Err submit(EmbeddingJob *j, Embedding *e, Error *err)
{
    const ApiKey *key = exchange_key(j->exchange);
    e->vector = calloc((size_t)j->width, sizeof *e->vector);
    if (!e->vector)
        return fail(err, NO_MEMORY, "no memory for a vector of %d numbers", j->width);
    RequestOptions o = {
        .prompt = e->prompt.ids, .prompt_count = e->prompt.count, .max_tokens = 0, .samples = 1, .pooling = j->pooling,
        .embedding = e->vector, .sampling = sampler_options_greedy(), .priority = generation_priority(j->exchange, j->priority),
        .salt = generation_salt(key, j->cache_salt), .tenant = generation_tenant(key), .notify = notify,
        .notify_with = j->exchange, .queue_seconds = j->service->o.queue_seconds, .total_seconds = j->service->o.total_seconds,
    };
    return engine_submit(j->service->engine, &o, &e->request, err);
}

/* What a full queue refuses waits for those of this job that run; if none do, the job is refused. */
static void submit_some(EmbeddingJob *j)
{
    Error err = {0};
    char param[32];
    while (!j->error.status && j->submitted < j->count && j->submitted - j->ended < AT_A_TIME) {
        Embedding *e = &j->inputs[j->submitted];
        Err result = submit(j, e, &err);
        if (result == LIMIT_REACHED && j->submitted > j->ended) {
            free(e->vector);
            e->vector = NULL;
            return;
        }
        snprintf(param, sizeof param, "input[%d]", j->submitted);
        if (result != OK) {
            api_refuse_error(&j->error, &err, result == LIMIT_REACHED ? NULL : j->count > 1 ? param : "input");
            if (result == NO_MEMORY)
                j->error.code = "context_length_exceeded";
            return;
        }
        j->submitted++;
    }
}

static void take_end(EmbeddingJob *j, Embedding *e, const Event *event)
{
    bool good = event->reason == END_LENGTH || event->reason == END_STOP;
    exchange_account(j->exchange, event, good ? "length" : "error");
    j->tokens += event->times.prompt_tokens;
    j->ended++;
    if (!good && !j->error.status && event->reason == END_ERROR)
        api_refuse(&j->error, service_lost(exchange_service(j->exchange)) ? 503 : 500, NULL, "%s", request_error(e->request));
    else if (!good && !j->error.status)
        api_refuse(&j->error, 503, NULL, "the request was not answered within its time");
    request_close(e->request);
    e->request = NULL;
}

static void take_events(EmbeddingJob *j)
{
    Event event;
    for (int32_t i = 0; i < j->submitted; i++)
        while (j->inputs[i].request && request_next(j->inputs[i].request, &event))
            if (event.kind == EVENT_END)
                take_end(j, &j->inputs[i], &event);
}

static void work(Exchange *x)
{
    EmbeddingJob *j = exchange_state(x);
    take_events(j);
    bool gone = exchange_gone(x) || service_time_is_up(j->service);
    if (!gone)
        submit_some(j);
    if (!gone && !j->error.status && j->ended < j->count)
        return;
    for (int32_t i = 0; i < j->submitted; i++)
        close_input(&j->inputs[i]);
    if (j->error.status)
        exchange_refuse(x, &j->error);
    else if (j->ended < j->count) {
        ApiError error;
        api_refuse(&error, 503, NULL, "the server is shutting down; send the request to another one");
        exchange_refuse(x, &error);
    } else {
        answer(j);
    }
    exchange_let_go(x);
}

/* ---- the request ---- */

static void read_inputs(Fields *f, EmbeddingJob *j)
{
    bool adds_special = true;
    PromptIds *prompts = calloc(INPUTS_MAX, sizeof *prompts);
    fields_bool(f, "add_special_tokens", &adds_special);
    if (!prompts) {
        fields_refuse(f, "input", "there is no memory to read it");
        return;
    }
    PromptFields p = {.name = "input", .service = j->service, .out = prompts, .most = INPUTS_MAX,
                      .flags = ENCODE_PARSE_SPECIAL | (adds_special ? ENCODE_ADD_SPECIAL : 0)};
    prompt_fields_read(f, &p);
    j->inputs = calloc((size_t)p.count + 1, sizeof *j->inputs);
    for (int32_t i = 0; j->inputs && i < p.count; i++)
        j->inputs[j->count++].prompt = prompts[i];
    for (int32_t i = j->count; i < p.count; i++)
        free(prompts[i].ids);
    free(prompts);
    if (fields_ok(f) && j->count == 0)
        fields_refuse(f, "input", "there is no memory to read it");
}

static void read_body(Fields *f, EmbeddingJob *j)
{
    static const char *const formats[] = {"float", "base64"}, *const poolings[] = {"mean", "last"};
    int32_t dimensions = j->width;
    const char *salt = NULL;
    model_field_check(f, j->service);
    j->base64 = fields_choice(f, "encoding_format", formats, 2, 0) == 1;
    j->pooling = fields_choice(f, "pooling", poolings, 2, 0) == 1 ? POOL_LAST : POOL_MEAN;
    fields_int(f, "dimensions", 1, INT32_MAX, &dimensions);
    fields_bool(f, "normalize", &j->normalize);
    fields_int(f, "priority", INT32_MIN, INT32_MAX, &j->priority);
    fields_text(f, "cache_salt", 4096, &salt);
    if (fields_ok(f) && dimensions != j->width)
        fields_refuse(f, "dimensions", "the model's vectors have %d, and may not be cut", j->width);
    if (fields_ok(f) && salt && !(j->cache_salt = strdup(salt)))
        fields_refuse(f, "cache_salt", "there is no memory to keep it");
    read_inputs(f, j);
}

static EmbeddingJob *job_new(Exchange *x)
{
    const Service *s = exchange_service(x);
    EmbeddingJob *j = calloc(1, sizeof *j);
    if (j)
        *j = (EmbeddingJob){.exchange = x, .service = s, .width = s->o.model->shape.D, .normalize = true};
    return j;
}

static void embed(Exchange *x)
{
    ApiError error = {0};
    Fields f;
    EmbeddingJob *j = NULL;
    if (!exchange_service(x)->tokenizer || !exchange_service(x)->o.model)
        api_refuse(&error, 501, NULL, "the model has no tokenizer, so it cannot read text");
    else if (!(j = job_new(x)))
        api_refuse(&error, 500, NULL, "no memory for a request");
    else if (fields_open(&f, exchange_body(x), &error)) {
        read_body(&f, j);
        fields_close(&f);
    }
    if (error.status) {
        job_free(j);
        exchange_refuse(x, &error);
        return;
    }
    exchange_hold(x);
    exchange_continue(x, j, work, job_free);
    exchange_poke(x);    /* the first turn submits */
}

static const Route routes[] = {{"POST", "/v1/embeddings", ACCESS_KEY, embed}};
const RouteList routes_openai_embeddings = ROUTES(routes, api_error_json);

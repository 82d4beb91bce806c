/* ridge.c -- the public interface: wires package, device, model and engine, and translates. */
#include <ridge.h>

#include <stdlib.h>
#include <string.h>

#include "api/answer.h"
#include "api/chat_prompt.h"
#include "devices/cpu/cpu_device.h"
#include "model/package.h"

_Static_assert(sizeof((ridge_error){0}.text) == ERROR_TEXT_BYTES, "errors are passed on whole");
_Static_assert((int)RIDGE_CANCELLED == (int)CANCELLED && (int)RIDGE_NO_MEMORY == (int)NO_MEMORY, "the same codes");

enum { SEQUENCES = 8, QUEUE = 64, CONTEXT = 8192 };
static const size_t TEXT_BYTES_MAX = (size_t)1 << 28;

struct ridge_model {
    Package package;
    Device *device;
    Model *model;
    ChatTemplate *chat; /* NULL: none */
};

struct ridge_engine {
    ridge_model *model;
    Engine *engine;
};

struct ridge_request {
    Request *request;
    Answer *answers;
    int32_t samples;
    Error error; /* of an answer that could not go on */
    Event event;
    ridge_candidate best[RIDGE_BEST_MAX];
};

const char *ridge_version(void) { return RIDGE_VERSION; }

static ridge_status tell(ridge_error *out, Err code, const Error *err)
{
    if (out && code != OK) {
        out->status = (ridge_status)code;
        memcpy(out->text, err->text, sizeof out->text);
    }
    return (ridge_status)code;
}

/* ---- a model ---- */

static Err open_model(ridge_model *m, const char *path, const ridge_model_options *options, Error *err)
{
    CpuOptions cpu = {.tier = TIER_BEST, .threads = options ? options->threads : 0};
    const char *tier = options ? options->tier : NULL;
    if (tier && strcmp(tier, "best") && !cpu_tier_parse(tier, &cpu.tier))
        return fail(err, BAD_ARGUMENT, "tier '%s' is not one of %s", tier, CPU_TIER_CHOICES);
    TRY(package_open(&m->package, path, err));
    if (!m->package.checkpoint.store)
        return fail(err, BAD_FILE, "%s: holds no weights", m->package.path);
    TRY(cpu_device_open(&cpu, &m->device, err));
    TRY(model_open(&m->package.checkpoint, m->device, NULL, &m->model, err));
    return chat_prompt_template(&m->package, &m->chat, err);
}

ridge_status ridge_model_open(const char *path, const ridge_model_options *options, ridge_model **out,
                              ridge_error *error)
{
    Error err = {0};
    ridge_model *m = calloc(1, sizeof *m);
    Err result = m ? open_model(m, path, options, &err) : fail(&err, NO_MEMORY, "no memory to open a model");
    if (result == OK)
        *out = m;
    else
        ridge_model_close(m);
    return tell(error, result, &err);
}

void ridge_model_close(ridge_model *m)
{
    if (!m)
        return;
    chat_template_free(m->chat);
    model_close(m->model);
    device_close(m->device);
    package_close(&m->package);
    free(m);
}

ridge_model_facts ridge_model_about(const ridge_model *m)
{
    const ModelShape *s = &m->model->shape;
    return (ridge_model_facts){.family = s->family,
                               .parameters = m->model->parameters,
                               .width = s->D,
                               .layers = s->L,
                               .vocabulary = s->V,
                               .context = s->context,
                               .has_tokenizer = m->package.tokenizer != NULL,
                               .has_chat_template = m->chat != NULL};
}

static Err need_tokenizer(const ridge_model *m, Error *err)
{
    return m->package.tokenizer ? OK : fail(err, BAD_ARGUMENT, "%s: has no tokenizer", m->package.path);
}

int64_t ridge_tokenize(const ridge_model *m, const char *text, size_t text_bytes, bool add_special, int32_t *ids,
                       size_t ids_max, ridge_error *error)
{
    Error err = {0};
    Encoding encoding = {0};
    Err result = need_tokenizer(m, &err);
    if (result == OK)
        result = tokenizer_encode(m->package.tokenizer, span_of(text, text_bytes),
                                  ENCODE_PARSE_SPECIAL | (add_special ? ENCODE_ADD_SPECIAL : 0), &encoding, &err);
    int64_t count = result == OK ? (int64_t)encoding.count : -1;
    for (size_t i = 0; result == OK && i < encoding.count && i < ids_max; i++)
        ids[i] = encoding.ids[i];
    encoding_deinit(&encoding);
    tell(error, result, &err);
    return count;
}

/* Copies what fits; returns how much there is. */
static int64_t hand_over(Buf *from, char *text, size_t bytes_max, Err result, const Error *err, ridge_error *error)
{
    int64_t bytes = result == OK ? (int64_t)from->bytes : -1;
    if (result == OK && bytes_max)
        memcpy(text, from->data, from->bytes < bytes_max ? from->bytes : bytes_max);
    buf_deinit(from);
    tell(error, result, err);
    return bytes;
}

int64_t ridge_detokenize(const ridge_model *m, const int32_t *ids, size_t count, char *text, size_t text_bytes_max,
                         ridge_error *error)
{
    Error err = {0};
    Buf out;
    buf_init(&out, TEXT_BYTES_MAX);
    Err result = need_tokenizer(m, &err);
    for (size_t i = 0; i < count && result == OK; i++)
        if (ids[i] < 0 || ids[i] >= tokenizer_size(m->package.tokenizer))
            result = fail(&err, BAD_ARGUMENT, "%d is not a token; the vocabulary has %d", ids[i],
                          tokenizer_size(m->package.tokenizer));
    if (result == OK && !tokenizer_decode(m->package.tokenizer, ids, count, 0, &out))
        result = fail(&err, NO_MEMORY, "no memory for the text of %zu tokens", count);
    return hand_over(&out, text, text_bytes_max, result, &err, error);
}

int64_t ridge_render_chat(const ridge_model *m, const char *messages_json, bool add_generation_prompt, char *text,
                          size_t text_bytes_max, ridge_error *error)
{
    Error err = {0};
    Buf out;
    json_t *messages = NULL;
    buf_init(&out, TEXT_BYTES_MAX);
    Err result = m->chat ? json_read(span_text(messages_json), TEXT_BYTES_MAX, "messages", &messages, &err)
                         : fail(&err, BAD_ARGUMENT, "%s: has no chat template", m->package.path);
    if (result == OK)
        result = chat_prompt_render(&m->package, m->chat, messages, add_generation_prompt, &out, &err);
    json_decref(messages);
    return hand_over(&out, text, text_bytes_max, result, &err, error);
}

/* ---- an engine ---- */

static Err open_engine(ridge_engine *e, const ridge_engine_options *given, Error *err)
{
    ridge_engine_options o = given ? *given : (ridge_engine_options){0};
    const Model *m = e->model->model;
    EngineOptions options = engine_options_default();
    options.sequences = options.logit_rows = o.sequences ? o.sequences : SEQUENCES;
    options.context = o.context ? o.context : m->shape.context < CONTEXT ? m->shape.context : CONTEXT;
    options.queue = o.queue ? o.queue : QUEUE;
    options.cache_bytes = o.cache_bytes;
    if (o.state_snapshots)
        options.state_snapshots = o.state_snapshots == -1 ? 0 : o.state_snapshots;
    if (o.cache_type && !(options.cache_format = format_find(o.cache_type)))
        return fail(err, BAD_ARGUMENT, "cache_type '%s' is not a format", o.cache_type);
    EngineModel model = engine_model(m);
    return engine_new(&e->engine, &options, &model, e->model->device, err);
}

ridge_status ridge_engine_new(ridge_model *model, const ridge_engine_options *options, ridge_engine **out,
                              ridge_error *error)
{
    Error err = {0};
    ridge_engine *e = calloc(1, sizeof *e);
    if (e)
        e->model = model;
    Err result = e ? open_engine(e, options, &err) : fail(&err, NO_MEMORY, "no memory for an engine");
    if (result == OK)
        *out = e;
    else
        free(e);
    return tell(error, result, &err);
}

void ridge_engine_free(ridge_engine *e)
{
    if (!e)
        return;
    engine_free(e->engine);
    free(e);
}

bool ridge_step(ridge_engine *e) { return engine_step(e->engine); }
void ridge_wait(ridge_engine *e, double seconds) { engine_wait(e->engine, seconds); }
void ridge_wake(ridge_engine *e) { engine_wake(e->engine); }

/* ---- requests ---- */

static void choose_sampling(const ridge_request_options *o, const Tokenizer *t, SamplerOptions *s)
{
    *s = sampler_options_greedy();
    s->temperature = o->temperature;
    s->top_k = o->top_k;
    s->top_p = o->top_p > 0 ? o->top_p : 1;
    s->min_p = o->min_p;
    s->seed = o->seed;
    s->logprobs = o->logprobs ? o->logprobs - 1 : LOGPROBS_NONE;
    s->ignore_eos = o->ignore_end;
    for (int i = 0; t && i < tokenizer_specials(t)->ends_count; i++)
        token_ids_add(&s->end, tokenizer_specials(t)->ends[i]);
}

static Err open_answers(ridge_request *r, const ridge_request_options *o, const Tokenizer *t, Error *err)
{
    int stops = 0;
    while (stops < RIDGE_STOPS_MAX && o->stop[stops])
        stops++;
    r->samples = o->samples ? o->samples : 1;
    if (r->samples < 1 || r->samples > SAMPLES_MAX)
        return fail(err, BAD_ARGUMENT, "samples is %d; 1 to %d are possible", r->samples, SAMPLES_MAX);
    r->answers = calloc((size_t)r->samples, sizeof *r->answers);
    if (!r->answers)
        return fail(err, NO_MEMORY, "no memory for %d answers", r->samples);
    for (int32_t i = 0; i < r->samples && t; i++)
        TRY(answer_init(&r->answers[i], t, o->stop, stops, err));
    return OK;
}

static Err submit(ridge_engine *e, const ridge_request_options *o, ridge_request *r, Error *err)
{
    const Tokenizer *t = e->model->package.tokenizer;
    Encoding encoding = {0};
    RequestOptions options = {.prompt = o->ids,
                              .prompt_count = (int32_t)o->ids_count,
                              .samples = o->samples,
                              .max_tokens = o->max_tokens ? o->max_tokens : TOKENS_ALL,
                              .notify = o->notify,
                              .notify_with = o->notify_with};
    if (!o->text == !o->ids || o->ids_count > INT32_MAX)
        return fail(err, BAD_ARGUMENT, "a prompt is either text or ids, of 2^31 - 1 at most");
    TRY(need_tokenizer(e->model, err));
    TRY(open_answers(r, o, t, err));
    choose_sampling(o, t, &options.sampling);
    Err result = OK;
    if (o->text) {
        result = tokenizer_encode(t, span_text(o->text), ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL, &encoding, err);
        options.prompt = encoding.ids;
        options.prompt_count = (int32_t)encoding.count;
    }
    if (result == OK)
        result = engine_submit(e->engine, &options, &r->request, err);
    encoding_deinit(&encoding);
    return result;
}

ridge_status ridge_submit(ridge_engine *e, const ridge_request_options *options, ridge_request **out,
                          ridge_error *error)
{
    Error err = {0};
    ridge_request *r = calloc(1, sizeof *r);
    Err result = r ? submit(e, options, r, &err) : fail(&err, NO_MEMORY, "no memory for a request");
    if (result == OK)
        *out = r;
    else
        ridge_request_close(r);
    return tell(error, result, &err);
}

static bool all_stopped(const ridge_request *r)
{
    for (int32_t i = 0; i < r->samples; i++)
        if (!r->answers[i].stopped && !r->answers[i].ended)
            return false;
    return true;
}

static ridge_reason reason_of(const Answer *a)
{
    static const ridge_reason reasons[] = {[END_STOP] = RIDGE_END_STOP,
                                           [END_LENGTH] = RIDGE_END_LENGTH,
                                           [END_CANCELLED] = RIDGE_END_CANCELLED,
                                           [END_ERROR] = RIDGE_END_ERROR};
    return reasons[a->reason];
}

static void fill_event(ridge_request *r, Answer *a, ridge_event *out)
{
    const Event *event = &r->event;
    Span fresh = answer_fresh(a);
    *out = (ridge_event){.sample = event->sample,
                         .text = (const char *)fresh.data,
                         .text_bytes = fresh.bytes,
                         .token = -1,
                         .best = r->best};
    if (event->kind == EVENT_END) {
        out->reason = reason_of(a);
        if (out->reason == RIDGE_END_ERROR) {
            out->text = request_error(r->request);
            out->text_bytes = strlen(out->text);
        }
        return;
    }
    out->token = event->token.id;
    out->logprob = event->token.logprob;
    out->best_count = event->token.best_count;
    for (int32_t i = 0; i < out->best_count; i++)
        r->best[i] = (ridge_candidate){event->token.best[i].id, event->token.best[i].logprob};
}

bool ridge_next(ridge_request *r, ridge_event *out)
{
    while (request_next(r->request, &r->event)) {
        Answer *a = &r->answers[r->event.sample];
        bool after_stop = a->stopped && r->event.kind == EVENT_TOKEN;
        if (answer_take(a, &r->event, &r->error) != OK)
            request_cancel(r->request);
        if (all_stopped(r))
            request_cancel(r->request);
        if (after_stop) /* the engine had gone on before it knew */
            continue;
        fill_event(r, a, out);
        return true;
    }
    return false;
}

bool ridge_ended(const ridge_request *r) { return request_ended(r->request); }
void ridge_cancel(ridge_request *r) { request_cancel(r->request); }

void ridge_request_close(ridge_request *r)
{
    if (!r)
        return;
    request_close(r->request);
    for (int32_t i = 0; i < r->samples && r->answers; i++)
        answer_deinit(&r->answers[i]);
    free(r->answers);
    free(r);
}

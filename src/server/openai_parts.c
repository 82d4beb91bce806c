#include "server/openai_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "text/utf8.h"

static const size_t HEAD_BYTES_MAX = 4096;

/* ---- a request ---- */

void openai_generate(Exchange *x, bool (*begin)(Exchange *, Fields *, GenerationSpec *, ApiError *))
{
    ApiError error = {0};
    Fields f = {0};
    GenerationSpec spec;
    const Service *service = exchange_service(x);
    generation_spec_init(&spec, service);
    bool good = service->tokenizer || api_refuse(&error, 501, NULL, "the model has no tokenizer, so it can neither read nor "
                                                 "write text");
    good = good && fields_open(&f, exchange_body(x), &error) && begin(x, &f, &spec, &error);
    fields_close(&f);
    generation_spec_deinit(&spec);
    if (!good)
        exchange_refuse(x, &error);
}

/* ---- a reply ---- */

OpenaiReply *openai_reply_new(Exchange *x, const char *prefix, int32_t choices)
{
    OpenaiReply *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->opened = calloc((size_t)choices, sizeof *r->opened);
    r->bytes = calloc((size_t)choices, sizeof *r->bytes);
    buf_init(&r->head, HEAD_BYTES_MAX);
    buf_init(&r->end, HEAD_BYTES_MAX);
    r->choices = choices;
    r->created = time(NULL);
    r->service = exchange_service(x);
    r->logprobs = LOGPROBS_NONE;
    const char *id = exchange_id(x);
    snprintf(r->id, sizeof r->id, "%s%s", prefix, strncmp(id, "req_", 4) ? id : id + 4);
    if (r->opened && r->bytes)
        return r;
    openai_reply_free(r);
    return NULL;
}

void openai_reply_free(void *reply)
{
    OpenaiReply *r = reply;
    if (!r)
        return;
    buf_deinit(&r->head);
    buf_deinit(&r->end);
    free(r->opened);
    free(r->bytes);
    free(r);
}

void openai_read_stream_options(Fields *f, OpenaiReply *r, bool stream)
{
    json_t *options = fields_object(f, "stream_options");
    if (!options)
        return;
    if (!stream)
        fields_refuse(f, "stream_options", "is for streams only: \"stream\" is not true");
    Fields inner = fields_of(options, "stream_options.", f->error);
    fields_bool(&inner, "include_usage", &r->includes_usage);
    fields_bool(&inner, "continuous_usage_stats", &r->counts_always);
}

/* ---- parts of an answer ---- */

json_t *openai_usage(const Generation *g)
{
    GenerationUsage u = generation_usage(g);
    return json_pack("{s:I, s:I, s:I, s:{s:I}, s:{s:I}}", "prompt_tokens", (json_int_t)u.prompt_tokens, "completion_tokens",
                     (json_int_t)u.completion_tokens, "total_tokens", (json_int_t)(u.prompt_tokens + u.completion_tokens),
                     "prompt_tokens_details", "cached_tokens", (json_int_t)u.cached_tokens, "completion_tokens_details",
                     "reasoning_tokens", (json_int_t)u.reasoning_tokens);
}

/* OpenAI has no word for an answer that its time or the server's end has cut: it was cut, as by a length. */
const char *openai_finish(const Choice *c)
{
    static const char *const names[] = {[FINISH_STOP] = "stop", [FINISH_LENGTH] = "length", [FINISH_CALLS] = "tool_calls",
                                        [FINISH_CANCELLED] = "length", [FINISH_EXPIRED] = "length",
                                        [FINISH_ERROR] = "error"};
    return names[c->finish];
}

json_t *openai_finish_json(const Choice *c)
{
    return c->finish == FINISH_NONE ? json_null() : json_string(openai_finish(c));
}

json_t *openai_stop_reason(const Generation *g, const Choice *c)
{
    if (c->finish == FINISH_EXPIRED || c->finish == FINISH_CANCELLED)
        return json_string(c->finish == FINISH_EXPIRED ? "expired" : "cancelled");
    if (c->stop_text)
        return json_string(c->stop_text);
    bool asked = c->stop_token >= 0 && token_ids_have(&generation_spec(g)->sampling.stop, c->stop_token);
    return asked ? json_integer(c->stop_token) : json_null();
}

json_t *openai_frame(const OpenaiReply *r, const char *object, json_t *choices)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:o}", "id", r->id, "object", object, "created", (json_int_t)r->created,
                     "model", r->service->model_name, "system_fingerprint", "ridge-" RIDGE_VERSION, "choices", choices);
}

void openai_add_extras(json_t *answer, const Generation *g)
{
    json_object_set_new(answer, "usage", openai_usage(g));
    if (generation_spec(g)->timings)
        json_object_set_new(answer, "timings", generation_timings(g));
}

/* ---- streams ---- */

/* All chunks begin alike, so that is written once: {"id": ..., "choices":[ */
static bool write_head(OpenaiReply *r, const char *object)
{
    json_t *frame = openai_frame(r, object, json_array());
    char *text = frame ? json_dumps(frame, JSON_COMPACT) : NULL;
    bool good = text && buf_put(&r->head, text, strlen(text) - strlen("]}"));
    free(text);
    json_decref(frame);
    return good;
}

static void begin_stream(Exchange *x, OpenaiReply *r)
{
    if (!r->began)
        exchange_stream(x, "text/event-stream");
    r->began = true;
}

/* What follows the choice. */
static void put_end(const Generation *g, const OpenaiReply *r, Buf *out)
{
    json_t *usage = r->counts_always ? openai_usage(g) : NULL;
    char *text = usage ? json_dumps(usage, JSON_COMPACT) : NULL;
    buf_put_char(out, ']');
    if (r->counts_always || r->includes_usage) {
        buf_put_text(out, ",\"usage\":");
        buf_put_text(out, text ? text : "null");
    }
    buf_put_char(out, '}');
    free(text);
    json_decref(usage);
}

/* {"index":0, of each chunk, so not by printf. */
static bool put_index(Buf *out, int32_t index)
{
    char text[24] = "{\"index\":";
    int digits = 1, at = (int)strlen(text);
    for (int32_t rest = index; rest >= 10; rest /= 10)
        digits++;
    for (int i = digits - 1; i >= 0; i--, index /= 10)
        text[at + i] = (char)('0' + index % 10);
    text[at + digits] = ',';
    return buf_put(out, text, (size_t)(at + digits + 1));
}

/* Behind the head of all chunks: before, value, after. Takes the value. */
static void send_chunk(Exchange *x, const Generation *g, OpenaiReply *r, const OpenaiChunk *c, int32_t index, json_t *value)
{
    begin_stream(x, r);
    bool good = r->head.bytes > 0 || write_head(r, c->object);
    size_t head = r->head.bytes;
    if (c->before)
        good = good && put_index(&r->head, index) && buf_put_text(&r->head, c->before);
    if (!good) {
        json_decref(value);
        value = NULL;              /* told as what it is: no memory */
    }
    buf_clear(&r->end);
    if (c->after)
        buf_put_text(&r->end, c->after);
    put_end(g, r, &r->end);
    exchange_event_within(x, buf_span(&r->head), value, buf_span(&r->end));
    buf_cut(&r->head, head);
}

void openai_send(Exchange *x, const Generation *g, OpenaiReply *r, const char *object, json_t *choice)
{
    send_chunk(x, g, r, &(OpenaiChunk){.object = object}, 0, choice);
}

void openai_send_text(Exchange *x, const Generation *g, OpenaiReply *r, const OpenaiChunk *c, int32_t index, Span text)
{
    send_chunk(x, g, r, c, index, json_stringn((const char *)text.data, text.bytes));
}

bool openai_is_plain(const OpenaiReply *r, const Delta *d)
{
    return d->kind == DELTA_TEXT && d->text.bytes > 0 && d->choice->finish == FINISH_NONE && r->opened[d->choice->index] &&
           r->logprobs == LOGPROBS_NONE && !r->returns_ids;
}

void openai_end_stream(Exchange *x, const Generation *g, OpenaiReply *r, const char *object)
{
    ApiError error;
    if (generation_failed(g, &error)) {
        exchange_refuse(x, &error);
        return;
    }
    begin_stream(x, r);
    if (r->includes_usage || generation_spec(g)->timings) {
        json_t *frame = openai_frame(r, object, json_array());
        openai_add_extras(frame, g);
        exchange_event(x, NULL, frame);
    }
    exchange_put(x, span_text("data: [DONE]\n\n"));
    exchange_done(x);
}

bool openai_tell_failure(Exchange *x, const Generation *g)
{
    ApiError error;
    if (!generation_failed(g, &error))
        return false;
    exchange_refuse(x, &error);
    return true;
}

/* ---- log-probabilities ---- */

json_t *openai_number(float logprob) { return json_real(isfinite(logprob) ? (double)logprob : -9999.0); }

json_t *openai_token_text(const Tokenizer *t, int32_t id)
{
    Span piece = tokenizer_piece_bytes(t, id);
    json_t *text = json_stringn(piece.bytes ? (const char *)piece.data : "", piece.bytes);
    if (text)
        return text;
    Buf whole;
    buf_init(&whole, 4 * piece.bytes + 8);
    for (size_t at = 0; at < piece.bytes;) {
        Utf8Char c = utf8_read(piece.data + at, piece.bytes - at);
        buf_put_utf8(&whole, c.code);
        at += c.bytes;
    }
    text = json_stringn(whole.data, whole.bytes);
    buf_deinit(&whole);
    return text;
}

json_t *openai_token_bytes(const Tokenizer *t, int32_t id)
{
    Span piece = tokenizer_piece_bytes(t, id);
    json_t *list = json_array();
    for (size_t i = 0; i < piece.bytes; i++)
        json_array_append_new(list, json_integer(piece.data[i]));
    return list;
}

static json_t *one_logprob(const Tokenizer *t, int32_t id, float logprob)
{
    return json_pack("{s:o, s:o, s:o}", "token", openai_token_text(t, id), "logprob", openai_number(logprob), "bytes",
                     openai_token_bytes(t, id));
}

json_t *openai_logprobs(const Tokenizer *t, const KeptToken *tokens, int32_t count)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < count; i++) {
        json_t *entry = one_logprob(t, tokens[i].id, tokens[i].logprob), *top = json_array();
        for (int32_t k = 0; k < tokens[i].best_count; k++)
            json_array_append_new(top, one_logprob(t, tokens[i].best[k].id, tokens[i].best[k].logprob));
        json_object_set_new(entry, "top_logprobs", top);
        json_array_append_new(list, entry);
    }
    return list;
}

static void add_ranked(json_t *to, const Tokenizer *t, int32_t id, float logprob, int32_t rank)
{
    char key[16];
    snprintf(key, sizeof key, "%d", id);
    json_object_set_new(to, key, json_pack("{s:o, s:o, s:o}", "logprob", openai_number(logprob), "rank",
                                           rank > 0 ? json_integer(rank) : json_null(), "decoded_token",
                                           openai_token_text(t, id)));
}

json_t *openai_prompt_logprobs(const Tokenizer *t, const Choice *c)
{
    json_t *list = json_pack("[n]");
    for (int32_t i = 0; i < c->prompt_token_count; i++) {
        const KeptToken *s = &c->prompt_tokens[i];
        json_t *entry = json_object();
        add_ranked(entry, t, s->id, s->logprob, 0);
        for (int32_t k = 0; k < s->best_count; k++)
            add_ranked(entry, t, s->best[k].id, s->best[k].logprob, k + 1);
        json_array_append_new(list, entry);
    }
    return list;
}

json_t *openai_ids(const KeptToken *tokens, int32_t count)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer(tokens[i].id));
    return list;
}

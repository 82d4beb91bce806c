#include "server/anthropic_answer.h"

#include <stdlib.h>

#include "server/random_id.h"
#include "server/service.h"

typedef struct Answer {
    RandomId id;
    bool began;                /* message_start was written */
    int block;                 /* the one that was begun last, from 0; -1: none */
    bool open;                 /* it has not been stopped */
    DeltaKind kind;            /* what it holds: text, reasoning or a call */
    bool after_thinking;       /* white space between reasoning and text is nobody's */
} Answer;

void *anthropic_answer_new(void)
{
    Answer *a = calloc(1, sizeof *a);
    if (a)
        *a = (Answer){.id = random_id("msg_"), .block = -1};
    return a;
}

/* ---- what both forms have ---- */

static json_t *text_json(Span text) { return json_stringn(text.bytes ? (const char *)text.data : "", text.bytes); }

static Span without_leading_space(Span text)
{
    while (text.bytes && memchr(" \t\r\n", text.data[0], 4))
        text = span_from(text, 1);
    return text;
}

static void set_reason(json_t *object, const Choice *c, const GenerationSpec *spec)
{
    static const char *const reasons[] = {[FINISH_STOP] = "end_turn", [FINISH_LENGTH] = "max_tokens",
                                          [FINISH_CALLS] = "tool_use"};
    const char *reason = c->finish > FINISH_NONE && c->finish < FINISH_CANCELLED ? reasons[c->finish] : "max_tokens";
    if (c->finish == FINISH_LENGTH && spec->max_tokens == TOKENS_ALL)
        reason = "model_context_window_exceeded";
    bool stopped = c->finish == FINISH_STOP && c->stop_text;
    json_object_set_new(object, "stop_reason", json_string(stopped ? "stop_sequence" : reason));
    json_object_set_new(object, "stop_sequence", stopped ? json_string(c->stop_text) : json_null());
}

/* Input that came from the cache is not counted twice. */
static json_t *usage_json(const Generation *g)
{
    GenerationUsage u = generation_usage(g);
    return json_pack("{s:I, s:i, s:I, s:I}", "input_tokens", (json_int_t)(u.prompt_tokens - u.cached_tokens),
                     "cache_creation_input_tokens", 0, "cache_read_input_tokens", (json_int_t)u.cached_tokens, "output_tokens",
                     (json_int_t)u.completion_tokens);
}

static json_t *message_json(Exchange *x, Generation *g, json_t *content)
{
    const Answer *a = generation_with(g);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:n, s:n, s:o}", "id", a->id.text, "type", "message", "role", "assistant",
                     "model", exchange_service(x)->model_name, "content", content, "stop_reason", "stop_sequence", "usage",
                     usage_json(g));
}

/* ---- all at once ---- */

static json_t *input_json(const Buf *arguments)
{
    json_t *input = json_loadb(arguments->data, arguments->bytes, 0, NULL);
    if (json_is_object(input))
        return input;
    json_decref(input);        /* the answer was cut off within it, as stop_reason says */
    return json_object();
}

static json_t *content_json(const Choice *c)
{
    json_t *content = json_array();
    Span reasoning = buf_span(&c->reasoning), text = buf_span(&c->text);
    if (reasoning.bytes) {
        json_array_append_new(content, json_pack("{s:s, s:o, s:s}", "type", "thinking", "thinking", text_json(reasoning),
                                                 "signature", ""));
        text = without_leading_space(text);
    }
    if (text.bytes)
        json_array_append_new(content, json_pack("{s:s, s:o}", "type", "text", "text", text_json(text)));
    for (int32_t i = 0; i < c->call_count; i++)
        json_array_append_new(content, json_pack("{s:s, s:s, s:o, s:o}", "type", "tool_use", "id", c->calls[i].id, "name",
                                                 text_json(buf_span(&c->calls[i].name)), "input",
                                                 input_json(&c->calls[i].arguments)));
    return content;
}

/* ---- as events ---- */

static void begin_message(Exchange *x, Generation *g)
{
    Answer *a = generation_with(g);
    if (a->began)
        return;
    a->began = true;
    exchange_stream(x, "text/event-stream");
    exchange_event(x, "message_start", json_pack("{s:s, s:o}", "type", "message_start", "message",
                                                 message_json(x, g, json_array())));
    exchange_event(x, "ping", json_pack("{s:s}", "type", "ping"));
}

static void end_block(Exchange *x, Answer *a)
{
    if (a->open)
        exchange_event(x, "content_block_stop", json_pack("{s:s, s:i}", "type", "content_block_stop", "index", a->block));
    a->open = false;
}

/* Takes the block over. */
static void begin_block(Exchange *x, Answer *a, DeltaKind kind, json_t *block)
{
    end_block(x, a);
    a->block++;
    a->open = true;
    a->kind = kind;
    exchange_event(x, "content_block_start", json_pack("{s:s, s:i, s:o}", "type", "content_block_start", "index", a->block,
                                                       "content_block", block));
}

static void put_delta(Exchange *x, const Answer *a, const char *type, const char *name, Span text)
{
    if (text.bytes)
        exchange_event(x, "content_block_delta", json_pack("{s:s, s:i, s:{s:s, s:o}}", "type", "content_block_delta", "index",
                                                           a->block, "delta", "type", type, name, text_json(text)));
}

static void put_text(Exchange *x, Answer *a, Span text)
{
    if (a->after_thinking)
        text = without_leading_space(text);
    if (text.bytes == 0)
        return;
    a->after_thinking = false;
    if (!a->open || a->kind != DELTA_TEXT)
        begin_block(x, a, DELTA_TEXT, json_pack("{s:s, s:s}", "type", "text", "text", ""));
    put_delta(x, a, "text_delta", "text", text);
}

static void put_thinking(Exchange *x, Answer *a, Span text)
{
    if (text.bytes == 0)
        return;
    if (!a->open || a->kind != DELTA_REASONING)
        begin_block(x, a, DELTA_REASONING, json_pack("{s:s, s:s, s:s}", "type", "thinking", "thinking", "", "signature", ""));
    a->after_thinking = true;
    put_delta(x, a, "thinking_delta", "thinking", text);
}

static void put_call(Exchange *x, Answer *a, const Delta *d)
{
    begin_block(x, a, DELTA_CALL, json_pack("{s:s, s:s, s:o, s:{}}", "type", "tool_use", "id", d->choice->calls[d->call].id,
                                            "name", text_json(d->text), "input"));
}

static void write_delta(Exchange *x, Generation *g, const Delta *d)
{
    Answer *a = generation_with(g);
    ApiError ignored;
    if (d->kind == DELTA_END && generation_failed(g, &ignored))
        return;                /* done() tells it */
    begin_message(x, g);
    switch (d->kind) {
    case DELTA_TEXT: put_text(x, a, d->text); break;
    case DELTA_REASONING: put_thinking(x, a, d->text); break;
    case DELTA_CALL: put_call(x, a, d); break;
    case DELTA_ARGUMENTS: put_delta(x, a, "input_json_delta", "partial_json", d->text); break;
    case DELTA_END: end_block(x, a); break;
    }
}

static void end_message(Exchange *x, Generation *g)
{
    Answer *a = generation_with(g);
    json_t *reason = json_object();
    begin_message(x, g);
    end_block(x, a);
    set_reason(reason, generation_choice(g, 0), generation_spec(g));
    exchange_event(x, "message_delta", json_pack("{s:s, s:o, s:o}", "type", "message_delta", "delta", reason, "usage",
                                                 usage_json(g)));
    exchange_event(x, "message_stop", json_pack("{s:s}", "type", "message_stop"));
    exchange_done(x);
}

static void write_all(Exchange *x, Generation *g)
{
    ApiError error = {0};
    if (generation_failed(g, &error)) {
        exchange_refuse(x, &error);
        return;
    }
    if (generation_spec(g)->stream) {
        end_message(x, g);
        return;
    }
    json_t *message = message_json(x, g, content_json(generation_choice(g, 0)));
    set_reason(message, generation_choice(g, 0), generation_spec(g));
    exchange_json(x, 200, message);
}

const Wire anthropic_wire = {.delta = write_delta, .done = write_all, .free_with = free};

/* ---- errors ---- */

json_t *anthropic_error_json(const ApiError *e)
{
    static const struct { int status; const char *type; } types[] = {
        {401, "authentication_error"}, {403, "permission_error"}, {404, "not_found_error"}, {413, "request_too_large"},
        {429, "rate_limit_error"},     {503, "overloaded_error"}, {529, "overloaded_error"},
    };
    const char *type = e->status >= 500 ? "api_error" : "invalid_request_error";
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (types[i].status == e->status)
            type = types[i].type;
    return json_pack("{s:s, s:{s:s, s:s}}", "type", "error", "error", "type", type, "message", e->message);
}

void anthropic_error_event(Exchange *x, const ApiError *e) { exchange_event(x, "error", anthropic_error_json(e)); }

#include "server/response_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/api_keys.h"
#include "server/generation_inside.h"
#include "server/openai_parts.h"
#include "server/response_store.h"

ResponseReply *response_reply_new(const Exchange *x)
{
    ResponseReply *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    *r = (ResponseReply){.id = random_id("resp_"), .created = time(NULL), .service = exchange_service(x),
                         .tenant = generation_tenant(exchange_key(x)), .frame = json_object(),
                         .output = json_array(), .logprobs = LOGPROBS_NONE};
    return r;
}

void response_reply_free(void *reply)
{
    ResponseReply *r = reply;
    if (!r)
        return;
    if (r->background)
        response_store_ended(r->service->responses, r->tenant, r->id.text);
    if (r->events)
        response_events_end(r->events);
    response_events_drop(r->events);
    json_decref(r->frame);
    json_decref(r->messages);
    json_decref(r->input);
    json_decref(r->output);
    json_decref(r->told);
    free(r);
}

/* ---- items ---- */

static json_t *text_json(Span text) { return json_stringn(text.bytes ? (const char *)text.data : "", text.bytes); }

static json_t *text_part(Span text, json_t *logprobs)
{
    return json_pack("{s:s, s:o, s:[], s:O}", "type", "output_text", "text", text_json(text), "annotations", "logprobs",
                     logprobs);
}

static json_t *reasoning_part(Span text) { return json_pack("{s:s, s:o}", "type", "reasoning_text", "text", text_json(text)); }

/* `part` NULL: it has none yet. Taken over. */
static json_t *message_item(const char *id, const char *status, json_t *part)
{
    json_t *content = json_array();
    if (part)
        json_array_append_new(content, part);
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "id", id, "type", "message", "status", status, "role", "assistant", "content",
                     content);
}

static json_t *reasoning_item(const char *id, const char *status, json_t *part)
{
    json_t *content = json_array();
    if (part)
        json_array_append_new(content, part);
    return json_pack("{s:s, s:s, s:s, s:[], s:o}", "id", id, "type", "reasoning", "status", status, "summary", "content",
                     content);
}

static json_t *call_item(const char *id, const char *status, const ToolCall *call, Span arguments)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "id", id, "type", "function_call", "status", status, "call_id", call->id,
                     "name", text_json(buf_span(&call->name)), "arguments", text_json(arguments));
}

static Span arguments_of(const ToolCall *call)
{
    return call->arguments.bytes ? buf_span(&call->arguments) : span_text("{}");
}

/* ---- the response ---- */

static json_t *usage_json(const Generation *g)
{
    GenerationUsage u = generation_usage(g);
    return json_pack("{s:I, s:{s:I}, s:I, s:{s:I}, s:I}", "input_tokens", (json_int_t)u.prompt_tokens, "input_tokens_details",
                     "cached_tokens", (json_int_t)u.cached_tokens, "output_tokens", (json_int_t)u.completion_tokens,
                     "output_tokens_details", "reasoning_tokens", (json_int_t)u.reasoning_tokens, "total_tokens",
                     (json_int_t)(u.prompt_tokens + u.completion_tokens));
}

/* Why an answer is not whole; NULL: it is. */
static const char *incomplete_reason(const Choice *c)
{
    static const char *const reasons[] = {[FINISH_LENGTH] = "max_output_tokens", [FINISH_CANCELLED] = "cancelled",
                                          [FINISH_EXPIRED] = "expired", [FINISH_ERROR] = "error"};
    return reasons[c->finish];
}

static json_t *response_json(const ResponseReply *r, const Generation *g, const char *status, const ApiError *error)
{
    bool over = strcmp(status, "in_progress") != 0;
    const char *reason = !strcmp(status, "incomplete") ? incomplete_reason(generation_choice(g, 0)) : NULL;
    json_t *why = error ? json_pack("{s:s, s:s}", "code", "server_error", "message", error->message) : json_null();
    json_t *cut = reason ? json_pack("{s:s}", "reason", reason) : json_null();
    json_t *out = json_pack("{s:s, s:s, s:I, s:s, s:b, s:O, s:s, s:o, s:o, s:o}", "id", r->id.text, "object", "response",
                            "created_at", (json_int_t)r->created, "status", status, "background", r->background, "output",
                            r->output, "model", r->service->model_name, "usage",
                            over && !error ? usage_json(g) : json_null(), "error", why, "incomplete_details", cut);
    json_object_update_missing(out, r->frame);
    if (over && generation_spec(g)->timings)
        json_object_set_new(out, "timings", generation_timings(g));
    return out;
}

/* ---- events ---- */

/* Takes the json, and adds what all events have. */
static void send(Exchange *x, ResponseReply *r, const char *type, json_t *event)
{
    json_object_set_new(event, "type", json_string(type));
    json_object_set_new(event, "sequence_number", json_integer(r->sequence++));
    if (r->events)
        response_events_put(r->events, type, event);
    exchange_event(x, type, event);
}

static void send_response(Exchange *x, ResponseReply *r, const Generation *g, const char *type, const char *status,
                          const ApiError *error)
{
    json_t *response = response_json(r, g, status, error);
    send(x, r, type, json_pack("{s:o}", "response", json_deep_copy(response)));
    json_decref(response);
}

static void begin(Exchange *x, ResponseReply *r, const Generation *g)
{
    if (r->began)
        return;
    r->began = true;
    exchange_stream(x, "text/event-stream");
    send_response(x, r, g, "response.created", "in_progress", NULL);
    send_response(x, r, g, "response.in_progress", "in_progress", NULL);
}

/* {"item_id", "output_index"} and, for what lies in a part, "content_index". */
static json_t *place(const ResponseReply *r)
{
    json_t *out = json_pack("{s:s, s:i}", "item_id", r->item.text, "output_index", (int)json_array_size(r->output));
    if (r->kind != DELTA_CALL)
        json_object_set_new(out, "content_index", json_integer(0));
    return out;
}

static json_t *with(json_t *event, const char *name, json_t *value)
{
    json_object_set_new(event, name, value);
    return event;
}

static json_t *logprobs_so_far(const ResponseReply *r) { return r->told ? json_deep_copy(r->told) : json_array(); }

static json_t *part_json(const ResponseReply *r, Span text)
{
    if (r->kind == DELTA_REASONING)
        return reasoning_part(text);
    json_t *logprobs = logprobs_so_far(r), *part = text_part(text, logprobs);
    json_decref(logprobs);
    return part;
}

static json_t *item_json(const ResponseReply *r, const Choice *c, const char *status, json_t *part, Span arguments)
{
    if (r->kind == DELTA_TEXT)
        return message_item(r->item.text, status, part);
    if (r->kind == DELTA_REASONING)
        return reasoning_item(r->item.text, status, part);
    return call_item(r->item.text, status, &c->calls[r->call], arguments);
}

static void send_item(Exchange *x, ResponseReply *r, const char *type, json_t *item)
{
    send(x, r, type, json_pack("{s:i, s:o}", "output_index", (int)json_array_size(r->output), "item", item));
}

static void open_item(Exchange *x, ResponseReply *r, const Choice *c, DeltaKind kind, size_t text_begin)
{
    static const char *const prefixes[] = {[DELTA_TEXT] = "msg_", [DELTA_REASONING] = "rs_", [DELTA_CALL] = "fc_"};
    r->open = true;
    r->kind = kind;
    r->item = random_id(prefixes[kind]);
    r->begin = text_begin;
    json_decref(r->told);
    r->told = kind == DELTA_TEXT && r->logprobs != LOGPROBS_NONE ? json_array() : NULL;
    send_item(x, r, "response.output_item.added", item_json(r, c, "in_progress", NULL, (Span){0}));
    if (kind != DELTA_CALL)
        send(x, r, "response.content_part.added", with(place(r), "part", part_json(r, (Span){0})));
}

static void close_text(Exchange *x, ResponseReply *r, Span text)
{
    if (r->kind == DELTA_REASONING)
        send(x, r, "response.reasoning_text.done", with(place(r), "text", text_json(text)));
    else
        send(x, r, "response.output_text.done",
             with(with(place(r), "text", text_json(text)), "logprobs", logprobs_so_far(r)));
    send(x, r, "response.content_part.done", with(place(r), "part", part_json(r, text)));
}

static void close_item(Exchange *x, ResponseReply *r, const Choice *c)
{
    Span text = {0}, arguments = {0};
    if (!r->open)
        return;
    if (r->kind == DELTA_CALL) {
        const ToolCall *call = &c->calls[r->call];
        arguments = arguments_of(call);
        send(x, r, "response.function_call_arguments.done",
             with(with(place(r), "name", text_json(buf_span(&call->name))), "arguments", text_json(arguments)));
    } else {
        text = span_from(buf_span(r->kind == DELTA_TEXT ? &c->text : &c->reasoning), r->begin);
        close_text(x, r, text);
    }
    const char *status = c->finish != FINISH_NONE && incomplete_reason(c) ? "incomplete" : "completed";
    json_t *item = item_json(r, c, status, r->kind == DELTA_CALL ? NULL : part_json(r, text), arguments);
    send_item(x, r, "response.output_item.done", json_deep_copy(item));
    json_array_append_new(r->output, item);
    r->open = false;
}

static void tell_text(Exchange *x, ResponseReply *r, const Delta *d)
{
    const Buf *whole = d->kind == DELTA_TEXT ? &d->choice->text : &d->choice->reasoning;
    bool reasons = d->kind == DELTA_REASONING;
    if (!r->open || r->kind != d->kind) {
        close_item(x, r, d->choice);
        open_item(x, r, d->choice, d->kind, whole->bytes - d->text.bytes);
    }
    json_t *event = with(place(r), "delta", text_json(d->text));
    if (!reasons) {
        json_t *logprobs = r->told ? openai_logprobs(r->service->tokenizer, d->tokens, d->token_count) : json_array();
        if (r->told)
            json_array_extend(r->told, logprobs);
        json_object_set_new(event, "logprobs", logprobs);
    }
    send(x, r, reasons ? "response.reasoning_text.delta" : "response.output_text.delta", event);
}

static void tell_delta(Exchange *x, Generation *g, const Delta *d)
{
    ResponseReply *r = generation_with(g);
    begin(x, r, g);
    switch (d->kind) {
    case DELTA_TEXT:
    case DELTA_REASONING: tell_text(x, r, d); break;
    case DELTA_CALL:
        close_item(x, r, d->choice);
        r->call = d->call;
        open_item(x, r, d->choice, DELTA_CALL, 0);
        break;
    case DELTA_ARGUMENTS:
        send(x, r, "response.function_call_arguments.delta", with(place(r), "delta", text_json(d->text)));
        break;
    case DELTA_END:
        if (!r->open && json_array_size(r->output) == 0)    /* an answer without a word is a message too */
            open_item(x, r, d->choice, DELTA_TEXT, 0);
        close_item(x, r, d->choice);
        break;
    }
}

/* ---- the end ---- */

/* Of an answer that was no stream, all items at once. */
static void gather_items(ResponseReply *r, const Choice *c)
{
    const char *status = incomplete_reason(c) ? "incomplete" : "completed";
    if (c->reasoning.bytes)
        json_array_append_new(r->output,
                              reasoning_item(random_id("rs_").text, status, reasoning_part(buf_span(&c->reasoning))));
    if (c->text.bytes || c->call_count == 0) {
        json_t *logprobs = r->logprobs != LOGPROBS_NONE ? openai_logprobs(r->service->tokenizer, c->tokens, c->token_count)
                                                        : json_array();
        json_array_append_new(r->output, message_item(random_id("msg_").text, status, text_part(buf_span(&c->text), logprobs)));
        json_decref(logprobs);
    }
    for (int32_t i = 0; i < c->call_count; i++)
        json_array_append_new(r->output, call_item(random_id("fc_").text, status, &c->calls[i], arguments_of(&c->calls[i])));
}

/* The answer as a message of the conversation, for who goes on from here. */
static void add_answer(json_t *messages, const Choice *c)
{
    json_t *message = json_pack("{s:s, s:o}", "role", "assistant", "content", text_json(buf_span(&c->text)));
    json_t *calls = json_array();
    for (int32_t i = 0; i < c->call_count; i++)
        json_array_append_new(calls, json_pack("{s:s, s:s, s:{s:o, s:o}}", "id", c->calls[i].id, "type", "function", "function",
                                               "name", text_json(buf_span(&c->calls[i].name)), "arguments",
                                               text_json(arguments_of(&c->calls[i]))));
    if (c->call_count > 0)
        json_object_set(message, "tool_calls", calls);
    json_decref(calls);
    json_array_append_new(messages, message);
}

static void store(Exchange *x, ResponseReply *r, const Choice *c, json_t *response)
{
    if (!r->messages)
        return;
    add_answer(r->messages, c);
    json_t *parts[RESPONSE_PARTS] = {json_deep_copy(response), r->messages, r->input};
    response_store_put(r->service->responses, r->tenant, parts, x, r->events);
    r->messages = r->input = NULL;
}

static void add_items(void *reply, json_t *parts[RESPONSE_PARTS])
{
    const ResponseReply *r = reply;
    json_t *output = json_deep_copy(r->output), *input = json_deep_copy(r->input);
    json_array_extend(parts[RESPONSE_INPUT], input);
    json_array_extend(parts[RESPONSE_INPUT], output);
    json_decref(output);
    json_decref(input);
}

static void end_failed(Exchange *x, ResponseReply *r, const Generation *g, const ApiError *error)
{
    if (!r->began) {
        exchange_refuse(x, error);
        return;
    }
    send_response(x, r, g, "response.failed", "failed", error);
    exchange_done(x);
}

/* A stream that was cancelled or deleted ends as an incomplete one, and the response in it says why: clients know no event
 * of another name. */
static void done(Exchange *x, Generation *g)
{
    ResponseReply *r = generation_with(g);
    const Choice *c = generation_choice(g, 0);
    ApiError error;
    bool cancelled = exchange_stopped(x), failed = !cancelled && generation_failed(g, &error);
    if (failed && !r->background) {
        end_failed(x, r, g, &error);
        return;
    }
    const char *status = cancelled ? "cancelled" : failed ? "failed" : incomplete_reason(c) ? "incomplete" : "completed";
    char type[32];
    snprintf(type, sizeof type, "response.%s", cancelled ? "incomplete" : status);
    bool stream = generation_spec(g)->stream;
    if (!stream && !failed)
        gather_items(r, c);
    json_t *response = response_json(r, g, status, failed ? &error : NULL);
    if (r->conversation[0] && !failed && !cancelled)
        response_store_change(r->service->conversations, r->tenant, r->conversation, add_items, r);
    store(x, r, c, response);
    if (stream)
        send(x, r, type, json_pack("{s:O}", "response", response));
    if (stream || r->background) {
        json_decref(response);
        exchange_done(x);
        return;
    }
    exchange_json(x, 200, response);
}

void response_reply_ahead(Exchange *x, ResponseReply *r, bool stream)
{
    json_t *response = response_json(r, NULL, "in_progress", NULL);
    json_t *parts[RESPONSE_PARTS] = {json_deep_copy(response), json_deep_copy(r->messages), json_deep_copy(r->input)};
    r->events = stream ? response_events_new() : NULL;
    response_store_put(r->service->responses, r->tenant, parts, x, r->events);
    if (!stream) {
        exchange_json_ahead(x, 200, response);
        return;
    }
    json_decref(response);
    exchange_outlive(x);
    begin(x, r, NULL);
}

const Wire response_wire = {.delta = tell_delta, .done = done, .free_with = response_reply_free};

/* POST /v1/responses: OpenAI's newer form of a conversation; GET and DELETE /v1/responses/{}: what was stored of it;
 * GET /v1/responses/{}/input_items: what was asked with; POST /v1/responses/{}/cancel: ends one made with "background".
 *
 *     input          "text"  |  [{"role", "content"}, {"type": "function_call" ...}, {"type": "function_call_output" ...}]
 *     conversation   what was said there (api_openai_conversations.c) comes before; this goes on it
 *     instructions   a message of the system before all; not carried on by previous_response_id
 *
 * Stored responses lie in memory, bounded, each for the tenant that made it (response_store.h).
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/api_keys.h"
#include "server/conversation_items.h"
#include "server/generation_inside.h"
#include "server/openai_parts.h"
#include "server/response_items.h"
#include "server/response_reply.h"
#include "server/response_store.h"
#include "server/sampling_fields.h"

enum { EVENTS_MOST = 1 << 30 };

/* ---- input ---- */

static void read_input(Fields *f, Conversation *c)
{
    json_t *input = fields_any(f, "input");
    if (json_is_string(input)) {
        conversation_add(c, "user", json_string_value(input));
        return;
    }
    if (fields_ok(f) && (!json_is_array(input) || json_array_size(input) > MESSAGES_MAX))
        fields_refuse(f, "input", "must be a text, or a list of at most %d items", MESSAGES_MAX);
    if (fields_ok(f))
        conversation_add_items(c, f, "input", input);
}

static json_t *stored(const Exchange *x, const char *id, ResponsePart part)
{
    return response_store_get(exchange_service(x)->responses, generation_tenant(exchange_key(x)), id, part);
}

static void read_previous(Fields *f, Conversation *c, Exchange *x)
{
    const char *id = NULL;
    fields_text(f, "previous_response_id", 128, &id);
    if (!fields_ok(f) || !id)
        return;
    json_t *messages = stored(x, id, RESPONSE_MESSAGES);
    if (messages) {
        json_array_extend(c->messages, messages);
        json_decref(messages);
        return;
    }
    fields_refuse(f, "previous_response_id", "there is no response '%s': it was not stored, or is gone", id);
    f->error->status = 404;
    f->error->code = "previous_response_not_found";
}

/* "conv_..." or {"id": "conv_..."}: what was said there comes before the input. */
static void read_conversation(Fields *f, Conversation *c, ResponseReply *r, Exchange *x)
{
    json_t *given = fields_any(f, "conversation");
    const char *id = json_string_value(json_is_object(given) ? json_object_get(given, "id") : given);
    if (!given || !fields_ok(f))
        return;
    if (!id || strlen(id) >= sizeof r->conversation)
        fields_refuse(f, "conversation", "must be an id, or {\"id\"}");
    if (fields_has(f, "previous_response_id"))
        fields_refuse(f, "previous_response_id", "cannot be given together with conversation");
    if (!fields_ok(f))
        return;
    json_t *items = response_store_get(exchange_service(x)->conversations, r->tenant, id, RESPONSE_INPUT);
    if (items) {
        snprintf(r->conversation, sizeof r->conversation, "%s", id);
        conversation_add_items(c, f, "conversation", items);
        json_decref(items);
        return;
    }
    fields_refuse(f, "conversation", "there is no conversation '%s': it was deleted, or is gone", id);
    f->error->status = 404;
}

/* ---- tools ---- */

/* {"type": "function", "name", ...} as chat's {"type": "function", "function": {"name", ...}}. */
static void read_tools(Fields *f, Conversation *c)
{
    static const char *const types[] = {"function"};
    json_t *list = fields_array(f, "tools", TOOLS_MAX), *tool, *nested = json_array();
    size_t i;
    json_array_foreach(list, i, tool)
    {
        Fields inner = fields_within(f, tool, "tools[%zu].", i);
        if (!json_is_object(tool))
            fields_refuse(&inner, "", "must be an object");
        if (fields_ok(f))
            fields_choice(&inner, "type", types, 1, 0);
        json_array_append_new(nested, json_pack("{s:s, s:O}", "type", "function", "function", tool));
    }
    if (fields_ok(f))
        conversation_set_tools(c, f, "tools[%zu].", "", nested);
    json_decref(nested);
}

/* ---- the other fields ---- */

static void read_text_format(Fields *f, GenerationSpec *s, const Service *service)
{
    static const char *const types[] = {"text", "json_schema", "json_object"};
    json_t *text = fields_object(f, "text");
    Fields outer = fields_of(text, "text.", f->error);
    json_t *format = text ? fields_object(&outer, "format") : NULL;
    if (!format)
        return;
    Fields inner = fields_of(format, "text.format.", f->error);
    int type = fields_choice(&inner, "type", types, (int)COUNT_OF(types), 0);
    if (type == 1 && !fields_has(&inner, "schema"))
        fields_refuse(&inner, "schema", "is missing");
    if (type == 1)
        output_form_schema(&inner, "schema", fields_any(&inner, "schema"), s, service);
    else if (type == 2)
        output_form_object(&inner, "type", s, service);
}

static void read_reasoning(Fields *f, Conversation *c)
{
    json_t *reasoning = fields_object(f, "reasoning");
    if (!reasoning)
        return;
    Fields inner = fields_of(reasoning, "reasoning.", f->error);
    conversation_read_effort(c, &inner, "effort");
}

static void refuse_unsupported(Fields *f, const Exchange *x, ResponseReply *r, bool stores)
{
    if (fields_has(f, "prompt"))
        fields_refuse(f, "prompt", "is not supported here; send the items themselves");
    fields_bool(f, "background", &r->background);
    if (r->background && exchange_is_background(x))
        fields_refuse(f, "background", "is what a line of a batch is anyhow");
    if (r->background && !stores)
        fields_refuse(f, "background", "needs \"store\": true, for who asks later");
}

/* What is only repeated in the answer, or not done here, is of its type all the same. */
static void check_others(Fields *f)
{
    static const char *const truncations[] = {"disabled", "auto"};
    int32_t calls = 1;
    const char *user = NULL;
    fields_object(f, "metadata");
    fields_int(f, "max_tool_calls", 1, INT32_MAX, &calls);
    fields_text(f, "user", 512, &user);
    if (fields_choice(f, "truncation", truncations, 2, 0) == 1)
        fields_refuse(f, "truncation", "'auto' is not done here: what does not fit is refused, and nothing left out");
}

static bool wants_logprobs(Fields *f)
{
    json_t *include = fields_array(f, "include", 64), *name;
    size_t i;
    json_array_foreach(include, i, name)
        if (json_is_string(name) && !strcmp(json_string_value(name), "message.output_text.logprobs"))
            return true;
    return false;
}

static void read_limits(Fields *f, GenerationSpec *s, ResponseReply *r)
{
    int32_t top = 0;
    s->n = s->best_of = 1;
    s->beam_search = false;
    fields_int(f, "max_output_tokens", 1, INT32_MAX, &s->max_tokens);
    fields_int(f, "top_logprobs", 0, TOP_LOGPROBS_MAX, &top);
    if (wants_logprobs(f) || top > 0)
        r->logprobs = s->sampling.logprobs = top;
}

/* What a response repeats of its request, with what was not said filled in. */
static void repeat_request(Fields *f, ResponseReply *r, const GenerationSpec *s)
{
    static const struct { const char *name, *otherwise; } repeated[] = {
        {"instructions", "null"}, {"max_output_tokens", "null"}, {"max_tool_calls", "null"}, {"metadata", "{}"},
        {"parallel_tool_calls", "true"}, {"previous_response_id", "null"}, {"reasoning", "{\"effort\":null,\"summary\":null}"},
        {"store", "true"}, {"text", "{\"format\":{\"type\":\"text\"}}"}, {"tool_choice", "\"auto\""}, {"tools", "[]"},
        {"top_logprobs", "0"}, {"truncation", "\"disabled\""}, {"user", "null"},
    };
    for (size_t i = 0; i < COUNT_OF(repeated); i++) {
        json_t *given = fields_any(f, repeated[i].name);
        json_object_set_new(r->frame, repeated[i].name, given ? json_deep_copy(given)
                                                              : json_loads(repeated[i].otherwise, JSON_DECODE_ANY, NULL));
    }
    json_object_set_new(r->frame, "conversation", r->conversation[0] ? json_pack("{s:s}", "id", r->conversation) : json_null());
    json_object_set_new(r->frame, "temperature", json_real((double)s->sampling.temperature));
    json_object_set_new(r->frame, "top_p", json_real((double)s->sampling.top_p));
}

static void read_body(Fields *f, GenerationSpec *s, ResponseReply *r, Conversation *c, Exchange *x)
{
    const Service *service = exchange_service(x);
    const char *instructions = NULL;
    bool stores = true;
    model_field_check(f, service);
    sampling_fields_read(f, s, service);
    read_limits(f, s, r);
    fields_bool(f, "store", &stores);
    refuse_unsupported(f, x, r, stores);
    fields_text(f, "instructions", SIZE_MAX, &instructions);
    read_previous(f, c, x);
    read_conversation(f, c, r, x);
    read_input(f, c);
    read_tools(f, c);
    conversation_read_tool_choice(c, f, false);
    fields_bool(f, "parallel_tool_calls", &c->parallel);
    read_reasoning(f, c);
    read_text_format(f, s, service);
    check_others(f);
    if (!fields_ok(f))
        return;
    if (stores)
        r->messages = json_deep_copy(c->messages);
    if (stores || r->conversation[0])
        r->input = response_items(fields_any(f, "input"));
    if (instructions)
        json_array_insert_new(c->messages, 0, json_pack("{s:s, s:s}", "role", "system", "content", instructions));
    repeat_request(f, r, s);
}

static bool begin(Exchange *x, Fields *f, GenerationSpec *spec, ApiError *error)
{
    Conversation conversation;
    ResponseReply *r = response_reply_new(x);
    if (!r)
        return api_refuse(error, 500, NULL, "no memory for a request");
    conversation_init(&conversation);
    read_body(f, spec, r, &conversation, x);
    bool good = fields_ok(f) && conversation_prompt(&conversation, exchange_service(x), spec, "input", error);
    conversation_deinit(&conversation);
    if (!good) {
        response_reply_free(r);
        return false;
    }
    bool streams = spec->stream;
    good = generation_begin(x, spec, &response_wire, r, error);
    if (good && r->background)
        response_reply_ahead(x, r, streams);
    return good;
}

static void respond(Exchange *x) { openai_generate(x, begin); }

/* ---- what was stored ---- */

static void refuse_unknown(Exchange *x)
{
    ApiError error;
    api_refuse(&error, 404, "response_id", "there is no response '%s': it was not stored, or is gone",
               exchange_path_part(x, 0));
    exchange_refuse(x, &error);
}

/* starting_after: the sequence_number of the last event that is known already. */
static void show_events(Exchange *x)
{
    ApiError error;
    const char *after = exchange_query(x, "starting_after");
    char *end = NULL;
    long long last = after ? strtoll(after, &end, 10) : -1;
    if (after && (!isdigit((unsigned char)*after) || *end || last > EVENTS_MOST)) {
        api_refuse(&error, 400, "starting_after", "starting_after: must be the sequence_number of an event");
        exchange_refuse(x, &error);
        return;
    }
    ResponseEvents *events =
        response_store_events(exchange_service(x)->responses, generation_tenant(exchange_key(x)), exchange_path_part(x, 0));
    if (events) {
        response_events_read(events, x, last + 1);
    } else {
        api_refuse(&error, 400, "stream", "stream: only what was asked for with \"background\" and \"stream\" can be streamed "
                   "again; this is given as a whole");
        exchange_refuse(x, &error);
    }
    response_events_drop(events);
}

static void show(Exchange *x)
{
    const char *stream = exchange_query(x, "stream");
    json_t *response = stored(x, exchange_path_part(x, 0), RESPONSE_SHOWN);
    if (!response)
        refuse_unknown(x);
    else if (stream && strcmp(stream, "false") != 0)
        show_events(x);
    else
        exchange_json(x, 200, json_incref(response));
    json_decref(response);
}

static void show_input(Exchange *x)
{
    json_t *items = stored(x, exchange_path_part(x, 0), RESPONSE_INPUT);
    if (items)
        response_items_show(x, items);
    else
        refuse_unknown(x);
}

static void cancel(Exchange *x)
{
    ApiError error;
    const char *id = exchange_path_part(x, 0);
    json_t *response = response_store_cancel(exchange_service(x)->responses, generation_tenant(exchange_key(x)), id);
    json_t *known = response ? NULL : stored(x, id, RESPONSE_SHOWN);
    if (response)
        exchange_json(x, 200, response);
    else if (!known)
        refuse_unknown(x);
    else {
        api_refuse(&error, 400, "response_id", "only what was asked for with \"background\": true can be cancelled");
        exchange_refuse(x, &error);
    }
    json_decref(known);
}

static void forget(Exchange *x)
{
    const char *id = exchange_path_part(x, 0);
    if (response_store_drop(exchange_service(x)->responses, generation_tenant(exchange_key(x)), id))
        exchange_json(x, 200, json_pack("{s:s, s:s, s:b}", "id", id, "object", "response", "deleted", 1));
    else
        refuse_unknown(x);
}

static const Route routes[] = {
    {"POST", "/v1/responses", ACCESS_KEY, respond},
    {"GET", "/v1/responses/{}", ACCESS_KEY, show},
    {"GET", "/v1/responses/{}/input_items", ACCESS_KEY, show_input},
    {"POST", "/v1/responses/{}/cancel", ACCESS_KEY, cancel},
    {"DELETE", "/v1/responses/{}", ACCESS_KEY, forget},
};
const RouteList routes_openai_responses = ROUTES(routes, api_error_json);

/* POST /v1/chat/completions: the next message of a conversation.
 *
 * Of a stream, for each choice: a chunk with the role, then what comes: content, reasoning_content, tool_calls (the name
 * first, then the arguments as they are written), then one with the finish_reason.
 */
#include <stdlib.h>

#include "server/conversation.h"
#include "server/openai_parts.h"
#include "server/sampling_fields.h"

static const char object[] = "chat.completion", chunk_object[] = "chat.completion.chunk";
static const OpenaiChunk text_chunk = {chunk_object, "\"delta\":{\"content\":", "},\"logprobs\":null,\"finish_reason\":null}"};

/* ---- the answer as a whole ---- */

static json_t *call_json(const ToolCall *call)
{
    return json_pack("{s:s, s:s, s:{s:s, s:s}}", "id", call->id, "type", "function", "function", "name",
                     call->name.bytes ? call->name.data : "", "arguments", call->arguments.bytes ? call->arguments.data : "{}");
}

static json_t *text_json(const Buf *text) { return json_stringn(text->bytes ? text->data : "", text->bytes); }

static json_t *message_json(const Choice *c)
{
    json_t *calls = json_array();
    bool silent = c->text.bytes == 0 && c->call_count > 0;
    for (int32_t i = 0; i < c->call_count; i++)
        json_array_append_new(calls, call_json(&c->calls[i]));
    json_t *out = json_pack("{s:s, s:o, s:n}", "role", "assistant", "content", silent ? json_null() : text_json(&c->text),
                            "refusal");
    if (c->reasoning.bytes)
        json_object_set_new(out, "reasoning_content", text_json(&c->reasoning));
    if (c->call_count > 0)
        json_object_set(out, "tool_calls", calls);
    json_decref(calls);
    return out;
}

static json_t *logprobs_json(const OpenaiReply *r, const KeptToken *tokens, int32_t count)
{
    if (r->logprobs == LOGPROBS_NONE)
        return json_null();
    return json_pack("{s:o, s:n}", "content", openai_logprobs(r->service->tokenizer, tokens, count), "refusal");
}

static void tell_all(Exchange *x, Generation *g)
{
    OpenaiReply *r = generation_with(g);
    json_t *choices = json_array(), *prompt = NULL;
    for (int32_t i = 0; i < generation_choices(g); i++) {
        const Choice *c = generation_choice(g, i);
        json_t *choice = json_pack("{s:i, s:o, s:o, s:o, s:o}", "index", (int)c->index, "message", message_json(c), "logprobs",
                                   logprobs_json(r, c->tokens, c->token_count), "finish_reason", openai_finish_json(c),
                                   "stop_reason", openai_stop_reason(g, c));
        if (r->returns_ids)
            json_object_set_new(choice, "token_ids", openai_ids(c->tokens, c->token_count));
        if (r->returns_prompt && !prompt)
            prompt = openai_prompt_logprobs(r->service->tokenizer, c);
        json_array_append_new(choices, choice);
    }
    json_t *answer = openai_frame(r, object, choices);
    if (prompt)
        json_object_set_new(answer, "prompt_logprobs", prompt);
    openai_add_extras(answer, g);
    exchange_json(x, 200, answer);
}

/* ---- the answer as it comes ---- */

static json_t *call_delta(const Delta *d)
{
    const ToolCall *call = &d->choice->calls[d->call];
    json_t *text = json_stringn((const char *)d->text.data, d->text.bytes);
    if (d->kind == DELTA_CALL)
        return json_pack("{s:[{s:i, s:s, s:s, s:{s:o, s:s}}]}", "tool_calls", "index", (int)d->call, "id", call->id, "type",
                         "function", "function", "name", text, "arguments", "");
    return json_pack("{s:[{s:i, s:{s:o}}]}", "tool_calls", "index", (int)d->call, "function", "arguments", text);
}

static json_t *delta_json(const Delta *d)
{
    switch (d->kind) {
    case DELTA_TEXT: return json_pack("{s:o}", "content", json_stringn((const char *)d->text.data, d->text.bytes));
    case DELTA_REASONING:
        return json_pack("{s:o}", "reasoning_content", json_stringn((const char *)d->text.data, d->text.bytes));
    case DELTA_CALL:
    case DELTA_ARGUMENTS: return call_delta(d);
    case DELTA_END: break;
    }
    return json_object();
}

static json_t *chunk_choice(const Choice *c, json_t *delta, json_t *logprobs)
{
    return json_pack("{s:i, s:o, s:o, s:o}", "index", (int)c->index, "delta", delta, "logprobs", logprobs, "finish_reason",
                     json_null());
}

static void tell_delta(Exchange *x, Generation *g, const Delta *d)
{
    OpenaiReply *r = generation_with(g);
    const Choice *c = d->choice;
    if (openai_is_plain(r, d)) {
        openai_send_text(x, g, r, &text_chunk, c->index, d->text);
        return;
    }
    if (!r->opened[c->index])
        openai_send(x, g, r, chunk_object,
                    chunk_choice(c, json_pack("{s:s, s:s}", "role", "assistant", "content", ""), json_null()));
    r->opened[c->index] = true;
    json_t *logprobs = d->token_count > 0 ? logprobs_json(r, d->tokens, d->token_count) : json_null();
    json_t *choice = chunk_choice(c, delta_json(d), logprobs);
    if (r->returns_ids)
        json_object_set_new(choice, "token_ids", openai_ids(d->tokens, d->token_count));
    if (d->kind == DELTA_END) {
        json_object_set_new(choice, "finish_reason", openai_finish_json(c));
        json_object_set_new(choice, "stop_reason", openai_stop_reason(g, c));
    }
    openai_send(x, g, r, chunk_object, choice);
}

static void done(Exchange *x, Generation *g)
{
    if (generation_spec(g)->stream)
        openai_end_stream(x, g, generation_with(g), chunk_object);
    else if (!openai_tell_failure(x, g))
        tell_all(x, g);
}

static const Wire wire = {.delta = tell_delta, .done = done, .free_with = openai_reply_free};

/* ---- the request ---- */

static void read_template_fields(Fields *f, Conversation *c)
{
    json_t *extra = fields_object(f, "chat_template_kwargs");
    c->extra = extra ? json_copy(extra) : NULL;
    conversation_read_effort(c, f, "reasoning_effort");
    fields_int(f, "thinking_token_budget", THINKING_ANY, INT32_MAX, &c->thinking_tokens);     /* as vLLM calls it, */
    fields_int(f, "thinking_budget_tokens", THINKING_ANY, INT32_MAX, &c->thinking_tokens);    /* and llama.cpp */
    fields_bool(f, "continue_final_message", &c->continue_last);
    c->add_generation_prompt = !c->continue_last;
    fields_bool(f, "add_generation_prompt", &c->add_generation_prompt);
    if (c->continue_last && c->add_generation_prompt)
        fields_refuse(f, "add_generation_prompt", "cannot be true together with continue_final_message");
}

static void read_conversation(Fields *f, Conversation *c)
{
    json_t *messages = fields_array(f, "messages", MESSAGES_MAX);
    if (fields_ok(f) && (!messages || json_array_size(messages) == 0))
        fields_refuse(f, "messages", "must be a list with a message");
    conversation_add_messages(c, f, "messages", messages);
    conversation_set_tools(c, f, "tools[%zu].", "function.", fields_array(f, "tools", TOOLS_MAX));
    fields_bool(f, "parallel_tool_calls", &c->parallel);
    conversation_read_tool_choice(c, f, true);
    read_template_fields(f, c);
}

static void read_logprobs(Fields *f, GenerationSpec *s, OpenaiReply *r)
{
    bool logprobs = false;
    int32_t top = 0;
    fields_bool(f, "logprobs", &logprobs);
    fields_int(f, "top_logprobs", 0, TOP_LOGPROBS_MAX, &top);
    fields_int(f, "prompt_logprobs", 0, TOP_LOGPROBS_MAX, &s->prompt_logprobs);
    if (fields_has(f, "top_logprobs") && top > 0 && !logprobs)
        fields_refuse(f, "top_logprobs", "needs \"logprobs\": true");
    r->logprobs = s->sampling.logprobs = logprobs ? top : LOGPROBS_NONE;
    r->returns_prompt = s->prompt_logprobs != LOGPROBS_NONE;
    if (s->stream && r->returns_prompt)
        fields_refuse(f, "prompt_logprobs", "is not given in streams");
}

static void read_body(Fields *f, GenerationSpec *s, OpenaiReply *r, Conversation *c, const Service *service)
{
    model_field_check(f, service);
    sampling_fields_read(f, s, service);
    fields_int(f, "max_tokens", 1, INT32_MAX, &s->max_tokens);
    fields_int(f, "max_completion_tokens", 1, INT32_MAX, &s->max_tokens);
    fields_bool(f, "echo", &s->echo);
    fields_bool(f, "return_token_ids", &r->returns_ids);
    read_logprobs(f, s, r);
    openai_read_stream_options(f, r, s->stream);
    if (s->echo)
        fields_refuse(f, "echo", "is for /v1/completions");
    read_conversation(f, c);
    output_form_read(f, s, service);
}

static bool begin(Exchange *x, Fields *f, GenerationSpec *spec, ApiError *error)
{
    Conversation conversation;
    OpenaiReply *r = openai_reply_new(x, "chatcmpl-", SAMPLES_MAX);
    if (!r)
        return api_refuse(error, 500, NULL, "no memory for a request");
    conversation_init(&conversation);
    read_body(f, spec, r, &conversation, exchange_service(x));
    bool good = fields_ok(f) && conversation_prompt(&conversation, exchange_service(x), spec, "messages", error);
    conversation_deinit(&conversation);
    if (good)
        return generation_begin(x, spec, &wire, r, error);
    openai_reply_free(r);
    return false;
}

static void chat(Exchange *x) { openai_generate(x, begin); }

static const Route routes[] = {{"POST", "/v1/chat/completions", ACCESS_KEY, chat}};
const RouteList routes_openai_chat = ROUTES(routes, api_error_json);

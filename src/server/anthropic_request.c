#include "server/anthropic_request.h"

#include <stdio.h>

#include "server/sampling_fields.h"

static const size_t TURN_BYTES_MAX = (size_t)1 << 28;
enum { BLOCKS_MAX = 4096, BUDGET_TOKENS_LEAST = 1024 };

typedef enum Role { ROLE_USER, ROLE_ASSISTANT, ROLE_NONE } Role;

/* The turn that is being read: one or more messages of a role. */
typedef struct Turn {
    Conversation *conversation;
    Role role;
    Buf text, thinking;
    int texts, thoughts;       /* how many blocks each has */
    json_t *calls;
    json_t *known;             /* id of a call that was made -> name of its tool */
} Turn;

/* ---- turns ---- */

/* Adds what has come, and begins anew. */
static void end_turn(Turn *t)
{
    static const char *const roles[] = {"user", "assistant"};
    if (t->texts || json_array_size(t->calls) || (t->role == ROLE_ASSISTANT && t->thoughts)) {
        json_t *message = json_pack("{s:s, s:s%}", "role", roles[t->role], "content", t->text.data, t->text.bytes);
        if (json_array_size(t->calls))
            json_object_set(message, "tool_calls", t->calls);
        if (t->thoughts)
            json_object_set_new(message, "reasoning_content", json_stringn(t->thinking.data, t->thinking.bytes));
        json_array_append_new(t->conversation->messages, message);
    }
    buf_clear(&t->text);
    buf_clear(&t->thinking);
    t->texts = t->thoughts = 0;
    json_decref(t->calls);
    t->calls = json_array();
}

static void turn_init(Turn *t, Conversation *c)
{
    *t = (Turn){.conversation = c, .role = ROLE_NONE, .calls = json_array(), .known = json_object()};
    buf_init(&t->text, TURN_BYTES_MAX);
    buf_init(&t->thinking, TURN_BYTES_MAX);
}

static void turn_deinit(Turn *t)
{
    buf_deinit(&t->text);
    buf_deinit(&t->thinking);
    json_decref(t->calls);
    json_decref(t->known);
}

/* ---- blocks ---- */

static void require(Fields *f, const char *name, const void *value)
{
    if (!value)
        fields_refuse(f, name, "is missing");
}

static void add_text(Fields *f, const char *name, Buf *to, int *count)
{
    const char *text = NULL;
    fields_text(f, name, TURN_BYTES_MAX, &text);
    require(f, name, text);
    if (!fields_ok(f))
        return;
    if ((*count)++ > 0)
        buf_put_char(to, '\n');
    buf_put_text(to, text);
    if (to->full)
        fields_refuse(f, name, "is too long, together with the blocks before it");
}

static void add_use(Fields *f, Turn *t)
{
    const char *id = NULL, *name = NULL;
    fields_text(f, "id", 256, &id);
    fields_text(f, "name", TOOL_NAME_BYTES_MAX, &name);
    json_t *input = fields_object(f, "input");
    require(f, "id", id);
    require(f, "name", name);
    require(f, "input", input);
    if (!fields_ok(f))
        return;
    if (json_object_get(t->known, id))
        fields_refuse(f, "id", "'%.100s' is the id of two calls", id);
    json_object_set_new(t->known, id, json_string(name));
    json_array_append_new(t->calls, json_pack("{s:s, s:s, s:{s:s, s:O}}", "id", id, "type", "function", "function", "name",
                                              name, "arguments", input));
}

/* Text of a block's content, which may be missing: a string, or blocks of text. */
static void read_inner(Fields *f, const char *name, Buf *text);

static void add_result(Fields *f, Turn *t)
{
    const char *id = NULL;
    bool is_error = false;
    Buf text;
    fields_text(f, "tool_use_id", 256, &id);
    fields_bool(f, "is_error", &is_error);
    require(f, "tool_use_id", id);
    const char *name = id ? json_string_value(json_object_get(t->known, id)) : NULL;
    if (fields_ok(f) && !name)
        fields_refuse(f, "tool_use_id", "'%.100s' is the id of no tool_use block before it", id);
    buf_init(&text, TURN_BYTES_MAX);
    read_inner(f, "content", &text);
    if (fields_ok(f)) {
        end_turn(t);           /* what was said before the result */
        json_array_append_new(t->conversation->messages,
                              json_pack("{s:s, s:s, s:s, s:s%}", "role", "tool", "tool_call_id", id, "name", name, "content",
                                        text.data, text.bytes));
    }
    buf_deinit(&text);
}

static void refuse_kind(Fields *f, const char *type)
{
    if (!strcmp(type, "text") || !strcmp(type, "tool_use") || !strcmp(type, "tool_result") || strstr(type, "thinking"))
        fields_refuse(f, "type", "'%.60s' cannot stand here", type);
    else
        fields_refuse(f, "type", "'%.60s' is not something that this model can read; it reads text only", type);
}

static void add_block(Fields *f, Turn *t)
{
    const char *type = NULL;
    fields_text(f, "type", 256, &type);
    require(f, "type", type);
    if (!fields_ok(f))
        return;
    if (!strcmp(type, "text"))
        add_text(f, "text", &t->text, &t->texts);
    else if (t->role == ROLE_ASSISTANT && !strcmp(type, "tool_use"))
        add_use(f, t);
    else if (t->role == ROLE_ASSISTANT && !strcmp(type, "thinking"))
        add_text(f, "thinking", &t->thinking, &t->thoughts);
    else if (t->role == ROLE_USER && !strcmp(type, "tool_result"))
        add_result(f, t);
    else if (t->role != ROLE_ASSISTANT || strcmp(type, "redacted_thinking") != 0)   /* that one only its writer can read */
        refuse_kind(f, type);
}

/* A content of strings or blocks, block by block. */
static void read_content(Fields *f, const char *name, Turn *t)
{
    json_t *content = fields_any(f, name), *block;
    char path[96];
    size_t i;
    if (json_is_string(content)) {
        add_text(f, name, &t->text, &t->texts);
        return;
    }
    content = fields_array(f, name, BLOCKS_MAX);
    require(f, name, content);
    json_array_foreach(content, i, block)
    {
        snprintf(path, sizeof path, "%.40s%.10s.%zu.", f->path, name, i);
        Fields b = fields_of(block, path, f->error);
        if (!json_is_object(block))
            fields_refuse(&b, "", "must be an object");
        if (!fields_ok(f))
            return;
        add_block(&b, t);
    }
}

static void read_inner(Fields *f, const char *name, Buf *text)
{
    Turn inner;
    if (!fields_has(f, name) || !fields_ok(f))
        return;
    turn_init(&inner, NULL);
    read_content(f, name, &inner);
    if (!buf_put_span(text, buf_span(&inner.text)))
        fields_refuse(f, name, "is too long");
    turn_deinit(&inner);
}

/* ---- messages ---- */

static void read_message(Fields *f, Turn *t)
{
    static const char *const roles[] = {"user", "assistant"};
    int role = fields_choice(f, "role", roles, 2, ROLE_NONE);
    if (fields_ok(f) && role == ROLE_NONE)
        fields_refuse(f, "role", "is missing");
    if (!fields_ok(f))
        return;
    if (t->role != (Role)role && t->role != ROLE_NONE)
        end_turn(t);
    t->role = (Role)role;
    read_content(f, "content", t);
}

static void read_messages(Fields *f, Conversation *c)
{
    json_t *list = fields_array(f, "messages", MESSAGES_MAX), *message;
    char path[64];
    size_t i;
    Turn t;
    if (fields_ok(f) && json_array_size(list) == 0)
        fields_refuse(f, "messages", list ? "at least one message is required" : "is missing");
    turn_init(&t, c);
    json_array_foreach(list, i, message)
    {
        snprintf(path, sizeof path, "messages.%zu.", i);
        Fields m = fields_of(message, path, f->error);
        if (!json_is_object(message))
            fields_refuse(&m, "", "must be an object");
        if (fields_ok(f))
            read_message(&m, &t);
    }
    if (fields_ok(f) && t.role == ROLE_ASSISTANT && json_array_size(t.calls) > 0)
        fields_refuse(f, "messages", "the last call of a tool has no tool_result");
    c->continue_last = t.role == ROLE_ASSISTANT && t.texts > 0;
    c->add_generation_prompt = !c->continue_last;
    if (fields_ok(f))
        end_turn(&t);
    turn_deinit(&t);
}

static void read_system(Fields *f, Conversation *c)
{
    Buf text;
    buf_init(&text, TURN_BYTES_MAX);
    read_inner(f, "system", &text);
    if (fields_ok(f) && text.bytes)
        conversation_add(c, "system", text.data);
    buf_deinit(&text);
}

/* ---- tools ---- */

static json_t *read_tool(Fields *f)
{
    const char *type = "custom", *name = NULL, *description = NULL;
    fields_text(f, "type", 256, &type);
    if (fields_ok(f) && strcmp(type, "custom") != 0)
        fields_refuse(f, "type", "'%.60s' is a tool of Anthropic's own servers; here a tool has a name and an input_schema",
                      type);
    fields_text(f, "name", TOOL_NAME_BYTES_MAX, &name);
    fields_text(f, "description", TURN_BYTES_MAX, &description);
    json_t *schema = fields_object(f, "input_schema");
    require(f, "name", name);
    require(f, "input_schema", schema);
    if (!fields_ok(f))
        return NULL;
    json_t *function = json_pack("{s:s}", "name", name);
    if (description)
        json_object_set_new(function, "description", json_string(description));
    json_object_set(function, "parameters", schema);
    return json_pack("{s:s, s:o}", "type", "function", "function", function);
}

static void read_tools(Fields *f, Conversation *c)
{
    json_t *list = fields_array(f, "tools", TOOLS_MAX), *tools = json_array(), *tool;
    char path[64];
    size_t i;
    json_array_foreach(list, i, tool)
    {
        snprintf(path, sizeof path, "tools.%zu.", i);
        Fields t = fields_of(tool, path, f->error);
        if (!json_is_object(tool))
            fields_refuse(&t, "", "must be an object");
        json_t *made = fields_ok(f) ? read_tool(&t) : NULL;
        if (made)
            json_array_append_new(tools, made);
    }
    if (fields_ok(f))
        conversation_set_tools(c, f, "tools.%zu.", "", tools);
    json_decref(tools);
}

static bool has_tool(const Conversation *c, const char *name)
{
    json_t *tool;
    size_t i;
    json_array_foreach(c->tools, i, tool)
        if (!strcmp(json_string_value(json_object_get(json_object_get(tool, "function"), "name")), name))
            return true;
    return false;
}

static void read_tool_choice(Fields *f, Conversation *c)
{
    static const char *const types[] = {"auto", "none", "any", "tool"};
    json_t *choice = fields_object(f, "tool_choice");
    bool single = false;
    const char *name = NULL;
    if (!choice || !fields_ok(f))
        return;
    Fields inner = fields_of(choice, "tool_choice.", f->error);
    int type = fields_choice(&inner, "type", types, 4, -1);
    fields_bool(&inner, "disable_parallel_tool_use", &single);
    fields_text(&inner, "name", TOOL_NAME_BYTES_MAX, &name);
    if (fields_ok(f) && type < 0)
        fields_refuse(&inner, "type", "is missing");
    if (fields_ok(f) && type >= TOOLS_REQUIRED && !c->tools)
        fields_refuse(f, "tool_choice", "a tool must be used, but the request has no tools");
    if (type == TOOLS_NAMED)
        require(&inner, "name", name);
    if (fields_ok(f) && type == TOOLS_NAMED && !has_tool(c, name))
        fields_refuse(&inner, "name", "'%s' is not one of the tools", name);
    if (!fields_ok(f))
        return;
    c->choice = (ToolChoice)type;
    c->parallel = !single && type != TOOLS_NAMED;
    snprintf(c->tool, sizeof c->tool, "%s", type == TOOLS_NAMED ? name : "");
}

static void read_thinking(Fields *f, Conversation *c)
{
    static const char *const types[] = {"disabled", "enabled", "adaptive"};
    json_t *thinking = fields_object(f, "thinking");
    int64_t max_tokens = INT32_MAX, budget = 0;
    int type = 0;
    if (thinking) {
        Fields inner = fields_of(thinking, "thinking.", f->error);
        type = fields_choice(&inner, "type", types, 3, -1);
        if (fields_ok(f) && type < 0)
            fields_refuse(&inner, "type", "is missing");
        fields_long(f, "max_tokens", 1, INT32_MAX, &max_tokens);
        fields_long(&inner, "budget_tokens", BUDGET_TOKENS_LEAST, INT32_MAX, &budget);
        if (fields_ok(f) && type == 1 && budget == 0)
            fields_refuse(&inner, "budget_tokens", "is missing");
        if (fields_ok(f) && type == 1 && budget >= max_tokens)
            fields_refuse(&inner, "budget_tokens", "must be less than max_tokens");
    }
    c->extra = json_pack("{s:b}", "enable_thinking", type > 0);
    if (thinking && type < 2)
        c->thinking_tokens = type == 1 ? (int32_t)budget : 0;
}

void anthropic_read_conversation(Fields *f, Conversation *c)
{
    read_system(f, c);
    read_messages(f, c);
    read_tools(f, c);
    read_tool_choice(f, c);
    read_thinking(f, c);
}

/* ---- options ---- */

/* {"format": {"type": "json_schema", "schema": {...}}}; what else may stand there is advice to other models. */
static void read_format(Fields *f, GenerationSpec *spec, const Service *s)
{
    static const char *const types[] = {"json_schema"};
    json_t *config = fields_object(f, "output_config");
    Fields outer = fields_of(config, "output_config.", f->error);
    json_t *format = config ? fields_object(&outer, "format") : NULL;
    if (!format || !fields_ok(f))
        return;
    Fields inner = fields_of(format, "output_config.format.", f->error);
    fields_choice(&inner, "type", types, 1, 0);
    require(&inner, "schema", fields_any(&inner, "schema"));
    output_form_schema(&inner, "schema", fields_any(&inner, "schema"), spec, s);
}

void anthropic_read_options(Fields *f, GenerationSpec *spec, const Service *s)
{
    SamplerOptions *o = &spec->sampling;
    if (fields_ok(f) && !fields_has(f, "max_tokens"))
        fields_refuse(f, "max_tokens", "is missing");
    fields_int(f, "max_tokens", 1, INT32_MAX, &spec->max_tokens);
    fields_float(f, "temperature", 0, 1, &o->temperature);
    fields_float(f, "top_p", 0, 1, &o->top_p);
    fields_int(f, "top_k", 0, INT32_MAX, &o->top_k);
    fields_bool(f, "stream", &spec->stream);
    read_format(f, spec, s);
    sampling_fields_stop(f, "stop_sequences", spec);
}

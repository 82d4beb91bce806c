/* Tools of a conversation: their checks, and how a model is told of them whose template knows none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/conversation_parts.h"

static const size_t TOOLS_BYTES_MAX = (size_t)1 << 24;

/* ---- checks ---- */

static bool good_name(const char *name)
{
    size_t bytes = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
    return bytes > 0 && name[bytes] == 0;
}

static void check_function(Fields *f, json_t *tools)
{
    const char *name = NULL, *description = NULL;
    size_t i;
    json_t *other;
    fields_text(f, "name", TOOL_NAME_BYTES_MAX, &name);
    fields_text(f, "description", SIZE_MAX, &description);
    fields_object(f, "parameters");
    if (fields_ok(f) && !name)
        fields_refuse(f, "name", "is missing");
    if (fields_ok(f) && !good_name(name))
        fields_refuse(f, "name", "may have letters, digits, '_', '-' and '.' only");
    json_array_foreach(tools, i, other)
    {
        const char *taken = json_string_value(json_object_get(json_object_get(other, "function"), "name"));
        if (fields_ok(f) && !strcmp(taken, name))
            fields_refuse(f, "name", "'%s' is the name of two tools", name);
    }
}

static void add_tool(Conversation *c, Fields *f, const char *path, json_t *tool)
{
    static const char *const types[] = {"function"};
    fields_choice(f, "type", types, 1, 0);
    json_t *function = fields_object(f, "function");
    if (fields_ok(f) && !function)
        fields_refuse(f, "function", "is missing");
    if (!fields_ok(f))
        return;
    Fields inner = fields_within(f, function, "%s", path);
    check_function(&inner, c->tools);
    if (fields_ok(f))
        json_array_append(c->tools, tool);
}

void conversation_set_tools(Conversation *c, Fields *f, const char *entry, const char *inner, json_t *list)
{
    size_t i;
    json_t *tool;
    if (!list || json_array_size(list) == 0)
        return;
    c->tools = json_array();
    json_array_foreach(list, i, tool)
    {
        char path[32];
        snprintf(path, sizeof path, entry, i);
        Fields t = fields_within(f, tool, "%s", path);
        if (!json_is_object(tool))
            fields_refuse(&t, "", "must be an object");
        if (fields_ok(&t))
            add_tool(c, &t, inner, tool);
    }
}

/* ---- which may be called, and whether one must ---- */

static json_t *find_tool(json_t *tools, const char *name)
{
    size_t i;
    json_t *tool;
    json_array_foreach(tools, i, tool)
        if (!strcmp(json_string_value(json_object_get(json_object_get(tool, "function"), "name")), name))
            return tool;
    return NULL;
}

void conversation_choose_tool(Conversation *c, Fields *f, json_t *named, const char *path)
{
    const char *name = NULL;
    if (fields_ok(f) && !json_is_object(named))
        fields_refuse(f, "tool_choice", "must be 'auto', 'none', 'required', or name a function");
    Fields inner = fields_of(named, path, f->error);
    fields_text(&inner, "name", TOOL_NAME_BYTES_MAX, &name);
    if (fields_ok(f) && !name)
        fields_refuse(&inner, "name", "is missing");
    if (fields_ok(f) && !find_tool(c->tools, name))
        fields_refuse(&inner, "name", "'%s' is none of the tools", name);
    if (!fields_ok(f))
        return;
    c->choice = TOOLS_NAMED;
    snprintf(c->tool, sizeof c->tool, "%s", name);
}

static void allow_tool(const Conversation *c, Fields *f, bool nested, json_t *allowed)
{
    static const char *const types[] = {"function"};
    const char *name = NULL;
    fields_choice(f, "type", types, 1, 0);
    Fields inner = nested ? fields_within(f, fields_object(f, "function"), "function.") : *f;
    fields_text(&inner, "name", TOOL_NAME_BYTES_MAX, &name);
    if (fields_ok(f) && !name)
        fields_refuse(&inner, "name", "is missing");
    if (fields_ok(f) && !find_tool(c->tools, name))
        fields_refuse(&inner, "name", "'%s' is none of the tools", name);
    if (fields_ok(f) && !find_tool(allowed, name))
        json_array_append(allowed, find_tool(c->tools, name));
}

/* {"type": "allowed_tools", "mode", "tools"}: the model is told of these only, so it calls no other. */
static void allow_tools(Conversation *c, Fields *f, json_t *choice, bool nested)
{
    static const char *const modes[] = {"auto", "required"};
    size_t i;
    json_t *entry, *allowed = json_array();
    Fields a = fields_within(f, choice, "tool_choice.");
    if (nested)
        a = fields_within(&a, fields_object(&a, "allowed_tools"), "allowed_tools.");
    int mode = fields_choice(&a, "mode", modes, (int)COUNT_OF(modes), 0);
    json_t *list = fields_array(&a, "tools", TOOLS_MAX);
    if (fields_ok(f) && json_array_size(list) == 0)
        fields_refuse(&a, "tools", "must name those that may be called");
    json_array_foreach(list, i, entry)
    {
        Fields t = fields_within(&a, entry, "tools[%zu].", i);
        if (!json_is_object(entry))
            fields_refuse(&t, "", "must be an object");
        if (fields_ok(f))
            allow_tool(c, &t, nested, allowed);
    }
    if (fields_ok(f)) {
        json_decref(c->tools);
        c->tools = json_incref(allowed);
        c->choice = mode == 1 ? TOOLS_REQUIRED : TOOLS_AUTO;
    }
    json_decref(allowed);
}

void conversation_read_tool_choice(Conversation *c, Fields *f, bool nested)
{
    static const char *const words[] = {"auto", "none", "required"};
    static const ToolChoice choices[] = {TOOLS_AUTO, TOOLS_NONE, TOOLS_REQUIRED};
    json_t *choice = fields_any(f, "tool_choice");
    const char *type = json_string_value(json_object_get(choice, "type"));
    if (choice && !json_is_object(choice))
        c->choice = choices[fields_choice(f, "tool_choice", words, (int)COUNT_OF(words), 0)];
    else if (type && !strcmp(type, "allowed_tools"))
        allow_tools(c, f, choice, nested);
    else if (choice)
        conversation_choose_tool(c, f, nested ? json_object_get(choice, "function") : choice,
                                 nested ? "tool_choice.function." : "tool_choice.");
    if (fields_ok(f) && !c->tools && (c->choice == TOOLS_REQUIRED || c->choice == TOOLS_NAMED))
        fields_refuse(f, "tool_choice", "asks for a call, but there are no tools");
}

/* ---- for a template that knows no tools ---- */

/* {"city": "string"} where properties say no more than their types; else the schema as it is. */
static json_t *short_parameters(json_t *schema)
{
    json_t *properties = json_object_get(schema, "properties"), *out = json_object(), *property;
    const char *name;
    bool plain = json_is_object(properties);
    json_object_foreach(properties, name, property)
    {
        json_t *type = json_object_get(property, "type");
        plain = plain && json_is_string(type) && json_object_size(property) == 1 && json_object_set(out, name, type) == 0;
    }
    if (plain)
        return out;
    json_decref(out);
    return json_incref(schema);
}

static void put_json(Buf *text, json_t *value)
{
    char *dump = json_dumps(value, 0);
    buf_put_text(text, dump ? dump : "{}");
    free(dump);
}

static void put_tool(Buf *text, json_t *tool)
{
    json_t *function = json_object_get(tool, "function"), *schema = json_object_get(function, "parameters");
    json_t *line = json_object();
    json_object_set(line, "name", json_object_get(function, "name"));
    if (json_is_string(json_object_get(function, "description")))
        json_object_set(line, "description", json_object_get(function, "description"));
    json_object_set_new(line, "parameters", json_is_object(schema) ? short_parameters(schema) : json_object());
    put_json(text, line);
    buf_put_char(text, '\n');
    json_decref(line);
}

/* The system message begins as it did, or with the words that such messages usually begin with. */
static json_t *system_message(const Conversation *c, json_t *first)
{
    Buf text;
    size_t i;
    json_t *tool;
    const char *given = first ? json_string_value(json_object_get(first, "content")) : "You are a helpful assistant.";
    buf_init(&text, TOOLS_BYTES_MAX);
    buf_printf(&text, "%s You can call these tools:\n<tools>\n", given);
    json_array_foreach(c->tools, i, tool)
        put_tool(&text, tool);
    buf_put_text(&text, "</tools>\nTo call a tool, answer with <tool_call>{\"name\": ..., \"arguments\": ...}</tool_call>.");
    json_t *out = json_pack("{s:s, s:s}", "role", "system", "content", text.data);
    buf_deinit(&text);
    return out;
}

/* Calls of the history as the model would have written them. */
static json_t *written_out(json_t *message)
{
    json_t *calls = json_object_get(message, "tool_calls"), *call;
    size_t i;
    Buf text;
    if (!calls)
        return json_incref(message);
    buf_init(&text, TOOLS_BYTES_MAX);
    buf_put_text(&text, json_string_value(json_object_get(message, "content")));
    json_array_foreach(calls, i, call)
    {
        buf_put_text(&text, "<tool_call>");
        put_json(&text, json_object_get(call, "function"));
        buf_put_text(&text, "</tool_call>");
    }
    json_t *out = json_pack("{s:s, s:s}", "role", "assistant", "content", text.data);
    buf_deinit(&text);
    return out;
}

static bool is_system(json_t *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    return role && !strcmp(role, "system");
}

json_t *conversation_fold_tools(const Conversation *c)
{
    json_t *out = json_array(), *message, *first = json_array_get(c->messages, 0);
    size_t i;
    bool offers = c->tools && c->choice != TOOLS_NONE;
    if (offers)
        json_array_append_new(out, system_message(c, is_system(first) ? first : NULL));
    json_array_foreach(c->messages, i, message)
        if (!(offers && i == 0 && is_system(first)))
            json_array_append_new(out, written_out(message));
    return out;
}

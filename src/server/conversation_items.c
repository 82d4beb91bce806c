#include "server/conversation_items.h"

/* Calls that follow each other, or a message of the assistant, are one message in a conversation. */
static void join_calls(Conversation *c)
{
    size_t count = json_array_size(c->messages);
    json_t *last = json_array_get(c->messages, count - 1), *before = count > 1 ? json_array_get(c->messages, count - 2) : NULL;
    const char *role = json_string_value(json_object_get(before, "role"));
    if (!role || strcmp(role, "assistant"))
        return;
    if (!json_object_get(before, "tool_calls"))
        json_object_set_new(before, "tool_calls", json_array());
    json_array_extend(json_object_get(before, "tool_calls"), json_object_get(last, "tool_calls"));
    json_array_remove(c->messages, count - 1);
}

static void add_call(Conversation *c, Fields *f)
{
    const char *id = NULL, *name = NULL, *arguments = "{}";
    fields_text(f, "call_id", 256, &id);
    fields_text(f, "name", TOOL_NAME_BYTES_MAX, &name);
    fields_text(f, "arguments", SIZE_MAX, &arguments);
    if (fields_ok(f) && !name)
        fields_refuse(f, "name", "is missing");
    json_t *parsed = fields_ok(f) ? json_loads(*arguments ? arguments : "{}", 0, NULL) : NULL;
    if (fields_ok(f) && !json_is_object(parsed))
        fields_refuse(f, "arguments", "must be a JSON object, as a string");
    if (fields_ok(f)) {
        json_array_append_new(c->messages,
                              json_pack("{s:s, s:s, s:[{s:s?, s:s, s:{s:s, s:O}}]}", "role", "assistant", "content", "",
                                        "tool_calls", "id", id, "type", "function", "function", "name", name, "arguments",
                                        parsed));
        join_calls(c);
    }
    json_decref(parsed);
}

static void add_output(Conversation *c, Fields *f)
{
    const char *id = NULL;
    json_t *output = fields_any(f, "output");
    fields_text(f, "call_id", 256, &id);
    if (fields_ok(f) && (!output || !id))
        fields_refuse(f, output ? "call_id" : "output", "is missing");
    json_t *text = fields_ok(f) ? content_text(f, "output", output) : NULL;
    if (text)
        json_array_append_new(c->messages,
                              json_pack("{s:s, s:s, s:o}", "role", "tool", "tool_call_id", id, "content", text));
}

static void add_item(Conversation *c, Fields *f)
{
    static const char *const types[] = {"message", "function_call", "function_call_output", "reasoning"};
    switch (fields_choice(f, "type", types, (int)COUNT_OF(types), 0)) {
    case 0: conversation_add_message(c, f); break;
    case 1: add_call(c, f); break;
    case 2: add_output(c, f); break;
    default: break;    /* what it thought then is not shown to a model again */
    }
}

void conversation_add_items(Conversation *c, Fields *f, const char *name, json_t *items)
{
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        Fields inner = fields_within(f, item, "%s[%zu].", name, i);
        if (!json_is_object(item))
            fields_refuse(&inner, "", "must be an object");
        if (fields_ok(f))
            add_item(c, &inner);
    }
}

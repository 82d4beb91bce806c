#include "text/template_caps.h"

enum { PROBE_BYTES_MAX = 1 << 18, MESSAGE_BYTES_MAX = 1 << 27, SHORT_ID_CHARS = 9 };

/* ---- finding out ---- */

#define TOOLS "[{\"type\": \"function\", \"function\": {\"name\": \"needle_tool\", \"description\": \"d\", \"parameters\":" \
              " {\"type\": \"object\", \"properties\": {\"p\": {\"type\": \"string\", \"description\": \"k\"}}}}}]"

typedef struct Prober {
    const ChatTemplate *template;
    Buf out;
} Prober;

/* False where the template refuses the messages. */
static bool render(Prober *p, const char *messages, const char *tools)
{
    Error err;
    struct tm now = {.tm_year = 126, .tm_mday = 1};
    json_t *context = json_pack("{s:o?, s:o?, s:b, s:b, s:b, s:s, s:s, s:s, s:s}", "messages", json_loads(messages, 0, NULL),
                                "tools", tools ? json_loads(tools, 0, NULL) : NULL, "add_generation_prompt", 0,
                                "enable_thinking", 1, "thinking", 1, "bos_token", "", "eos_token", "", "functions",
                                tools ? tools : "", "datetime", "");
    buf_clear(&p->out);
    bool good = context && chat_template_render(p->template, context, &now, &p->out, &err) == OK;
    json_decref(context);
    return good;
}

static bool shows(const Prober *p, const char *needle) { return strstr(p->out.data, needle); }

static bool renders(Prober *p, const char *messages)   /* some templates cannot do without tools */
{
    return render(p, messages, NULL) || render(p, messages, TOOLS);
}

#define USER "{\"role\": \"user\", \"content\": \"needle-user\"}"
#define ARGS_OBJECT "{\"needle_key\": \"needle_value\"}"
#define ARGS_TEXT "\"{\\\"needle_key\\\": \\\"needle_value\\\"}\""
#define USER_PARTS "{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"needle-user\"}]}"
#define CALL(content, arguments, id, more) \
    "[" USER ", {\"role\": \"assistant\", \"content\": " content more ", \"tool_calls\": [{\"id\": \"" id "\", \"type\":" \
    " \"function\", \"function\": {\"name\": \"needle_called\", \"arguments\": " arguments "}}]}," \
    " {\"role\": \"tool\", \"tool_call_id\": \"" id "\", \"name\": \"needle_called\", \"content\": \"needle-result\"}]"

/* Whether two conversations give the same prompt. */
static bool alike(Prober *p, const char *messages, const char *other)
{
    if (!renders(p, messages))
        return false;
    Buf first = p->out;
    buf_init(&p->out, PROBE_BYTES_MAX);
    bool same = renders(p, other) && span_equal(buf_span(&first), buf_span(&p->out));
    buf_deinit(&first);
    return same;
}

/* Where the text of arguments gives what the object gives, the text is better: it has the bytes that the model wrote,
 * so that the cache knows them again. */
static void probe_calls(Prober *p, TemplateCaps *caps)
{
    bool object = renders(p, CALL("\"\"", ARGS_OBJECT, "abc123def", "")) && shows(p, "needle_called");
    object = object && shows(p, "needle_key") && shows(p, "needle_value");
    bool text = renders(p, CALL("\"\"", ARGS_TEXT, "abc123def", "")) && shows(p, "needle_called");
    bool same = alike(p, CALL("\"\"", ARGS_OBJECT, "abc123def", ""), CALL("\"\"", ARGS_TEXT, "abc123def", ""));
    caps->calls = object || text;
    caps->arguments_object = !caps->calls || (object && !same);   /* dialect_write_calls() wants them too */
    caps->null_content = true;
    if (!caps->calls)
        return;
#define EITHER(content, id, more) \
    (caps->arguments_object ? CALL(content, ARGS_OBJECT, id, more) : CALL(content, ARGS_TEXT, id, more))
    caps->null_content = renders(p, EITHER("null", "abc123def", "")) && shows(p, "needle_called") &&
                         !shows(p, "None") && !shows(p, "null");
    caps->short_ids = !renders(p, EITHER("\"\"", "call_0123456789", ""));
    static const char *const fields[] = {"reasoning_content", "thinking", "reasoning"};
    const char *const probes[] = {EITHER("\"\"", "abc123def", ", \"reasoning_content\": \"needle-reason\""),
                                  EITHER("\"\"", "abc123def", ", \"thinking\": \"needle-reason\""),
                                  EITHER("\"\"", "abc123def", ", \"reasoning\": \"needle-reason\"")};
    for (size_t i = 0; i < COUNT_OF(fields) && !caps->reasoning; i++)
        if (renders(p, probes[i]) && shows(p, "needle-reason"))
            caps->reasoning = fields[i];
}

static bool names(Span source, const char *quoted) { return memmem(source.data, source.bytes, quoted, strlen(quoted)); }

/* A template that writes any role as it comes does not know the role: its model never saw it. */
static bool knows_developer(Prober *p, Span source)
{
    return (names(source, "'developer'") || names(source, "\"developer\"")) &&
           renders(p, "[{\"role\": \"developer\", \"content\": \"needle-rule\"}, " USER "]") && shows(p, "needle-rule");
}

TemplateCaps template_caps_find(const ChatTemplate *template, Span source)
{
    Prober p = {.template = template};
    TemplateCaps caps = {.dialect = dialect_of_template(source)};
    buf_init(&p.out, PROBE_BYTES_MAX);
    caps.system =
        renders(&p, "[{\"role\": \"system\", \"content\": \"needle-rule\"}, " USER "]") && shows(&p, "needle-rule");
    caps.developer = knows_developer(&p, source);
    caps.parts = !(renders(&p, "[" USER "]") && shows(&p, "needle-user")) &&
                 renders(&p, "[" USER_PARTS "]") && shows(&p, "needle-user");
    caps.tools = render(&p, "[" USER "]", TOOLS) && shows(&p, "needle_tool");
    probe_calls(&p, &caps);
    buf_deinit(&p.out);
    return caps;
}

/* ---- the conversation as the template wants it ---- */

static Err join_parts(json_t *parts, size_t index, Buf *text, Error *err)
{
    size_t i;
    json_t *part;
    json_array_foreach(parts, i, part) {
        const char *type = json_string_value(json_object_get(part, "type"));
        json_t *words = json_is_string(part) ? part : json_object_get(part, "text");
        if (!json_is_string(words) || (type && strcmp(type, "text")))
            return fail(err, BAD_ARGUMENT, "messages[%zu].content[%zu]: must be {\"type\": \"text\", \"text\": ...}", index, i);
        if (!buf_put(text, json_string_value(words), json_string_length(words)))
            return fail(err, LIMIT_REACHED, "messages[%zu].content: is longer than %zu bytes", index, text->bytes_max);
    }
    return OK;
}

static Err fix_content(const TemplateCaps *caps, json_t *message, size_t index, Error *err)
{
    json_t *content = json_object_get(message, "content");
    bool calls = json_array_size(json_object_get(message, "tool_calls"));
    if (json_is_string(content)) {
        if (caps->parts)
            json_object_set_new(message, "content", json_pack("[{s:s, s:O}]", "type", "text", "text", content));
        return OK;
    }
    if (!content || json_is_null(content)) {
        json_object_set_new(message, "content", calls && caps->calls && caps->null_content ? json_null() : json_string(""));
        return OK;
    }
    if (!json_is_array(content))
        return fail(err, BAD_ARGUMENT, "messages[%zu].content: must be a string or an array of parts", index);
    Buf text;
    buf_init(&text, MESSAGE_BYTES_MAX);
    Err result = join_parts(content, index, &text, err);
    if (result == OK && !caps->parts)
        json_object_set_new(message, "content", json_stringn(text.data, text.bytes));
    buf_deinit(&text);
    return result;
}

static Err fix_arguments(const TemplateCaps *caps, json_t *function, size_t index, size_t call, Error *err)
{
    json_t *arguments = json_object_get(function, "arguments"), *object = NULL;
    if (!json_is_string(json_object_get(function, "name")))
        return fail(err, BAD_ARGUMENT, "messages[%zu].tool_calls[%zu].function.name: must be a string", index, call);
    if (json_is_object(arguments) && !caps->arguments_object) {
        char *text = json_dumps(arguments, 0);
        json_object_set_new(function, "arguments", json_string(text));
        free(text);
    } else if (json_is_string(arguments) && caps->arguments_object) {
        size_t bytes = json_string_length(arguments);
        object = bytes ? json_loadb(json_string_value(arguments), bytes, 0, NULL) : json_object();
        if (!json_is_object(object)) {
            json_decref(object);
            return fail(err, BAD_ARGUMENT,
                        "messages[%zu].tool_calls[%zu].function.arguments: must be the text of a JSON object", index,
                        call);
        }
        json_object_set_new(function, "arguments", object);
    } else if (!json_is_string(arguments) && !json_is_object(arguments)) {
        return fail(err, BAD_ARGUMENT, "messages[%zu].tool_calls[%zu].function.arguments: must be a string", index,
                    call);
    }
    return OK;
}

/* Nine letters and digits, the same for the same id. */
static void shorten(json_t *holder, const char *field)
{
    const char *id = json_string_value(json_object_get(holder, field));
    char brief[SHORT_ID_CHARS + 1] = {0};
    uint64_t hash = 14695981039346656037u;   /* FNV-1a */
    if (!id || (strlen(id) == SHORT_ID_CHARS && strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") ==
                                                    SHORT_ID_CHARS))
        return;
    for (; *id; id++)
        hash = (hash ^ (uint8_t)*id) * 1099511628211u;
    for (int i = 0; i < SHORT_ID_CHARS; i++, hash /= 36)
        brief[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[hash % 36];
    json_object_set_new(holder, field, json_string(brief));
}

static Err fix_calls(const TemplateCaps *caps, json_t *message, size_t index, Error *err)
{
    size_t i;
    json_t *calls = json_object_get(message, "tool_calls"), *call;
    if (!calls)
        return OK;
    if (!json_is_null(calls) && !json_is_array(calls))
        return fail(err, BAD_ARGUMENT, "messages[%zu].tool_calls: must be an array", index);
    if (json_array_size(calls) == 0) {
        json_object_del(message, "tool_calls");
        return OK;
    }
    json_array_foreach(calls, i, call) {
        json_t *function = json_object_get(call, "function");
        if (!json_is_object(function))
            return fail(err, BAD_ARGUMENT, "messages[%zu].tool_calls[%zu].function: must be an object", index, i);
        TRY(fix_arguments(caps, function, index, i, err));
        if (!json_object_get(call, "type"))
            json_object_set_new(call, "type", json_string("function"));
        if (caps->short_ids)
            shorten(call, "id");
    }
    return OK;
}

/* Into the text, where the template would lose them. */
static Err write_calls(const TemplateCaps *caps, json_t *message, size_t index, Error *err)
{
    Buf text;
    json_t *content = json_object_get(message, "content"), *calls = json_object_get(message, "tool_calls");
    if (caps->calls || !calls || !caps->dialect || !json_is_string(content))
        return OK;
    buf_init(&text, MESSAGE_BYTES_MAX);
    bool good = buf_put(&text, json_string_value(content), json_string_length(content)) &&
                dialect_write_calls(caps->dialect, calls, &text);
    bool full = text.full;
    if (good) {
        json_object_set_new(message, "content", json_stringn(text.data, text.bytes));
        json_object_del(message, "tool_calls");
    }
    buf_deinit(&text);
    return full ? fail(err, LIMIT_REACHED, "messages[%zu]: is longer than %d bytes", index, MESSAGE_BYTES_MAX) : OK;
}

static void fix_reasoning(const TemplateCaps *caps, json_t *message)
{
    static const char *const fields[] = {"reasoning_content", "reasoning"};
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        json_t *said = json_object_get(message, fields[i]);
        if (!said || (caps->reasoning && !strcmp(caps->reasoning, fields[i])))
            continue;
        if (caps->reasoning && json_is_string(said) && !json_object_get(message, caps->reasoning))
            json_object_set(message, caps->reasoning, said);
        json_object_del(message, fields[i]);
    }
}

static Err fix_message(const TemplateCaps *caps, json_t *message, size_t index, Error *err)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    if (!json_is_object(message))
        return fail(err, BAD_ARGUMENT, "messages[%zu]: must be an object", index);
    if (!role)
        return fail(err, BAD_ARGUMENT, "messages[%zu].role: must be a string", index);
    if (!strcmp(role, "developer") && !caps->developer)
        json_object_set_new(message, "role", json_string("system"));
    TRY(fix_calls(caps, message, index, err));
    fix_reasoning(caps, message);
    if (caps->short_ids)
        shorten(message, "tool_call_id");
    TRY(fix_content(caps, message, index, err));
    return write_calls(caps, message, index, err);
}

static bool has_role(json_t *message, const char *role)
{
    const char *its = json_string_value(json_object_get(message, "role"));
    return its && !strcmp(its, role);
}

/* For templates without system messages: each goes before the next user's text. */
static void fold_system(json_t *messages)
{
    size_t i = 0;
    while (i < json_array_size(messages)) {
        json_t *system = json_array_get(messages, i), *next = json_array_get(messages, i + 1);
        const char *rule = json_string_value(json_object_get(system, "content"));
        const char *text = json_string_value(json_object_get(next, "content"));
        if (!has_role(system, "system") || !has_role(next, "user") || !rule || !text) {
            i++;
            continue;
        }
        json_object_set_new(next, "content", *rule ? json_sprintf("%s\n\n%s", rule, text) : json_string(text));
        json_array_remove(messages, i);
    }
}

Err template_caps_messages(const TemplateCaps *caps, json_t *messages, json_t **out, Error *err)
{
    size_t i;
    json_t *message;
    *out = NULL;
    if (!json_is_array(messages))
        return fail(err, BAD_ARGUMENT, "messages: must be an array");
    json_t *copy = json_deep_copy(messages);
    if (!copy)
        return fail(err, NO_MEMORY, "no memory for the messages");
    json_array_foreach(copy, i, message) {
        Err result = fix_message(caps, message, i, err);
        if (result != OK) {
            json_decref(copy);
            return result;
        }
    }
    if (!caps->system)
        fold_system(copy);
    *out = copy;
    return OK;
}

#include "server/conversation.h"

#include "api/chat_prompt.h"
#include "server/conversation_parts.h"
#include "text/grammar_cache.h"

static const size_t PROMPT_BYTES_MAX = (size_t)1 << 28;

void conversation_init(Conversation *c)
{
    *c = (Conversation){.messages = json_array(), .parallel = true, .add_generation_prompt = true,
                        .thinking_tokens = THINKING_ANY};
}

void conversation_deinit(Conversation *c)
{
    json_decref(c->messages);
    json_decref(c->tools);
    json_decref(c->extra);
    *c = (Conversation){0};
}

void conversation_add(Conversation *c, const char *role, const char *content)
{
    json_array_append_new(c->messages, json_pack("{s:s, s:s}", "role", role, "content", content));
}

/* ---- contents ---- */

static bool is_text_part(const char *type)
{
    return !strcmp(type, "text") || !strcmp(type, "input_text") || !strcmp(type, "output_text");
}

static void add_part(Fields *f, const char *name, size_t i, json_t *part, Buf *text)
{
    const char *type = "text", *part_text = NULL;
    if (!json_is_object(part)) {
        fields_refuse(f, name, "part %zu must be an object", i);
        return;
    }
    Fields p = fields_within(f, part, "%s[%zu].", name, i);
    fields_text(&p, "type", 64, &type);
    bool refusal = fields_ok(&p) && !strcmp(type, "refusal");
    if (fields_ok(&p) && !refusal && !is_text_part(type))
        fields_refuse(&p, "type", "'%.64s' is not something that this model can read; it reads text only", type);
    fields_text(&p, refusal ? "refusal" : "text", SIZE_MAX, &part_text);
    if (fields_ok(&p) && !part_text)
        fields_refuse(&p, refusal ? "refusal" : "text", "is missing");
    if (!fields_ok(f))
        return;
    if (i > 0)
        buf_put_char(text, '\n');
    buf_put_text(text, part_text);
}

json_t *content_text(Fields *f, const char *name, json_t *content)
{
    Buf text;
    size_t i;
    json_t *part, *out = NULL;
    if (json_is_string(content))
        return json_incref(content);
    if (!json_is_array(content)) {
        fields_refuse(f, name, "must be a string or a list of parts of text");
        return NULL;
    }
    buf_init(&text, PROMPT_BYTES_MAX);
    json_array_foreach(content, i, part)
        add_part(f, name, i, part, &text);
    if (fields_ok(f) && !text.full)
        out = json_stringn(text.bytes ? text.data : "", text.bytes);
    if (fields_ok(f) && !out)
        fields_refuse(f, name, "has no memory to be joined in");
    buf_deinit(&text);
    return out;
}

/* ---- messages ---- */

/* The arguments of a call are a text of JSON on the wire; templates want the object. */
static void add_call(Fields *f, json_t *out)
{
    const char *name = NULL, *arguments = NULL, *id = NULL;
    json_t *function = fields_object(f, "function");
    fields_text(f, "id", 256, &id);
    if (fields_ok(f) && !function)
        fields_refuse(f, "function", "is missing");
    if (!fields_ok(f))
        return;
    Fields inner = fields_within(f, function, "function.");
    fields_text(&inner, "name", TOOL_NAME_BYTES_MAX, &name);
    if (fields_ok(f) && !name)
        fields_refuse(&inner, "name", "is missing");
    json_t *given = fields_any(&inner, "arguments"), *parsed = NULL;
    if (json_is_object(given)) {
        parsed = json_incref(given);
    } else {
        fields_text(&inner, "arguments", SIZE_MAX, &arguments);
        if (fields_ok(f))
            parsed = json_loads(arguments && *arguments ? arguments : "{}", 0, NULL);
        if (fields_ok(f) && !json_is_object(parsed))
            fields_refuse(&inner, "arguments", "must be a JSON object, as a string");
    }
    if (fields_ok(f))
        json_array_append_new(out, json_pack("{s:s?, s:s, s:{s:s, s:O}}", "id", id, "type", "function", "function", "name",
                                             name, "arguments", parsed));
    json_decref(parsed);
}

static json_t *read_calls(Fields *f)
{
    json_t *list = fields_array(f, "tool_calls", CALLS_MAX), *out = json_array(), *call;
    size_t i;
    json_array_foreach(list, i, call)
    {
        if (!json_is_object(call))
            fields_refuse(f, "tool_calls", "entry %zu must be an object", i);
        Fields c = fields_within(f, call, "tool_calls[%zu].", i);
        if (fields_ok(f))
            add_call(&c, out);
    }
    if (json_array_size(out) > 0)
        return out;
    json_decref(out);
    return NULL;
}

static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", "function"};
enum { ROLE_SYSTEM, ROLE_DEVELOPER, ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL, ROLE_FUNCTION };

/* What templates look at beside role and content; texts all of them. */
static void copy_texts(Fields *f, json_t *out)
{
    static const char *const names[] = {"name", "tool_call_id", "reasoning_content"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *text = NULL;
        fields_text(f, names[i], SIZE_MAX, &text);
        if (text)
            json_object_set_new(out, names[i], json_string(text));
    }
}

void conversation_add_message(Conversation *c, Fields *f)
{
    int role = fields_choice(f, "role", roles, (int)COUNT_OF(roles), -1);
    if (fields_ok(f) && role < 0)
        fields_refuse(f, "role", "is missing");
    json_t *calls = fields_ok(f) && role == ROLE_ASSISTANT ? read_calls(f) : NULL;
    json_t *content = fields_any(f, "content"), *text = NULL;
    if (fields_ok(f) && !content && role != ROLE_ASSISTANT)
        fields_refuse(f, "content", "is missing");
    if (fields_ok(f) && content)
        text = content_text(f, "content", content);
    json_t *message = json_object();
    if (fields_ok(f)) {
        const char *shown = role == ROLE_DEVELOPER ? "system" : role == ROLE_FUNCTION ? "tool" : roles[role];
        json_object_set_new(message, "role", json_string(shown));
        json_object_set_new(message, "content", text ? json_incref(text) : json_string(""));
        if (calls)
            json_object_set(message, "tool_calls", calls);
        copy_texts(f, message);
    }
    if (fields_ok(f))
        json_array_append(c->messages, message);
    json_decref(message);
    json_decref(text);
    json_decref(calls);
}

void conversation_add_messages(Conversation *c, Fields *f, const char *path, json_t *list)
{
    size_t i;
    json_t *message;
    json_array_foreach(list, i, message)
    {
        Fields m = fields_within(f, message, "%s[%zu].", path, i);
        if (!json_is_object(message))
            fields_refuse(&m, "", "must be an object");
        if (fields_ok(&m))
            conversation_add_message(c, &m);
    }
}

/* ---- thinking ---- */

void conversation_read_effort(Conversation *c, Fields *f, const char *name)
{
    static const char *const efforts[] = {"none", "minimal", "low", "medium", "high", "xhigh"};
    int effort = fields_choice(f, name, efforts, (int)COUNT_OF(efforts), -1);
    if (effort < 0)
        return;
    json_t *told = json_pack("{s:s, s:b}", "reasoning_effort", efforts[effort], "enable_thinking", effort > 0);
    if (c->extra)
        json_object_update(told, c->extra);
    json_decref(c->extra);
    c->extra = told;
    if (effort == 0)
        c->thinking_tokens = 0;
}

/* ---- the prompt ---- */

static bool writes_tools_itself(const Conversation *c, const Service *s)
{
    return c->tools && c->choice != TOOLS_NONE && !chat_prompt_knows_tools(s->package);
}

bool conversation_render(const Conversation *c, const Service *s, Buf *out, const char *param, ApiError *error)
{
    Error err = {0};
    bool offers = c->tools && c->choice != TOOLS_NONE;
    const ChatTemplate *template = offers && s->chat_tools ? s->chat_tools : s->chat;
    if (!template)
        return api_refuse(error, 400, param, "the model has no chat template, so it takes no messages; send a prompt to "
                          "/v1/completions instead");
    if (json_array_size(c->messages) == 0)
        return api_refuse(error, 400, param, "%s: there is none", param);
    json_t *folded = chat_prompt_knows_tools(s->package) ? NULL : conversation_fold_tools(c);
    ChatPrompt prompt = {.messages = folded ? folded : c->messages, .tools = offers && !folded ? c->tools : NULL,
                         .extra = c->extra, .add_generation_prompt = c->add_generation_prompt,
                         .continue_last = c->continue_last};
    Err result = chat_prompt_render_all(s->package, template, &prompt, out, &err);
    json_decref(folded);
    if (result == OK)
        return true;
    if (result == BAD_FILE)
        err.code = BAD_ARGUMENT;    /* the template cannot take these messages: nobody's but the caller's to change */
    api_refuse_error(error, &err, param);
    if (error->status == 429)       /* the template's own limits, not ours of the moment */
        api_refuse(error, 400, param, "%s", err.text);
    return false;
}

static bool encode(const Service *s, Buf *text, GenerationSpec *spec, const char *param, ApiError *error)
{
    Error err = {0};
    Encoding encoding;
    if (tokenizer_encode(s->tokenizer, buf_span(text), ENCODE_PARSE_SPECIAL, &encoding, &err) != OK) {
        encoding_deinit(&encoding);
        return api_refuse_error(error, &err, param);
    }
    if (encoding.count > INT32_MAX) {
        encoding_deinit(&encoding);
        return api_refuse(error, 400, param, "%s: the prompt has too many tokens", param);
    }
    spec->prompts[spec->prompt_count++] = (PromptIds){encoding.ids, (int32_t)encoding.count};
    encoding.ids = NULL;
    encoding_deinit(&encoding);
    return true;
}

/* Where a call must come, a grammar of calls and nothing else. */
static bool require_call(const Conversation *c, const Service *s, GenerationSpec *spec, ApiError *error)
{
    Error err = {0};
    Buf gbnf;
    if (spec->grammar)
        return api_refuse(error, 400, "tool_choice", "tool_choice: a call that must come and another form that the answer must "
                          "have exclude each other");
    buf_init(&gbnf, GRAMMAR_SOURCE_BYTES_MAX);
    Err result = dialect_call_grammar(spec->dialect, c->tools, c->choice == TOOLS_NAMED ? c->tool : NULL, c->parallel,
                                      false, &gbnf, &err);    /* a section that is open ends before the grammar begins */
    if (result == OK)
        result = grammar_cache_get(s->grammars, GRAMMAR_GBNF, buf_span(&gbnf), &spec->grammar, &err);
    buf_deinit(&gbnf);
    if (result == OK)
        return true;
    return api_refuse(error, 400, result == UNSUPPORTED ? "tool_choice" : "tools", "tools: %s", err.text);
}

bool conversation_prompt(const Conversation *c, const Service *s, GenerationSpec *spec, const char *param, ApiError *error)
{
    Buf text;
    bool offers = c->tools && c->choice != TOOLS_NONE;
    if (!s->tokenizer)
        return api_refuse(error, 501, NULL, "the model has no tokenizer, so it can neither read nor write text");
    buf_init(&text, PROMPT_BYTES_MAX);
    spec->dialect = writes_tools_itself(c, s) ? dialect_find("hermes") : s->dialect;
    spec->reads_calls = offers && dialect_has_calls(spec->dialect);
    spec->reads_reasoning = dialect_has_reasoning(s->dialect);
    spec->one_call = !c->parallel;
    spec->thinking_tokens = c->thinking_tokens;
    spec->tools = offers ? json_incref(c->tools) : NULL;
    bool good = conversation_render(c, s, &text, param, error) && encode(s, &text, spec, param, error);
    if (good)
        spec->reasoning_open = spec->reads_reasoning && dialect_opens_reasoning(spec->dialect, buf_span(&text));
    buf_deinit(&text);
    return good && (!offers || c->choice == TOOLS_AUTO || require_call(c, s, spec, error));
}

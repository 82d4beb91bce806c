/* Conversations in OpenAI's form come out of each published template with everything that was in them. */
#include "test.h"

#include "text/dialect.h"
#include "text/template_caps.h"

#define FAIL_WITH(...) (print_error(__VA_ARGS__), print_error("\n"), assert_true(!"as printed above"))

static ChatTemplate *opened(const char *source, TemplateCaps *caps)
{
    ChatTemplate *t;
    Error err = {0};
    if (chat_template_new(&t, span_text(source), "template", &err) != OK)
        FAIL_WITH("%s", err.text);
    *caps = template_caps_find(t, span_text(source));
    return t;
}

static json_t *normal(const TemplateCaps *caps, const char *messages)
{
    json_t *given = json_loads(messages, 0, NULL), *out;
    Error err = {0};
    assert_non_null(given);
    if (template_caps_messages(caps, given, &out, &err) != OK)
        FAIL_WITH("%s\n  %s", messages, err.text);
    json_decref(given);
    return out;
}

/* ---- the published templates ---- */

/* s: system, d: developer, p: parts, n: null, t: tools, c: calls, o: object, 9: short ids; and the reasoning. */
static const char *const expected[][2] = {
    {"Apertus-8B-Instruct", "s..ntco. -"},
    {"Bielik-11B-v3.0-Instruct", "s...tc.. reasoning_content"},
    {"Cohere2MoE", "s...tco. reasoning_content"},
    {"CohereForAI-c4ai-command-r7b-12-2024-tool_use", "s...tco. reasoning_content"},
    {"GLM-4.7-Flash", "s...tco. reasoning_content"},
    {"GigaChat3-10B-A1.8B", "s..ntc.. -"},
    {"HuggingFaceTB-SmolLM3-3B", "s..n..o. -"},
    {"Kimi-K2-Thinking", "s..nt.o. -"},   /* its calls need what Jinja's sandbox forbids */
    {"LFM2.5-Instruct", "s..nt.o. -"},
    {"MiroThinker", "s..n..o. -"},        /* assigns to messages, which Jinja refuses: no tools' results go through */
    {"NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "s..ntco. reasoning_content"},
    {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "s..ntc.. -"},
    {"Qwen-Qwen2.5-7B-Instruct", "s..ntco. -"},
    {"Qwen3-Coder", "s..ntco. -"},
    {"StepFun3.5-Flash", "s..ntco. reasoning_content"},
    {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "s..n.co. -"},
    {"deepseek-ai-DeepSeek-V3.2", "s..ntco. reasoning_content"},
    {"fireworks-ai-llama-3-firefunction-v2", "s..ntco. -"},
    {"google-gemma-4-31B-it-interleaved", "sd.ntco. reasoning_content"},
    {"ibm-granite-granite-3.3-2B-Instruct", "s..nt.o. -"},
    {"llama-cpp-rwkv-world", "s..n..o. -"},
    {"meetkai-functionary-medium-v3.2", "s..ntc.. -"},
    {"meta-llama-Llama-3.2-3B-Instruct", "s..ntco. -"},
    {"microsoft-Phi-3.5-mini-instruct", "s..n..o. -"},
    {"mistralai-Mistral-Nemo-Instruct-2407", "s..ntco9 -"},
    {"openai-gpt-oss-120b", "sd..tco. thinking"},
    {"unsloth-Apriel-1.5", "s..ntco. -"},
};

static void each_template(void (*check)(const char *name, const char *source))
{
    const char *path = shared_path("fixtures/templates.jsonl");
    if (!path)
        return;
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0, seen = 0;
    for (ssize_t n; (n = getline(&line, &capacity, file)) > 0; seen++) {
        json_t *one = json_loadb(line, (size_t)n, 0, NULL);
        check(json_string_value(json_object_get(one, "name")), json_string_value(json_object_get(one, "template")));
        json_decref(one);
    }
    free(line);
    fclose(file);
    assert_int_equal(seen, COUNT_OF(expected));
}

static void check_caps(const char *name, const char *source)
{
    TemplateCaps c;
    char found[64];
    const char *wanted = "(not in the table)";
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        wanted = strcmp(expected[i][0], name) ? wanted : expected[i][1];
    chat_template_free(opened(source, &c));
    snprintf(found, sizeof found, "%c%c%c%c%c%c%c%c %s", c.system ? 's' : '.', c.developer ? 'd' : '.', c.parts ? 'p' : '.',
             c.null_content ? 'n' : '.', c.tools ? 't' : '.', c.calls ? 'c' : '.', c.arguments_object ? 'o' : '.',
             c.short_ids ? '9' : '.', c.reasoning ? c.reasoning : "-");
    if (strcmp(found, wanted))
        FAIL_WITH("%s is found to be  %s\n  but is  %s", name, found, wanted);
}

static void what_each_published_template_can_do_is_found(void **state)
{
    (void)state;
    each_template(check_caps);
}

/* As a client of OpenAI's API sends it back. */
static const char conversation[] =
    "[{\"role\": \"developer\", \"content\": \"Be brief.\"},"
    " {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"Weather in \"}, {\"type\": \"text\", \"text\": \"Oslo?\"}]},"
    " {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"call_8f2a77c31b\", \"type\": \"function\","
    "   \"function\": {\"name\": \"get_weather\", \"arguments\": \"{\\\"city\\\": \\\"Oslo\\\", \\\"days\\\": 2}\"}}]},"
    " {\"role\": \"tool\", \"tool_call_id\": \"call_8f2a77c31b\", \"content\": \"{\\\"sky\\\": \\\"clear\\\"}\"}]";
static const char tools[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"description\": \"d\", \"parameters\": {\"type\":"
    " \"object\", \"properties\": {\"city\": {\"type\": \"string\", \"description\": \"c\"}, \"days\": {\"type\": \"integer\","
    " \"description\": \"n\"}}}}}]";

static void rendered(const ChatTemplate *t, json_t *messages, const TemplateCaps *caps, bool prompt, Buf *out)
{
    struct tm now = {.tm_year = 126, .tm_mday = 2};
    Error err = {0};
    json_t *context = json_pack("{s:O, s:o?, s:b, s:s, s:s, s:s, s:s}", "messages", messages, "tools",
                                caps->tools ? json_loads(tools, 0, NULL) : NULL, "add_generation_prompt", prompt,
                                "bos_token", "", "eos_token", "", "functions", "", "datetime", "");
    buf_clear(out);
    if (chat_template_render(t, context, &now, out, &err) != OK)
        FAIL_WITH("%s", err.text);
    json_decref(context);
}

typedef struct Call { Buf name, arguments; int calls, ends; } Call;

static void take_call(void *with, const DialectPart *part)
{
    Call *c = with;
    c->calls += part->kind == DIALECT_CALL;
    c->ends += part->kind == DIALECT_CALL_END;
    if (part->kind == DIALECT_CALL || part->kind == DIALECT_ARGUMENTS)
        buf_put_span(part->kind == DIALECT_CALL ? &c->name : &c->arguments, part->text);
}

/* The reader finds in what the template wrote the call that the template was given. */
static void check_read(const char *name, const Dialect *dialect, Span answer)
{
    Call call = {0};
    DialectReader *r;
    json_t *list = json_loads(tools, 0, NULL);
    buf_init(&call.name, 100);
    buf_init(&call.arguments, 1000);
    DialectOptions options = {.calls = true, .reasoning = true, .tools = list};
    assert_int_equal(dialect_reader_new(&r, dialect, &options, NULL), OK);
    assert_true(dialect_reader_put(r, answer, take_call, &call) && dialect_reader_finish(r, take_call, &call));
    json_t *got = json_loadb(call.arguments.data, call.arguments.bytes, 0, NULL);
    json_t *wanted = json_pack("{s:s, s:i}", "city", "Oslo", "days", 2);
    if (call.calls != 1 || call.ends != 1 || strcmp(call.name.data, "get_weather") || !json_equal(got, wanted))
        FAIL_WITH("%s: %s reads %d calls, %s(%s) in\n%.*s", name, dialect_name(dialect), call.calls, call.name.data,
                  call.arguments.data, (int)answer.bytes, answer.data);
    json_decref(got);
    json_decref(wanted);
    json_decref(list);
    buf_deinit(&call.name);
    buf_deinit(&call.arguments);
    dialect_reader_free(r);
}

/* The answer is what a conversation with the call has after one without it. */
static void check_conversation(const char *name, const char *source)
{
    TemplateCaps caps;
    ChatTemplate *t = opened(source, &caps);
    json_t *all = normal(&caps, conversation), *before = json_array(), *with_call = json_array();
    Buf whole, prompt;
    buf_init(&whole, 1 << 20);
    buf_init(&prompt, 1 << 20);
    for (size_t i = 0; i < 3; i++) {
        json_array_append(with_call, json_array_get(all, i));
        if (i < 2)
            json_array_append(before, json_array_get(all, i));
    }
    if ((caps.calls || dialect_has_calls(caps.dialect)) && strcmp(name, "MiroThinker")) {
        rendered(t, all, &caps, true, &whole);
        rendered(t, before, &caps, false, &prompt);   /* one writes the system's text only if a user has the last word */
        bool kept = strstr(prompt.data, "Be brief.") && strstr(whole.data, "Weather in Oslo?") && strstr(whole.data, "clear");
        if (!kept || strstr(whole.data, "None"))
            FAIL_WITH("%s loses a part of the conversation:\n%s", name, whole.data);
        rendered(t, with_call, &caps, false, &whole);
        size_t same = 0;
        while (same < prompt.bytes && prompt.data[same] == whole.data[same])
            same++;
        const char *header = "<|end_header_id|>\n\n", *behind = strstr(whole.data + same - strlen(header), header);
        Span answer = span_from(buf_span(&whole), behind ? (size_t)(behind - whole.data) + strlen(header) : same);
        check_read(name, dialect_of_template(span_text(source)), answer);
    }
    json_decref(all);
    json_decref(before);
    json_decref(with_call);
    buf_deinit(&whole);
    buf_deinit(&prompt);
    chat_template_free(t);
}

static void conversations_with_calls_render_and_are_read_back(void **state)
{
    (void)state;
    each_template(check_conversation);
}

/* ---- templates of our own ---- */

static void check_normal(const TemplateCaps *caps, const char *messages, const char *wanted)
{
    json_t *out = normal(caps, messages), *json = json_loads(wanted, 0, NULL);
    char *text = json_dumps(out, 0);
    if (!json_equal(out, json))
        FAIL_WITH("%s\n  becomes  %s\n  not      %s", messages, text, wanted);
    free(text);
    json_decref(out);
    json_decref(json);
}

static void messages_become_what_a_template_wants(void **state)
{
    (void)state;
    TemplateCaps plain = {.system = true}, object = {.system = true, .calls = true, .arguments_object = true, .null_content = true};
    check_normal(&plain, "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}, \"b\"]}]",
                 "[{\"role\": \"user\", \"content\": \"ab\"}]");
    check_normal(&plain, "[{\"role\": \"developer\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": null, \"tool_calls\": []}]",
                 "[{\"role\": \"system\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"\"}]");
    check_normal(&object, "[{\"role\": \"assistant\", \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}}]}]",
                 "[{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"type\": \"function\", \"function\": {\"name\": \"f\","
                 " \"arguments\": {\"a\": 1}}}]}]");
    check_normal(&(TemplateCaps){0}, "[{\"role\": \"system\", \"content\": \"a\"}, {\"role\": \"user\", \"content\": \"b\"}]",
                 "[{\"role\": \"user\", \"content\": \"a\\n\\nb\"}]");
    check_normal(&(TemplateCaps){.system = true, .reasoning = "thinking"},
                 "[{\"role\": \"assistant\", \"content\": \"a\", \"reasoning_content\": \"r\"}]",
                 "[{\"role\": \"assistant\", \"content\": \"a\", \"thinking\": \"r\"}]");
    check_normal(&(TemplateCaps){.system = true, .parts = true, .developer = true},
                 "[{\"role\": \"developer\", \"content\": \"a\"}]",
                 "[{\"role\": \"developer\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}]}]");
}

static void check_error(const char *messages, const char *wanted)
{
    Error err = {0};
    TemplateCaps caps = {.arguments_object = true};
    json_t *given = json_loads(messages, 0, NULL), *out;
    assert_int_equal(template_caps_messages(&caps, given, &out, &err), BAD_ARGUMENT);
    assert_null(out);
    if (!strstr(err.text, wanted))
        FAIL_WITH("%s\n  says  %s\n  not   %s", messages, err.text, wanted);
    json_decref(given);
}

static void what_a_template_can_do_is_found_by_trying(void **state)
{
    (void)state;
    TemplateCaps c;
    chat_template_free(opened("{% for m in messages %}{{ m.content[0].text }}{% endfor %}", &c));
    assert_true(c.parts);
    chat_template_free(opened("{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
                              "{{ m.role + ': ' + m.content }}{% endfor %}", &c));
    assert_true(!c.system && !c.developer && !c.parts && !c.null_content == c.calls);
    chat_template_free(opened("{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}", &c));
    assert_true(c.system && !c.developer && !c.tools && !c.calls);
    chat_template_free(opened("{{ raise_exception('never') }}", &c));
    assert_true(!c.system && !c.tools && !c.calls);
}

static void wrong_messages_are_named(void **state)
{
    (void)state;
    check_error("{}", "messages: must be an array");
    check_error("[1]", "messages[0]: must be an object");
    check_error("[{}]", "messages[0].role: must be a string");
    check_error("[{\"role\": \"user\", \"content\": 1}]", "messages[0].content: must be a string or");
    check_error("[{\"role\": \"user\", \"content\": [{\"type\": \"image_url\"}]}]", "messages[0].content[0]: must be");
    check_error("[{\"role\": \"a\", \"tool_calls\": 1}]", "messages[0].tool_calls: must be an array");
    check_error("[{\"role\": \"a\", \"tool_calls\": [{}]}]", "messages[0].tool_calls[0].function: must be an object");
    check_error("[{\"role\": \"a\", \"tool_calls\": [{\"function\": {}}]}]", "tool_calls[0].function.name: must be a string");
    check_error("[{\"role\": \"a\", \"tool_calls\": [{\"function\": {\"name\": \"f\"}}]}]", "function.arguments: must be a string");
    check_error("[{\"role\": \"a\", \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": \"[1]\"}}]}]",
                "messages[0].tool_calls[0].function.arguments: must be the text of a JSON object");
}

int main(void)
{
    const struct CMUnitTest tests_of_caps[] = {
        cmocka_unit_test(what_each_published_template_can_do_is_found),
        cmocka_unit_test(conversations_with_calls_render_and_are_read_back),
        cmocka_unit_test(messages_become_what_a_template_wants),
        cmocka_unit_test(what_a_template_can_do_is_found_by_trying),
        cmocka_unit_test(wrong_messages_are_named),
    };
    return cmocka_run_group_tests(tests_of_caps, NULL, NULL);
}

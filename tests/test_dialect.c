/* What models write is told apart as text, reasoning and calls, however the text is cut. */
#include "test.h"

#include "text/dialect_parts.h"
#include "text/dialect_tools.h"

#define FAIL_WITH(...) (print_error(__VA_ARGS__), print_error("\n"), assert_true(!"as printed above"))

/* ---- templates ---- */

static const char *const expected[][2] = {
    {"Apertus-8B-Instruct", "apertus"},
    {"Bielik-11B-v3.0-Instruct", "hermes"},
    {"Cohere2MoE", "command"},
    {"CohereForAI-c4ai-command-r7b-12-2024-tool_use", "command"},
    {"GLM-4.7-Flash", "glm"},
    {"GigaChat3-10B-A1.8B", "gigachat"},
    {"HuggingFaceTB-SmolLM3-3B", "think"},   /* this edit of it has no tools */
    {"Kimi-K2-Thinking", "kimi"},
    {"LFM2.5-Instruct", "lfm2"},
    {"MiroThinker", "hermes"},
    {"NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "qwen-coder"},
    {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "hermes"},
    {"Qwen-Qwen2.5-7B-Instruct", "hermes"},
    {"Qwen3-Coder", "qwen-coder"},
    {"StepFun3.5-Flash", "qwen-coder"},
    {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek"},
    {"deepseek-ai-DeepSeek-V3.2", "deepseek-v3.2"},
    {"fireworks-ai-llama-3-firefunction-v2", "firefunction"},
    {"google-gemma-4-31B-it-interleaved", "gemma"},
    {"ibm-granite-granite-3.3-2B-Instruct", "granite"},
    {"llama-cpp-rwkv-world", "think"},
    {"meetkai-functionary-medium-v3.2", "functionary"},
    {"meta-llama-Llama-3.2-3B-Instruct", "llama3"},
    {"microsoft-Phi-3.5-mini-instruct", "plain"},
    {"mistralai-Mistral-Nemo-Instruct-2407", "mistral"},
    {"openai-gpt-oss-120b", "harmony"},
    {"unsloth-Apriel-1.5", "apriel"},
};

typedef struct Collected {
    Buf text;        /* T{..} R{..} C0{name} A0{..} E0 */
    int last;        /* the kind of the last part, -1: none */
    int32_t call;
} Collected;

static void collect(void *with, const DialectPart *p)
{
    Collected *c = with;
    bool same = c->last == (int)p->kind && (p->kind != DIALECT_ARGUMENTS || p->call == c->call);
    bool joins = p->kind == DIALECT_TEXT || p->kind == DIALECT_REASONING || p->kind == DIALECT_ARGUMENTS;
    assert_true(!joins || p->text.bytes > 0);
    if (same && joins)
        buf_cut(&c->text, c->text.bytes - 1);   /* goes on */
    else if (joins && p->kind != DIALECT_ARGUMENTS)
        buf_printf(&c->text, "%c{", "TR"[p->kind]);
    else
        buf_printf(&c->text, "%c%d{", "TRCAE"[p->kind], p->call);
    buf_put_span(&c->text, p->text);
    buf_put_char(&c->text, '}');
    c->last = (int)p->kind;
    c->call = p->call;
}

/* Reads the text cut at the given places. */
static void read_cut(const char *dialect, const DialectOptions *options, Span text, const size_t *cuts, size_t count,
                     Collected *out)
{
    DialectReader *r;
    size_t from = 0;
    buf_clear(&out->text);
    out->last = -1;
    assert_int_equal(dialect_reader_new(&r, dialect_find(dialect), options, NULL), OK);
    for (size_t i = 0; i <= count; i++) {
        size_t to = i < count ? cuts[i] : text.bytes;
        assert_true(dialect_reader_put(r, span_first(span_from(text, from), to - from), collect, out));
        from = to;
    }
    assert_true(dialect_reader_finish(r, collect, out));
    dialect_reader_free(r);
}

static const char tools_text[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"parameters\": {\"type\": \"object\","
    "  \"properties\": {\"city\": {\"type\": \"string\"}, \"unit\": {\"type\": \"string\"}, \"days\": {\"type\": \"integer\"},"
    "  \"exact\": {\"type\": \"boolean\"}, \"where\": {\"type\": \"object\"}}}}},"
    " {\"type\": \"function\", \"function\": {\"name\": \"now\"}},"
    " {\"type\": \"function\", \"function\": {\"name\": \"fun\"}}]";

static json_t *tools_of(const char *text)
{
    json_t *tools = json_loads(text, 0, NULL);
    assert_non_null(tools);
    return tools;
}

/* The same however it is cut: whole, in two at every byte, byte by byte, at random. */
static void check_with(const char *dialect, const DialectOptions *options, const char *text, const char *wanted)
{
    Collected got = {0};
    Span span = span_text(text);
    size_t *cuts = calloc(span.bytes + 1, sizeof *cuts);
    uint32_t random = 1;   /* xorshift: which cuts, not how good they are */
    buf_init(&got.text, 1 << 22);
    for (size_t turn = 0; turn < span.bytes + 22; turn++) {
        size_t count = 0;
        if (turn > 0 && turn <= span.bytes)
            cuts[count++] = turn - 1;
        for (size_t i = 0; turn > span.bytes && i < span.bytes; i++)
            if (random ^= random << 13, random ^= random >> 17, random ^= random << 5, turn == span.bytes + 1 || random % 4 == 0)
                cuts[count++] = i;
        read_cut(dialect, options, span, cuts, count, &got);
        if (strcmp(got.text.bytes ? got.text.data : "", wanted))
            FAIL_WITH("%s, cut the %zu. way: %s\n  gives  %s\n  not    %s", dialect, turn, text, got.text.data, wanted);
    }
    buf_deinit(&got.text);
    free(cuts);
}

static void check(const char *dialect, const char *text, const char *wanted)
{
    json_t *tools = tools_of(tools_text);
    check_with(dialect, &(DialectOptions){.calls = true, .reasoning = true, .tools = tools}, text, wanted);
    json_decref(tools);
}

static void each_published_template_is_recognised(void **state)
{
    (void)state;
    const char *path = shared_path("fixtures/templates.jsonl");
    if (!path)
        return;
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0, seen = 0;
    for (ssize_t n; (n = getline(&line, &capacity, file)) > 0; seen++) {
        json_t *one = json_loadb(line, (size_t)n, 0, NULL);
        const char *name = json_string_value(json_object_get(one, "name")), *wanted = "(not in the table)";
        for (size_t i = 0; i < COUNT_OF(expected); i++)
            wanted = strcmp(expected[i][0], name) ? wanted : expected[i][1];
        const Dialect *d = dialect_of_template(span_text(json_string_value(json_object_get(one, "template"))));
        if (strcmp(dialect_name(d), wanted))
            FAIL_WITH("%s is taken for %s, but is %s", name, dialect_name(d), wanted);
        json_decref(one);
    }
    free(line);
    fclose(file);
    assert_int_equal(seen, COUNT_OF(expected));
}

/* ---- calls ---- */

#define CALL "C0{get_weather}A0{{\"city\": \"Oslo\", \"unit\": \"c\"}}E0{}"
#define ARGUMENTS "{\"city\": \"Oslo\", \"unit\": \"c\"}"
#define NAMED "{\"name\": \"get_weather\", \"arguments\": " ARGUMENTS "}"

/* As the templates of the fixtures write them. */
static void each_dialect_reads_its_calls(void **state)
{
    (void)state;
    check("hermes", "Hm.\n<tool_call>\n" NAMED "\n</tool_call>", "T{Hm.}" CALL);
    check("llama3", "{\"name\": \"get_weather\", \"parameters\": " ARGUMENTS "}", CALL);
    check("llama3", "<|python_tag|>{\"name\": \"get_weather\", \"parameters\": " ARGUMENTS "}", CALL);
    check("llama3", "<function=get_weather>" ARGUMENTS "</function>", CALL);
    check("mistral", "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": " ARGUMENTS ", \"id\": \"call12345\"}]", CALL);
    check("mistral-args", "[TOOL_CALLS]get_weather[ARGS]" ARGUMENTS, CALL);
    check("mistral-args", "[TOOL_CALLS]get_weather[CALL_ID]call12345[ARGS]" ARGUMENTS, CALL);
    check("qwen-coder",
          "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=unit>\nc\n</parameter>\n"
          "</function>\n</tool_call>", CALL);
    check("deepseek",
          "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n" ARGUMENTS
          "\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>", CALL);
    check("deepseek-v3.1",
          "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>" ARGUMENTS "<｜tool▁call▁end｜>"
          "<｜tool▁calls▁end｜>", CALL);
    check("deepseek-v3.2",
          "\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get_weather\">\n"
          "<｜DSML｜parameter name=\"city\" string=\"true\">Oslo</｜DSML｜parameter>\n"
          "<｜DSML｜parameter name=\"unit\" string=\"true\">c</｜DSML｜parameter>\n"
          "</｜DSML｜invoke>\n</｜DSML｜function_calls>", CALL);
    check("kimi",
          "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>" ARGUMENTS
          "<|tool_call_end|><|tool_calls_section_end|>", CALL);
    check("glm",
          "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Oslo</arg_value><arg_key>unit</arg_key>"
          "<arg_value>c</arg_value></tool_call>", CALL);
    check("command",
          "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"get_weather\", \"parameters\": " ARGUMENTS
          "}\n]<|END_ACTION|>", CALL);
    check("apertus", "<|tools_prefix|>[{\"get_weather\": " ARGUMENTS "}]<|tools_suffix|>", CALL);
    check("gigachat", "<|message_sep|>\n\nfunction call<|role_sep|>\n" NAMED "<|message_sep|>\n\n", CALL);
    check("functionary", "get_weather\n" ARGUMENTS, CALL);
    check("functionary", "all\nHm.>>>get_weather\n" ARGUMENTS, "T{Hm.}" CALL);
    check("firefunction", " functools[" NAMED "]", CALL);
    check("granite", "<|tool_call|>[" NAMED "]", CALL);
    check("apriel", "\n<tool_calls>[" NAMED "]</tool_calls>\n", CALL);
    check("gemma", "<|tool_call>call:get_weather{city:<|\"|>Oslo<|\"|>,unit:<|\"|>c<|\"|>}<tool_call|>",
          CALL);
    check("lfm2", "<|tool_call_start|>[get_weather(city=\"Oslo\", unit='c')]<|tool_call_end|>", CALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_published_template_is_recognised),
        cmocka_unit_test(each_dialect_reads_its_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What models write is told apart as text, reasoning and calls, however the text is cut. */
#include "test.h"

#include "base/prng.h"
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
    json_t *tools = json_loads(text, JSON_ALLOW_NUL, NULL);
    assert_non_null(tools);
    return tools;
}

/* The same however it is cut: whole, in two at every byte, byte by byte, at random. */
static void check_with(const char *dialect, const DialectOptions *options, const char *text, const char *wanted)
{
    Collected got = {0};
    Span span = span_text(text);
    size_t *cuts = calloc(span.bytes + 1, sizeof *cuts);
    PrngStream random = {span.bytes, 0};
    buf_init(&got.text, 1 << 22);
    for (size_t turn = 0; turn < span.bytes + 22; turn++) {
        size_t count = 0;
        if (turn > 0 && turn <= span.bytes)
            cuts[count++] = turn - 1;
        for (size_t i = 0; turn > span.bytes && i < span.bytes; i++)
            if (turn == span.bytes + 1 || stream_below(&random, 4) == 0)
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

#define TWO(separator) "C0{get_weather}A0{" ARGUMENTS "}E0{}" separator "C1{now}A1{{}}E1{}"
#define NOW "{\"name\": \"now\", \"arguments\": {}}"

static void calls_may_follow_each_other(void **state)
{
    (void)state;
    check("hermes", "<tool_call>" NAMED "</tool_call>\n<tool_call>\n" NOW "\n</tool_call>", TWO(""));
    check("hermes", "<tool_call>" NAMED "</tool_call> and <tool_call>" NOW "</tool_call> so", TWO("T{and}") "T{so}");
    check("llama3", "{\"name\": \"get_weather\", \"parameters\": " ARGUMENTS "}; {\"name\": \"now\", \"parameters\": {}}", TWO(""));
    check("mistral", "[TOOL_CALLS] [" NAMED ", " NOW "]", TWO(""));
    check("mistral-args", "[TOOL_CALLS]get_weather[ARGS]" ARGUMENTS "[TOOL_CALLS]now[ARGS]{}", TWO(""));
    check("command", "<|START_ACTION|>[" NAMED ",\n" NOW "]<|END_ACTION|>", TWO(""));
    check("glm", "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n<arg_key>unit</arg_key>\n"
                 "<arg_value>c</arg_value>\n</tool_call>\n<tool_call>now\n</tool_call>", TWO(""));
    check("qwen-coder",
          "<function=get_weather>\n<parameter=city>Oslo</parameter>\n<parameter=unit>c</parameter>\n</function>\n</tool_call>\n"
          "<tool_call>\n<function=now>\n</function>\n</tool_call>", TWO(""));
    check("deepseek",
          "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n" ARGUMENTS
          "\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜>"
          "<｜tool▁calls▁end｜>", TWO(""));
    check("deepseek-v3.2",
          "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get_weather\">\n"
          "<｜DSML｜parameter name=\"city\" string=\"true\">Oslo</｜DSML｜parameter>\n"
          "<｜DSML｜parameter name=\"unit\" string=\"true\">c</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
          "<｜DSML｜invoke name=\"now\">\n</｜DSML｜invoke>\n</｜DSML｜function_calls>", TWO(""));
    check("kimi",
          "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>" ARGUMENTS
          "<|tool_call_end|><|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
          "<|tool_calls_section_end|>", TWO(""));
    check("apertus", "<|tools_prefix|>[{\"get_weather\": " ARGUMENTS "}, {\"now\": {}}]<|tools_suffix|>", TWO(""));
    check("lfm2", "<|tool_call_start|>[get_weather(city=\"Oslo\", unit='c'), now()]<|tool_call_end|>", TWO(""));
    check("functionary", "get_weather\n" ARGUMENTS ">>>now\n{}", TWO(""));
}

static void harmony_has_channels(void **state)
{
    (void)state;
    check("harmony",
          "<|channel|>analysis<|message|>Look it up.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather "
          "<|constrain|>json<|message|>" ARGUMENTS "<|call|>", "R{Look it up.}" CALL);
    check("harmony", " to=functions.get_weather<|channel|>commentary json<|message|>" ARGUMENTS, CALL);
    check("harmony", "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant to=functions.get_weather<|channel|>commentary json"
                     "<|message|>" ARGUMENTS "<|call|>", "R{Hm}" CALL);
    check("harmony", "<|channel|>analysis<|message|>Easy.<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>",
          "R{Easy.}T{Yes.}");
    check("harmony", "<|channel|>commentary<|message|>I look.<|end|>", "T{I look.}");
    check("harmony", "Yes.", "T{Yes.}");
}

static void reasoning_is_told_apart(void **state)
{
    (void)state;
    check("hermes", "<think>\nIt rains.\n\nStill.\n</think>\n\nYes.\n", "R{It rains.\n\nStill.}T{Yes.\n}");
    check("think", "<think>Hm</think>Yes", "R{Hm}T{Yes}");
    check("think", "a < b <thin </think> <think>x", "T{a < b <thin}R{x}");
    check("hermes", "<think>a</thin></think><tool_call>" NAMED "</tool_call>", "R{a</thin>}" CALL);
    check("hermes", "<think>I could write <tool_call>" NOW "</tool_call>", "R{I could write <tool_call>" NOW "</tool_call>}");
    check("mistral", "[THINK]Hm[/THINK][TOOL_CALLS][" NAMED "]", "R{Hm}" CALL);
    check("command", "<|START_THINKING|>Hm<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>", "R{Hm}T{Yes.}");
    check("gemma", "<|channel>thought\nHm\n<channel|>Yes.", "R{Hm}T{Yes.}");
    check("apertus", "<|inner_prefix|>Hm<|inner_suffix|>Yes.", "R{Hm}T{Yes.}");
    check("llama3", "<think>Hm</think>\n{\"name\": \"get_weather\", \"parameters\": " ARGUMENTS "}", "R{Hm}" CALL);
    check("glm", "</think>Yes.", "T{Yes.}");
    check("plain", "<think>Hm</think>", "T{<think>Hm</think>}");

    DialectOptions in = {.calls = true, .reasoning = true, .in_reasoning = true}, off = {.in_reasoning = true};
    check_with("deepseek", &in, "\nIt rains.\n</think>\n\nYes.", "R{It rains.}T{Yes.}");
    check_with("deepseek", &in, "<think>\nIt rains.\n</think>\n\nYes.", "R{It rains.}T{Yes.}");
    check_with("deepseek", &in, "It rains", "R{It rains}");
    check_with("deepseek", &off, "It rains.\n</think>\nYes.", "T{It rains.\n</think>\nYes.}");
    check_with("hermes", &(DialectOptions){.reasoning = true}, "<think>a</think><tool_call>", "R{a}T{<tool_call>}");
    check_with("hermes", &(DialectOptions){.calls = true}, "<think>a</think><tool_call>" NOW, "T{<think>a</think>}C0{now}A0{{}}E0{}");
}

static void prompts_may_end_within_reasoning(void **state)
{
    (void)state;
    static const struct { const char *dialect, *prompt; bool opens; } cases[] = {
        {"hermes", "<|im_start|>assistant\n<think>\n", true}, {"hermes", "<|im_start|>assistant\n", false},
        {"hermes", "<think>\n\n</think>\n\n", false}, {"deepseek", "<｜Assistant｜><think>", true},
        {"command", "<|CHATBOT_TOKEN|><|START_THINKING|>", true}, {"plain", "<think>", false}, {"think", "", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(dialect_opens_reasoning(dialect_find(cases[i].dialect), span_text(cases[i].prompt)), cases[i].opens);
}

static void what_is_no_call_stays_text(void **state)
{
    (void)state;
    static const char *const hermes[] = {
        "<tool_call>", "<tool_call", "< tool_call>", "<tool_call>{}</tool_call>", "<tool_call>[]</tool_call>",
        "<tool_call>{\"name\": \"none\", \"arguments\": {}}</tool_call>",      /* not a tool of the request */
        "<tool_call>{\"name\": \"\", \"arguments\": {}}</tool_call>",
        "<tool_call>{\"arguments\": {\"a\": 1}}</tool_call>", "<tool_call>{\"name\": \"now\", \"arguments\": [1]}</tool_call>",
        "<tool_call>{\"name\": 1, \"arguments\": {}}</tool_call>", "<tool_call>{\"name\": \"now\", \"arguments\": \"x\"}",
        "<tool_call>{\"arguments\": \"{}\", \"name\": \"now\"}",
        "<tool_call>{\"name\": \"now\"", "<tool_call>{name: now}</tool_call>", "a <b <tool_c<tool_call>\n\n<tool_call>{] x",
        "  spaces \n\n are  kept \n", "<tool_call>\n{\"x\": \"\\u12\"}", "{\"name\": \"now\", \"arguments\": {}}",
    };
    char wanted[300];
    for (size_t i = 0; i < COUNT_OF(hermes); i++) {
        snprintf(wanted, sizeof wanted, "T{%s}", hermes[i]);
        check("hermes", hermes[i], wanted);
    }
    static const char *const others[][2] = {
        {"llama3", "Sure: {\"name\": \"now\", \"parameters\": {}}"}, {"llama3", "{\"name\": \"Ada\", \"age\": 36}"},
        {"llama3", "{\"name\": \"now\"}"}, {"llama3", "{\"title\": \"now\", \"name\": \"now\", \"parameters\": {}}"},
        {"llama3", "<|python_tag|>print(1)"}, {"mistral", "[TOOL_CALLS][]"}, {"mistral", "[TOOL_CALLS] none[ARGS]{}"},
        {"glm", "<tool_call>none</tool_call>"}, {"qwen-coder", "<tool_call>\n<function=none>\n</function>"},
        {"qwen-coder", "<function=get_weather"}, {"deepseek", "<｜tool▁calls▁begin｜>x"}, {"functionary", "Hello >>> all"},
        {"gemma", "<|tool_call>call:none{}<tool_call|>"}, {"lfm2", "<|tool_call_start|>[none()]<|tool_call_end|>"},
        {"apertus", "<|tools_prefix|>[{\"none\": {}}]<|tools_suffix|>"}, {"plain", "<tool_call>" NOW "</tool_call>"},
    };
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        snprintf(wanted, sizeof wanted, "T{%s}", others[i][1]);
        check(others[i][0], others[i][1], wanted);
    }
    check_with("hermes", &(DialectOptions){.calls = true}, "<tool_call>{\"name\": \"any\", \"arguments\": {}}", "C0{any}A0{{}}E0{}");
}

/* What was streamed cannot be taken back: the call has no end, and the rest is text. */
static void a_call_that_breaks_half_way_has_no_end(void **state)
{
    (void)state;
    check("hermes", "<tool_call>{\"name\": \"now\", \"arguments\": {\"a\": ]}", "C0{now}A0{{\"a\": }T{]}}");
    check("hermes", "<tool_call>{\"name\": \"now\", \"arguments\": {\"a\": 1", "C0{now}A0{{\"a\": 1}");
    check("hermes", "<tool_call>{\"name\": \"now\", \"arguments\": {\"a\": 1 <tool_call>" NOW "</tool_call>",
          "C0{now}A0{{\"a\": 1 }C1{now}A1{{}}E1{}");
    check("hermes", "<tool_call>" NOW " Done.", "C0{now}A0{{}}E0{}T{ Done.}");
    check("mistral", "[TOOL_CALLS][" NOW ", {\"name\": \"none\", \"arguments\": {}}]",
          "C0{now}A0{{}}E0{}T{, {\"name\": \"none\", \"arguments\": {}}]}");
    check("glm", "<tool_call>fun<arg_key>a</arg_key>x", "C0{fun}A0{{\"a\": }T{</arg_key>x}");
}

static void an_unfinished_end_is_no_text(void **state)
{
    (void)state;
    check("hermes", "<tool_call>" NOW, "C0{now}A0{{}}E0{}");
    check("hermes", "<tool_call>" NOW "\n</tool_", "C0{now}A0{{}}E0{}");
    check("mistral", "[TOOL_CALLS][" NOW, "C0{now}A0{{}}E0{}");
    check("mistral", "[TOOL_CALLS][" NOW ", {\"na", "C0{now}A0{{}}E0{}T{, {\"na}");
}

static void arguments_come_as_they_were_written(void **state)
{
    (void)state;
    check("hermes", "<tool_call>{\"arguments\": {\"a\": \"}\\\"{\"}, \"name\": \"now\"}</tool_call>", "C0{now}A0{{\"a\": \"}\\\"{\"}}E0{}");
    check("hermes", "<tool_call>{\"name\": \"now\"}</tool_call>", "C0{now}A0{{}}E0{}");
    check("hermes", "<tool_call>{\"name\": \"now\", \"arguments\": null}</tool_call>", "C0{now}A0{{}}E0{}");
    check("hermes", "<tool_call>{\"id\": {\"name\": \"x\"}, \"name\": \"now\", "
                    "\"arguments\":{\"a\":[1,{\"b\":\"</tool_call>\"}],\"c\":-1.5e+3}}"
                    "</tool_call>", "C0{now}A0{{\"a\":[1,{\"b\":\"</tool_call>\"}],\"c\":-1.5e+3}}E0{}");
    check("hermes", "<tool_call>{\"name\": \"now\", \"arguments\": {\"a\": \"1\n2\"}}</tool_call>", "C0{now}A0{{\"a\": \"1\\n2\"}}E0{}");
    check("hermes", "<tool_call>{\"name\": \"now\", \"arguments\": \"{\\\"a\\\": \\\"\\\\n\\u00fc\\ud83d\\ude00\\\"}\\n\"}</tool_call>",
          "C0{now}A0{{\"a\": \"\\nü😀\"}}E0{}");
    check("hermes", "<tool_call>{\"name\": \"now\", \"arguments\": \"\"}</tool_call>", "C0{now}A0{{}}E0{}");
    check("hermes", "<tool_call>{\"name\": \"now\", \"arguments\": \"{\\\"a\\\"\"}</tool_call>", "C0{now}A0{{\"a\"}T{\"}</tool_call>}");
    check("deepseek-v3.1", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>fun<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
          "C0{fun}A0{{}}E0{}");
    check("gemma", "<|tool_call>call:fun{a:[1,-2.5],b:{c:true,<|\"|>d e<|\"|>:<|\"|>x<|\"y\"|>\\<|\"|>},e:{}}<tool_call|>",
          "C0{fun}A0{{\"a\": [1, -2.5], \"b\": {\"c\": true, \"d e\": \"x<|\\\"y\\\"|>\\\\\"}, \"e\": {}}}E0{}");
    check("lfm2", "<|tool_call_start|>[fun(a=True, b=None, c={'x': \"it's\"}, d='\\'\\n\\d')]<|tool_call_end|>",
          "C0{fun}A0{{\"a\": true, \"b\": null, \"c\": {\"x\": \"it's\"}, \"d\": \"'\\n\\\\d\"}}E0{}");
}

/* The schema's types decide what a value without quotes is. */
static void values_have_the_types_of_the_schema(void **state)
{
    (void)state;
#define PARAMETER(key, value) "<tool_call><function=get_weather><parameter=" key ">\n" value "\n</parameter></function></tool_call>"
#define GIVES(key, json) "C0{get_weather}A0{{\"" key "\": " json "}}E0{}"
    check("qwen-coder", PARAMETER("city", "12"), GIVES("city", "\"12\""));
    check("qwen-coder", PARAMETER("city", "\n a \"b\"\\\n\n</p>\n"), GIVES("city", "\"\\n a \\\"b\\\"\\\\\\n\\n</p>\\n\""));
    check("qwen-coder", PARAMETER("city", ""), GIVES("city", "\"\""));
    check("qwen-coder", PARAMETER("days", "12"), GIVES("days", "12"));
    check("qwen-coder", PARAMETER("days", "soon"), GIVES("days", "\"soon\""));
    check("qwen-coder", PARAMETER("days", "1, 2"), GIVES("days", "\"1, 2\""));
    check("qwen-coder", PARAMETER("exact", "True"), GIVES("exact", "true"));
    check("qwen-coder", PARAMETER("where", "{\"x\": [1]}"), GIVES("where", "{\"x\": [1]}"));
    check("qwen-coder", PARAMETER("unknown", "[1, 2]"), GIVES("unknown", "[1, 2]"));
    check("deepseek-v3.2", "<｜DSML｜function_calls><｜DSML｜invoke name=\"fun\"><｜DSML｜parameter name=\"a\" string=\"true\">1"
                           "</｜DSML｜parameter><｜DSML｜parameter name=\"b\" string=\"false\">1</｜DSML｜parameter></｜DSML｜invoke>"
                           "</｜DSML｜function_calls>", "C0{fun}A0{{\"a\": \"1\", \"b\": 1}}E0{}");
}

/* Held text has a bound: beyond it, it is text. Protects the server's memory. */
static void what_is_held_is_bounded(void **state)
{
    (void)state;
    Collected got = {0};
    Buf text;
    DialectOptions options = {.calls = true};
    buf_init(&text, 1 << 22);
    buf_init(&got.text, 1 << 22);
    buf_put_text(&text, "<tool_call>{\"arguments\": {\"a\": \"");
    for (int i = 0; i < 400000; i++)
        buf_put_char(&text, 'x');
    buf_put_text(&text, "\"}, \"name\": \"now\"}</tool_call>");
    read_cut("hermes", &options, buf_span(&text), NULL, 0, &got);
    assert_int_equal(got.text.bytes, text.bytes + 3);
    assert_int_equal(got.text.data[0], 'T');
    buf_deinit(&got.text);
    buf_deinit(&text);
}

static void markers_reach_the_reader(void **state)
{
    (void)state;
    static const struct { const char *dialect, *piece; bool is; } cases[] = {
        {"hermes", "<tool_call>", true}, {"hermes", "</tool_call>", true}, {"hermes", "</think>", true},
        {"hermes", "<|im_end|>", false}, {"mistral", "[TOOL_CALLS]", true}, {"mistral", "[ARGS]", true},
        {"deepseek", "<｜tool▁sep｜>", true}, {"deepseek", "<｜end▁of▁sentence｜>", false}, {"gemma", "<|\"|>", true},
        {"harmony", "<|channel|>", true}, {"harmony", "<|message|>", true}, {"llama3", "<|python_tag|>", true},
        {"llama3", "<|eot_id|>", false}, {"deepseek-v3.2", "｜DSML｜", true}, {"plain", "<think>", false}, {"hermes", "", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (dialect_is_marker(dialect_find(cases[i].dialect), span_text(cases[i].piece)) != cases[i].is)
            FAIL_WITH("%s: %s is taken for %s marker", cases[i].dialect, cases[i].piece, cases[i].is ? "no" : "a");
}

/* A pattern's choice needs no more than a text's first bytes, and no marker is the beginning of another one. */
static void the_table_is_sound(void **state)
{
    (void)state;
    char names[600], *save = NULL;
    snprintf(names, sizeof names, "%s", dialect_names());
    for (char *name = strtok_r(names, ", ", &save); name; name = strtok_r(NULL, ", ", &save)) {
        const Dialect *d = dialect_find(name);
        Span marks[16];
        size_t count = 0;
        assert_non_null(d);
        assert_string_equal(dialect_name(d), name);
        for (int i = 0; i < DIALECT_FORMS_MAX; i++)
            if (d->forms[i].whole && !d->forms[i].bare)
                marks[count++] = pattern_trigger(d->forms[i].whole);
        for (int i = 0; i < DIALECT_IGNORED_MAX; i++)
            if (d->ignored[i])
                marks[count++] = pattern_trigger(d->ignored[i]);
        if (d->think)
            marks[count++] = span_text(d->think), marks[count++] = span_text(d->think_end);
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < count; k++)
                if (marks[i].bytes == 0 || (marks[i].bytes < marks[k].bytes && span_starts(marks[k], marks[i])))
                    FAIL_WITH("%s: a marker begins another one: %.*s", name, (int)marks[i].bytes, marks[i].data);
    }
    assert_null(dialect_find("none"));
}

/* ---- the tools of a request ---- */

static void check_tools(const char *text, const char *wanted)
{
    Error err = {0};
    json_t *tools = tools_of(text);
    Err code = dialect_tools_check(tools, &err);
    if (code != (wanted ? BAD_ARGUMENT : OK) || (wanted && !strstr(err.text, wanted)))
        FAIL_WITH("%s\n  says  %s\n  not   %s", text, err.text, wanted);
    json_decref(tools);
}

static void wrong_tools_are_named(void **state)
{
    (void)state;
#define FUNCTION(fields) "{\"type\": \"function\", \"function\": {" fields "}}"
    check_tools(tools_text, NULL);
    check_tools("[]", NULL);
    check_tools("{}", "tools: must be an array");
    check_tools("[1]", "tools[0]: must be an object");
    check_tools("[" FUNCTION("\"name\": \"a\"") ", {\"type\": \"x\"}]", "tools[1].type: must be");
    check_tools("[{\"type\": \"function\"}]", "tools[0].function: must be");
    check_tools("[" FUNCTION("") "]", "tools[0].function.name: must be a string");
    check_tools("[" FUNCTION("\"name\": \"\"") "]", "tools[0].function.name: must be 1 to 64");
    check_tools("[" FUNCTION("\"name\": \"a b\"") "]", "tools[0].function.name: must be 1 to 64");
    check_tools("[" FUNCTION("\"name\": \"a\\u0000\"") "]", "tools[0].function.name: must be 1 to 64");
    check_tools("[" FUNCTION("\"name\": \"a\"") "," FUNCTION("\"name\": \"a\"") "]", "tools[1].function.name: 'a' is the name");
    check_tools("[" FUNCTION("\"name\": \"a\", \"parameters\": []") "]", "tools[0].function.parameters: must be an object");
    check_tools("[" FUNCTION("\"name\": \"a\", \"description\": 1") "]", "tools[0].function.description: must be a string");
    check_tools("[" FUNCTION("\"name\": \"a\", \"strict\": 1") "]", "tools[0].function.strict: must be true or false");
    Buf many;
    buf_init(&many, 1 << 20);
    for (int i = 0; i < TOOLS_MAX + 1; i++)
        buf_printf(&many, "%s{\"type\": \"function\", \"function\": {\"name\": \"f%d\"}}", i ? "," : "[", i);
    buf_put_char(&many, ']');
    check_tools(many.data, "tools: has 129 entries; at most 128");
    buf_deinit(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_published_template_is_recognised),
        cmocka_unit_test(each_dialect_reads_its_calls),
        cmocka_unit_test(calls_may_follow_each_other),
        cmocka_unit_test(harmony_has_channels),
        cmocka_unit_test(reasoning_is_told_apart),
        cmocka_unit_test(prompts_may_end_within_reasoning),
        cmocka_unit_test(what_is_no_call_stays_text),
        cmocka_unit_test(a_call_that_breaks_half_way_has_no_end),
        cmocka_unit_test(an_unfinished_end_is_no_text),
        cmocka_unit_test(arguments_come_as_they_were_written),
        cmocka_unit_test(values_have_the_types_of_the_schema),
        cmocka_unit_test(what_is_held_is_bounded),
        cmocka_unit_test(markers_reach_the_reader),
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(wrong_tools_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Grammars of forced calls allow the calls that the reader reads, and no others. */
#include "test.h"

#include "text/dialect.h"
#include "text/grammar.h"
#include "text/grammar_vocab.h"

#define FAIL_WITH(...) (print_error(__VA_ARGS__), print_error("\n"), assert_true(!"as printed above"))

static const char referring_tools[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"strict\": true, \"parameters\": {\"type\": \"object\","
    " \"properties\": {\"a\": {\"$ref\": \"#/$defs/n\"}}, \"required\": [\"a\"], \"$defs\": {\"n\": {\"type\": \"integer\"}}}}}]";
static const char tools_text[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"parameters\": {\"type\": \"object\","
    "  \"properties\": {\"city\": {\"type\": \"string\"}, \"unit\": {\"type\": \"string\", \"enum\": [\"c\", \"f\"]},"
    "  \"days\": {\"type\": \"integer\"}}, \"required\": [\"city\"], \"additionalProperties\": false}}},"
    " {\"type\": \"function\", \"function\": {\"name\": \"now\"}}]";

typedef struct Forced { const char *only; bool parallel, in_reasoning; } Forced;

/* A vocabulary of the 256 bytes and an end. */
static GrammarVocab *bytes_vocab(void)
{
    static uint8_t bytes[256];
    static Span pieces[257];
    int32_t end = 256;
    GrammarVocab *v;
    for (int i = 0; i < 256; i++)
        pieces[i] = span_of(&bytes[i], 1), bytes[i] = (uint8_t)i;
    pieces[256] = span_text("<end>");
    assert_int_equal(grammar_vocab_of_pieces(&v, pieces, NULL, 257, &end, 1, NULL), OK);
    return v;
}

typedef struct Seen { Buf text; } Seen;

static void see(void *with, const DialectPart *p)
{
    Seen *s = with;
    if (p->kind == DIALECT_CALL)
        buf_printf(&s->text, "%s%.*s ", s->text.bytes ? " " : "", (int)p->text.bytes, p->text.data);
    if (p->kind == DIALECT_ARGUMENTS)
        buf_put_span(&s->text, p->text);
    if (p->kind == DIALECT_TEXT)
        buf_printf(&s->text, "(%.*s)", (int)p->text.bytes, p->text.data);
}

static void check_reads(const char *dialect, json_t *tools, const Forced *f, const char *text, const char *calls)
{
    Seen seen;
    DialectReader *r;
    DialectOptions options = {.calls = true, .reasoning = true, .in_reasoning = f->in_reasoning, .tools = tools};
    buf_init(&seen.text, 10000);
    assert_int_equal(dialect_reader_new(&r, dialect_find(dialect), &options, NULL), OK);
    assert_true(dialect_reader_put(r, span_text(text), see, &seen) && dialect_reader_finish(r, see, &seen));
    if (strcmp(seen.text.data, calls))
        FAIL_WITH("%s: of\n%s\n  reads  %s\n  not    %s", dialect, text, seen.text.data, calls);
    dialect_reader_free(r);
    buf_deinit(&seen.text);
}

/* calls: what the reader reads in the text; NULL: the grammar does not allow it. */
static void check(const char *dialect, Forced f, const char *text, const char *calls)
{
    Error err = {0};
    Buf gbnf;
    Grammar *g;
    GrammarMatcher *m;
    GrammarVocab *v = bytes_vocab();
    json_t *tools = json_loads(tools_text, 0, NULL);
    buf_init(&gbnf, 1 << 20);
    if (dialect_call_grammar(dialect_find(dialect), tools, f.only, f.parallel, f.in_reasoning, &gbnf, &err) != OK ||
        grammar_from_gbnf(buf_span(&gbnf), &g, &err) != OK || grammar_matcher_new(&m, g, v, &err) != OK)
        FAIL_WITH("%s: %s\n%s", dialect, err.text, gbnf.data);
    bool allowed = grammar_matcher_accept_text(m, span_text(text)) && grammar_matcher_complete(m);
    if (allowed != (calls != NULL))
        FAIL_WITH("%s: its grammar %s\n%s\n%s", dialect, allowed ? "allows" : "does not allow", text, gbnf.data);
    if (calls)
        check_reads(dialect, tools, &f, text, calls);
    grammar_matcher_free(m);
    grammar_free(g);
    grammar_vocab_free(v);
    buf_deinit(&gbnf);
    json_decref(tools);
}

#define A "{\"city\": \"Oslo\", \"days\": 2}"
#define CALL "get_weather " A
#define TWO CALL " now {}"
#define HERMES(name, args) "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " args "}\n</tool_call>"

static void each_dialect_can_be_forced(void **state)
{
    (void)state;
    Forced many = {.parallel = true};
    check("hermes", many, HERMES("get_weather", A) "\n" HERMES("now", "{}"), TWO);
    check("llama3", many, "{\"name\": \"get_weather\", \"parameters\": " A "}; {\"name\": \"now\", \"parameters\": {}}", TWO);
    check("mistral", many, "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": " A "}, {\"name\": \"now\", \"arguments\": {}}]", TWO);
    check("mistral-args", many, "[TOOL_CALLS]get_weather[ARGS]" A "[TOOL_CALLS]now[ARGS]{}", TWO);
    check("qwen-coder", many,
          "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n2\n</parameter>\n"
          "</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>", TWO);
    check("glm", many,
          "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Oslo</arg_value><arg_key>days</arg_key><arg_value>2"
          "</arg_value></tool_call>\n<tool_call>now</tool_call>", TWO);
    check("deepseek", many,
          "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n" A "\n```<｜tool▁call▁end｜>\n"
          "<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>", TWO);
    check("deepseek-v3.1", many,
          "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>" A "<｜tool▁call▁end｜><｜tool▁call▁begin｜>now"
          "<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>", TWO);
    check("deepseek-v3.2", many,
          "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Oslo"
          "</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" string=\"false\">2</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
          "<｜DSML｜invoke name=\"now\">\n</｜DSML｜invoke>\n</｜DSML｜function_calls>", TWO);
    check("kimi", many,
          "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>" A
          "<|tool_call_end|><|tool_call_begin|>functions.now:0<|tool_call_argument_begin|>{}<|tool_call_end|>"
          "<|tool_calls_section_end|>", TWO);
    check("command", many, "<|START_ACTION|>[\n    {\"tool_name\": \"get_weather\", \"parameters\": " A
                           "},\n    {\"tool_name\": \"now\", \"parameters\": {}}\n]<|END_ACTION|>", TWO);
    check("apertus", many, "<|tools_prefix|>[{\"get_weather\": " A "}, {\"now\": {}}]<|tools_suffix|>", TWO);
    check("gigachat", many, "function call<|role_sep|>\n{\"name\": \"get_weather\", \"arguments\": " A "}", CALL);
    check("functionary", many, "get_weather\n" A ">>>now\n{}", TWO);
    check("firefunction", many, "functools[{\"name\": \"get_weather\", \"arguments\": " A "}]", CALL);
    check("granite", many, "<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": " A "}]", CALL);
    check("apriel", many, "<tool_calls>[{\"name\": \"get_weather\", \"arguments\": " A "}]</tool_calls>", CALL);
    check("gemma", many, "<|tool_call>call:get_weather{city:<|\"|>Oslo<|\"|>,days:2}<tool_call|>", CALL);
    check("lfm2", many, "<|tool_call_start|>[get_weather(city=\"Oslo\", days=2), now()]<|tool_call_end|>", TWO);
    check("harmony", many, "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>" A, CALL);
}

static void nothing_but_calls_is_allowed(void **state)
{
    (void)state;
    Forced one = {.parallel = false}, now = {.only = "now"};
    check("hermes", one, HERMES("now", "{}"), "now {}");
    check("hermes", one, HERMES("now", "{}") "\n" HERMES("now", "{}"), NULL);
    check("hermes", one, "Sure.", NULL);
    check("hermes", one, "", NULL);
    check("hermes", one, HERMES("none", "{}"), NULL);
    check("hermes", one, HERMES("now", "[]"), NULL);
    check("hermes", one, HERMES("get_weather", "{\"days\": 2}"), NULL);                             /* city is required */
    check("hermes", one, HERMES("get_weather", "{\"city\": \"Oslo\", \"days\": \"two\"}"), NULL);
    check("glm", one, "<tool_call>get_weather<arg_key>city</arg_key><arg_value>O</arg_value><arg_key>days</arg_key><arg_value>two"
                      "</arg_value></tool_call>", NULL);
    check("hermes", now, HERMES("now", "{}"), "now {}");
    check("hermes", now, HERMES("get_weather", A), NULL);
    check("qwen-coder", one, "<tool_call>\n<function=get_weather>\n</function>\n</tool_call>", NULL);   /* city is required */
    check("glm", one, "<tool_call>get_weather<arg_key>city</arg_key><arg_value>O</arg_value><arg_key>unit</arg_key><arg_value>x"
                      "</arg_value></tool_call>", NULL);   /* not of the enum */
}

static void reasoning_may_come_first(void **state)
{
    (void)state;
    Forced one = {0}, in = {.in_reasoning = true};
    check("hermes", one, "<think>a < b </thin <</b>\n</think>\n\n" HERMES("now", "{}"), "now {}");
    check("hermes", in, "a < b\n</think>\n\n" HERMES("now", "{}"), "now {}");
    check("hermes", in, HERMES("now", "{}"), NULL);
    check("hermes", one, "<think>a</think>b" HERMES("now", "{}"), NULL);
    check("harmony", one, "<|channel|>analysis<|message|>Look.<|end|><|start|>assistant<|channel|>commentary to=functions.now "
                          "<|constrain|>json<|message|>{}", "now {}");
    check("command", in, "Hm<|END_THINKING|><|START_ACTION|>[{\"tool_name\": \"now\", \"parameters\": {}}]<|END_ACTION|>", "now {}");
}

static void what_cannot_be_forced_is_said(void **state)
{
    (void)state;
    Buf out;
    Error err = {0};
    json_t *tools = json_loads(tools_text, 0, NULL), *none = json_array();
    buf_init(&out, 1 << 20);
    assert_int_equal(dialect_call_grammar(dialect_find("plain"), tools, NULL, true, false, &out, &err), UNSUPPORTED);
    assert_non_null(strstr(err.text, "dialect 'plain'"));
    assert_int_equal(dialect_call_grammar(dialect_find("hermes"), tools, "none", true, false, &out, &err), BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "'none' is not among the tools"));
    assert_int_equal(dialect_call_grammar(dialect_find("hermes"), none, NULL, true, false, &out, &err), BAD_ARGUMENT);
    buf_deinit(&out);
    buf_init(&out, 100);
    assert_int_equal(dialect_call_grammar(dialect_find("hermes"), tools, NULL, true, false, &out, &err), LIMIT_REACHED);
    buf_deinit(&out);
    json_decref(none);
    json_decref(tools);
}

/* Protects a client that asked for exact arguments from getting others. */
static void only_strict_tools_need_a_schema(void **state)
{
    (void)state;
    Buf out;
    Error err = {0};
    json_t *tools = json_loads("[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"type\": \"object\","
                               " \"properties\": {\"a\": {\"not\": {}}}}}}]", 0, NULL);
    json_t *function = json_object_get(json_array_get(tools, 0), "function");
    const char *const dialects[] = {"hermes", "qwen-coder"};
    for (size_t i = 0; i < 2; i++) {
        buf_init(&out, 1 << 20);
        json_object_set_new(function, "strict", json_false());
        assert_int_equal(dialect_call_grammar(dialect_find(dialects[i]), tools, NULL, true, false, &out, &err), OK);
        json_object_set_new(function, "strict", json_true());
        assert_int_not_equal(dialect_call_grammar(dialect_find(dialects[i]), tools, NULL, true, false, &out, &err), OK);
        assert_non_null(strstr(err.text, "tools[0].function.parameters: "));
        buf_deinit(&out);
    }
    json_decref(tools);
}

/* An argument's schema may refer to what stands beside it, also where each argument has rules of its own. */
static void arguments_may_refer_to_definitions(void **state)
{
    (void)state;
    const char *const dialects[] = {"hermes", "qwen-coder", "glm", "mistral"};
    json_t *tools = json_loads(referring_tools, 0, NULL);
    for (size_t i = 0; i < COUNT_OF(dialects); i++) {
        Buf out;
        Error err = {0};
        Grammar *g;
        buf_init(&out, 1 << 20);
        if (dialect_call_grammar(dialect_find(dialects[i]), tools, NULL, true, false, &out, &err) != OK ||
            grammar_from_gbnf(buf_span(&out), &g, &err) != OK)
            FAIL_WITH("%s: %s", dialects[i], err.text);
        grammar_free(g);
        buf_deinit(&out);
    }
    json_decref(tools);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_dialect_can_be_forced),
        cmocka_unit_test(nothing_but_calls_is_allowed),
        cmocka_unit_test(reasoning_may_come_first),
        cmocka_unit_test(what_cannot_be_forced_is_said),
        cmocka_unit_test(arguments_may_refer_to_definitions),
        cmocka_unit_test(only_strict_tools_need_a_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "text/dialect_loose.h"
#include "text/dialect_parts.h"

#define THINKS(open, close) .think = open, .think_end = close
#define THINK THINKS("<think>", "</think>")
#define DEEPSEEK_BEGIN "<｜tool▁calls▁begin｜>"
#define DEEPSEEK_END "<｜tool▁calls▁end｜>"
#define DEEPSEEK_FENCED \
    "<｜tool▁call▁begin｜>function<｜tool▁sep｜>" NAME "\n```json\n" WS ARGS WS "```" WS "<｜tool▁call▁end｜>"
#define DEEPSEEK_PLAIN "<｜tool▁call▁begin｜>" NAME "<｜tool▁sep｜>" WS ARGS WS "<｜tool▁call▁end｜>"
#define DSML(word) "<｜DSML｜" word
#define DSML_CALL \
    DSML("invoke name=\"") NAME "\">" WS \
    MANY(DSML("parameter name=\"") KEY "\" string=\"" FLAG "\">" VALUE "</｜DSML｜parameter>" WS) \
    "</｜DSML｜invoke>" END
#define FUNCTION_CALL \
    "<function=" NAME ">" WS MANY("<parameter=" KEY ">" LINES "</parameter>" WS) "</function>" END
#define LIST(open, call, close) CALLS(open WS "[", call, ",", "]" WS close)
#define MISTRAL_LIST LIST("[TOOL_CALLS]", OBJECT, "")
#define MISTRAL_NAMED CALLS("", "[TOOL_CALLS]" NAME ANY("") "[ARGS]" WS ARGS, "", "")

/* Looked through from the top when a template is recognised: what is more particular stands first. */
static const Dialect dialects[] = {
    {"harmony", "<|channel|>analysis", NULL,
     {ONE_CALL("<|channel|>commentary" WS "to=functions." NAME ANY(" <|constrain|>json") "<|message|>" WS ARGS),
      ONE_CALL("<|start|>assistant" WS "to=functions." NAME ANY("<|channel|>commentary json") "<|message|>" WS ARGS)},
     THINKS("<|channel|>analysis<|message|>", "<|end|>"),
     .ignored = {"<|start|>assistant", "<|channel|>final" ANY("") "<|message|>", "<|channel|>commentary" WS "<|message|>",
                 "<|end|>", "<|return|>", "<|call|>"},
     .begun = "<|start|>assistant"},
    {"deepseek-v3.2", "｜DSML｜", NULL,
     {CALLS(DSML("function_calls>"), DSML_CALL, "", "</｜DSML｜function_calls>")}, THINK},
    {"deepseek", "<｜tool▁sep｜>", "```json", {CALLS(DEEPSEEK_BEGIN, DEEPSEEK_FENCED, "", DEEPSEEK_END)}, THINK},
    {"deepseek-v3.1", "<｜tool▁sep｜>", NULL, {CALLS(DEEPSEEK_BEGIN, DEEPSEEK_PLAIN, "", DEEPSEEK_END)}, THINK},
    {"kimi", "<|tool_call_argument_begin|>", NULL,
     {CALLS("<|tool_calls_section_begin|>",
            "<|tool_call_begin|>functions." NAME ANY(":0") "<|tool_call_argument_begin|>" WS ARGS WS "<|tool_call_end|>",
            "", "<|tool_calls_section_end|>")}, THINK},
    {"gemma", "<|tool_call>call:", NULL,
     {CALLS("", "<|tool_call>call:" NAME BRACES WS "<tool_call|>", "", "")}, THINKS("<|channel>thought", "<channel|>")},
    {"command", "<|START_ACTION|>", NULL, {LIST("<|START_ACTION|>", OBJECT, "<|END_ACTION|>")},
     THINKS("<|START_THINKING|>", "<|END_THINKING|>"),
     .ignored = {"<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"},
     .name_key = "tool_name", .args_key = "parameters"},
    {"apertus", "<|tools_prefix|>", NULL,
     {LIST("<|tools_prefix|>", "{" WS "\"" NAME "\"" WS ":" WS ARGS WS "}", "<|tools_suffix|>")},
     THINKS("<|inner_prefix|>", "<|inner_suffix|>")},
    {"gigachat", "<|role_sep|>", "function call",
     {CALLS("", "function call<|role_sep|>" WS OBJECT, "", "")}, .ignored = {"<|message_sep|>"}},
    {"functionary", ">>>all", NULL, {CALLS("", ">>>" NAME "\n" WS ARGS, "", "")},
     .ignored = {">>>" WS "all\n"}, .begun = ">>>"},
    {"firefunction", "functools[", .forms = {LIST("functools", OBJECT, "")}},
    {"glm", "<arg_key>", NULL,
     {CALLS("", "<tool_call>" WS NAME WS MANY("<arg_key>" KEY "</arg_key>" WS "<arg_value>" VALUE "</arg_value>" WS)
                "</tool_call>" END, "", "")}, THINK},
    {"qwen-coder", "<function=", "<parameter=",
     {CALLS("", "<tool_call>" WS FUNCTION_CALL WS "</tool_call>", "", ""),
      CALLS("", FUNCTION_CALL, "", MANY("</tool_call>"))}, THINK},
    {"apriel", "<tool_calls>[", NULL, {LIST("<tool_calls>", OBJECT, "</tool_calls>")}, THINKS("<thinking>", "</thinking>")},
    {"granite", "<|tool_call|>", NULL, {LIST("<|tool_call|>", OBJECT, "")}, THINK},
    {"mistral-args", "[ARGS]", NULL, {MISTRAL_NAMED, MISTRAL_LIST}, THINKS("[THINK]", "[/THINK]")},
    {"mistral", "[TOOL_CALLS]", NULL, {MISTRAL_LIST, MISTRAL_NAMED}, THINKS("[THINK]", "[/THINK]")},
    {"hermes", "<tool_call>", NULL, {CALLS("", "<tool_call>" WS OBJECT WS "</tool_call>", "", "")}, THINK},
    {"llama3", "\"parameters\": ", "<|eot_id|>",
     {BARE_CALLS(OBJECT, ";"), CALLS("<|python_tag|>", OBJECT, ";", ""),
      CALLS("", "<function=" NAME ">" WS ARGS WS "</function>", "", "")}, THINK, .args_key = "parameters"},
    {"lfm2", "List of tools: ", NULL,
     {CALLS("<|tool_call_start|>" WS "[", NAME PARENS, ",", "]" WS "<|tool_call_end|>")}, THINK},
    {"think", "</think>", THINK},
    {.name = "plain", .mark = ""},
};

const Dialect *dialect_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(dialects); i++)
        if (!strcmp(dialects[i].name, name))
            return &dialects[i];
    return NULL;
}

const char *dialect_names(void)
{
    return "harmony, deepseek-v3.2, deepseek, deepseek-v3.1, kimi, gemma, command, apertus, gigachat, functionary, "
           "firefunction, glm, qwen-coder, apriel, granite, mistral-args, mistral, hermes, llama3, lfm2, think, plain";
}

static bool has(Span text, const char *mark) { return !mark || memmem(text.data, text.bytes, mark, strlen(mark)); }

const Dialect *dialect_of_template(Span source)
{
    size_t i = 0;
    while (i < COUNT_OF(dialects) - 1 && !(has(source, dialects[i].mark) && has(source, dialects[i].also)))
        i++;
    return &dialects[i];
}

const char *dialect_name(const Dialect *d) { return d->name; }
bool dialect_has_calls(const Dialect *d) { return d->forms[0].whole != NULL; }
bool dialect_has_reasoning(const Dialect *d) { return d->think != NULL; }

/* ---- markers ---- */

/* Whether one of a pattern's texts contains the piece. */
static bool stands_in(const char *pattern, Span piece)
{
    while (pattern && *pattern) {
        Span text = pattern_text(pattern);
        if (memmem(text.data, text.bytes, piece.data, piece.bytes))
            return true;
        if (*pattern == CODE_BRACES && span_is(piece, LOOSE_QUOTE))
            return true;
        pattern += text.bytes ? text.bytes : 1;
    }
    return false;
}

bool dialect_is_marker(const Dialect *d, Span piece)
{
    bool found = false;
    if (piece.bytes == 0)
        return false;
    for (int i = 0; i < DIALECT_FORMS_MAX; i++)
        found |= stands_in(d->forms[i].whole, piece);
    for (int i = 0; i < DIALECT_IGNORED_MAX; i++)
        found |= stands_in(d->ignored[i], piece);
    return found || stands_in(d->think, piece) || stands_in(d->think_end, piece);
}

Span dialect_reasoning_begin(const Dialect *d) { return span_text(d->think ? d->think : ""); }
Span dialect_reasoning_end(const Dialect *d) { return span_text(d->think_end ? d->think_end : ""); }

bool dialect_opens_reasoning(const Dialect *d, Span prompt)
{
    size_t bytes = d->think ? strlen(d->think) : 0;
    while (prompt.bytes && strchr(" \n\r\t", prompt.data[prompt.bytes - 1]))
        prompt.bytes--;
    return bytes && prompt.bytes >= bytes && !memcmp(prompt.data + prompt.bytes - bytes, d->think, bytes);
}

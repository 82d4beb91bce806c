/* The grammar of forced calls, from the patterns that the reader follows: what one writes, the other reads. */
#include "text/dialect_loose.h"
#include "text/dialect_parts.h"
#include "text/dialect_tools.h"
#include "text/utf8.h"

typedef struct Writer {
    const Dialect *dialect;
    Buf *out;
    int tool;              /* its number, in the names of its rules */
    json_t *function;
} Writer;

/* ---- texts ---- */

/* A new string before each '<' and '[': a control token may stand only where a string begins. */
static void put_text(Writer *w, Span text)
{
    if (text.bytes)
        buf_put_text(w->out, " \"");
    for (size_t i = 0; i < text.bytes; i++) {
        char c = (char)text.data[i];
        if (i && (c == '<' || c == '['))
            buf_put_text(w->out, "\" \"");
        if (c == '"' || c == '\\')
            buf_put_char(w->out, '\\');
        c == '\n' ? buf_put_text(w->out, "\\n") : buf_put_char(w->out, c);
    }
    if (text.bytes)
        buf_put_char(w->out, '"');
}

static void put_not(Writer *w, uint32_t a, uint32_t b)
{
    buf_printf(w->out, "[^\\U%08X\\U%08X]", a, b);
}

/* Any text in which `end` does not begin: each run of its first character is followed by a part of it and then by
 * something else. The first character stands in no end a second time. */
static void put_free_text(Writer *w, const char *rule, Span end)
{
    Utf8Char first = utf8_next(end.data);
    buf_printf(w->out, "%s ::= ( ", rule);
    put_not(w, first.code, first.code);
    for (size_t at = first.bytes; at < end.bytes;) {
        Utf8Char c = utf8_next(end.data + at);
        buf_printf(w->out, " | [\\U%08X]+", first.code);
        put_text(w, span_of(end.data + first.bytes, at - first.bytes));
        buf_put_char(w->out, ' ');
        put_not(w, c.code, first.code);
        at += c.bytes;
    }
    buf_put_text(w->out, " )*\n");
}

static const char json_rules[] =
    "ws ::= [ \\t\\n]{0,8}\n"
    "json-string ::= \"\\\"\" ( [^\"\\\\\\x00-\\x1F] | \"\\\\\" ( [\"\\\\/bfnrt] | \"u\" [0-9a-fA-F]{4} ) )* \"\\\"\"\n"
    "json-number ::= \"-\"? ( \"0\" | [1-9] [0-9]{0,15} ) ( \".\" [0-9]{1,16} )? ( [eE] [-+]? [0-9]{1,3} )?\n"
    "json-member ::= json-string ws \":\" ws json-value\n"
    "json-object ::= \"{\" ws ( json-member ( ws \",\" ws json-member )* ws )? \"}\"\n"
    "json-array ::= \"[\" ws ( json-value ( ws \",\" ws json-value )* ws )? \"]\"\n"
    "json-value ::= json-object | json-array | json-string | json-number | \"true\" | \"false\" | \"null\"\n";

/* ---- values ---- */

static bool is_type(const json_t *schema, const char *type)
{
    const char *its = json_string_value(json_object_get(schema, "type"));
    return its && !strcmp(its, type);
}

static const char *rule_of_type(const json_t *schema)
{
    static const char *const rules[][2] = {
        {"object", "json-object"}, {"array", "json-array"},   {"string", "json-string"},
        {"number", "json-number"}, {"integer", "json-number"}, {"boolean", "( \"true\" | \"false\" )"},
    };
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        if (is_type(schema, rules[i][0]))
            return rules[i][1];
    return "json-value";
}

/* A string as it stands between two marks: one of an enum's, or free. */
static void put_bare_string(Writer *w, json_t *schema, const char *free_rule)
{
    size_t i, strings = 0;
    json_t *choices = json_object_get(schema, "enum"), *each;
    json_array_foreach(choices, i, each) strings += json_is_string(each);
    if (!strings || strings < json_array_size(choices)) {
        buf_printf(w->out, " %s", free_rule);
        return;
    }
    json_array_foreach(choices, i, each) {
        buf_put_text(w->out, i ? " |" : " (");
        Span text = span_of(json_string_value(each), json_string_length(each));
        text.bytes ? put_text(w, text) : (void)buf_put_text(w->out, " \"\"");
    }
    buf_put_text(w->out, " )");
}

static void put_schema_rule(Writer *w, json_t *schema) { buf_printf(w->out, "%s\n", rule_of_type(schema)); }

static json_t *properties_of(const Writer *w)
{
    return json_object_get(json_object_get(w->function, "parameters"), "properties");
}

static bool is_required(const Writer *w, const char *key)
{
    size_t i;
    json_t *each;
    json_array_foreach(json_object_get(json_object_get(w->function, "parameters"), "required"), i, each)
        if (json_is_string(each) && !strcmp(json_string_value(each), key))
            return true;
    return false;
}

/* ---- {key:value} and (key=value) ---- */

static const char loose_rules[] =
    "loose-key ::= [a-zA-Z_] [a-zA-Z0-9_]*\n"
    "loose-array ::= \"[\" ( loose-value ( \",\" ws loose-value )* )? \"]\"\n";
static const char braces_rules[] =
    "loose-string ::= \"<|\\\"|>\" loose-text \"<|\\\"|>\"\n"
    "loose-object ::= \"{\" ( loose-key \":\" loose-value ( \",\" loose-key \":\" loose-value )* )? \"}\"\n"
    "loose-value ::= loose-string | loose-array | loose-object | json-number | \"true\" | \"false\"\n";
static const char parens_rules[] =
    "loose-text ::= [^\"\\\\\\x00-\\x1F]*\n"
    "loose-string ::= \"\\\"\" loose-text \"\\\"\"\n"
    "loose-object ::= \"{\" ( loose-string \": \" loose-value ( \", \" loose-string \": \" loose-value )* )? \"}\"\n"
    "loose-value ::= loose-string | loose-array | loose-object | json-number | \"True\" | \"False\" | \"None\"\n";

static void put_loose_value(Writer *w, json_t *schema, bool braces)
{
    const char *mark = braces ? LOOSE_QUOTE : "\"", *rule = rule_of_type(schema);
    if (is_type(schema, "string") && json_object_get(schema, "enum")) {
        put_text(w, span_text(mark));
        put_bare_string(w, schema, "loose-text");
        put_text(w, span_text(mark));
    } else if (is_type(schema, "boolean")) {
        buf_put_text(w->out, braces ? " ( \"true\" | \"false\" )" : " ( \"True\" | \"False\" )");
    } else if (!strcmp(rule, "json-number")) {
        buf_put_text(w->out, " json-number");
    } else {
        buf_printf(w->out, " loose%s", rule + strlen("json"));
    }
}

/* The keys and the types of values are the schema's; which of them are required, the model must know. */
static void put_loose_rules(Writer *w, bool braces)
{
    const char *key, *separator = "", *comma = braces ? "\",\"" : "\", \"";
    json_t *schema;
    json_object_foreach(properties_of(w), key, schema) {
        *separator ? buf_put_text(w->out, separator) : buf_printf(w->out, "member-%d ::=", w->tool);
        put_text(w, span_text(key));
        put_text(w, span_text(braces ? ":" : "="));
        put_loose_value(w, schema, braces);
        separator = " |";
    }
    buf_printf(w->out, "%sargs-%d ::= \"%s\"", *separator ? "\n" : "", w->tool, braces ? "{" : "(");
    if (*separator)
        buf_printf(w->out, " ( member-%d ( %s member-%d )* )?", w->tool, comma, w->tool);
    buf_printf(w->out, " \"%s\"\n", braces ? "}" : ")");
}

/* ---- keys and values ---- */

static void put_param(Writer *w, const char *at, const char *key, json_t *schema, int number)
{
    for (; *at != CODE_MANY_END; at++) {
        Span text = pattern_text(at);
        if (text.bytes) {
            put_text(w, text);
            at += text.bytes - 1;
        } else if (*at == CODE_KEY) {
            put_text(w, span_text(key));
        } else if (*at == CODE_FLAG) {
            put_text(w, span_text(schema_is_string(schema) ? "true" : "false"));
        } else if (*at == CODE_WS) {
            buf_put_text(w->out, " ws");
        } else {
            const char *line = *at == CODE_LINES ? " \"\\n\"" : "";
            buf_printf(w->out, "%s value-%d-%d%s", line, w->tool, number, line);
        }
    }
}

static void put_value_rules(Writer *w)
{
    const char *key;
    json_t *schema;
    int number = 0;
    json_object_foreach(properties_of(w), key, schema) {
        buf_printf(w->out, "value-%d-%d ::=", w->tool, number++);
        if (schema_is_string(schema)) {
            put_bare_string(w, schema, "value-text");
            buf_put_char(w->out, '\n');
        } else {
            put_schema_rule(w, schema);
        }
    }
}

static void put_params(Writer *w, const char *at)
{
    const char *key;
    json_t *schema;
    int number = 0;
    json_object_foreach(properties_of(w), key, schema) {
        bool required = is_required(w, key);
        buf_put_text(w->out, required ? "" : " (");
        put_param(w, at, key, schema, number++);
        buf_put_text(w->out, required ? "" : " )?");
    }
}

/* ---- patterns ---- */

static void put_object(Writer *w, const char *name)
{
    const Dialect *d = w->dialect;
    buf_printf(w->out, " \"{\\\"%s\\\": \\\"%s\\\", \\\"%s\\\": \" args-%d \"}\"", d->name_key ? d->name_key : "name", name,
               d->args_key ? d->args_key : "arguments", w->tool);
}

static void put_pattern(Writer *w, const char *at)
{
    const char *name = json_string_value(json_object_get(w->function, "name"));
    for (; *at; at++) {
        Span text = pattern_text(at);
        if (text.bytes) {
            put_text(w, text);
            at += text.bytes - 1;
            continue;
        }
        switch (*at) {
        case CODE_WS: buf_put_text(w->out, " ws"); break;
        case CODE_NAME: put_text(w, span_text(name)); break;
        case CODE_ARGS:
        case CODE_BRACES:
        case CODE_PARENS: buf_printf(w->out, " args-%d", w->tool); break;
        case CODE_OBJECT: put_object(w, name); break;
        case CODE_MANY:
            put_params(w, at + 1);
            at = strchr(at, CODE_MANY_END);
            break;
        default: break;   /* ANY's usual text follows as a text */
        }
    }
}

/* The rules of one tool: args-N or value-N-M, and call-N; first-N where the prompt has begun the first call. */
static void put_tool(Writer *w)
{
    const DialectForm *form = w->dialect->forms;
    size_t begun = w->dialect->begun ? strlen(w->dialect->begun) : 0;
    bool keyed = strchr(form->call, CODE_KEY), braces = strchr(form->call, CODE_BRACES);
    if (keyed)
        put_value_rules(w);
    else if (braces || strchr(form->call, CODE_PARENS))
        put_loose_rules(w, braces);
    else {
        buf_printf(w->out, "args-%d ::= json-object\n", w->tool);
    }
    buf_printf(w->out, "call-%d ::=", w->tool);
    put_pattern(w, form->call);
    buf_printf(w->out, "\nfirst-%d ::=", w->tool);
    put_pattern(w, form->call + (begun && !strncmp(form->call, w->dialect->begun, begun) ? begun : 0));
    buf_put_char(w->out, '\n');
}

/* Which text may hold no beginning of its own end: that of values without quotes. */
static void put_shared_rules(Writer *w)
{
    const char *call = w->dialect->forms[0].call, *value = strpbrk(call, VALUE LINES);
    buf_put_text(w->out, json_rules);
    if (value)
        put_free_text(w, "value-text", pattern_text(value + 1));
    if (!strpbrk(call, BRACES PARENS))
        return;
    buf_put_text(w->out, loose_rules);
    buf_put_text(w->out, strchr(call, CODE_BRACES) ? braces_rules : parens_rules);
    if (strchr(call, CODE_BRACES))
        put_free_text(w, "loose-text", span_text(LOOSE_QUOTE));
}

static void put_root(Writer *w, bool parallel, bool in_reasoning)
{
    const Dialect *d = w->dialect;
    const DialectForm *form = d->forms;
    buf_put_text(w->out, "root ::=");
    if (d->think) {
        buf_put_text(w->out, in_reasoning ? "" : " (");
        put_text(w, in_reasoning ? (Span){0} : span_text(d->think));
        buf_put_text(w->out, " thoughts");
        put_text(w, span_text(d->think_end));
        put_text(w, d->begun ? span_text(d->begun) : (Span){0});
        buf_put_text(w->out, in_reasoning ? " ws" : " ws )?");
    }
    put_pattern(w, form->open);
    buf_put_text(w->out, *form->open ? " ws first" : " first");
    if (parallel && form->between) {
        buf_put_text(w->out, " ( ws");
        put_pattern(w, form->between);
        buf_put_text(w->out, " ws call )*");
    }
    put_pattern(w, *form->close ? WS : "");
    put_pattern(w, form->close);
    buf_put_char(w->out, '\n');
    if (d->think)
        put_free_text(w, "thoughts", span_text(d->think_end));
}

static void put_choice(Writer *w, const char *rule, int first, int count)
{
    buf_printf(w->out, "%s ::=", rule);
    for (int i = 0; i < count; i++)
        buf_printf(w->out, "%s %s-%d", i ? " |" : "", rule, first + i);
    buf_put_char(w->out, '\n');
}

Err dialect_call_grammar(const Dialect *d, json_t *tools, const char *only, bool parallel, bool in_reasoning, Buf *gbnf,
                         Error *err)
{
    size_t i;
    int count = 0;
    json_t *tool;
    Writer w = {.dialect = d, .out = gbnf};
    if (!dialect_has_calls(d))
        return fail(err, UNSUPPORTED,
                    "tool_choice: this model's chat template has no calls of tools that are known here (dialect '%s')",
                    d->name);
    if (only && !tool_find(tools, span_text(only)))
        return fail(err, BAD_ARGUMENT, "tool_choice.function.name: '%s' is not among the tools", only);
    if (!json_array_size(tools))
        return fail(err, BAD_ARGUMENT, "tool_choice: \"required\" needs tools");
    put_root(&w, parallel, in_reasoning);
    json_array_foreach(tools, i, tool) {
        w.function = tool_function(tool);
        if (only && strcmp(json_string_value(json_object_get(w.function, "name")), only))
            continue;
        w.tool = count++;
        put_tool(&w);
    }
    put_choice(&w, "call", 0, count);
    put_choice(&w, "first", 0, count);
    put_shared_rules(&w);
    return gbnf->full ? fail(err, LIMIT_REACHED, "tools: their grammar has more than %zu bytes", gbnf->bytes_max) : OK;
}

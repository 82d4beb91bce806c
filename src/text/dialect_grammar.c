/* The grammar of forced calls, from the patterns that the reader follows: what one writes, the other reads. */
#include <stdio.h>

#include "text/dialect_loose.h"
#include "text/dialect_parts.h"
#include "text/dialect_tools.h"
#include "text/grammar_schema.h"
#include "text/utf8.h"

typedef struct Writer {
    const Dialect *dialect;
    Buf *out;
    int tool;              /* its number, in the names of its rules */
    size_t place;          /* its place in the request */
    json_t *function;
    Error *err;
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

/* Of an argument's schema, with what the parameters define for all: references begin at their root. */
static json_t *schema_of_argument(const json_t *parameters, json_t *schema)
{
    static const char *const definitions[] = {"$defs", "definitions"};
    json_t *own = json_copy(schema);
    for (size_t i = 0; i < COUNT_OF(definitions); i++)
        if (json_is_object(own) && json_object_get(parameters, definitions[i]))
            json_object_set(own, definitions[i], json_object_get(parameters, definitions[i]));
    return own;
}

/* Arguments are an object, also where the schema forgets to say so. */
static json_t *schema_of_arguments(json_t *parameters)
{
    json_t *own = json_is_object(parameters) ? json_copy(parameters) : NULL;
    if (own && !json_object_get(own, "type"))
        json_object_set_new(own, "type", json_string("object"));
    return own;
}

static Err too_long(const Writer *w)
{
    return fail(w->err, LIMIT_REACHED, "tools: their grammar has more than %zu bytes", w->out->bytes_max);
}

/* `rule` is a value by the schema (taken). One that cannot be written as rules is an error only where the tool is
 * strict; otherwise `any` is allowed. */
static Err put_schema_rule(Writer *w, const char *rule, json_t *schema, const char *any)
{
    size_t before = w->out->bytes;
    Err result = schema ? grammar_schema_rules(schema, rule, w->out, w->err)
                        : fail(w->err, BAD_ARGUMENT, "are not given, but strict");
    json_decref(schema);
    if (result == OK || result == NO_MEMORY)
        return result;
    if (w->out->full)
        return too_long(w);
    if (json_is_true(json_object_get(w->function, "strict")))
        return fail_within(w->err, "tools[%zu].function.parameters", w->place);
    buf_cut(w->out, before);
    buf_printf(w->out, "%s ::= %s\n", rule, any);
    return OK;
}

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

static Err put_value_rules(Writer *w)
{
    const char *key;
    char rule[64];
    json_t *schema;
    int number = 0;
    json_object_foreach(properties_of(w), key, schema) {
        snprintf(rule, sizeof rule, "value-%d-%d", w->tool, number++);
        if (!schema_is_string(schema)) {
            TRY(put_schema_rule(w, rule, schema_of_argument(json_object_get(w->function, "parameters"), schema),
                                rule_of_type(schema)));
            continue;
        }
        buf_printf(w->out, "%s ::=", rule);
        put_bare_string(w, schema, "value-text");
        buf_put_char(w->out, '\n');
    }
    return OK;
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
static Err put_tool(Writer *w)
{
    const DialectForm *form = w->dialect->forms;
    char rule[32];
    size_t begun = w->dialect->begun ? strlen(w->dialect->begun) : 0;
    bool braces = strchr(form->call, CODE_BRACES);
    snprintf(rule, sizeof rule, "args-%d", w->tool);
    if (strchr(form->call, CODE_KEY))
        TRY(put_value_rules(w));
    else if (braces || strchr(form->call, CODE_PARENS))
        put_loose_rules(w, braces);
    else
        TRY(put_schema_rule(w, rule, schema_of_arguments(json_object_get(w->function, "parameters")), "json-object"));
    buf_printf(w->out, "call-%d ::=", w->tool);
    put_pattern(w, form->call);
    buf_printf(w->out, "\nfirst-%d ::=", w->tool);
    put_pattern(w, form->call + (begun && !strncmp(form->call, w->dialect->begun, begun) ? begun : 0));
    buf_put_char(w->out, '\n');
    return OK;
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
    Error unused;
    Writer w = {.dialect = d, .out = gbnf, .err = err ? err : &unused};
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
        w.place = i;
        TRY(put_tool(&w));
    }
    put_choice(&w, "call", 0, count);
    put_choice(&w, "first", 0, count);
    put_shared_rules(&w);
    return gbnf->full ? too_long(&w) : OK;
}

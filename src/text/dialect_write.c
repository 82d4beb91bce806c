/* Calls as the model would have written them: for chat templates that leave out what an assistant called. */
#include <stdlib.h>

#include "text/dialect_parts.h"
#include "text/dialect_tools.h"

/* A value as Python writes it: JSON, but for three words. Depth is bounded by the reader of the JSON. */
static void put_python(Buf *out, json_t *value)
{
    const char *key, *separator = "";
    json_t *each;
    size_t i;
    if (json_is_object(value)) {
        buf_put_char(out, '{');
        json_object_foreach(value, key, each) {
            buf_printf(out, "%s\"%s\": ", separator, key);
            put_python(out, each);
            separator = ", ";
        }
        buf_put_char(out, '}');
    } else if (json_is_array(value)) {
        buf_put_char(out, '[');
        json_array_foreach(value, i, each) {
            buf_put_text(out, i ? ", " : "");
            put_python(out, each);
        }
        buf_put_char(out, ']');
    } else if (json_is_boolean(value) || json_is_null(value)) {
        buf_put_text(out, json_is_true(value) ? "True" : json_is_false(value) ? "False" : "None");
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        buf_put_text(out, text ? text : "None");
        free(text);
    }
}

static void put_parens(Buf *out, json_t *arguments)
{
    const char *key, *separator = "";
    json_t *each;
    buf_put_char(out, '(');
    json_object_foreach(arguments, key, each) {
        buf_printf(out, "%s%s=", separator, key);
        put_python(out, each);
        separator = ", ";
    }
    buf_put_char(out, ')');
}

static bool put_json(Buf *out, json_t *arguments)
{
    char *text = json_dumps(arguments, 0);
    bool good = text && buf_put_text(out, text);
    free(text);
    return good;
}

static bool put_call(const Dialect *d, const char *at, const char *name, json_t *arguments, Buf *out)
{
    for (; *at; at++) {
        Span text = pattern_text(at);
        buf_put_span(out, text);
        at += text.bytes ? text.bytes - 1 : 0;
        if (text.bytes || *at == CODE_WS || *at == CODE_ANY || *at == CODE_ANY_END)
            continue;
        if (*at == CODE_OBJECT)
            buf_printf(out, "{\"%s\": \"%s\", \"%s\": ", d->name_key ? d->name_key : "name", name,
                       d->args_key ? d->args_key : "arguments");
        if (*at == CODE_NAME)
            buf_put_text(out, name);
        else if (*at == CODE_ARGS || *at == CODE_OBJECT)
            put_json(out, arguments);
        else if (*at == CODE_PARENS)
            put_parens(out, arguments);
        else
            return false;   /* keys and values: templates of such dialects write calls themselves */
        if (*at == CODE_OBJECT)
            buf_put_char(out, '}');
    }
    return !out->full;
}

bool dialect_write_calls(const Dialect *d, json_t *calls, Buf *out)
{
    size_t i;
    json_t *call;
    const DialectForm *form = d->forms;
    bool good = dialect_has_calls(d) && put_call(d, form->open, "", NULL, out);
    json_array_foreach(calls, i, call) {
        json_t *function = tool_function(call), *arguments = json_object_get(function, "arguments");
        const char *name = json_string_value(json_object_get(function, "name"));
        good = good && name && json_is_object(arguments) && (i == 0 || form->between) &&
               put_call(d, i ? form->between : "", "", NULL, out) && put_call(d, form->call, name, arguments, out);
    }
    return good && put_call(d, form->close, "", NULL, out);
}

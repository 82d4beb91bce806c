#include "text/jinja_print.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

/* ---- numbers ---- */

static int shortest_digits(double x, char *out, size_t bytes)
{
    int precision = 1;
    for (; precision <= 17; precision++) {
        snprintf(out, bytes, "%.*e", precision - 1, x);
        if (strtod(out, NULL) == x)
            break;
    }
    return precision;
}

void put_float(Text *t, double x)
{
    if (isnan(x) || isinf(x)) {
        text_puts(t, isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
        return;
    }
    char digits[40];
    int precision = shortest_digits(x, digits, sizeof digits);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent < -4 || exponent >= 16) {
        text_puts(t, digits);
        return;
    }
    int decimals = precision > 17 ? 17 : precision;
    decimals = decimals - 1 - exponent;
    text_printf(t, "%.*f", decimals > 1 ? decimals : 1, x);
}

/* ---- repr ---- */

static void put_quoted(Text *t, const Str *s)
{
    bool single = memchr(s->data, '\'', s->bytes), twice = memchr(s->data, '"', s->bytes);
    char quote = single && !twice ? '"' : '\'';
    text_put_char(t, quote);
    for (size_t at = 0; at < s->bytes;) {
        size_t start = at;
        uint32_t c = point_next(s->data, &at);
        const char *letters = "\n\r\t", *letter = c && c < 0x80 ? strchr(letters, (int)c) : NULL;
        if (c == (uint8_t)quote || c == '\\')
            text_put_char(t, '\\');
        if (letter)
            text_printf(t, "\\%c", "nrt"[letter - letters]);
        else if (point_is_printable(c))
            text_put(t, s->data + start, at - start);
        else
            text_printf(t, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
    }
    text_put_char(t, quote);
}

static void put_list(Text *t, const List *l, char open, char close)
{
    text_put_char(t, open);
    for (int32_t i = 0; i < l->count; i++) {
        if (i)
            text_puts(t, ", ");
        put_repr(t, l->items[i]);
    }
    if (open == '(' && l->count == 1)
        text_put_char(t, ',');
    text_put_char(t, close);
}

static void put_dict(Text *t, const Dict *d)
{
    text_put_char(t, '{');
    for (int32_t i = 0; i < d->count; i++) {
        if (i)
            text_puts(t, ", ");
        put_repr(t, d->entries[i].key);
        text_puts(t, ": ");
        put_repr(t, d->entries[i].value);
    }
    text_put_char(t, '}');
}

static void put_range(Text *t, const Range *r)
{
    text_printf(t, "range(%lld, %lld", (long long)r->start, (long long)r->stop);
    if (r->step != 1)
        text_printf(t, ", %lld", (long long)r->step);
    text_put_char(t, ')');
}

static void put_view(Text *t, Value v)
{
    text_puts(t, value_type(v));
    text_put_char(t, '(');
    put_list(t, list_of(t->j, v).list, '[', ']');
    text_put_char(t, ')');
}

static void put_object(Text *t, Value v)
{
    const Str *name = v.kind == V_MACRO ? macro_name(t->j, v.macro) : NULL;
    switch (v.kind) {
    case V_LIST:
        put_list(t, v.list, '[', ']');
        break;
    case V_TUPLE:
        put_list(t, v.list, '(', ')');
        break;
    case V_DICT:
        put_dict(t, v.dict);
        break;
    case V_NAMESPACE:
        text_puts(t, "<Namespace ");
        put_dict(t, v.dict);
        text_put_char(t, '>');
        break;
    case V_RANGE:
        put_range(t, v.range);
        break;
    case V_VIEW:
        put_view(t, v);
        break;
    case V_MACRO:
        text_puts(t, "<Macro ");
        if (name)
            put_quoted(t, name);
        else
            text_puts(t, "anonymous");
        text_put_char(t, '>');
        break;
    case V_LOOP:
        text_printf(t, "<LoopContext %lld/%lld>", (long long)v.loop->index + 1,
                    (long long)loop_length(t->j, v.loop));
        break;
    default:
        text_printf(t, "<%s object>", value_type(v));
    }
}

void put_repr(Text *t, Value v)
{
    switch (v.kind) {
    case V_UNDEFINED:
        text_puts(t, "Undefined");
        break;
    case V_NONE:
        text_puts(t, "None");
        break;
    case V_BOOL:
        text_puts(t, v.truth ? "True" : "False");
        break;
    case V_INT:
        text_printf(t, "%lld", (long long)v.integer);
        break;
    case V_FLOAT:
        put_float(t, v.number);
        break;
    case V_STRING:
        if (v.markup)
            text_puts(t, "Markup(");
        put_quoted(t, v.str);
        if (v.markup)
            text_put_char(t, ')');
        break;
    default:
        jinja_enter(t->j);
        jinja_work(t->j, 1);
        put_object(t, v);
        jinja_leave(t->j);
    }
}

void put_str(Text *t, Value v)
{
    if (v.kind == V_STRING)
        text_put_str(t, v.str);
    else if (v.kind != V_UNDEFINED)
        put_repr(t, v);
}

Value value_str(Jinja *j, Value v)
{
    v.markup = false;
    if (v.kind == V_STRING)
        return v;
    Text t = text_new(j);
    put_str(&t, v);
    return text_value(&t);
}

/* ---- JSON ---- */

static void put_json_string(Text *t, const Str *s, bool ascii)
{
    static const char letters[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    text_put_char(t, '"');
    size_t plain = 0;
    for (size_t at = 0; at < s->bytes;) {
        size_t start = at;
        uint32_t c = point_next(s->data, &at);
        const char *letter = c && c < 0x80 ? strchr(letters, (int)c) : NULL;
        if (c >= 0x20 && !letter && (c <= 0x7F || !ascii))
            continue;
        text_put(t, s->data + plain, start - plain);
        plain = at;
        if (letter)
            text_printf(t, "\\%c", names[letter - letters]);
        else if (c < 0x10000)
            text_printf(t, "\\u%04x", c);
        else
            text_printf(t, "\\u%04x\\u%04x", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + (c & 0x3FF));
    }
    text_put(t, s->data + plain, s->bytes - plain);
    text_put_char(t, '"');
}

static void put_json_at(Text *, Value, const JsonStyle *, int64_t level);

static void put_json_line(Text *t, const JsonStyle *style, int64_t level)
{
    if (style->indent.kind == V_NONE)
        return;
    text_put_char(t, '\n');
    if (style->indent.kind == V_STRING)
        text_fill(t, style->indent, level);
    else
        text_fill(t, str_literal(t->j, " "), level * integer_of(style->indent));
}

static void put_json_list(Text *t, const List *l, const JsonStyle *style, int64_t level)
{
    if (l->count == 0) {
        text_puts(t, "[]");
        return;
    }
    text_put_char(t, '[');
    for (int32_t i = 0; i < l->count; i++) {
        if (i)
            text_put_str(t, style->item_separator.str);
        put_json_line(t, style, level + 1);
        put_json_at(t, l->items[i], style, level + 1);
    }
    put_json_line(t, style, level);
    text_put_char(t, ']');
}

static void put_json_float(Text *t, double x)
{
    if (isnan(x))
        text_puts(t, "NaN");
    else if (isinf(x))
        text_puts(t, x < 0 ? "-Infinity" : "Infinity");
    else
        put_float(t, x);
}

static void put_json_key(Text *t, Value key, const JsonStyle *style)
{
    Text name = text_new(t->j);
    switch (key.kind) {
    case V_STRING:
        put_json_string(t, key.str, style->ascii);
        return;
    case V_NONE: case V_BOOL: case V_INT: case V_FLOAT:
        put_json_at(&name, key, style, 0);
        put_json_string(t, text_value(&name).str, style->ascii);
        return;
    default:
        TYPE_ERROR(t->j, "keys must be str, int, float, bool or None, not %s", value_type(key));
    }
}

static int compare_entries(const void *a, const void *b, void *j)
{
    Value x = ((const Entry *)a)->key, y = ((const Entry *)b)->key;
    return value_ordered(j, x, LESS, y) ? -1 : value_ordered(j, y, LESS, x);
}

static void put_json_dict(Text *t, const Dict *d, const JsonStyle *style, int64_t level)
{
    size_t bytes = (size_t)d->count * sizeof(Entry);
    Entry *entries = d->entries;
    if (d->count == 0) {
        text_puts(t, "{}");
        return;
    }
    if (style->sort_keys) {
        entries = jinja_grow(t->j, entries, bytes, bytes);
        qsort_r(entries, (size_t)d->count, sizeof *entries, compare_entries, t->j);
    }
    text_put_char(t, '{');
    for (int32_t i = 0; i < d->count; i++) {
        if (i)
            text_put_str(t, style->item_separator.str);
        put_json_line(t, style, level + 1);
        put_json_key(t, entries[i].key, style);
        text_put_str(t, style->key_separator.str);
        put_json_at(t, entries[i].value, style, level + 1);
    }
    put_json_line(t, style, level);
    text_put_char(t, '}');
}

static void put_json_at(Text *t, Value v, const JsonStyle *style, int64_t level)
{
    jinja_enter(t->j);
    jinja_work(t->j, 1);
    switch (v.kind) {
    case V_NONE:
        text_puts(t, "null");
        break;
    case V_BOOL:
        text_puts(t, v.truth ? "true" : "false");
        break;
    case V_INT:
        text_printf(t, "%lld", (long long)v.integer);
        break;
    case V_FLOAT:
        put_json_float(t, v.number);
        break;
    case V_STRING:
        put_json_string(t, v.str, style->ascii);
        break;
    case V_LIST: case V_TUPLE:
        put_json_list(t, v.list, style, level);
        break;
    case V_DICT:
        put_json_dict(t, v.dict, style, level);
        break;
    default:
        TYPE_ERROR(t->j, "Object of type %s is not JSON serializable", value_type(v));
    }
    jinja_leave(t->j);
}

void put_json(Text *t, Value v, const JsonStyle *style) { put_json_at(t, v, style, 0); }

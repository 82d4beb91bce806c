/* jinja_filters.c -- filters of single values: text, numbers, JSON. Each is Jinja2's, argument by
 * argument; what a filter does with a wrong type is what Python would do with it. */
#include "text/jinja_filters.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/jinja_builtins.h"
#include "text/jinja_lex.h"
#include "text/jinja_methods.h"
#include "text/jinja_print.h"
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

bool given_true(Jinja *j, Value v) { return v.kind != V_MISSING && value_truth(j, v); }

Value soft_str(Jinja *j, Value v) { return v.kind == V_STRING ? v : value_str(j, v); }

Value want_string(Jinja *j, Value v)
{
    if (v.kind == V_UNDEFINED)
        undefined_fail(j, v);
    if (v.kind != V_STRING)
        TYPE_ERROR(j, "'%s' object is not a string", value_type(v));
    return v;
}

/* ---- text ---- */

static Value filter_upper(Jinja *j, Call *c) { return str_upper(j, soft_str(j, c->self)); }
static Value filter_lower(Jinja *j, Call *c) { return str_lower(j, soft_str(j, c->self)); }
static Value filter_capitalize(Jinja *j, Call *c)
{
    return str_capitalize(j, soft_str(j, c->self));
}
static Value filter_string(Jinja *j, Call *c) { return soft_str(j, c->self); }

static Value filter_center(Jinja *j, Call *c)
{
    return str_center(j, soft_str(j, c->self), index_of(j, given_or(c->arg[0], value_int(80))),
                      value_missing());
}

static Value filter_trim(Jinja *j, Call *c)
{
    return str_strip(j, soft_str(j, c->self), c->arg[0], true, true);
}

/* Words begin after white space and after - ( { [ <. */
static Value filter_title(Jinja *j, Call *c)
{
    Value s = soft_str(j, c->self);
    Text t = text_new(j);
    for (size_t at = 0, end; at < s.str->bytes; at = end) {
        size_t first = at, next;
        uint32_t point = point_next(s.str->data, &first);
        bool gap = point_is_space(point) || (point < 0x80 && strchr("-({[<", (int)point));
        for (end = next = first; next < s.str->bytes; end = next) {
            point = point_next(s.str->data, &next);
            if (gap
                != (point_is_space(point)
                    || (point < 0x80 && point && strchr("-({[<", (int)point))))
                break;
        }
        text_put_str(&t, str_upper(j, str_cut(j, s, at, first)).str);
        text_put_str(&t, str_lower(j, str_cut(j, s, first, end)).str);
    }
    return text_value(&t);
}

static Value filter_replace(Jinja *j, Call *c)
{
    Value count = given_or(c->arg[2], value_none());
    return str_replace(j, value_str(j, c->self), value_str(j, c->arg[0]), value_str(j, c->arg[1]),
                       count.kind == V_NONE ? -1 : index_of(j, count));
}

static Value filter_format(Jinja *j, Call *c)
{
    const Args *a = c->args;
    if (a->count && a->named_count)
        TYPE_ERROR(j, "can't handle positional and keyword arguments at the same time");
    Value args = tuple_new(j, a->count);
    for (int32_t i = 0; i < a->count; i++)
        list_put(j, args, a->items[i]);
    if (a->named_count)
        args = dict_new(j);
    for (int32_t i = 0; i < a->named_count; i++)
        dict_put(j, args, a->named[i].name, a->named[i].value);
    return percent_format(j, soft_str(j, c->self), args);
}

static Value filter_indent(Jinja *j, Call *c)
{
    Value width = given_or(c->arg[0], value_int(4)), s = want_string(j, c->self);
    bool first = given_true(j, c->arg[1]), blank = given_true(j, c->arg[2]);
    Text margin = text_new(j), t = text_new(j);
    if (width.kind == V_STRING)
        text_put_str(&margin, width.str);
    else
        text_fill(&margin, str_literal(j, " "), index_of(j, width));
    Value indent = text_value(&margin);
    Value lines = str_split_lines(j, str_add(j, s, str_literal(j, "\n")), false);
    for (int32_t i = 0; i < lines.list->count; i++) {
        const Str *line = lines.list->items[i].str;
        if (i)
            text_put_char(&t, '\n');
        if (i ? blank || line->bytes : first)
            text_put_str(&t, indent.str);
        text_put_str(&t, line);
    }
    return text_value(&t);
}

static Value filter_truncate(Jinja *j, Call *c)
{
    Value s = c->self, end = given_or(c->arg[2], str_literal(j, "..."));
    int64_t length = index_of(j, given_or(c->arg[0], value_int(255)));
    Value leeway = given_or(c->arg[3], value_none());
    int64_t slack = leeway.kind == V_NONE ? 5 : index_of(j, leeway);
    int64_t tail = value_length(j, end);
    if (length < tail || slack < 0)
        TYPE_ERROR(j, "expected length >= %lld, got %lld", (long long)tail, (long long)length);
    if (value_length(j, s) <= length + slack)
        return s;
    Value kept =
        value_slice(j, want_string(j, s), value_none(), value_int(length - tail), value_none());
    if (!given_true(j, c->arg[1])) {
        const char *space = memrchr(kept.str->data, ' ', kept.str->bytes);
        kept = space ? str_cut(j, kept, 0, (size_t)(space - kept.str->data)) : kept;
    }
    return str_add(j, kept, want_string(j, end));
}

static Value filter_wordcount(Jinja *j, Call *c)
{
    Value s = soft_str(j, c->self);
    int64_t words = 0;
    bool within = false;
    for (size_t at = 0; at < s.str->bytes;) {
        uint32_t point = point_next(s.str->data, &at);
        bool word = point == '_' || point_is_alnum(point);
        words += word && !within;
        within = word;
    }
    return value_int(words);
}

/* ---- HTML and URLs ---- */

Value html_escaped(Jinja *j, Value v)
{
    if (v.markup)
        return v;
    Value s = value_str(j, v);
    Text t = text_new(j);
    for (size_t i = 0; i < s.str->bytes; i++) {
        char ch = s.str->data[i];
        switch (ch) {
        case '&': text_puts(&t, "&amp;"); break;
        case '<': text_puts(&t, "&lt;"); break;
        case '>': text_puts(&t, "&gt;"); break;
        case '\'': text_puts(&t, "&#39;"); break;
        case '"': text_puts(&t, "&#34;"); break;
        default: text_put_char(&t, ch);
        }
    }
    Value out = text_value(&t);
    out.markup = true;
    return out;
}

static Value filter_escape(Jinja *j, Call *c) { return html_escaped(j, c->self); }
static Value filter_forceescape(Jinja *j, Call *c)
{
    return html_escaped(j, value_str(j, c->self));
}

static Value filter_safe(Jinja *j, Call *c)
{
    Value v = value_str(j, c->self);
    v.markup = true;
    return v;
}

/* A reference at s[at], as "&lt;" or "&#39;": the character, and *end behind it; 0 when it is none. */
static uint32_t html_reference(const char *s, size_t bytes, size_t at, size_t *end)
{
    static const struct {
        const char *name;
        uint32_t point;
    } names[] = {{"amp;", '&'},  {"lt;", '<'},    {"gt;", '>'},
                 {"quot;", '"'}, {"apos;", '\''}, {"nbsp;", 0xA0}};
    size_t i = at + 1;
    for (size_t n = 0; n < COUNT_OF(names); n++)
        if (bytes - i >= strlen(names[n].name)
            && !memcmp(s + i, names[n].name, strlen(names[n].name))) {
            *end = i + strlen(names[n].name);
            return names[n].point;
        }
    if (i >= bytes || s[i++] != '#')
        return 0;
    bool hex = i < bytes && (s[i] | 32) == 'x';
    uint32_t point = 0;
    size_t start = i += hex;
    for (;
         i < bytes && (hex ? isxdigit((uint8_t)s[i]) : isdigit((uint8_t)s[i])) && point < 0x110000;
         i++)
        point = point * (hex ? 16 : 10)
                + (uint32_t)(isdigit((uint8_t)s[i]) ? s[i] - '0' : (s[i] | 32) - 'a' + 10);
    *end = i + (i < bytes && s[i] == ';');
    return i == start || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000) ? 0 : point;
}

static Value without_tags(Jinja *j, Value s, const char *open, const char *close)
{
    Text t = text_new(j);
    size_t at = 0;
    const char *data = s.str->data;
    for (const char *from; (from = memmem(data + at, s.str->bytes - at, open, strlen(open)));) {
        size_t start = (size_t)(from - data), after = start + strlen(open);
        const char *to = memmem(data + after, s.str->bytes - after, close, strlen(close));
        if (!to)
            break;
        text_put(&t, data + at, start - at);
        at = (size_t)(to - data) + strlen(close);
    }
    text_put(&t, data + at, s.str->bytes - at);
    return text_value(&t);
}

static Value filter_striptags(Jinja *j, Call *c)
{
    Value s = without_tags(j, value_str(j, c->self), "<!--", "-->");
    s = without_tags(j, s, "<", ">");
    Text words = text_new(j), t = text_new(j);
    bool gap = false;
    for (size_t at = 0; at < s.str->bytes;) {
        uint32_t point = point_next(s.str->data, &at);
        if (point_is_space(point)) {
            gap = true;
            continue;
        }
        if (gap && words.bytes)
            text_put_char(&words, ' ');
        gap = false;
        text_put_point(&words, point);
    }
    for (size_t at = 0; at < words.bytes;) {
        size_t end = at;
        uint32_t point =
            words.data[at] == '&' ? html_reference(words.data, words.bytes, at, &end) : 0;
        text_put_point(&t, point ? point : point_next(words.data, &at));
        at = point ? end : at;
    }
    return text_value(&t);
}

static void put_quoted_url(Text *t, Value v, const char *safe)
{
    Value s = value_str(t->j, v);
    for (size_t i = 0; i < s.str->bytes; i++) {
        uint8_t ch = (uint8_t)s.str->data[i];
        if (ch == ' ' && !*safe)
            text_put_char(t, '+');
        else if (ch < 0x80 && (isalnum(ch) || strchr("_.-~", ch) || strchr(safe, ch)) && ch)
            text_put_char(t, (char)ch);
        else
            text_printf(t, "%%%02X", ch);
    }
}

static Value filter_urlencode(Jinja *j, Call *c)
{
    Text t = text_new(j);
    if (c->self.kind == V_STRING || !value_iterable(c->self)) {
        put_quoted_url(&t, c->self, "/");
        return text_value(&t);
    }
    Iter it = iter_of(j, c->self);
    for (Value each; iter_next(j, &it, &each);) {
        Value key = each, value = each;
        if (c->self.kind == V_DICT) {
            value = *dict_find(j, c->self.dict, key);
        } else {
            Value pair = list_of(j, each);
            if (pair.list->count != 2)
                TYPE_ERROR(j, "urlencode wants pairs");
            key = pair.list->items[0];
            value = pair.list->items[1];
        }
        if (t.bytes)
            text_put_char(&t, '&');
        put_quoted_url(&t, key, "");
        text_put_char(&t, '=');
        put_quoted_url(&t, value, "");
    }
    return text_value(&t);
}

static Value filter_xmlattr(Jinja *j, Call *c)
{
    Text t = text_new(j);
    if (c->self.kind != V_DICT)
        TYPE_ERROR(j, "'%s' object has no attribute 'items'", value_type(c->self));
    bool space = c->arg[0].kind == V_MISSING || value_truth(j, c->arg[0]);
    for (int32_t i = 0; i < c->self.dict->count; i++) {
        const Entry *e = &c->self.dict->entries[i];
        if (e->value.kind == V_NONE || e->value.kind == V_UNDEFINED)
            continue;
        const Str *key = want_string(j, e->key).str;
        for (size_t k = 0; k < key->bytes; k++)
            if (strchr(" \t\n\r\f\v/>=", key->data[k]))
                TYPE_ERROR(j, "Invalid character in attribute name: %.*s", (int)key->bytes,
                           key->data);
        if (t.bytes || space)
            text_put_char(&t, ' ');
        text_put_str(&t, html_escaped(j, e->key).str);
        text_puts(&t, "=\"");
        text_put_str(&t, html_escaped(j, e->value).str);
        text_put_char(&t, '"');
    }
    return text_value(&t);
}

/* ---- numbers ---- */

static Value filter_abs(Jinja *j, Call *c)
{
    if (c->self.kind == V_UNDEFINED)
        undefined_fail(j, c->self);
    if (!is_number(c->self))
        TYPE_ERROR(j, "bad operand type for abs(): '%s'", value_type(c->self));
    if (c->self.kind == V_FLOAT)
        return value_float(fabs(c->self.number));
    return value_negate(j, c->self, integer_of(c->self) < 0);
}

static double want_number(Jinja *j, Value v)
{
    if (v.kind == V_UNDEFINED)
        undefined_fail(j, v);
    if (!is_number(v))
        TYPE_ERROR(j, "must be real number, not %s", value_type(v));
    return number_of(v);
}

/* Rounds half to even on the decimal digits of x, as Python does, by way of printing it. */
static double round_to(double x, int64_t digits)
{
    char text[512];
    if (!isfinite(x) || digits > 300)
        return x;
    if (digits < 0) {
        double unit = pow(10, digits < -308 ? 308 : (double)-digits);
        return digits < -308 ? 0 * x : nearbyint(x / unit) * unit;
    }
    snprintf(text, sizeof text, "%.*f", (int)digits, x);
    return digits > 100 ? x : strtod(text, NULL);
}

static Value round_integer(Jinja *j, int64_t i, int64_t digits)
{
    if (digits >= 0)
        return value_int(i);
    if (digits < -18)
        return value_int(0);
    int64_t unit = 1;
    for (; digits < 0; digits++)
        unit *= 10;
    int64_t rest = (i % unit + unit) % unit, down;
    if (__builtin_sub_overflow(i, rest, &down))
        jinja_fail(j, LIMIT_REACHED, "an integer of more than 64 bits");
    bool up = rest > unit - rest || (rest == unit - rest && (down / unit) % 2 != 0);
    return value_binary(j, T_ADD, value_int(down), value_int(up ? unit : 0));
}

static Value filter_round(Jinja *j, Call *c)
{
    Value method = given_or(c->arg[1], str_literal(j, "common"));
    Value precision = given_or(c->arg[0], value_int(0));
    bool up = str_is(method, "ceil");
    if (!up && !str_is(method, "floor") && !str_is(method, "common"))
        TYPE_ERROR(j, "method must be common, ceil or floor");
    double x = want_number(j, c->self);
    if (str_is(method, "common")) {
        if (is_integer(c->self))
            return round_integer(j, integer_of(c->self), index_of(j, precision));
        if (precision.kind == V_NONE && !isfinite(x))
            TYPE_ERROR(j, "cannot convert float infinity or NaN to integer");
        return precision.kind == V_NONE ? value_int((int64_t)nearbyint(x))
                                        : value_float(round_to(x, index_of(j, precision)));
    }
    Value unit = value_binary(j, T_POW, value_int(10), precision);
    double scaled = number_of(value_binary(j, T_MUL, c->self, unit));
    if (!isfinite(scaled))
        TYPE_ERROR(j, "cannot convert float infinity or NaN to integer");
    return value_float(((up ? ceil(scaled) : floor(scaled)) + 0.0) / number_of(unit));   /* no -0 */
}

static Span stripped(Value v)
{
    size_t from = 0, to = v.str->bytes;
    for (size_t next = from; next < to && point_is_space(point_next(v.str->data, &next));
         from = next)
        ;
    for (size_t before = to; before > from && point_is_space(point_before(v.str->data, &before));
         to = before)
        ;
    return span_of(v.str->data + from, to - from);
}

static int digit_value(uint8_t ch)
{
    return isdigit(ch) ? ch - '0' : isalpha(ch) ? (ch | 32) - 'a' + 10 : 99;
}

/* int(text, base): white space around, a sign, a prefix, single underscores between digits. */
bool parse_integer(Value v, int64_t base, int64_t *out, bool *too_large)
{
    Span s = stripped(v);
    *too_large = false;
    bool negative = s.bytes && s.data[0] == '-';
    if (s.bytes && (s.data[0] == '-' || s.data[0] == '+'))
        s = span_from(s, 1);
    int mark = s.bytes > 1 && s.data[0] == '0' ? s.data[1] | 32 : 0;
    int64_t marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    bool prefixed = marked && (base == 0 || base == marked);
    if (prefixed)
        s = span_from(s, 2);
    bool free_base = base == 0;
    base = free_base ? prefixed ? marked : 10 : base;
    int64_t n = 0;
    bool after_digit = prefixed, any = false, leading_zero = false;
    for (size_t i = 0; i < s.bytes; i++) {
        if (s.data[i] == '_' && after_digit) {
            after_digit = false;
            continue;
        }
        int digit = s.data[i] < 0x80 ? digit_value(s.data[i]) : 99;
        if (digit >= base)
            return false;
        leading_zero |= !any && digit == 0;
        if (free_base && !prefixed && leading_zero && digit)
            return false;
        if (__builtin_mul_overflow(n, base, &n) || __builtin_sub_overflow(n, digit, &n))
            *too_large = true;
        after_digit = any = true;
    }
    *too_large |= !negative && n == INT64_MIN;
    *out = negative || *too_large ? n : -n;
    return any && after_digit;
}

/* float(text): what strtod reads, less hexadecimal, with single underscores between digits. */
bool parse_float(Jinja *j, Value v, double *out)
{
    Span s = stripped(v);
    Text plain = text_new(j);
    for (size_t i = 0; i < s.bytes; i++) {
        bool between = i > 0 && i + 1 < s.bytes && isdigit(s.data[i - 1]) && isdigit(s.data[i + 1]);
        if (s.data[i] == '_' && between)
            continue;
        if (!s.data[i] || strchr("_xXpP( ", s.data[i]) || s.data[i] >= 0x80)
            return false;
        text_put_char(&plain, (char)s.data[i]);
    }
    text_put_char(&plain, 0);
    char *end;
    *out = strtod(plain.data, &end);
    return s.bytes && *end == 0 && !isspace((uint8_t)plain.data[0]);
}

static bool float_of(Jinja *j, Value v, double *out)
{
    if (v.kind == V_UNDEFINED)
        undefined_fail(j, v);
    if (v.kind == V_STRING)
        return parse_float(j, v, out);
    *out = is_number(v) ? number_of(v) : 0;
    return is_number(v);
}

static Value truncated(Jinja *j, double x)
{
    if (fabs(x) >= 9223372036854775808.0)
        jinja_fail(j, LIMIT_REACHED, "an integer of more than 64 bits");
    return value_int((int64_t)x);
}

static Value filter_int(Jinja *j, Call *c)
{
    Value otherwise = given_or(c->arg[0], value_int(0));
    int64_t base = index_of(j, given_or(c->arg[1], value_int(10))), i;
    bool too_large;
    double x;
    if (is_integer(c->self))
        return value_int(integer_of(c->self));
    bool base_known = base == 0 || (base >= 2 && base <= 36);
    if (c->self.kind == V_STRING && base_known && parse_integer(c->self, base, &i, &too_large)) {
        if (too_large)
            jinja_fail(j, LIMIT_REACHED, "an integer of more than 64 bits");
        return value_int(i);
    }
    if (c->self.kind == V_FLOAT && isinf(c->self.number))
        TYPE_ERROR(j, "cannot convert float infinity to integer");
    return float_of(j, c->self, &x) && isfinite(x) ? truncated(j, x) : otherwise;
}

static Value filter_float(Jinja *j, Call *c)
{
    double x;
    return float_of(j, c->self, &x) ? value_float(x) : given_or(c->arg[0], value_float(0));
}

static Value filter_filesizeformat(Jinja *j, Call *c)
{
    static const char prefixes[] = "kMGTPEZY";
    bool binary = given_true(j, c->arg[0]);
    double base = binary ? 1024 : 1000, size, unit;
    Text t = text_new(j);
    if (!float_of(j, c->self, &size))
        TYPE_ERROR(j, "could not convert to float: '%s'", value_type(c->self));
    if (size == 1) {
        text_puts(&t, "1 Byte");
        return text_value(&t);
    }
    if (size < base) {
        text_printf(&t, "%lld Bytes", (long long)truncated(j, size).integer);
        return text_value(&t);
    }
    size_t i = 0;
    for (unit = base * base; size >= unit && i + 1 < strlen(prefixes); i++)
        unit *= base;
    text_printf(&t, "%.1f %c%sB", base * size / unit, binary && i == 0 ? 'K' : prefixes[i],
                binary ? "i" : "");
    return text_value(&t);
}

/* ---- the rest ---- */

static Value filter_default(Jinja *j, Call *c)
{
    if (c->self.kind == V_UNDEFINED || (given_true(j, c->arg[1]) && !value_truth(j, c->self)))
        return given_or(c->arg[0], str_literal(j, ""));
    return c->self;
}

static Value filter_attr(Jinja *j, Call *c)
{
    Value out = value_own_attribute(j, c->self, want_string(j, c->arg[0]));
    return out.kind == V_MISSING ? undefined_in(j, c->self, c->arg[0]) : out;
}

/* The signature of transformers: tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False). */
static Value filter_tojson(Jinja *j, Call *c)
{
    JsonStyle style = {
        .ascii = given_true(j, c->arg[0]),
        .indent = given_or(c->arg[1], value_none()),
        .sort_keys = given_true(j, c->arg[3]),
    };
    Value separators = given_or(c->arg[2], value_none());
    style.item_separator = str_literal(j, style.indent.kind == V_NONE ? ", " : ",");
    style.key_separator = str_literal(j, ": ");
    if (style.indent.kind != V_NONE && style.indent.kind != V_STRING)
        index_of(j, style.indent);
    if (separators.kind != V_NONE) {
        Value pair = list_of(j, separators);
        if (pair.list->count != 2)
            TYPE_ERROR(j, "separators must be a pair of strings");
        style.item_separator = want_string(j, pair.list->items[0]);
        style.key_separator = want_string(j, pair.list->items[1]);
    }
    Text t = text_new(j);
    put_json(&t, c->self, &style);
    return text_value(&t);
}

static Value filter_refused(Jinja *j, Call *c)
{
    (void)c;
    jinja_fail(j, UNSUPPORTED, "the filters random, pprint and urlize have no place in a prompt");
}

static const Builtin filters[] = {
    {"abs", "/", filter_abs},
    {"attr", "name", filter_attr},
    {"capitalize", "", filter_capitalize},
    {"center", "width?", filter_center},
    {"d", "default_value? boolean?", filter_default},
    {"default", "default_value? boolean?", filter_default},
    {"e", "/", filter_escape},
    {"escape", "/", filter_escape},
    {"filesizeformat", "binary?", filter_filesizeformat},
    {"float", "default?", filter_float},
    {"forceescape", "", filter_forceescape},
    {"format", NULL, filter_format},
    {"indent", "width? first? blank?", filter_indent},
    {"int", "default? base?", filter_int},
    {"lower", "", filter_lower},
    {"pprint", NULL, filter_refused},
    {"random", NULL, filter_refused},
    {"replace", "old new count?", filter_replace},
    {"round", "precision? method?", filter_round},
    {"safe", "", filter_safe},
    {"string", "", filter_string},
    {"striptags", "", filter_striptags},
    {"title", "", filter_title},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", filter_tojson},
    {"trim", "chars?", filter_trim},
    {"truncate", "length? killwords? end? leeway?", filter_truncate},
    {"upper", "", filter_upper},
    {"urlencode", "", filter_urlencode},
    {"urlize", NULL, filter_refused},
    {"wordcount", "", filter_wordcount},
    {"wordwrap", "width? break_long_words? wrapstring? break_on_hyphens?", filter_wordwrap},
    {"xmlattr", "autospace?", filter_xmlattr},
};

const Builtin *filter_find(Span name)
{
    const Builtin *b = builtin_find(filters, COUNT_OF(filters), name);
    return b ? b : builtin_find(sequence_filters, sequence_filter_count, name);
}

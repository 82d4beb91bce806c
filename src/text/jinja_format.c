/* jinja_format.c -- Python's formatters: "%05.2f" % x, "{:>8}".format(x), strftime. */
#include "text/jinja_methods.h"

#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/jinja_print.h"
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

enum { WIDTH_MAX = 1 << 20, PRECISION_MAX = 100 };

typedef struct Spec {
    uint32_t fill;
    char align, sign, type, grouping;   /* 0: not given */
    bool alternate, zeros;
    int64_t width, precision;           /* precision -1: not given */
} Spec;

/* ---- numbers ---- */

/* prefix, then the digits, filled up to the width on the side that the alignment says. */
static void put_aligned(Text *t, const Spec *s, const char *prefix, Value body, char usual)
{
    char align = s->align ? s->align : usual;
    int64_t room = s->width - (int64_t)strlen(prefix) - body.str->points;
    int64_t left = align == '<' ? 0 : align == '^' ? room / 2 : room;
    Text fill = text_new(t->j);
    text_put_point(&fill, s->fill ? s->fill : ' ');
    Value filler = text_value(&fill);
    if (align == '=')
        text_puts(t, prefix);
    text_fill(t, filler, room > 0 ? left : 0);
    if (align != '=')
        text_puts(t, prefix);
    text_put_str(t, body.str);
    text_fill(t, filler, room > 0 ? room - left : 0);
}

static const char *sign_of(const Spec *s, bool negative)
{
    return negative ? "-" : s->sign == '+' ? "+" : s->sign == ' ' ? " " : "";
}

/* Digits with separators; with zero padding the zeros are grouped too, as Python does. */
static Value grouped(Jinja *j, const Spec *s, const char *digits, size_t prefix_bytes)
{
    size_t whole =
        strspn(digits, s->type == 'x' || s->type == 'X' ? "0123456789abcdefABCDEF" : "0123456789");
    size_t every = s->type && strchr("xXbo", s->type) ? 4 : 3, rest = strlen(digits) - whole;
    size_t wanted = whole;
    if (s->fill == '0' && s->align == '=') {
        size_t room =
            (size_t)s->width > prefix_bytes + rest ? (size_t)s->width - prefix_bytes - rest : 0;
        while (wanted + (wanted - 1) / every < room)
            wanted++;
    }
    Text t = text_new(j);
    for (size_t i = 0; i < wanted; i++) {
        if (i && (wanted - i) % every == 0)
            text_put_char(&t, s->grouping);
        text_put_char(&t, i < wanted - whole ? '0' : digits[i - (wanted - whole)]);
    }
    text_puts(&t, digits + whole);
    return text_value(&t);
}

static void put_number(Text *t, const Spec *s, bool negative, const char *base, const char *digits)
{
    char prefix[8];
    snprintf(prefix, sizeof prefix, "%s%s", sign_of(s, negative), base);
    Value body = s->grouping ? grouped(t->j, s, digits, strlen(prefix))
                             : str_new(t->j, digits, strlen(digits));
    put_aligned(t, s, prefix, body, '>');
}

static void put_integer(Text *t, const Spec *s, int64_t value)
{
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    unsigned base = s->type == 'x' || s->type == 'X' ? 16
                    : s->type == 'o'                 ? 8
                    : s->type == 'b'                 ? 2
                                                     : 10;
    char digits[72 + PRECISION_MAX], *at = digits + sizeof digits - 1;
    *at = 0;
    do
        *--at = (s->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[left % base];
    while ((left /= base));
    for (int64_t n = digits + sizeof digits - 1 - at; n < s->precision && at > digits; n++)
        *--at = '0';
    char mark[3] = {'0', s->type, 0};
    put_number(t, s, value < 0, s->alternate && base != 10 ? mark : "", at);
}

/* %g without a type keeps ".0", so that it still looks like a float. */
static void put_real(Text *t, const Spec *s, double x)
{
    char digits[512], format[8], type = s->type == 'n' ? 'g' : s->type;
    int precision = s->precision < 0 ? 6 : (int)s->precision;
    double size = fabs(x);
    Text plain = text_new(t->j);
    if (type == '%')
        size *= 100;
    if (isnan(x) || isinf(x)) {
        bool upper = type == 'E' || type == 'F' || type == 'G';
        snprintf(digits, sizeof digits, "%s",
                 isnan(x) ? upper ? "NAN" : "nan"
                 : upper  ? "INF"
                          : "inf");
    } else if (type == 0 && s->precision < 0) {
        put_float(&plain, size);
        text_put_char(&plain, 0);
        snprintf(digits, sizeof digits, "%s", plain.data);
    } else {
        snprintf(format, sizeof format, s->alternate ? "%%#.*%c" : "%%.*%c",
                 type == 0     ? 'g'
                 : type == '%' ? 'f'
                               : type);
        snprintf(digits, sizeof digits, format, type == 0 && precision == 0 ? 1 : precision, size);
        if (type == 0 && !strpbrk(digits, ".e"))
            strcat(digits, ".0");
    }
    if (type == '%')
        strcat(digits, "%");
    put_number(t, s, signbit(x) && !isnan(x), "", digits);
}

/* ---- "{}".format() ---- */

static int64_t spec_number(Jinja *j, const char **at, const char *end, int64_t max)
{
    int64_t n = 0;
    for (; *at < end && isdigit((uint8_t)**at); ++*at) {
        n = n * 10 + (**at - '0');
        if (n > max)
            jinja_fail(j, LIMIT_REACHED, "a format is wider or more precise than %lld",
                       (long long)max);
    }
    return n;
}

static bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

static Spec parse_spec(Jinja *j, Span text)
{
    Spec s = {.precision = -1};
    const char *at = (const char *)text.data, *end = at + text.bytes;
    size_t first = 0;
    uint32_t fill = at < end ? point_next(at, &first) : 0;
    if (at + first < end && is_align(at[first])) {
        s.fill = fill;
        s.align = at[first];
        at += first + 1;
    } else if (at < end && is_align(*at)) {
        s.align = *at++;
    }
    if (at < end && strchr("+- ", *at))
        s.sign = *at++;
    if (at < end && *at == '#')
        s.alternate = at++ != NULL;
    if (at < end && *at == '0') {
        s.zeros = true;
        s.fill = s.fill ? s.fill : '0';
        s.align = s.align ? s.align : '=';
        at++;
    }
    s.width = spec_number(j, &at, end, WIDTH_MAX);
    if (at < end && (*at == ',' || *at == '_'))
        s.grouping = *at++;
    if (at < end && *at == '.') {
        const char *before = ++at;
        s.precision = spec_number(j, &at, end, WIDTH_MAX);
        if (at == before)
            TYPE_ERROR(j, "Format specifier missing precision");
    }
    if (at < end)
        s.type = *at++;
    if (at < end)
        TYPE_ERROR(j, "Invalid format specifier");
    return s;
}

static void format_str(Text *t, Spec *s, Value v)
{
    if ((s->type && s->type != 's') || s->sign || s->grouping || s->alternate
        || (s->align == '=' && !s->zeros))
        TYPE_ERROR(t->j, "a format that is not for strings");
    if (s->align == '=')
        s->align = '<';
    if (s->precision >= 0 && s->precision < v.str->points)
        v = str_slice(t->j, v, 0, s->precision);
    put_aligned(t, s, "", v, '<');
}

static void format_float(Text *t, const Spec *s, double x)
{
    if (s->type && !strchr("eEfFgGn%", s->type))
        TYPE_ERROR(t->j, "Unknown format code '%c' for object of type 'float'", s->type);
    if (s->precision > PRECISION_MAX)
        jinja_fail(t->j, LIMIT_REACHED, "a precision of more than %d", PRECISION_MAX);
    put_real(t, s, x);
}

static void format_integer(Text *t, const Spec *s, int64_t value)
{
    if (s->type && strchr("eEfFgG%", s->type)) {
        format_float(t, s, (double)value);
        return;
    }
    if (s->type && !strchr("bcdnoxX", s->type))
        TYPE_ERROR(t->j, "Unknown format code '%c' for object of type 'int'", s->type);
    if (s->precision >= 0)
        TYPE_ERROR(t->j, "Precision not allowed in integer format specifier");
    if (s->grouping == ',' && s->type && s->type != 'd')
        TYPE_ERROR(t->j, "Cannot specify ',' with '%c'.", s->type);
    if (s->type != 'c') {
        put_integer(t, s, value);
        return;
    }
    if (value < 0 || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000) || s->sign)
        TYPE_ERROR(t->j, "%%c arg not in range(0x110000)");
    Text character = text_new(t->j);
    text_put_point(&character, (uint32_t)value);
    put_aligned(t, s, "", text_value(&character), '>');
}

void put_formatted(Text *t, Value v, Span spec)
{
    if (spec.bytes == 0) {
        put_str(t, v);
        return;
    }
    Spec s = parse_spec(t->j, spec);
    if (v.kind == V_STRING)
        format_str(t, &s, v);
    else if (v.kind == V_FLOAT)
        format_float(t, &s, v.number);
    else if (is_integer(v))
        format_integer(t, &s, integer_of(v));
    else
        TYPE_ERROR(t->j, "unsupported format string passed to %s.__format__", value_type(v));
}

typedef struct Braces {
    const Args *args;
    const Dict *names;
    int64_t next;       /* the number of the next {} */
    bool numbered;      /* {0} was seen */
} Braces;

static bool all_digits(Span s)
{
    for (size_t i = 0; i < s.bytes; i++)
        if (!isdigit(s.data[i]))
            return false;
    return s.bytes > 0;
}

static int64_t digits_value(Jinja *j, Span s)
{
    const char *at = (const char *)s.data;
    return spec_number(j, &at, at + s.bytes, INT32_MAX);
}

static Value first_of_field(Jinja *j, Braces *b, Span name)
{
    int64_t i = -1;
    if (name.bytes == 0) {
        if (b->numbered)
            TYPE_ERROR(
                j, "cannot switch from manual field specification to automatic field numbering");
        i = b->next++;
    } else if (all_digits(name)) {
        if (b->next > 0)
            TYPE_ERROR(
                j, "cannot switch from automatic field numbering to manual field specification");
        b->numbered = true;
        i = digits_value(j, name);
    }
    if (i >= b->args->count)
        TYPE_ERROR(j, "Replacement index %lld out of range for positional args tuple",
                   (long long)i);
    if (i >= 0)
        return b->args->items[i];
    const Value *found = dict_find(j, b->names, str_new(j, (const char *)name.data, name.bytes));
    if (!found)
        TYPE_ERROR(j, "format() misses the argument '%.*s'", (int)name.bytes,
                   (const char *)name.data);
    return *found;
}

static size_t until(Span s, size_t at, const char *stops)
{
    while (at < s.bytes && !strchr(stops, s.data[at]))
        at++;
    return at;
}

/* name.attribute[item] */
static Value field_value(Jinja *j, Braces *b, Span field)
{
    size_t at = until(field, 0, ".[");
    Value v = first_of_field(j, b, span_first(field, at));
    while (at < field.bytes) {
        bool item = field.data[at] == '[';
        if (!item && field.data[at] != '.')
            TYPE_ERROR(j, "Only '.' or '[' may follow ']' in format field specifier");
        size_t end = until(field, at + 1, item ? "]" : ".[");
        Span name = span_of(field.data + at + 1, end - at - 1);
        if (name.bytes == 0 || (item && end == field.bytes))
            TYPE_ERROR(j, "Empty attribute in format string");
        Value key = item && all_digits(name) ? value_int(digits_value(j, name))
                                             : str_new(j, (const char *)name.data, name.bytes);
        v = item ? value_item(j, v, key) : value_attribute(j, v, key);
        at = end + item;
    }
    return v;
}

static void put_ascii(Text *t, Value v)
{
    Text repr = text_new(t->j);
    put_repr(&repr, v);
    for (size_t at = 0; at < repr.bytes;) {
        uint32_t c = point_next(repr.data, &at);
        if (c < 0x80)
            text_put_char(t, (char)c);
        else
            text_printf(t, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
    }
}

static Value converted(Jinja *j, Value v, char conversion)
{
    Text t = text_new(j);
    switch (conversion) {
    case 's':
        return value_str(j, v);
    case 'r':
        put_repr(&t, v);
        return text_value(&t);
    case 'a':
        put_ascii(&t, v);
        return text_value(&t);
    default:
        TYPE_ERROR(j, "Unknown conversion specifier '%c'", conversion);
    }
}

static void put_braces(Text *t, Span format, Braces *b, int depth);

/* field!conversion:spec, where the spec may hold fields itself */
static void put_field(Text *t, Span field, Braces *b, int depth)
{
    size_t end = 0;
    for (bool bracket = false; end < field.bytes && (bracket || !strchr("!:", field.data[end]));
         end++)
        bracket = field.data[end] == '[' || (bracket && field.data[end] != ']');
    Value v = field_value(t->j, b, span_first(field, end));
    if (end < field.bytes && field.data[end] == '!') {
        if (end + 1 >= field.bytes || (end + 2 < field.bytes && field.data[end + 2] != ':'))
            TYPE_ERROR(t->j, "expected ':' after conversion specifier");
        v = converted(t->j, v, (char)field.data[end + 1]);
        end += 2;
    }
    Text spec = text_new(t->j);
    if (end < field.bytes)
        put_braces(&spec, span_from(field, end + 1), b, depth + 1);
    put_formatted(t, v, span_of(spec.data, spec.bytes));
}

static void put_braces(Text *t, Span format, Braces *b, int depth)
{
    if (depth > 2)
        TYPE_ERROR(t->j, "Max string recursion exceeded");
    for (size_t at = 0; at < format.bytes; at++) {
        char c = (char)format.data[at];
        if (c != '{' && c != '}') {
            text_put_char(t, c);
        } else if (at + 1 < format.bytes && (char)format.data[at + 1] == c) {
            text_put_char(t, c);
            at++;
        } else if (c == '}') {
            TYPE_ERROR(t->j, "Single '}' encountered in format string");
        } else {
            size_t end = at + 1;
            for (int open = 1; end < format.bytes; end++) {
                open += format.data[end] == '{';
                open -= format.data[end] == '}';
                if (open == 0)
                    break;
            }
            if (end == format.bytes)
                TYPE_ERROR(t->j, "expected '}' before end of string");
            put_field(t, span_of(format.data + at + 1, end - at - 1), b, depth);
            at = end;
        }
    }
}

Value brace_format(Jinja *j, Value format, const Args *args, const Dict *names)
{
    Text t = text_new(j);
    Braces b = {.args = args, .names = names};
    put_braces(&t, str_span(format), &b, 0);
    return text_value(&t);
}

/* ---- "%s" % args ---- */

typedef struct Percent {
    Value args;         /* a tuple: one each; else the one, or a mapping */
    int32_t used;
} Percent;

static Value next_argument(Jinja *j, Percent *p)
{
    bool many = p->args.kind == V_TUPLE;
    if (p->used >= (many ? p->args.list->count : 1))
        TYPE_ERROR(j, "not enough arguments for format string");
    return many ? p->args.list->items[p->used++] : (p->used++, p->args);
}

static int64_t percent_number(Jinja *j, Percent *p, const char **at, const char *end)
{
    if (*at == end || **at != '*')
        return spec_number(j, at, end, WIDTH_MAX);
    ++*at;
    Value v = next_argument(j, p);
    if (!is_integer(v))
        TYPE_ERROR(j, "* wants int");
    int64_t n = integer_of(v);
    if (n > WIDTH_MAX || n < -WIDTH_MAX)
        jinja_fail(j, LIMIT_REACHED, "a format is wider or more precise than %d", WIDTH_MAX);
    return n;
}

static Value percent_key(Jinja *j, Percent *p, const char **at, const char *end)
{
    const char *start = ++*at;
    for (int open = 1; *at < end; ++*at) {
        open += **at == '(';
        open -= **at == ')';
        if (open == 0)
            break;
    }
    if (*at == end)
        TYPE_ERROR(j, "incomplete format key");
    Value key = str_new(j, start, (size_t)(*at - start));
    ++*at;
    if (p->args.kind != V_DICT)
        TYPE_ERROR(j, "format requires a mapping");
    const Value *found = dict_find(j, p->args.dict, key);
    if (!found)
        TYPE_ERROR(j, "the format's key '%.*s' is not in the mapping", (int)key.str->bytes,
                   key.str->data);
    return *found;
}

static void percent_integer(Text *t, Spec *s, Value v)
{
    if (v.kind == V_FLOAT && strchr("diu", s->type) && fabs(v.number) < 9e18)
        v = value_int((int64_t)v.number);
    if (!is_integer(v))
        TYPE_ERROR(t->j, "%%%c format: a real number is required, not %s", s->type, value_type(v));
    if (strchr("iu", s->type))
        s->type = 'd';
    if (s->precision > PRECISION_MAX)
        jinja_fail(t->j, LIMIT_REACHED, "a precision of more than %d", PRECISION_MAX);
    put_integer(t, s, integer_of(v));
}

static void percent_character(Text *t, Spec *s, Value v)
{
    s->precision = -1;
    if (v.kind == V_STRING && v.str->points == 1) {
        put_aligned(t, s, "", v, '>');
        return;
    }
    if (!is_integer(v))
        TYPE_ERROR(t->j, "%%c requires int or char");
    s->sign = 0;
    s->type = 'c';
    format_integer(t, s, integer_of(v));
}

static void percent_value(Text *t, Spec *s, Value v)
{
    if (s->zeros && s->align != '<' && !strchr("sarc", s->type)) {
        s->fill = '0';
        s->align = '=';
    }
    if (strchr("diuoxX", s->type)) {
        percent_integer(t, s, v);
    } else if (strchr("eEfFgG", s->type)) {
        if (!is_number(v))
            TYPE_ERROR(t->j, "must be real number, not %s", value_type(v));
        format_float(t, s, number_of(v));
    } else if (s->type == 'c') {
        percent_character(t, s, v);
    } else if (strchr("sra", s->type)) {
        Value text = converted(t->j, v, s->type);
        if (s->precision >= 0 && s->precision < text.str->points)
            text = str_slice(t->j, text, 0, s->precision);
        put_aligned(t, s, "", text, '>');
    } else {
        TYPE_ERROR(t->j, "unsupported format character '%c'", s->type);
    }
}

static const char *percent_flags(Spec *s, const char *at, const char *end)
{
    for (; at < end && strchr("#0- +", *at) && *at; at++) {
        s->alternate |= *at == '#';
        s->zeros |= *at == '0';
        if (*at == '-')
            s->align = '<';
        if (*at == '+' || (*at == ' ' && !s->sign))
            s->sign = *at;
    }
    return at;
}

static const char *put_percent(Text *t, Percent *p, const char *at, const char *end)
{
    Spec s = {.precision = -1};
    Value keyed = value_missing();
    if (at < end && *at == '(')
        keyed = percent_key(t->j, p, &at, end);
    at = percent_flags(&s, at, end);
    s.width = percent_number(t->j, p, &at, end);
    if (s.width < 0) {
        s.align = '<';
        s.width = -s.width;
    }
    if (at < end && *at == '.') {
        at++;
        s.precision = percent_number(t->j, p, &at, end);
        s.precision = s.precision < 0 ? 0 : s.precision;
    }
    at += at < end && *at && strchr("hlL", *at);
    if (at == end)
        TYPE_ERROR(t->j, "incomplete format");
    s.type = *at++;
    if (s.type == '%')
        text_put_char(t, '%');
    else if (s.type == 0)
        TYPE_ERROR(t->j, "unsupported format character");
    else
        percent_value(t, &s, keyed.kind == V_MISSING ? next_argument(t->j, p) : keyed);
    return at;
}

Value percent_format(Jinja *j, Value format, Value args)
{
    Text t = text_new(j);
    Percent p = {.args = args};
    const char *at = format.str->data, *end = at + format.str->bytes;
    while (at < end) {
        if (*at != '%')
            text_put_char(&t, *at++);
        else
            at = put_percent(&t, &p, at + 1, end);
    }
    bool mapping = args.kind == V_DICT || args.kind == V_LIST || args.kind == V_UNDEFINED
                   || args.kind == V_RANGE;
    if (!mapping && p.used < (args.kind == V_TUPLE ? args.list->count : 1))
        TYPE_ERROR(j, "not all arguments converted during string formatting");
    return text_value(&t);
}

/* ---- strftime ---- */

/* One directive at a time, so that no result is longer than the room for it. The clock is naive, as
 * datetime.now(): %z and %Z are empty, %f is zero. */
void put_time(Text *t, const Str *format, const struct tm *now)
{
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", NULL);
    const char *at = format->data, *end = at + format->bytes;
    while (at < end) {
        if (*at != '%' || at + 1 == end) {
            text_put_char(t, *at++);
            continue;
        }
        const char *start = at++;
        while (at + 1 < end && *at && strchr("-_0^#EO:", *at))
            at++;
        char directive[16] = {0}, out[256];
        if (*at == 'f')
            text_puts(t, "000000");
        if (*at && !strchr("fzZ", *at) && (size_t)(at - start) < sizeof directive - 1) {
            memcpy(directive, start, (size_t)(at - start) + 1);
            text_put(t, out, strftime_l(out, sizeof out, directive, now, c_locale));
        }
        at++;
    }
    freelocale(c_locale);
}

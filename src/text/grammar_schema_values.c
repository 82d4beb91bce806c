#include "text/grammar_schema_values.h"

#include <math.h>
#include <stdlib.h>

#include "text/grammar_rules.h"

enum { LITERAL_DEPTH_MAX = 32, FRACTION_DIGITS_AFTER = 8 };

/* ---- literals ---- */

static bool put_byte(uint32_t c, Buf *out)
{
    if (c == '"' || c == '\\')
        return buf_printf(out, "\\%c", (char)c);
    return c < 0x20 || c == 0x7F ? buf_printf(out, "\\x%02X", (unsigned)c) : buf_put_utf8(out, c);
}

/* Within a GBNF literal: the text as JSON writes it. */
static bool put_json_text(Span text, Buf *out)
{
    static const char escaped[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    for (size_t at = 0; at < text.bytes;) {
        uint32_t c;
        size_t bytes = utf8_take(text, at, &c);
        if (!bytes)
            return false;
        at += bytes;
        const char *found = c && c < 0x80 ? strchr(escaped, (int)c) : NULL;
        if (found) {
            put_byte('\\', out);
            put_byte((uint8_t)letters[found - escaped], out);
        } else if (c < 0x20) {
            put_byte('\\', out);
            buf_printf(out, "u%04x", (unsigned)c);
        } else {
            put_byte(c, out);
        }
    }
    return true;
}

bool put_string_literal(Span text, const char *after, Buf *out)
{
    buf_put_text(out, "\"\\\"");
    bool well = put_json_text(text, out);
    return buf_printf(out, "\\\"%s\"", after) && well;
}

static bool put_real(double value, Buf *out)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return buf_printf(out, "\"%s%s\"", text, strpbrk(text, ".eE") ? "" : ".0");
}

static bool put_value(const json_t *value, int depth, Buf *out)
{
    const char *name;
    json_t *member;
    size_t i;
    bool first = true;
    if (depth > LITERAL_DEPTH_MAX)
        return false;
    switch (json_typeof(value)) {
    case JSON_NULL: return buf_put_text(out, "\"null\"");
    case JSON_TRUE: return buf_put_text(out, "\"true\"");
    case JSON_FALSE: return buf_put_text(out, "\"false\"");
    case JSON_INTEGER: return buf_printf(out, "\"%lld\"", (long long)json_integer_value(value));
    case JSON_REAL: return put_real(json_real_value(value), out);
    case JSON_STRING: return put_string_literal(span_of(json_string_value(value), json_string_length(value)), "", out);
    case JSON_ARRAY:
        buf_put_text(out, "\"[\" ");
        json_array_foreach(value, i, member) {
            buf_put_text(out, i ? " \",\" \" \"? " : "");
            if (!put_value(member, depth + 1, out))
                return false;
        }
        return buf_put_text(out, " \"]\"");
    case JSON_OBJECT: break;
    }
    buf_put_text(out, "\"{\" ");
    json_object_foreach((json_t *)value, name, member) {
        buf_put_text(out, first ? "" : " \",\" \" \"? ");
        first = false;
        if (!put_string_literal(span_text(name), ":", out) || !buf_put_text(out, " \" \"? ") ||
            !put_value(member, depth + 1, out))
            return false;
    }
    return buf_put_text(out, " \"}\"");
}

bool put_value_literal(const json_t *value, Buf *out) { return put_value(value, 0, out); }

/* ---- integers ---- */

static void put_any_digits(size_t count, Buf *out)
{
    if (count)
        buf_printf(out, " [0-9]{%zu}", count);
}

/* Digits from low to high, which have the same number of them. */
static void put_digits(const char *low, const char *high, Buf *out)
{
    size_t same = 0, bytes = strlen(low), rest;
    while (same < bytes && low[same] == high[same])
        same++;
    if (same)
        buf_printf(out, " \"%.*s\"", (int)same, low);
    if (same == bytes)
        return;
    low += same;
    high += same;
    rest = bytes - same - 1;
    bool from_zero = strspn(low + 1, "0") == rest, to_nine = strspn(high + 1, "9") == rest;
    char first = (char)(low[0] + !from_zero), last = (char)(high[0] - !to_nine), nines[24];
    memset(nines, '9', rest);
    nines[rest] = 0;
    bool bar = false;
    buf_put_text(out, " (");
    if (!from_zero) {
        buf_printf(out, "\"%c\"", low[0]);
        put_digits(low + 1, nines, out);
        bar = true;
    }
    if (first <= last) {
        buf_printf(out, "%s[%c-%c]", bar ? " | " : "", first, last);
        put_any_digits(rest, out);
        bar = true;
    }
    if (!to_nine) {
        char zeros[24];
        memset(zeros, '0', rest);
        zeros[rest] = 0;
        buf_printf(out, "%s\"%c\"", bar ? " | " : "", high[0]);
        put_digits(zeros, high + 1, out);
    }
    buf_put_char(out, ')');
}

/* Natural numbers from low to high, low > 0: length by length. */
static void put_naturals(uint64_t low, uint64_t high, bool *bar, Buf *out)
{
    uint64_t first = 1;
    for (int digits = 1; first <= high && digits <= INTEGER_DIGITS + 1; digits++, first *= 10) {
        uint64_t last = first * 10 - 1, from = low > first ? low : first, to = high < last ? high : last;
        char a[24], b[24];
        if (from > to)
            continue;
        snprintf(a, sizeof a, "%llu", (unsigned long long)from);
        snprintf(b, sizeof b, "%llu", (unsigned long long)to);
        buf_put_text(out, *bar ? " |" : "");
        *bar = true;
        put_digits(a, b, out);
    }
}

void put_integer_range(int64_t low, int64_t high, Buf *out)
{
    bool bar = false;
    buf_put_char(out, '(');
    if (low < 0) {
        bool inner = false;
        buf_put_text(out, "\"-\" (");
        put_naturals(high < 0 ? (uint64_t)-high : 1, (uint64_t)-low, &inner, out);
        buf_put_char(out, ')');
        bar = true;
    }
    if (low <= 0 && high >= 0) {
        buf_put_text(out, bar ? " | \"0\"" : "\"0\"");
        bar = true;
    }
    if (high > 0)
        put_naturals(low > 0 ? (uint64_t)low : 1, (uint64_t)high, &bar, out);
    buf_put_char(out, ')');
}

/* ---- numbers with a point ---- */

/* A bound of what follows the point: digits without zeros at the end. */
typedef struct Fraction { const char *digits; bool excluded; } Fraction;

static bool zero_is_in(const Fraction *low, const Fraction *high)
{
    return (!low || (!*low->digits && !low->excluded)) && (!high || *high->digits || !high->excluded);
}

static bool put_tail(const Fraction *low, const Fraction *high, Buf *out);

/* One digit, and what may follow it while it is the bound's own digit. */
static void put_digit_way(char digit, const Fraction *low, const Fraction *high, bool *bar, Buf *out)
{
    Fraction low_rest, high_rest;
    size_t start = out->bytes;
    if (low)
        low_rest = (Fraction){*low->digits ? low->digits + 1 : low->digits, low->excluded};
    if (high)
        high_rest = (Fraction){*high->digits ? high->digits + 1 : high->digits, high->excluded};
    buf_printf(out, "%s\"%c\"", *bar ? " | " : "", digit);
    if (put_tail(low ? &low_rest : NULL, high ? &high_rest : NULL, out))
        *bar = true;
    else
        buf_cut(out, start);
}

/* Digits, at least one, that keep a fraction within its bounds. False: there are none. */
static bool put_some_digits(const Fraction *low, const Fraction *high, Buf *out)
{
    if (low && !*low->digits && !low->excluded)
        low = NULL;
    if (!low && !high)
        return buf_printf(out, " [0-9]{1,%d}", FRACTION_DIGITS_AFTER);
    if (low && !*low->digits && !high)
        return buf_printf(out, " \"0\"{0,%d} [1-9] [0-9]{0,%d}", FRACTION_DIGITS_AFTER, FRACTION_DIGITS_AFTER);
    if (high && !*high->digits)
        return !low && !high->excluded && buf_printf(out, " \"0\"{1,%d}", FRACTION_DIGITS_AFTER);
    char from = low && *low->digits ? *low->digits : '0', to = high ? *high->digits : '9';
    bool bar = false;
    size_t start = out->bytes;
    if (from > to)
        return false;
    buf_put_text(out, " (");
    char first = (char)(from + (low != NULL)), last = (char)(to - (high != NULL));
    if (from < to || !low || !high) {
        if (low)
            put_digit_way(from, low, NULL, &bar, out);
        if (first <= last) {
            buf_printf(out, "%s[%c-%c] [0-9]{0,%d}", bar ? " | " : "", first, last, FRACTION_DIGITS_AFTER);
            bar = true;
        }
        if (high)
            put_digit_way(to, NULL, high, &bar, out);
    } else {
        put_digit_way(from, low, high, &bar, out);
    }
    buf_put_char(out, ')');
    if (!bar)
        buf_cut(out, start);
    return bar;
}

/* What may follow a digit: more digits, or nothing where that is within the bounds. */
static bool put_tail(const Fraction *low, const Fraction *high, Buf *out)
{
    bool nothing = zero_is_in(low, high);
    size_t start = out->bytes;
    buf_put_text(out, " (");
    if (!put_some_digits(low, high, out)) {
        buf_cut(out, start);
        return nothing;
    }
    return buf_put_text(out, nothing ? ")?" : ")");
}

/* An integer part that is written already, then the point and digits. */
static bool put_fraction(const Fraction *low, const Fraction *high, Buf *out)
{
    bool nothing = zero_is_in(low, high);
    size_t start = out->bytes;
    buf_put_text(out, " (\".\"");
    if (!put_some_digits(low, high, out)) {
        buf_cut(out, start);
        return nothing;
    }
    return buf_put_text(out, nothing ? ")?" : ")");
}

/* A number >= 0 as its integer part and the digits after the point. */
typedef struct Decimal { int64_t whole; char fraction[32]; } Decimal;

static Decimal decimal_of(double value)
{
    Decimal d = {0};
    char text[64];
    double whole;
    double rest = modf(value, &whole);
    d.whole = (int64_t)whole;
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*f", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    const char *point = strchr(text, '.');
    if (rest != 0 && point) {
        d.whole = strtoll(text, NULL, 10);
        snprintf(d.fraction, sizeof d.fraction, "%s", point + 1);
    }
    for (size_t i = strlen(d.fraction); i-- > 0 && d.fraction[i] == '0';)
        d.fraction[i] = 0;
    return d;
}

typedef struct Magnitudes { Decimal low, high; bool above_low, below_high, open; } Magnitudes;   /* open: no high */

static void put_edge(int64_t whole, const Fraction *low, const Fraction *high, bool *bar, Buf *out)
{
    size_t start = out->bytes;
    buf_printf(out, "%s\"%lld\"", *bar ? " | " : "", (long long)whole);
    if (put_fraction(low, high, out))
        *bar = true;
    else
        buf_cut(out, start);
}

static bool put_magnitudes(const Magnitudes *m, Buf *out)
{
    Fraction low = {m->low.fraction, m->above_low}, high = {m->high.fraction, m->below_high};
    bool bar = false;
    int64_t last = m->open ? 9999999999999999ll : m->high.whole - 1;
    if (!m->open && m->low.whole > m->high.whole)
        return false;
    if (!m->open && m->low.whole == m->high.whole) {
        put_edge(m->low.whole, &low, &high, &bar, out);
        return bar;
    }
    put_edge(m->low.whole, &low, NULL, &bar, out);
    if (m->low.whole + 1 <= last) {
        buf_put_text(out, bar ? " | " : "");
        put_integer_range(m->low.whole + 1, last, out);
        put_fraction(NULL, NULL, out);
        bar = true;
    }
    if (!m->open)
        put_edge(m->high.whole, NULL, &high, &bar, out);
    return bar;
}

bool put_number_range(NumberBounds b, Buf *out)
{
    const double limit = 1e15;
    size_t start = out->bytes;
    bool bar = false;
    if (b.low > limit || b.high < -limit)
        return false;
    bool open_low = b.low < -limit, open_high = b.high > limit;
    buf_put_char(out, '(');
    if (b.low < 0) {             /* below zero, mirrored */
        Magnitudes m = {.open = open_low, .above_low = b.high < 0 ? b.below_high : true, .below_high = b.above_low};
        if (b.high < 0)
            m.low = decimal_of(-b.high);
        if (!open_low)
            m.high = decimal_of(-b.low);
        size_t before = out->bytes;
        buf_put_text(out, "\"-\" (");
        bar = put_magnitudes(&m, out);
        if (bar)
            buf_put_char(out, ')');
        else
            buf_cut(out, before);
    }
    if (b.high >= 0) {
        Magnitudes m = {.open = open_high, .above_low = b.low >= 0 && b.above_low, .below_high = b.below_high};
        if (b.low > 0)
            m.low = decimal_of(b.low);
        if (!open_high)
            m.high = decimal_of(b.high);
        size_t before = out->bytes;
        buf_put_text(out, bar ? " | " : "");
        if (put_magnitudes(&m, out))
            bar = true;
        else
            buf_cut(out, before);
    }
    buf_put_char(out, ')');
    if (!bar)
        buf_cut(out, start);
    return bar;
}

/* ---- formats ---- */

#define BYTE_OF_4 "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define IPV4 BYTE_OF_4 "(\\." BYTE_OF_4 "){3}"
#define HEX4 "[0-9a-fA-F]{1,4}"
#define YEAR "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
#define LEAP_YEAR "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
#define DATE "(" YEAR "-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)" \
             "|02-(0[1-9]|1[0-9]|2[0-8]))|" LEAP_YEAR "-02-29)"
#define TIME "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+\\-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define LABEL "[a-zA-Z0-9]([a-zA-Z0-9\\-]{0,61}[a-zA-Z0-9])?"
#define URI_CHAR "([a-zA-Z0-9._~!$&'()*+,;=:@/?\\-]|%[0-9a-fA-F]{2})"

static const struct { const char *name, *pattern; } formats[] = {
    {"date", "^" DATE "$"},
    {"time", "^" TIME "$"},
    {"date-time", "^" DATE "T" TIME "$"},
    {"duration", "^P([0-9]{1,6}W|([0-9]{1,6}Y([0-9]{1,6}M([0-9]{1,6}D)?)?|[0-9]{1,6}M([0-9]{1,6}D)?|[0-9]{1,6}D)"
                 "(T([0-9]{1,6}H([0-9]{1,6}M([0-9]{1,6}S)?)?|[0-9]{1,6}M([0-9]{1,6}S)?|[0-9]{1,6}S))?"
                 "|T([0-9]{1,6}H([0-9]{1,6}M([0-9]{1,6}S)?)?|[0-9]{1,6}M([0-9]{1,6}S)?|[0-9]{1,6}S))$"},
    {"uuid", "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"},
    {"email", "^[a-zA-Z0-9_%+\\-]{1,30}(\\.[a-zA-Z0-9_%+\\-]{1,30})?@" LABEL "(\\." LABEL "){1,3}$"},
    {"ipv4", "^" IPV4 "$"},
    {"ipv6", "^((" HEX4 ":){7}" HEX4 "|::(" HEX4 "(:" HEX4 "){0,5})?|" HEX4 "::(" HEX4 "(:" HEX4 "){0,4})?"
             "|" HEX4 "(:" HEX4 "){1}::(" HEX4 "(:" HEX4 "){0,3})?|" HEX4 "(:" HEX4 "){2}::(" HEX4 "(:" HEX4 "){0,2})?"
             "|" HEX4 "(:" HEX4 "){3}::(" HEX4 "(:" HEX4 ")?)?|" HEX4 "(:" HEX4 "){4}::(" HEX4 ")?)$"},
    {"hostname", "^" LABEL "(\\." LABEL "){0,3}$"},
    {"uri", "^[a-zA-Z][a-zA-Z0-9+.\\-]{0,20}://" LABEL "(\\." LABEL "){0,3}(:[0-9]{1,5})?(/" URI_CHAR "*)?$"},
    {"password", ""}, {"binary", ""}, {"byte", ""}, {"float", ""}, {"double", ""}, {"int32", ""}, {"int64", ""},
};

const char format_names[] = "date, time, date-time, duration, uuid, email, ipv4, ipv6, hostname, uri";

const char *format_pattern(const char *format)
{
    for (size_t i = 0; format && i < COUNT_OF(formats); i++)
        if (!strcmp(format, formats[i].name))
            return formats[i].pattern;
    return NULL;
}

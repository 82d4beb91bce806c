#include "text/grammar_regex.h"

#include <stdlib.h>

#include "text/grammar_rules.h"

enum { REGEX_DEPTH_MAX = 40, SET_RANGES_MAX = 512, CODE_MAX = 0x10FFFF };

typedef struct CharSet {
    CharRange ranges[SET_RANGES_MAX];
    uint32_t count;
} CharSet;

typedef struct Lengths { uint64_t min, max; } Lengths;   /* in characters */

typedef struct RegexReader {
    Span text;
    size_t at;
    int depth;
    bool in_string;              /* what is matched stands between the quotes of a JSON string */
    Buf *out;
    Error *err;
} RegexReader;

#define fail_at(r, code, format, ...) fail((r)->err, code, "at byte %zu: " format, (r)->at, ##__VA_ARGS__)

static uint8_t peek(const RegexReader *r, size_t ahead)
{
    return r->at + ahead < r->text.bytes ? r->text.data[r->at + ahead] : 0;
}

static bool at_end(const RegexReader *r) { return r->at >= r->text.bytes; }

/* ---- sets of characters ---- */

static bool set_add(CharSet *s, uint32_t from, uint32_t to)
{
    if (s->count == SET_RANGES_MAX)
        return false;
    s->ranges[s->count++] = (CharRange){from, to};
    return true;
}

static int by_beginning(const void *a, const void *b)
{
    const CharRange *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

/* Sorted, and without overlaps. */
static void set_tidy(CharSet *s)
{
    qsort(s->ranges, s->count, sizeof *s->ranges, by_beginning);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        CharRange *last = kept ? &s->ranges[kept - 1] : NULL;
        if (!last || s->ranges[i].from > last->to + 1)
            s->ranges[kept++] = s->ranges[i];
        else if (s->ranges[i].to > last->to)
            last->to = s->ranges[i].to;
    }
    s->count = kept;
}

/* A tidy set becomes all other characters. */
static bool set_turn(CharSet *s)
{
    CharSet turned = {.count = 0};
    uint32_t next = 0;
    set_tidy(s);
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->ranges[i].from > next && !set_add(&turned, next, s->ranges[i].from - 1))
            return false;
        next = s->ranges[i].to + 1;
    }
    if (next <= CODE_MAX && !set_add(&turned, next, CODE_MAX))
        return false;
    s->count = turned.count;
    memcpy(s->ranges, turned.ranges, turned.count * sizeof *s->ranges);
    return true;
}

static bool set_has(const CharSet *s, uint32_t c)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (c >= s->ranges[i].from && c <= s->ranges[i].to)
            return true;
    return false;
}

/* The ranges within [from, to], as GBNF writes them; false: there are none. */
static bool put_ranges(const CharSet *s, uint32_t from, uint32_t to, Buf *out)
{
    bool any = false;
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t a = s->ranges[i].from < from ? from : s->ranges[i].from, b = s->ranges[i].to > to ? to : s->ranges[i].to;
        if (a > b || (a >= 0xD800 && b <= 0xDFFF))
            continue;
        if (a >= 0xD800 && a <= 0xDFFF)
            a = 0xE000;
        if (b >= 0xD800 && b <= 0xDFFF)
            b = 0xD7FF;
        buf_printf(out, a == b ? "\\U%08X" : "\\U%08X-\\U%08X", (unsigned)a, (unsigned)b);
        any = true;
    }
    return any;
}

/* One way of writing some characters of a set; `bar` stands before all ways but the first. */
static void put_way(const CharSet *s, uint32_t from, uint32_t to, const char *before, bool *first, Buf *out)
{
    size_t start = out->bytes;
    buf_printf(out, "%s%s[", *first ? "" : " | ", before);
    if (put_ranges(s, from, to, out)) {
        buf_put_char(out, ']');
        *first = false;
    } else {
        buf_cut(out, start);
    }
}

/* In a JSON string quotes, backslashes and control characters are written with a backslash, all others plainly. */
static void put_in_string(const CharSet *s, Buf *out)
{
    static const struct { uint32_t c; char letter; } short_ways[] = {
        {'"', '"'}, {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'}, {'\n', 'n'}, {'\r', 'r'}, {'\t', 't'}};
    bool first = true;
    buf_put_char(out, '(');
    CharSet plain = {.count = 0};
    for (uint32_t i = 0; i < s->count; i++) {          /* cut at the quote and the backslash */
        static const CharRange allowed[] = {{0x20, '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, CODE_MAX}};
        for (size_t k = 0; k < COUNT_OF(allowed); k++) {
            uint32_t from = s->ranges[i].from > allowed[k].from ? s->ranges[i].from : allowed[k].from;
            uint32_t to = s->ranges[i].to < allowed[k].to ? s->ranges[i].to : allowed[k].to;
            if (from <= to && plain.count < SET_RANGES_MAX)
                set_add(&plain, from, to);
        }
    }
    put_way(&plain, 0x20, CODE_MAX, "", &first, out);
    for (size_t i = 0; i < COUNT_OF(short_ways); i++)
        if (set_has(s, short_ways[i].c)) {
            buf_printf(out, "%s\"\\\\%s%c\"", first ? "" : " | ",
                       short_ways[i].letter == '"' || short_ways[i].letter == '\\' ? "\\" : "", short_ways[i].letter);
            first = false;
        }
    for (uint32_t c = 0; c < 0x20; c++)
        if (set_has(s, c) && !strchr("\b\f\n\r\t", c ? (int)c : 1)) {
            buf_printf(out, "%s\"\\\\u00%x\" [%x%c]", first ? "" : " | ", (unsigned)(c >> 4), (unsigned)(c & 15),
                       (c & 15) > 9 ? (char)('A' + (c & 15) - 10) : (char)('0' + (c & 15)));
            first = false;
        }
    buf_put_char(out, ')');
}

static Err put_set(RegexReader *r, CharSet *s)
{
    set_tidy(s);
    if (s->count == 0)
        return fail_at(r, BAD_ARGUMENT, "a class without a character matches nothing");
    if (r->in_string) {
        put_in_string(s, r->out);
        return OK;
    }
    bool first = true;
    put_way(s, 0, CODE_MAX, "", &first, r->out);
    return first ? fail_at(r, BAD_ARGUMENT, "a class without a character matches nothing") : OK;
}

/* ---- escapes and classes ---- */

static bool add_named(CharSet *s, uint8_t name)
{
    static const CharRange digits[] = {{'0', '9'}}, words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                           spaces[] = {{'\t', '\r'}, {' ', ' '}};
    CharSet named = {.count = 0};
    uint8_t low = name | 0x20;
    const CharRange *ranges = low == 'd' ? digits : low == 'w' ? words : spaces;
    size_t count = low == 'd' ? COUNT_OF(digits) : low == 'w' ? COUNT_OF(words) : COUNT_OF(spaces);
    for (size_t i = 0; i < count; i++)
        set_add(&named, ranges[i].from, ranges[i].to);
    if (name != low)
        set_turn(&named);
    for (uint32_t i = 0; i < named.count; i++)
        if (!set_add(s, named.ranges[i].from, named.ranges[i].to))
            return false;
    return true;
}

static bool is_named(uint8_t c) { return c && strchr("dDwWsS", c); }

static Err read_hex(RegexReader *r, int digits, uint32_t *out)
{
    uint32_t value = 0;
    bool braces = digits == 4 && peek(r, 0) == '{';
    r->at += braces;
    for (int i = 0; i < (braces ? 6 : digits); i++, r->at++) {
        uint8_t c = peek(r, 0), low = c | 0x20;
        if (braces && i && c == '}')
            break;
        if (!(c >= '0' && c <= '9') && !(low >= 'a' && low <= 'f'))
            return fail_at(r, BAD_ARGUMENT, "an escape lacks hexadecimal digits");
        value = value << 4 | (c <= '9' ? (uint32_t)(c - '0') : (uint32_t)(low - 'a' + 10));
    }
    if (braces && peek(r, 0) != '}')
        return fail_at(r, BAD_ARGUMENT, "an escape \\u{ is not closed");
    r->at += braces;
    if (value > CODE_MAX)
        return fail_at(r, BAD_ARGUMENT, "U+%X is no character", (unsigned)value);
    *out = value;
    return OK;
}

/* Two halves, \uD83D\uDE00, are one character. */
static Err read_unicode(RegexReader *r, uint32_t *out)
{
    TRY(read_hex(r, 4, out));
    if (*out >= 0xD800 && *out <= 0xDBFF && peek(r, 0) == '\\' && peek(r, 1) == 'u') {
        uint32_t low;
        r->at += 2;
        TRY(read_hex(r, 4, &low));
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *out = 0x10000 + ((*out - 0xD800) << 10) + (low - 0xDC00);
            return OK;
        }
    }
    if (*out >= 0xD800 && *out <= 0xDFFF)
        return fail_at(r, BAD_ARGUMENT, "U+%04X is half of a character", (unsigned)*out);
    return OK;
}

/* An escape that is one character; r->at is after the backslash. */
static Err read_escape(RegexReader *r, bool in_class, uint32_t *out)
{
    uint8_t c = peek(r, 0);
    if (at_end(r))
        return fail_at(r, BAD_ARGUMENT, "the pattern ends with a backslash");
    if (c >= '1' && c <= '9')
        return fail_at(r, UNSUPPORTED, "back-references (\\%c) are not supported", c);
    if (!in_class && (c == 'b' || c == 'B'))
        return fail_at(r, UNSUPPORTED, "word boundaries (\\%c) are not supported", c);
    if (c == 'p' || c == 'P')
        return fail_at(r, UNSUPPORTED, "properties of characters (\\%c{...}) are not supported", c);
    if (c == 'k')
        return fail_at(r, UNSUPPORTED, "back-references (\\k<...>) are not supported");
    r->at++;
    switch (c) {
    case 'n': *out = '\n'; return OK;
    case 'r': *out = '\r'; return OK;
    case 't': *out = '\t'; return OK;
    case 'f': *out = '\f'; return OK;
    case 'v': *out = '\v'; return OK;
    case 'b': *out = '\b'; return OK;
    case '0': *out = 0; return OK;
    case 'x': return read_hex(r, 2, out);
    case 'u': return read_unicode(r, out);
    case 'U': return read_hex(r, 8, out);
    default: break;
    }
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80)
        return fail_at(r, UNSUPPORTED, "the escape \\%c is not known", c < 0x80 ? c : '?');
    *out = c;
    return OK;
}

static Err read_plain(RegexReader *r, uint32_t *out)
{
    size_t bytes = utf8_take(r->text, r->at, out);
    if (!bytes)
        return fail_at(r, BAD_ARGUMENT, "the pattern is not UTF-8");
    r->at += bytes;
    return OK;
}

/* One element of a class: a character, or \d and its like, for which *named is set. */
static Err read_class_char(RegexReader *r, CharSet *s, uint32_t *c, bool *named)
{
    *named = peek(r, 0) == '\\' && is_named(peek(r, 1));
    if (*named) {
        r->at += 2;
        if (!add_named(s, peek(r, (size_t)-1)))
            return fail_at(r, LIMIT_REACHED, "a class has more than %d ranges", (int)SET_RANGES_MAX);
        return OK;
    }
    if (peek(r, 0) != '\\')
        return read_plain(r, c);
    r->at++;
    return read_escape(r, true, c);
}

static Err read_class(RegexReader *r, CharSet *s)
{
    r->at++;
    bool negated = peek(r, 0) == '^';
    r->at += negated;
    while (peek(r, 0) != ']') {
        uint32_t from = 0, to;
        bool named, named_to = false;
        if (at_end(r))
            return fail_at(r, BAD_ARGUMENT, "a class does not end: its closing ] is missing");
        if (peek(r, 0) == '[' && (peek(r, 1) == ':' || peek(r, 1) == '.' || peek(r, 1) == '='))
            return fail_at(r, UNSUPPORTED, "classes by name, [:...:], are not supported");
        TRY(read_class_char(r, s, &from, &named));
        if (named)
            continue;
        to = from;
        if (peek(r, 0) == '-' && peek(r, 1) != ']' && peek(r, 1)) {
            r->at++;
            TRY(read_class_char(r, s, &to, &named_to));
            if (named_to && !set_add(s, '-', '-'))     /* [a-\d] is a, -, and digits */
                return fail_at(r, LIMIT_REACHED, "a class has more than %d ranges", (int)SET_RANGES_MAX);
            to = named_to ? from : to;
        }
        if (to < from)
            return fail_at(r, BAD_ARGUMENT, "a range runs backwards, from U+%04X to U+%04X", (unsigned)from, (unsigned)to);
        if (!set_add(s, from, to))
            return fail_at(r, LIMIT_REACHED, "a class has more than %d ranges", (int)SET_RANGES_MAX);
    }
    r->at++;
    set_tidy(s);
    return !negated || set_turn(s) ? OK : fail_at(r, LIMIT_REACHED, "a class has more than %d ranges", (int)SET_RANGES_MAX);
}

/* ---- expressions ---- */

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return a == 0 || b == 0 ? 0 : __builtin_mul_overflow(a, b, &product) ? REGEX_NO_END : product;
}
static uint64_t plus(uint64_t a, uint64_t b) { return a + b < a ? REGEX_NO_END : a + b; }

static Err read_choice(RegexReader *r, bool top, Lengths *out);

/* r->at is after the opening parenthesis. */
static Err read_group(RegexReader *r, Lengths *out)
{
    if (peek(r, 0) == '?') {
        uint8_t kind = peek(r, 1), after = peek(r, 2);
        if (kind == '=' || kind == '!' || (kind == '<' && (after == '=' || after == '!')))
            return fail_at(r, UNSUPPORTED, "look-around, (?%c%s...), is not supported", kind, kind == '<' ? "=" : "");
        if (kind == 'P' && after == '=')
            return fail_at(r, UNSUPPORTED, "back-references, (?P=...), are not supported");
        if (kind == ':') {
            r->at += 2;
        } else if (kind == '<' || (kind == 'P' && after == '<')) {
            while (!at_end(r) && peek(r, 0) != '>')
                r->at++;
            r->at++;
        } else {
            return fail_at(r, UNSUPPORTED, "flags and special groups, (?%c...), are not supported",
                           kind > ' ' && kind < 0x7F ? kind : '?');
        }
    }
    if (++r->depth > REGEX_DEPTH_MAX)
        return fail_at(r, LIMIT_REACHED, "groups lie deeper than %d in each other", (int)REGEX_DEPTH_MAX);
    buf_put_char(r->out, '(');
    TRY(read_choice(r, false, out));
    if (peek(r, 0) != ')')
        return fail_at(r, BAD_ARGUMENT, "a group is not closed");
    r->at++;
    r->depth--;
    buf_put_char(r->out, ')');
    return OK;
}

/* One character or class as a set; false: it is something else. */
static Err read_set(RegexReader *r, CharSet *s, bool *is_set)
{
    uint8_t c = peek(r, 0);
    uint32_t code = 0;
    *is_set = true;
    s->count = 0;
    if (c == '[')
        return read_class(r, s);
    if (c == '.') {
        r->at++;
        set_add(s, '\n', '\n');
        set_turn(s);
        return OK;
    }
    if (c == '\\' && is_named(peek(r, 1))) {
        add_named(s, peek(r, 1));
        r->at += 2;
        return OK;
    }
    *is_set = c != '(' && c != '*' && c != '+' && c != '?' && c != '^' && c != '$';
    if (!*is_set)
        return OK;
    if (c == '\\') {
        r->at++;
        TRY(read_escape(r, false, &code));
    } else {
        TRY(read_plain(r, &code));
    }
    set_add(s, code, code);
    return OK;
}

static bool read_number(RegexReader *r, size_t *at, uint64_t *out)
{
    size_t from = *at;
    uint64_t value = 0;
    for (; *at < r->text.bytes && r->text.data[*at] >= '0' && r->text.data[*at] <= '9'; ++*at)
        value = value > GRAMMAR_REPEAT_MAX ? value : value * 10 + (uint64_t)(r->text.data[*at] - '0');
    *out = value;
    return *at > from;
}

/* {m}, {m,}, {,n} or {m,n}; false: the brace stands for itself. */
static bool read_counts(RegexReader *r, Lengths *out)
{
    size_t at = r->at + 1;
    bool has_min = read_number(r, &at, &out->min), has_max = has_min;
    out->max = out->min;
    if (at < r->text.bytes && r->text.data[at] == ',') {
        at++;
        has_max = read_number(r, &at, &out->max);
        if (!has_max)
            out->max = REGEX_NO_END;
    }
    if ((!has_min && !has_max) || at >= r->text.bytes || r->text.data[at] != '}')
        return false;
    r->at = at + 1;
    return true;
}

/* False: nothing is repeated here. */
static Err read_repetition(RegexReader *r, Lengths *out, bool *repeated)
{
    uint8_t c = peek(r, 0);
    *repeated = true;
    if (c == '*' || c == '+' || c == '?') {
        *out = (Lengths){c == '+', c == '?' ? 1 : REGEX_NO_END};
        r->at++;
    } else if (c != '{' || !read_counts(r, out)) {
        *repeated = false;
        return OK;
    }
    if (out->max < out->min)
        return fail_at(r, BAD_ARGUMENT, "the most repetitions are fewer than the fewest");
    if (out->min > GRAMMAR_REPEAT_MAX || (out->max > GRAMMAR_REPEAT_MAX && out->max != REGEX_NO_END))
        return fail_at(r, LIMIT_REACHED, "more than %d repetitions", (int)GRAMMAR_REPEAT_MAX);
    if (peek(r, 0) == '?')
        r->at++;
    else if (peek(r, 0) == '+')
        return fail_at(r, UNSUPPORTED, "possessive repetitions (%c+) are not supported", c == '{' ? '}' : c);
    return OK;
}

static void put_counts(Buf *out, Lengths counts)
{
    if (counts.max == REGEX_NO_END)
        buf_printf(out, "{%llu,}", (unsigned long long)counts.min);
    else
        buf_printf(out, "{%llu,%llu}", (unsigned long long)counts.min, (unsigned long long)counts.max);
}

static Err read_element(RegexReader *r, Lengths *out)
{
    CharSet set;
    bool is_set, repeated;
    TRY(read_set(r, &set, &is_set));
    uint8_t c = peek(r, 0);
    buf_put_char(r->out, ' ');
    *out = (Lengths){1, 1};
    if (is_set) {
        TRY(put_set(r, &set));
    } else if (c == '(') {
        r->at++;
        TRY(read_group(r, out));
    } else if (c == '^' || c == '$') {
        return fail_at(r, UNSUPPORTED, "'%c' is supported at the very %s only", c, c == '^' ? "beginning" : "end");
    } else {
        return fail_at(r, BAD_ARGUMENT, "'%c' repeats nothing", c);
    }
    for (;;) {
        Lengths counts;
        TRY(read_repetition(r, &counts, &repeated));
        if (!repeated)
            return OK;
        put_counts(r->out, counts);
        *out = (Lengths){times(out->min, counts.min), times(out->max, counts.max)};
    }
}

static void put_anything(RegexReader *r, Lengths *out)
{
    CharSet all = {.ranges = {{0, CODE_MAX}}, .count = 1};
    buf_put_char(r->out, ' ');
    put_in_string(&all, r->out);
    buf_put_char(r->out, '*');
    out->max = REGEX_NO_END;
}

/* At the top ^ and $ say that nothing stands before and after; without them, in a string, anything may. */
static Err read_alternative(RegexReader *r, bool top, Lengths *out)
{
    *out = (Lengths){0, 0};
    if (top && peek(r, 0) == '^')
        r->at++;
    else if (top && r->in_string)
        put_anything(r, out);
    while (!at_end(r) && peek(r, 0) != '|' && peek(r, 0) != ')') {
        Lengths one;
        if (top && peek(r, 0) == '$' && (r->at + 1 == r->text.bytes || peek(r, 1) == '|')) {
            r->at++;
            return OK;
        }
        TRY(read_element(r, &one));
        *out = (Lengths){plus(out->min, one.min), plus(out->max, one.max)};
        if (r->out->full)
            return fail_at(r, LIMIT_REACHED, "the pattern is too large");
    }
    if (top && r->in_string)
        put_anything(r, out);
    return OK;
}

static Err read_choice(RegexReader *r, bool top, Lengths *out)
{
    TRY(read_alternative(r, top, out));
    while (peek(r, 0) == '|') {
        Lengths other;
        r->at++;
        buf_put_text(r->out, " |");
        TRY(read_alternative(r, top, &other));
        out->min = other.min < out->min ? other.min : out->min;
        out->max = other.max > out->max ? other.max : out->max;
    }
    return OK;
}

static Err read_all(RegexReader *r, Lengths *out)
{
    buf_put_char(r->out, '(');
    TRY(read_choice(r, true, out));
    if (peek(r, 0) == ')')
        return fail_at(r, BAD_ARGUMENT, "a parenthesis closes nothing");
    if (!at_end(r))
        return fail_at(r, BAD_ARGUMENT, "a zero byte is not expected");
    buf_put_char(r->out, ')');
    return OK;
}

Err grammar_regex_rule(Span pattern, Buf *gbnf, Error *err)
{
    RegexReader r = {.text = pattern, .out = gbnf, .err = err};
    Lengths lengths;
    Err result = read_all(&r, &lengths);
    return result == OK || !err ? result : fail_within(err, "regex");
}

/* ^[a-z]+$ and its like take bounds of length themselves. */
static bool read_one_class(RegexReader r, Lengths bounds)
{
    CharSet set;
    Lengths counts = {1, 1};
    bool is_set, repeated;
    Error ignored;
    r.err = &ignored;
    if (peek(&r, 0) != '^')
        return false;
    r.at++;
    if (read_set(&r, &set, &is_set) != OK || !is_set || read_repetition(&r, &counts, &repeated) != OK)
        return false;
    if (!repeated || peek(&r, 0) != '$' || r.at + 1 != r.text.bytes)
        return false;
    counts.min = counts.min > bounds.min ? counts.min : bounds.min;
    counts.max = counts.max < bounds.max ? counts.max : bounds.max;
    if (counts.min > counts.max || counts.min > GRAMMAR_REPEAT_MAX || put_set(&r, &set) != OK)
        return false;
    put_counts(r.out, counts);
    return true;
}

Err grammar_regex_string(Span pattern, uint64_t min, uint64_t max, Buf *gbnf, Error *err)
{
    RegexReader r = {.text = pattern, .out = gbnf, .err = err, .in_string = true};
    Lengths bounds = {min, max}, lengths;
    if ((min > 0 || max < REGEX_NO_END) && read_one_class(r, bounds))
        return OK;
    Err result = read_all(&r, &lengths);
    if (result == OK && (lengths.min < min || lengths.max > max))
        result = fail(err, UNSUPPORTED, "a length from outside the pattern cannot be held: write it into the pattern, "
                      "or use one class of characters, as ^[a-z]+$");
    return result;
}

Err grammar_literal(Span text, const char *what, Buf *gbnf, Error *err)
{
    buf_put_char(gbnf, '"');
    for (size_t at = 0; at < text.bytes;) {
        uint32_t c;
        size_t bytes = utf8_take(text, at, &c);
        if (!bytes)
            return fail(err, BAD_ARGUMENT, "%s: a text is not UTF-8 at byte %zu", what, at);
        at += bytes;
        if (c == '"' || c == '\\')
            buf_printf(gbnf, "\\%c", (char)c);
        else if (c < 0x20 || c == 0x7F)
            buf_printf(gbnf, "\\x%02X", (unsigned)c);
        else
            buf_put_utf8(gbnf, c);
    }
    buf_put_char(gbnf, '"');
    return OK;
}

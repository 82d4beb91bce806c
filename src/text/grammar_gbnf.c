/* grammar_gbnf.c -- reads llama.cpp's notation.
 *
 *     root  ::= "yes" | "no" | list          # alternatives, literals, rules, comments
 *     list  ::= "[" ( item ( "," item )* )? "]"
 *     item  ::= [a-zA-Z\u00C0-\u00FF_]{1,20} [^"\\]+ .          . is any character
 *     think ::= <think>                      a token by its text, or that text
 *
 * A rule ends at the end of its line, but within parentheses, after ::= and around | lines may be broken.
 * Not known are tokens by number, <[1000]>, and all tokens but one, !<think>: they are refused by name.
 */
#include <stdlib.h>

#include "text/grammar_rules.h"

enum { LIST_MAX = 1 << 16 };     /* elements of one sequence, alternatives of one group, ranges of one class */

typedef struct Stack { uint32_t *data; uint32_t count, room; } Stack;

typedef struct GbnfReader {
    GrammarRules *rules;
    Span text;
    size_t at;
    size_t counted;              /* the lines before this byte are counted */
    int32_t line;
    int depth;
    bool control;
    const char *what;
    Error *err;
    Stack stack;                 /* nodes of the lists that are being read */
} GbnfReader;

static int32_t line_of(GbnfReader *r)
{
    for (; r->counted < r->at && r->counted < r->text.bytes; r->counted++)
        r->line += r->text.data[r->counted] == '\n';
    return r->line;
}

#define fail_here(r, code, format, ...) \
    fail((r)->err, code, "%s: line %d: " format, (r)->what, (int)line_of(r), ##__VA_ARGS__)

static uint8_t peek(const GbnfReader *r, size_t ahead)
{
    return r->at + ahead < r->text.bytes ? r->text.data[r->at + ahead] : 0;
}

static bool at_end(const GbnfReader *r) { return r->at >= r->text.bytes; }

static bool is_name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static void skip_space(GbnfReader *r, bool lines)
{
    while (!at_end(r)) {
        uint8_t c = peek(r, 0);
        if (c == '#')
            while (!at_end(r) && peek(r, 0) != '\n')
                r->at++;
        else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r')))
            r->at++;
        else
            return;
    }
}

static bool push(GbnfReader *r, uint32_t node)
{
    Stack *s = &r->stack;
    if (s->count == s->room) {
        uint32_t room = s->room ? 2 * s->room : 64;
        uint32_t *data = room <= 2 * LIST_MAX ? realloc(s->data, room * sizeof *data) : NULL;
        if (!data) {
            r->rules->full = true;
            return false;
        }
        s->data = data;
        s->room = room;
    }
    s->data[s->count++] = node;
    return true;
}

static Span read_name(GbnfReader *r)
{
    size_t from = r->at;
    while (!at_end(r) && is_name_char(peek(r, 0)))
        r->at++;
    return span_of(r->text.data + from, r->at - from);
}

static Err read_hex(GbnfReader *r, int digits, uint32_t *out)
{
    uint32_t value = 0;
    for (int i = 0; i < digits; i++, r->at++) {
        uint8_t c = peek(r, 0), low = c | 0x20;
        if (!(c >= '0' && c <= '9') && !(low >= 'a' && low <= 'f'))
            return fail_here(r, BAD_ARGUMENT, "an escape needs %d hexadecimal digits", digits);
        value = value << 4 | (c <= '9' ? (uint32_t)(c - '0') : (uint32_t)(low - 'a' + 10));
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return fail_here(r, BAD_ARGUMENT, "U+%04X is no character", (unsigned)value);
    *out = value;
    return OK;
}

/* One character of a literal or a class, escaped or not. */
static Err read_char(GbnfReader *r, uint32_t *out)
{
    if (peek(r, 0) != '\\' || at_end(r)) {
        size_t bytes = utf8_take(r->text, r->at, out);
        if (!bytes)
            return fail_here(r, BAD_ARGUMENT, "the text is not UTF-8 at byte %zu", r->at);
        r->at += bytes;
        return OK;
    }
    uint8_t c = peek(r, 1);
    r->at += 2;
    switch (c) {
    case 'x': return read_hex(r, 2, out);
    case 'u': return read_hex(r, 4, out);
    case 'U': return read_hex(r, 8, out);
    case 'n': *out = '\n'; return OK;
    case 'r': *out = '\r'; return OK;
    case 't': *out = '\t'; return OK;
    case '\\': case '"': case '[': case ']': case '-': case '^': case '/': *out = c; return OK;
    default: return fail_here(r, BAD_ARGUMENT, "an unknown escape: a backslash stands before n r t x u U \\ \" [ ] only");
    }
}

static Err read_literal(GbnfReader *r, uint32_t *out)
{
    Buf bytes;
    buf_init(&bytes, GRAMMAR_TEXT_MAX);
    Err result = OK;
    r->at++;
    while (result == OK && peek(r, 0) != '"') {
        uint32_t c;
        if (at_end(r) || peek(r, 0) == '\n')
            result = fail_here(r, BAD_ARGUMENT, "a literal does not end: its closing \" is missing");
        else if ((result = read_char(r, &c)) == OK && !buf_put_utf8(&bytes, c))
            result = fail_here(r, LIMIT_REACHED, "a literal is too long");
    }
    r->at++;
    if (result == OK)
        *out = rules_text(r->rules, buf_span(&bytes), r->control && bytes.bytes);
    buf_deinit(&bytes);
    return result;
}

static Err read_ranges(GbnfReader *r, Buf *ranges)
{
    while (peek(r, 0) != ']') {
        CharRange range;
        if (at_end(r) || peek(r, 0) == '\n')
            return fail_here(r, BAD_ARGUMENT, "a class of characters does not end: its closing ] is missing");
        TRY(read_char(r, &range.from));
        range.to = range.from;
        if (peek(r, 0) == '-' && peek(r, 1) != ']') {
            r->at++;
            if (at_end(r))
                return fail_here(r, BAD_ARGUMENT, "a range of characters does not end");
            TRY(read_char(r, &range.to));
        }
        if (range.to < range.from)
            return fail_here(r, BAD_ARGUMENT, "a range of characters runs backwards, from U+%04X to U+%04X",
                             (unsigned)range.from, (unsigned)range.to);
        if (!buf_put(ranges, &range, sizeof range))
            return fail_here(r, LIMIT_REACHED, "a class has more than %d ranges", (int)LIST_MAX);
    }
    return OK;
}

static Err read_class(GbnfReader *r, uint32_t *out)
{
    Buf ranges;
    buf_init(&ranges, LIST_MAX * sizeof(CharRange));
    r->at++;
    bool negated = peek(r, 0) == '^';
    r->at += negated;
    Err result = read_ranges(r, &ranges);
    r->at++;
    if (result == OK)
        *out = rules_chars(r->rules, (CharRange *)(void *)ranges.data, (uint32_t)(ranges.bytes / sizeof(CharRange)), negated);
    buf_deinit(&ranges);
    return result;
}

/* <think>: the control token of that text, or the text in other tokens. */
static Err read_token(GbnfReader *r, uint32_t *out)
{
    size_t from = r->at;
    while (!at_end(r) && peek(r, 0) != '>' && peek(r, 0) != '\n') {
        uint32_t c;
        size_t bytes = utf8_take(r->text, r->at, &c);
        if (!bytes)
            return fail_here(r, BAD_ARGUMENT, "the text is not UTF-8 at byte %zu", r->at);
        r->at += bytes;
    }
    if (peek(r, 0) != '>')
        return fail_here(r, BAD_ARGUMENT, "a token does not end: its closing > is missing");
    Span text = span_of(r->text.data + from, ++r->at - from);
    if (text.bytes > 4 && text.data[1] == '[' && text.data[text.bytes - 2] == ']')
        return fail_here(r, UNSUPPORTED, "tokens by number, as %.*s, are not supported: write the token's text",
                         (int)(text.bytes < 40 ? text.bytes : 40), (const char *)text.data);
    *out = rules_text(r->rules, text, true);
    return OK;
}

static Err read_choice(GbnfReader *r, bool nested, uint32_t *out);

static Err read_group(GbnfReader *r, uint32_t *out)
{
    if (++r->depth > GRAMMAR_TREE_DEPTH_MAX / 4)
        return fail_here(r, LIMIT_REACHED, "parentheses lie deeper than %d in each other", GRAMMAR_TREE_DEPTH_MAX / 4);
    r->at++;
    TRY(read_choice(r, true, out));
    if (peek(r, 0) != ')')
        return fail_here(r, BAD_ARGUMENT, "a parenthesis is not closed");
    r->at++;
    r->depth--;
    return OK;
}

static Err read_count(GbnfReader *r, uint32_t *out)
{
    uint32_t value = 0;
    if (peek(r, 0) < '0' || peek(r, 0) > '9')
        return fail_here(r, BAD_ARGUMENT, "a number of repetitions is missing: {m}, {m,} or {m,n}");
    for (; peek(r, 0) >= '0' && peek(r, 0) <= '9'; r->at++) {
        value = value * 10 + (uint32_t)(peek(r, 0) - '0');
        if (value > GRAMMAR_REPEAT_MAX)
            return fail_here(r, LIMIT_REACHED, "more than %d repetitions", (int)GRAMMAR_REPEAT_MAX);
    }
    *out = value;
    return OK;
}

/* {m}, {m,} or {m,n} */
static Err read_counts(GbnfReader *r, uint32_t *min, uint32_t *max)
{
    r->at++;
    skip_space(r, false);
    TRY(read_count(r, min));
    *max = *min;
    skip_space(r, false);
    if (peek(r, 0) == ',') {
        r->at++;
        skip_space(r, false);
        *max = REPEAT_ALWAYS;
        if (peek(r, 0) != '}')
            TRY(read_count(r, max));
        skip_space(r, false);
    }
    if (peek(r, 0) != '}')
        return fail_here(r, BAD_ARGUMENT, "a number of repetitions is not closed by }");
    if (*max < *min)
        return fail_here(r, BAD_ARGUMENT, "{%u,%u}: the most repetitions are fewer than the fewest", *min, *max);
    r->at++;
    return OK;
}

static Err read_repetitions(GbnfReader *r, bool nested, uint32_t *node)
{
    for (;;) {
        skip_space(r, nested);
        uint32_t min = 0, max = REPEAT_ALWAYS;
        switch (peek(r, 0)) {
        case '*': r->at++; break;
        case '+': r->at++; min = 1; break;
        case '?': r->at++; max = 1; break;
        case '{': TRY(read_counts(r, &min, &max)); break;
        default: return OK;
        }
        *node = rules_repeat(r->rules, *node, min, max);
        if (r->rules->full)
            return fail_here(r, LIMIT_REACHED, "the grammar is too large or too deep");
    }
}

static Err read_element(GbnfReader *r, bool nested, uint32_t *out)
{
    uint8_t c = peek(r, 0);
    if (c == '"')
        TRY(read_literal(r, out));
    else if (c == '[')
        TRY(read_class(r, out));
    else if (c == '(')
        TRY(read_group(r, out));
    else if (c == '<')
        TRY(read_token(r, out));
    else if (c == '.') {
        r->at++;
        *out = rules_chars(r->rules, NULL, 0, true);
    } else {
        int32_t line = line_of(r);
        *out = rules_rule(r->rules, rules_named(r->rules, read_name(r), line));
    }
    return read_repetitions(r, nested, out);
}

/* A name that ::= follows begins the next rule. */
static bool begins_rule(GbnfReader *r)
{
    size_t at = r->at;
    read_name(r);
    skip_space(r, false);
    bool begins = peek(r, 0) == ':' && peek(r, 1) == ':' && peek(r, 2) == '=';
    r->at = at;
    return begins;
}

static Err read_sequence(GbnfReader *r, bool nested, uint32_t *out)
{
    uint32_t base = r->stack.count;
    for (;;) {
        uint8_t c = peek(r, 0);
        bool starts = !at_end(r) && (c == '"' || c == '[' || c == '(' || c == '<' || c == '.' || is_name_char(c));
        if (c == '!' && peek(r, 1) == '<')
            return fail_here(r, UNSUPPORTED, "all tokens but one, !<...>, are not supported");
        if (!starts || (is_name_char(c) && begins_rule(r)))
            break;
        uint32_t node = 0;
        TRY(read_element(r, nested, &node));
        if (!push(r, node) || r->rules->full)
            return fail_here(r, LIMIT_REACHED, "the grammar is too large or too deep");
    }
    uint32_t count = r->stack.count - base;
    *out = rules_list(r->rules, NODE_SEQUENCE, count ? r->stack.data + base : NULL, count);
    r->stack.count = base;
    return OK;
}

static Err read_choice(GbnfReader *r, bool nested, uint32_t *out)
{
    uint32_t base = r->stack.count;
    for (;;) {
        uint32_t node = 0;
        skip_space(r, true);
        TRY(read_sequence(r, nested, &node));
        if (!push(r, node) || r->rules->full)
            return fail_here(r, LIMIT_REACHED, "the grammar is too large or too deep");
        size_t at = r->at;
        skip_space(r, true);
        if (peek(r, 0) != '|') {
            r->at = nested ? r->at : at;
            break;
        }
        r->at++;
    }
    *out = rules_list(r->rules, NODE_CHOICE, r->stack.data + base, r->stack.count - base);
    r->stack.count = base;
    return OK;
}

static Err read_rule(GbnfReader *r)
{
    int32_t line = line_of(r);
    Span name = read_name(r);
    int shown = (int)(name.bytes < 60 ? name.bytes : 60);
    if (!name.bytes)
        return fail_here(r, BAD_ARGUMENT, "a rule's name is expected");
    skip_space(r, false);
    if (peek(r, 0) != ':' || peek(r, 1) != ':' || peek(r, 2) != '=')
        return fail_here(r, BAD_ARGUMENT, "::= is expected after the name '%.*s'", shown, (const char *)name.data);
    r->at += 3;
    uint32_t rule = rules_named(r->rules, name, line), body = 0;
    if (!r->rules->full && r->rules->rules[rule].body >= 0)
        return fail_here(r, BAD_ARGUMENT, "the rule '%.*s' is defined twice", shown, (const char *)name.data);
    TRY(read_choice(r, false, &body));
    if (r->rules->full)
        return fail_here(r, LIMIT_REACHED, "the grammar is too large or too deep");
    r->rules->rules[rule].body = (int32_t)body;
    skip_space(r, false);
    if (!at_end(r) && peek(r, 0) != '\n' && peek(r, 0) != '\r')
        return fail_here(r, BAD_ARGUMENT, "'%c' is not expected here: a rule ends with its line",
                         peek(r, 0) >= ' ' && peek(r, 0) < 0x7F ? peek(r, 0) : '?');
    skip_space(r, true);
    return OK;
}

static Err all_defined(const GbnfReader *r)
{
    for (uint32_t i = 0; i < r->rules->rule_count; i++) {
        const RuleName *rule = &r->rules->rules[i];
        if (rule->body < 0)
            return fail(r->err, BAD_ARGUMENT, "%s: line %d: the rule '%.*s' is used but not defined", r->what,
                        (int)rule->line, (int)(rule->name.bytes < 60 ? rule->name.bytes : 60), (const char *)rule->name.data);
    }
    return OK;
}

Err grammar_rules_read(GrammarRules *rules, Span gbnf, bool control, const char *what, Error *err)
{
    if (gbnf.bytes > GRAMMAR_TEXT_MAX)
        return fail(err, LIMIT_REACHED, "%s: has %zu bytes; at most %d are read", what, gbnf.bytes, (int)GRAMMAR_TEXT_MAX);
    GbnfReader r = {.rules = rules, .text = gbnf, .control = control, .what = what, .err = err, .line = 1};
    Err result = OK;
    rules_named(rules, span_text("root"), 1);
    skip_space(&r, true);
    while (result == OK && !at_end(&r))
        result = read_rule(&r);
    free(r.stack.data);
    if (result != OK)
        return result;
    if (rules->rule_count == 0 || rules->rules[0].body < 0)
        return fail(err, BAD_ARGUMENT, "%s: there is no rule 'root', at which an answer begins", what);
    return all_defined(&r);
}

size_t utf8_take(Span text, size_t at, uint32_t *code_point)
{
    if (at >= text.bytes)
        return 0;
    const uint8_t *s = text.data + at;
    size_t bytes = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;
    if (!bytes || bytes > text.bytes - at)
        return 0;
    static const uint8_t lead[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t c = s[0] & lead[bytes];
    for (size_t i = 1; i < bytes; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3F);
    }
    if (c < least[bytes] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return 0;
    *code_point = c;
    return bytes;
}

#include "text/jinja_lex.h"

#include <errno.h>
#include <stdlib.h>

#include "text/jinja_unicode.h"

enum { BRACKETS_MAX = 200 };

typedef struct Lexer {
    Jinja *j;
    const char *s;
    size_t bytes, at;
    int line;
    bool line_start;            /* the last thing read ended with a newline */
    Token *tokens;
    size_t count, capacity;
    char open[BRACKETS_MAX];    /* brackets that wait to be closed, within one tag */
    int open_count;
} Lexer;

static const struct Operator {
    const char *text;
    TokenKind kind;
} operators[] = {
    /* the longer first */
    {"//", T_FLOOR_DIV},
    {"**", T_POW},
    {"==", T_EQUAL},
    {"!=", T_UNEQUAL},
    {">=", T_GREATER_EQUAL},
    {"<=", T_LESS_EQUAL},
    {"+", T_ADD},
    {"-", T_SUB},
    {"/", T_DIV},
    {"*", T_MUL},
    {"%", T_MOD},
    {"~", T_TILDE},
    {"[", T_LBRACKET},
    {"]", T_RBRACKET},
    {"(", T_LPAREN},
    {")", T_RPAREN},
    {"{", T_LBRACE},
    {"}", T_RBRACE},
    {">", T_GREATER},
    {"<", T_LESS},
    {"=", T_ASSIGN},
    {".", T_DOT},
    {":", T_COLON},
    {"|", T_PIPE},
    {",", T_COMMA},
    {";", T_SEMICOLON},
};

const char *token_name(TokenKind kind)
{
    static const char *const names[TOKEN_KINDS] = {
        [T_END] = "end of template", [T_TEXT] = "text",      [T_BLOCK_BEGIN] = "{%",
        [T_BLOCK_END] = "%}",        [T_PRINT_BEGIN] = "{{", [T_PRINT_END] = "}}",
        [T_NAME] = "name",           [T_STRING] = "string",  [T_INTEGER] = "integer",
        [T_FLOAT] = "float",
    };
    for (size_t i = 0; i < COUNT_OF(operators); i++)
        if (operators[i].kind == kind)
            return operators[i].text;
    return names[kind];
}

static bool looks_at(const Lexer *x, const char *text)
{
    size_t n = strlen(text);
    return x->bytes - x->at >= n && !memcmp(x->s + x->at, text, n);
}

static void advance(Lexer *x, size_t to)
{
    for (; x->at < to; x->at++)
        x->line += x->s[x->at] == '\n';
    x->j->line = x->line;
    if (x->at > 0)
        x->line_start = x->s[x->at - 1] == '\n';
}

static void put_token(Lexer *x, Token t)
{
    if (x->count == x->capacity) {
        size_t capacity = x->capacity ? 2 * x->capacity : 256;
        x->tokens = jinja_grow(x->j, x->tokens, x->count * sizeof(Token), capacity * sizeof(Token));
        x->capacity = capacity;
    }
    x->tokens[x->count++] = t;
}

static size_t skip_space(const Lexer *x, size_t at)
{
    for (size_t next = at; next < x->bytes; at = next)
        if (!point_is_space(point_next(x->s, &next)))
            break;
    return at;
}

static size_t trim_right(const Lexer *x, size_t from, size_t to)
{
    for (size_t before = to; before > from; to = before)
        if (!point_is_space(point_before(x->s, &before)))
            break;
    return to;
}

/* Text before a tag, without the white space that the tag takes from it. */
static void put_text(Lexer *x, size_t end, char sign, bool is_print)
{
    size_t from = x->at, to = end;
    if (sign == '-') {
        to = trim_right(x, from, end);
    } else if (sign != '+' && !is_print) {
        size_t line = end;
        while (line > from && x->s[line - 1] != '\n')
            line--;
        if ((line > from || x->line_start) && trim_right(x, line, end) == line)
            to = line;
    }
    if (to > from)
        put_token(
            x, (Token){.kind = T_TEXT, .line = x->line, .text = span_of(x->s + from, to - from)});
    advance(x, end);
}

static char sign_at(const Lexer *x, size_t at)
{
    return at < x->bytes && (x->s[at] == '-' || x->s[at] == '+') ? x->s[at] : 0;
}

/* Where a tag's end that begins at `at` ends, or 0. "-%}" eats white space, "%}" one newline. */
static size_t tag_end(const Lexer *x, size_t at, const char *close, bool is_print)
{
    char sign = sign_at(x, at);
    if (is_print && sign == '+')
        return 0;
    size_t end = at + (sign != 0) + 2;
    if (end > x->bytes || memcmp(x->s + end - 2, close, 2))
        return 0;
    if (sign == '-')
        return skip_space(x, end);
    return !sign && !is_print && end < x->bytes && x->s[end] == '\n' ? end + 1 : end;
}

/* "{% word %}" at `at`, with signs and spaces as they may be: where it ends, or 0. */
static size_t whole_tag(const Lexer *x, size_t at, const char *word)
{
    if (x->bytes - at < 2 || memcmp(x->s + at, "{%", 2))
        return 0;
    size_t i = at + 2;
    i = skip_space(x, i + (sign_at(x, i) != 0));
    size_t n = strlen(word);
    if (x->bytes - i < n || memcmp(x->s + i, word, n))
        return 0;
    return tag_end(x, skip_space(x, i + n), "%}", false);
}

/* The begin of a raw block takes no newline behind it, and knows no "+%}". */
static size_t raw_begin(const Lexer *x, size_t at)
{
    size_t end = whole_tag(x, at, "raw");
    if (!end)
        return 0;
    size_t close = at;
    while (memcmp(x->s + close, "%}", 2))
        close++;
    if (x->s[close - 1] == '+')
        return 0;
    return x->s[close - 1] == '-' ? end : close + 2;
}

static void lex_raw(Lexer *x, size_t body)
{
    advance(x, body);
    for (size_t at = x->at; at + 2 <= x->bytes; at++) {
        size_t end = whole_tag(x, at, "endraw");
        if (end) {
            put_text(x, at, sign_at(x, at + 2), false);
            advance(x, end);
            return;
        }
    }
    TYPE_ERROR(x->j, "Missing end of raw directive");
}

static void lex_comment(Lexer *x)
{
    for (size_t at = x->at; at + 2 <= x->bytes; at++) {
        size_t end = tag_end(x, at, "#}", false);
        if (end) {
            advance(x, end);
            return;
        }
    }
    TYPE_ERROR(x->j, "Missing end of comment tag");
}

/* ---- within a tag ---- */

static uint32_t hex_digits(const char *s, size_t n)
{
    uint32_t out = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i] | 32;
        if (!((c >= '0' && c <= '9' && s[i] < 64) || (c >= 'a' && c <= 'f')))
            return UINT32_MAX;
        out = out << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return out;
}

/* The escape whose letter is at s[i]; returns how many bytes it takes, letter included. */
static size_t unescape(Lexer *x, Text *out, const char *s, size_t bytes)
{
    static const char letters[] = "\\'\"abfnrtv", meaning[] = "\\'\"\a\b\f\n\r\t\v";
    const char *letter = *s ? strchr(letters, *s) : NULL;
    if (letter) {
        text_put_char(out, meaning[letter - letters]);
        return 1;
    }
    if (*s == '\n')
        return 1;
    if (*s >= '0' && *s <= '7') {
        uint32_t c = 0;
        size_t n = 0;
        while (n < 3 && n < bytes && s[n] >= '0' && s[n] <= '7')
            c = c * 8 + (uint32_t)(s[n++] - '0');
        text_put_point(out, c);
        return n;
    }
    size_t digits = *s == 'x' ? 2 : *s == 'u' ? 4 : *s == 'U' ? 8 : 0;
    if (digits) {
        uint32_t c = bytes > digits ? hex_digits(s + 1, digits) : UINT32_MAX;
        if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
            TYPE_ERROR(x->j, "a string holds \\%c without the %zu hex digits of a character", *s,
                       digits);
        text_put_point(out, c);
        return digits + 1;
    }
    if (*s == 'N')
        jinja_fail(x->j, UNSUPPORTED,
                   "a string names a character with \\N{...}: write it as \\uXXXX");
    text_put_char(out, '\\');   /* unknown: both characters stay */
    return 0;
}

static Value string_value(Lexer *x, const char *s, size_t bytes)
{
    if (!memchr(s, '\\', bytes))
        return str_borrow(x->j, s, bytes);
    Text out = text_new(x->j);
    for (size_t i = 0; i < bytes;) {
        if (s[i] != '\\') {
            text_put_char(&out, s[i++]);
            continue;
        }
        i++;
        i += unescape(x, &out, s + i, bytes - i);
    }
    return text_value(&out);
}

static bool lex_string(Lexer *x)
{
    char quote = x->s[x->at];
    if (quote != '\'' && quote != '"')
        return false;
    size_t end = x->at + 1;
    while (end < x->bytes && x->s[end] != quote)
        end += x->s[end] == '\\' ? 2 : 1;
    if (end >= x->bytes)
        TYPE_ERROR(x->j, "unexpected char %c: the string does not end", quote);
    Token t = {.kind = T_STRING, .line = x->line, .text = span_of(x->s + x->at, end + 1 - x->at)};
    t.value = string_value(x, x->s + x->at + 1, end - x->at - 1);
    put_token(x, t);
    advance(x, end + 1);
    return true;
}

static bool is_digit(const Lexer *x, size_t at)
{
    return at < x->bytes && x->s[at] >= '0' && x->s[at] <= '9';
}

/* (\d+_)*\d+ from `at`; returns its end, `at` when there is none. */
static size_t digits_end(const Lexer *x, size_t at)
{
    while (is_digit(x, at)) {
        at++;
        if (at < x->bytes && x->s[at] == '_' && is_digit(x, at + 1))
            at++;
    }
    return at;
}

static size_t float_end(const Lexer *x)
{
    size_t whole = digits_end(x, x->at), end = whole;
    if (x->at > 0 && x->s[x->at - 1] == '.')
        return 0;
    if (end < x->bytes && x->s[end] == '.' && is_digit(x, end + 1))
        end = digits_end(x, end + 1);
    size_t exponent = end + 1;
    if (end < x->bytes && (x->s[end] | 32) == 'e') {
        exponent += exponent < x->bytes && (x->s[exponent] == '+' || x->s[exponent] == '-');
        if (is_digit(x, exponent))
            return digits_end(x, exponent);
    }
    return end > whole ? end : 0;
}

static bool digit_of_base(char c, int base)
{
    c |= 32;
    return base == 16 ? (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')
                      : c >= '0' && c < '0' + base;
}

static size_t integer_end(const Lexer *x, int *base)
{
    size_t at = x->at;
    char mark = x->at + 1 < x->bytes ? x->s[x->at + 1] | 32 : 0;
    *base = x->s[at] != '0' ? 10 : mark == 'b' ? 2 : mark == 'o' ? 8 : mark == 'x' ? 16 : 10;
    if (*base != 10) {
        size_t end = at + 2;
        for (size_t next; (next = end + (end < x->bytes && x->s[end] == '_')) < x->bytes;
             end = next + 1)
            if (!digit_of_base(x->s[next], *base))
                break;
        if (end > at + 2)
            return end;
        *base = 10;
    }
    if (x->s[at] != '0')
        return digits_end(x, at);
    for (at++; at < x->bytes; at++) /* 0(_?0)* : "012" is two numbers, and so an error further on */
        if (x->s[at] != '0' && !(x->s[at] == '_' && at + 1 < x->bytes && x->s[at + 1] == '0'))
            break;
    return at;
}

static bool lex_number(Lexer *x)
{
    if (!is_digit(x, x->at))
        return false;
    size_t end = float_end(x);
    Token t = {.kind = end ? T_FLOAT : T_INTEGER, .line = x->line};
    int base = 10;
    if (!end)
        end = integer_end(x, &base);
    t.text = span_of(x->s + x->at, end - x->at);
    Text digits = text_new(x->j);
    for (size_t i = x->at + (base == 10 ? 0 : 2); i < end; i++)
        if (x->s[i] != '_')
            text_put_char(&digits, x->s[i]);
    text_put_char(&digits, 0);
    errno = 0;
    if (t.kind == T_FLOAT)
        t.value = value_float(strtod(digits.data, NULL));
    else
        t.value = value_int(strtoll(digits.data, NULL, base));
    if (t.kind == T_INTEGER && errno)
        jinja_fail(x->j, LIMIT_REACHED, "the number %.*s has more than 64 bits", (int)t.text.bytes,
                   (const char *)t.text.data);
    put_token(x, t);
    advance(x, end);
    return true;
}

static bool lex_name(Lexer *x)
{
    size_t end = x->at;
    for (size_t next = end; next < x->bytes; end = next) {
        uint32_t c = point_next(x->s, &next);
        if (c != '_' && !point_is_alnum(c))
            break;
    }
    if (end == x->at)
        return false;
    put_token(x,
              (Token){.kind = T_NAME, .line = x->line, .text = span_of(x->s + x->at, end - x->at)});
    advance(x, end);
    return true;
}

static void balance(Lexer *x, TokenKind kind)
{
    switch (kind) {
    case T_LPAREN: case T_LBRACKET: case T_LBRACE:
        if (x->open_count == BRACKETS_MAX)
            jinja_fail(x->j, LIMIT_REACHED, "more than %d brackets within each other",
                       BRACKETS_MAX);
        x->open[x->open_count++] = (char)(kind + 1); /* each closing kind follows its opening one */
        break;
    case T_RPAREN: case T_RBRACKET: case T_RBRACE:
        if (x->open_count == 0 || x->open[--x->open_count] != (char)kind)
            TYPE_ERROR(x->j, "unexpected '%s'", token_name(kind));
        break;
    default:
        break;
    }
}

static bool lex_operator(Lexer *x)
{
    for (size_t i = 0; i < COUNT_OF(operators); i++)
        if (looks_at(x, operators[i].text)) {
            size_t end = x->at + strlen(operators[i].text);
            balance(x, operators[i].kind);
            put_token(x, (Token){.kind = operators[i].kind,
                                 .line = x->line,
                                 .text = span_of(x->s + x->at, end - x->at)});
            advance(x, end);
            return true;
        }
    return false;
}

static void lex_tag(Lexer *x, bool is_print)
{
    put_token(x, (Token){.kind = is_print ? T_PRINT_BEGIN : T_BLOCK_BEGIN, .line = x->line});
    x->open_count = 0;
    while (x->at < x->bytes) {
        size_t end = x->open_count ? 0 : tag_end(x, x->at, is_print ? "}}" : "%}", is_print);
        if (end) {
            put_token(x, (Token){.kind = is_print ? T_PRINT_END : T_BLOCK_END, .line = x->line});
            advance(x, end);
            return;
        }
        size_t space = skip_space(x, x->at);
        if (space > x->at) {
            advance(x, space);
            continue;
        }
        if (!lex_number(x) && !lex_name(x) && !lex_string(x) && !lex_operator(x)) {
            size_t next = x->at;
            point_next(x->s, &next);
            TYPE_ERROR(x->j, "unexpected char '%.*s'", (int)(next - x->at), x->s + x->at);
        }
    }
}

/* Newlines as "\n", without the last one. */
static void normalise(Lexer *x, Span source)
{
    char *s = jinja_take(x->j, source.bytes + 1);
    size_t n = 0;
    for (size_t i = 0; i < source.bytes; i++) {
        bool cr = source.data[i] == '\r';
        s[n++] = cr ? '\n' : (char)source.data[i];
        i += cr && i + 1 < source.bytes && source.data[i + 1] == '\n';
    }
    x->bytes = n - (n > 0 && s[n - 1] == '\n');
    x->s = s;
}

Token *jinja_lex(Jinja *j, Span source)
{
    Lexer x = {.j = j, .line = 1, .line_start = true};
    normalise(&x, source);
    size_t open = 0;
    while (open < x.bytes) {
        const char *brace = memchr(x.s + open, '{', x.bytes - open);
        open = brace ? (size_t)(brace - x.s) : x.bytes;
        char kind = open + 1 < x.bytes ? x.s[open + 1] : 0;
        if (open < x.bytes && kind != '%' && kind != '{' && kind != '#') {
            open++;
            continue;
        }
        if (open == x.bytes)
            break;
        char sign = sign_at(&x, open + 2);
        size_t raw = raw_begin(&x, open);
        put_text(&x, open, sign, kind == '{');
        if (raw) {
            lex_raw(&x, raw);
        } else {
            advance(&x, open + 2 + (sign != 0));
            if (kind == '#')
                lex_comment(&x);
            else
                lex_tag(&x, kind == '{');
        }
        open = x.at;
    }
    if (x.at < x.bytes)
        put_token(
            &x,
            (Token){.kind = T_TEXT, .line = x.line, .text = span_of(x.s + x.at, x.bytes - x.at)});
    put_token(&x, (Token){.kind = T_END, .line = x.line});
    return x.tokens;
}

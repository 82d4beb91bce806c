#include "text/json_pull.h"

#include <math.h>
#include <stdlib.h>

#include "text/utf8.h"

enum { NUMBER_BYTES_MAX = 64 };

void json_pull_init(JsonPull *p, Span text, size_t string_bytes_max)
{
    *p = (JsonPull){.text = text};
    buf_init(&p->scratch, string_bytes_max);
}

void json_pull_deinit(JsonPull *p)
{
    buf_deinit(&p->scratch);
    if (p->plain)
        freelocale(p->plain);
}

static void skip_blanks(JsonPull *p)
{
    while (p->at < p->text.bytes && (p->text.data[p->at] == ' ' || p->text.data[p->at] == '\n' ||
                                     p->text.data[p->at] == '\t' || p->text.data[p->at] == '\r'))
        p->at++;
}

bool pull_mark(JsonPull *p, char mark)
{
    skip_blanks(p);
    if (p->at >= p->text.bytes || p->text.data[p->at] != (uint8_t)mark)
        return false;
    p->at++;
    return true;
}

bool pull_at_end(JsonPull *p)
{
    skip_blanks(p);
    return p->at == p->text.bytes;
}

int pull_line(const JsonPull *p)
{
    int line = 1;
    for (size_t i = 0; i < p->at && i < p->text.bytes; i++)
        line += p->text.data[i] == '\n';
    return line;
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static bool read_hex4(const uint8_t *at, const uint8_t *end, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        int digit = at + i < end ? hex_digit(at[i]) : -1;
        if (digit < 0)
            return false;
        *out = *out << 4 | (uint32_t)digit;
    }
    return true;
}

/* The escape whose backslash is at *at; moves *at past it. */
static bool unescape(const uint8_t **at, const uint8_t *end, Buf *out)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (end - *at < 2)
        return false;
    uint8_t kind = (*at)[1];
    *at += 2;
    const char *name = kind ? strchr(names, kind) : NULL;
    if (name)
        return buf_put_char(out, values[name - names]);
    uint32_t code, low;
    if (kind != 'u' || !read_hex4(*at, end, &code))
        return false;
    *at += 4;
    if (code >= 0xD800 && code < 0xDC00) {
        if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u' || !read_hex4(*at + 2, end, &low) || low < 0xDC00 ||
            low > 0xDFFF)
            return false;
        *at += 6;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xDC00 && code < 0xE000) {
        return false;
    }
    return buf_put_utf8(out, code);
}

/* The rest of a string with escapes; `at` stands on the first of them. */
static bool pull_escaped(JsonPull *p, const uint8_t *start, const uint8_t *at, Span *out)
{
    const uint8_t *end = p->text.data + p->text.bytes;
    buf_clear(&p->scratch);
    buf_put(&p->scratch, start, (size_t)(at - start));
    while (at < end && *at != '"') {
        if (*at == '\\') {
            if (!unescape(&at, end, &p->scratch))
                return false;
            continue;
        }
        const uint8_t *run = at;
        while (at < end && *at != '"' && *at != '\\' && *at >= 0x20)
            at++;
        if (at == run || !buf_put(&p->scratch, run, (size_t)(at - run)))
            return false;
    }
    if (at == end || p->scratch.full || !utf8_is_valid(buf_span(&p->scratch)))
        return false;
    p->at = (size_t)(at + 1 - p->text.data);
    *out = buf_span(&p->scratch);
    return true;
}

bool pull_string(JsonPull *p, Span *out)
{
    size_t back = p->at;
    if (!pull_mark(p, '"'))
        return false;
    const uint8_t *start = p->text.data + p->at, *end = p->text.data + p->text.bytes, *at = start;
    while (at < end && *at != '"' && *at != '\\' && *at >= 0x20)
        at++;
    bool good = at < end && *at >= 0x20;
    if (good && *at == '\\') {
        good = pull_escaped(p, start, at, out);
    } else if (good) {
        *out = span_of(start, (size_t)(at - start));
        good = out->bytes <= p->scratch.bytes_max && utf8_is_valid(*out);
        p->at = (size_t)(at + 1 - p->text.data);
    }
    if (!good)
        p->at = back;
    return good;
}

bool pull_integer(JsonPull *p, int64_t *out)
{
    skip_blanks(p);
    size_t at = p->at;
    bool negative = at < p->text.bytes && p->text.data[at] == '-';
    at += negative;
    size_t digits = 0;
    int64_t value = 0;
    for (; at < p->text.bytes && p->text.data[at] >= '0' && p->text.data[at] <= '9'; at++, digits++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, p->text.data[at] - '0', &value))
            return false;
    if (digits == 0 || (at < p->text.bytes && memchr(".eE", p->text.data[at], 3)))
        return false;
    p->at = at;
    *out = negative ? -value : value;
    return true;
}

bool pull_float(JsonPull *p, double *out)
{
    skip_blanks(p);
    char digits[NUMBER_BYTES_MAX];
    size_t n = 0;
    const uint8_t *at = p->text.data + p->at;
    while (p->at + n < p->text.bytes && n + 1 < sizeof digits && at[n] && strchr("+-.0123456789eE", at[n])) {
        digits[n] = (char)at[n];
        n++;
    }
    digits[n] = 0;
    if (n == 0 || !(digits[n - 1] >= '0' && digits[n - 1] <= '9'))
        return false;
    if (!p->plain)
        p->plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    *out = p->plain ? strtod_l(digits, NULL, p->plain) : strtod(digits, NULL);
    p->at += n;
    return isfinite(*out);
}

static bool skip_string(JsonPull *p)
{
    for (p->at++; p->at < p->text.bytes && p->text.data[p->at] != '"'; p->at++)
        p->at += p->text.data[p->at] == '\\';
    return p->at++ < p->text.bytes;
}

bool pull_skip(JsonPull *p, Span *out)
{
    skip_blanks(p);
    size_t start = p->at, depth = 0;
    while (p->at < p->text.bytes) {
        uint8_t c = p->text.data[p->at];
        if (c == '"') {
            if (!skip_string(p))
                return false;
            if (depth == 0)
                break;
            continue;
        }
        if (depth == 0 && p->at > start && strchr(",:]} \n\r\t", c))
            break;   /* the end of a number or a word */
        depth += c == '{' || c == '[';
        if (c == '}' || c == ']') {
            if (depth == 0)
                return false;
            p->at++;
            if (--depth == 0)
                break;
            continue;
        }
        p->at++;
    }
    *out = span_of(p->text.data + start, p->at - start);
    return depth == 0 && out->bytes > 0;
}

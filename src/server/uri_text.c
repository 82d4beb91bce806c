#include "server/uri_text.h"

#include "text/utf8.h"

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

bool uri_decode(Span text, bool plus, char *out)
{
    char *to = out;
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t c = text.data[i];
        if (c == '%') {
            int high = i + 2 < text.bytes ? hex_digit(text.data[i + 1]) : -1;
            int low = i + 2 < text.bytes ? hex_digit(text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus)
            c = ' ';
        if (c == 0)
            return false;
        *to++ = (char)c;
    }
    *to = 0;
    return utf8_is_valid(span_of(out, (size_t)(to - out)));
}

bool uri_decode_query(Span query, char *out)
{
    while (query.bytes > 0) {
        const uint8_t *end = memchr(query.data, '&', query.bytes);
        Span pair = span_first(query, end ? (size_t)(end - query.data) : query.bytes);
        query = span_from(query, pair.bytes + 1);
        if (pair.bytes == 0)
            continue;
        const uint8_t *equals = memchr(pair.data, '=', pair.bytes);
        Span name = span_first(pair, equals ? (size_t)(equals - pair.data) : pair.bytes);
        if (name.bytes == 0)   /* an empty name would end the list */
            continue;
        if (!uri_decode(name, true, out))
            return false;
        out += strlen(out) + 1;
        if (!uri_decode(span_from(pair, name.bytes + 1), true, out))
            return false;
        out += strlen(out) + 1;
    }
    *out = 0;
    return true;
}

const char *uri_query_find(const char *decoded, const char *name)
{
    for (const char *at = decoded; at && *at;) {
        const char *value = at + strlen(at) + 1;
        if (!strcmp(at, name))
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

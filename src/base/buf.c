#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"

static char empty[1];   /* what data points at before the first put: never written */

void buf_init(Buf *b, size_t bytes_max)
{
    *b = (Buf){.data = empty, .bytes_max = bytes_max};
}

void buf_deinit(Buf *b)
{
    if (b->capacity)
        free(b->data);
    *b = (Buf){.data = empty};
}

static bool reserve(Buf *b, size_t more)
{
    if (b->full || more > b->bytes_max - b->bytes) {
        b->full = true;
        return false;
    }
    size_t needed = b->bytes + more + 1;
    if (needed <= b->capacity)
        return true;
    size_t capacity = b->capacity ? b->capacity : 64;
    while (capacity < needed)
        capacity *= 2;
    char *data = realloc(b->capacity ? b->data : NULL, capacity);
    if (!data) {
        b->full = true;
        return false;
    }
    b->data = data;
    b->capacity = capacity;
    return true;
}

bool buf_put(Buf *b, const void *data, size_t bytes)
{
    if (!reserve(b, bytes))
        return false;
    if (bytes)
        memcpy(b->data + b->bytes, data, bytes);
    b->bytes += bytes;
    b->data[b->bytes] = 0;
    return true;
}

bool buf_put_text(Buf *b, const char *text) { return buf_put(b, text, strlen(text)); }
bool buf_put_span(Buf *b, Span s) { return buf_put(b, s.data, s.bytes); }
bool buf_put_char(Buf *b, char c) { return buf_put(b, &c, 1); }

bool buf_put_utf8(Buf *b, uint32_t c)
{
    ASSERT(c <= 0x10FFFF);
    char out[4];
    if (c < 0x80)
        return buf_put_char(b, (char)c);
    int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (int i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(lead[n] | c);
    return buf_put(b, out, (size_t)n);
}

bool buf_printf(Buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int bytes = vsnprintf(NULL, 0, format, args);
    bool fits = bytes >= 0 && reserve(b, (size_t)bytes);
    if (fits) {
        vsnprintf(b->data + b->bytes, (size_t)bytes + 1, format, again);
        b->bytes += (size_t)bytes;
    }
    va_end(again);
    va_end(args);
    return fits;
}

void buf_clear(Buf *b)
{
    buf_cut(b, 0);
    b->full = false;
}

void buf_cut(Buf *b, size_t bytes)
{
    ASSERT(bytes <= b->bytes);
    b->bytes = bytes;
    if (b->capacity)
        b->data[bytes] = 0;
}

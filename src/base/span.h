/* span.h -- bytes that somebody else owns, read without ever passing their end.
 *
 * A Span is a view. A Reader walks a Span; each read_* either advances and fills its output or
 * returns false and stays. All integers in files are little-endian.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct Span {
    const uint8_t *data;
    size_t bytes;
} Span;

static inline Span span_of(const void *data, size_t bytes) { return (Span){data, bytes}; }
static inline Span span_text(const char *text) { return (Span){(const uint8_t *)text, strlen(text)}; }
static inline bool span_equal(Span a, Span b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}
static inline bool span_is(Span a, const char *text) { return span_equal(a, span_text(text)); }
static inline bool span_starts(Span a, Span prefix)
{
    return a.bytes >= prefix.bytes && (prefix.bytes == 0 || memcmp(a.data, prefix.data, prefix.bytes) == 0);
}
static inline Span span_from(Span a, size_t offset)   /* the rest; empty when offset is past the end */
{
    return offset >= a.bytes ? (Span){a.data + a.bytes, 0} : (Span){a.data + offset, a.bytes - offset};
}
static inline Span span_first(Span a, size_t bytes) { return (Span){a.data, bytes < a.bytes ? bytes : a.bytes}; }

/* Copies to `to`, which has room; returns where the next byte goes. An empty span may have no address. */
static inline char *span_copy(char *to, Span s)
{
    if (s.bytes)
        memcpy(to, s.data, s.bytes);
    return to + s.bytes;
}

typedef struct Reader {
    Span span;
    size_t at;
} Reader;

static inline size_t reader_left(const Reader *r) { return r->span.bytes - r->at; }
static inline bool read_bytes(Reader *r, size_t bytes, Span *out)
{
    if (bytes > reader_left(r))
        return false;
    *out = (Span){r->span.data + r->at, bytes};
    r->at += bytes;
    return true;
}
static inline bool read_copy(Reader *r, void *out, size_t bytes)
{
    Span s;
    if (!read_bytes(r, bytes, &s))
        return false;
    memcpy(out, s.data, bytes);
    return true;
}
static inline bool read_u8(Reader *r, uint8_t *out) { return read_copy(r, out, sizeof *out); }
static inline bool read_u16(Reader *r, uint16_t *out) { return read_copy(r, out, sizeof *out); }
static inline bool read_u32(Reader *r, uint32_t *out) { return read_copy(r, out, sizeof *out); }
static inline bool read_u64(Reader *r, uint64_t *out) { return read_copy(r, out, sizeof *out); }

#endif

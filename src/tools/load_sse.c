#include "tools/load_sse.h"

static const char BYTE_ORDER_MARK[] = "\xEF\xBB\xBF";   /* may stand before the first line */

void sse_init(SseParser *p, void (*event)(void *with, SseEvent), void *with)
{
    *p = (SseParser){.event = event, .with = with};
    buf_init(&p->line, SSE_EVENT_BYTES_MAX);
    buf_init(&p->name, SSE_EVENT_BYTES_MAX);
    buf_init(&p->data, SSE_EVENT_BYTES_MAX);
}

void sse_deinit(SseParser *p)
{
    buf_deinit(&p->line);
    buf_deinit(&p->name);
    buf_deinit(&p->data);
}

static void end_event(SseParser *p)
{
    if (p->has_data)
        p->event(p->with, (SseEvent){buf_span(&p->name), buf_span(&p->data)});
    buf_clear(&p->name);
    buf_clear(&p->data);
    p->has_data = false;
}

static bool take_field(SseParser *p, Span name, Span value)
{
    if (span_is(name, "event")) {
        buf_clear(&p->name);
        return buf_put_span(&p->name, value);
    }
    if (!span_is(name, "data"))
        return true;
    bool more = p->has_data;
    p->has_data = true;
    return (!more || buf_put_char(&p->data, '\n')) && buf_put_span(&p->data, value);
}

static bool end_line(SseParser *p)
{
    Span line = buf_span(&p->line);
    bool good = true;
    if (!p->began && span_starts(line, span_text(BYTE_ORDER_MARK)))
        line = span_from(line, strlen(BYTE_ORDER_MARK));
    p->began = true;
    if (!line.bytes) {
        end_event(p);
    } else {
        const uint8_t *colon = memchr(line.data, ':', line.bytes);
        Span name = span_first(line, colon ? (size_t)(colon - line.data) : line.bytes);
        Span value = span_from(line, name.bytes + 1);
        good = take_field(p, name, value.bytes && value.data[0] == ' ' ? span_from(value, 1) : value);
    }
    buf_clear(&p->line);
    return good;
}

/* The bytes up to the next end of a line. */
static size_t line_bytes(Span part)
{
    size_t bytes = 0;
    while (bytes < part.bytes && part.data[bytes] != '\n' && part.data[bytes] != '\r')
        bytes++;
    return bytes;
}

Err sse_feed(SseParser *p, Span part, Error *err)
{
    bool good = true;
    while (part.bytes && good) {
        if (p->after_cr && part.data[0] == '\n')
            part = span_from(part, 1);
        p->after_cr = false;
        size_t bytes = line_bytes(part);
        good = buf_put_span(&p->line, span_first(part, bytes));
        if (good && bytes < part.bytes) {
            p->after_cr = part.data[bytes] == '\r';
            good = end_line(p);
        }
        part = span_from(part, bytes + 1);
    }
    return good ? OK : fail(err, LIMIT_REACHED, "an event of the stream has more than %d bytes", SSE_EVENT_BYTES_MAX);
}

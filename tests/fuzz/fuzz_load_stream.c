/* Whatever a server streams, in parts of any size: events within their bounds, chunks that are read or refused, and
 * the same events however the stream is cut. The first byte is the size of the parts. */
#include "tools/load_chunk.h"
#include "tools/load_sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *with, SseEvent event)
{
    uint64_t *sum = with;
    Error err;
    LoadChunk chunk;
    Buf text;
    buf_init(&text, 1 << 16);
    load_chunk_read(event.data, &chunk, &text, &err);
    buf_deinit(&text);
    for (size_t i = 0; i < event.data.bytes; i++)
        *sum = (*sum ^ event.data.data[i]) * 0x100000001B3u;
    *sum += 1 + event.name.bytes;
}

static uint64_t feed(Span stream, size_t part)
{
    uint64_t sum = 0;
    Error err;
    SseParser parser;
    sse_init(&parser, take, &sum);
    for (Err result = OK; stream.bytes && result == OK; stream = span_from(stream, part))
        result = sse_feed(&parser, span_first(stream, part), &err);
    sse_deinit(&parser);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    char line[64];
    Span stream = span_from(span_of(data, size), 1);
    ASSERT(feed(stream, (size_t)data[0] + 1) == feed(stream, stream.bytes + 1));
    load_error_text(stream, line, sizeof line);
    return 0;
}

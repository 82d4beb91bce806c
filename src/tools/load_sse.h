/* load_sse.h -- server-sent events out of bytes that come in parts.
 *
 *     data: {"choices": ...}\n          an event is its lines of data, joined by newlines,
 *     \n                                and is over with an empty line
 *     event: error\r\n
 *     data: {"message": ...}\r\n        lines may end in \n, \r\n or \r
 *     \r\n
 *     : ping\n\n                        a comment; nothing
 *
 * The HTML standard, 9.2.6 "Interpreting an event stream". Where the parts are cut makes no difference.
 */
#ifndef TOOLS_LOAD_SSE_H
#define TOOLS_LOAD_SSE_H

#include "base/buf.h"
#include "base/error.h"

enum { SSE_EVENT_BYTES_MAX = 1 << 20 };   /* an event that is longer is an error */

typedef struct SseEvent { Span name, data; } SseEvent;   /* name: empty if the event has none */

typedef struct SseParser {
    void (*event)(void *with, SseEvent);
    void *with;
    Buf line, name, data;
    bool began, has_data, after_cr;
} SseParser;

void sse_init(SseParser *, void (*event)(void *with, SseEvent), void *with);
void sse_deinit(SseParser *);
Err sse_feed(SseParser *, Span part, Error *);

#endif

/* trace_events.h -- writes events that Perfetto (ui.perfetto.dev) and chrome://tracing open.
 *
 *     {"traceEvents": [{"name": "attend", "cat": "op", "ph": "X", "ts": 12.5, "dur": 3.1, ...}, ...]}
 *
 * Times are seconds of the monotonic clock. Not thread-safe: one writer, one thread.
 */
#ifndef BASE_TRACE_EVENTS_H
#define BASE_TRACE_EVENTS_H

#include "base/error.h"

typedef struct TraceEvents TraceEvents;

Err trace_events_open(const char *path, TraceEvents **out, Error *err);
/* args: the inside of a JSON object ("\"bytes\": 12"), or NULL. name must need no escapes. */
void trace_events_put(TraceEvents *, const char *category, const char *name, double start_seconds, double seconds,
                      const char *args);
Err trace_events_close(TraceEvents *, Error *err);   /* a full disk is told here */

double clock_seconds(void);                          /* monotonic */

#endif

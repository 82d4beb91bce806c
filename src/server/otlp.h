/* otlp.h -- a trace of each request, sent to an OpenTelemetry collector (OTLP over HTTP, in JSON).
 *
 *     POST /v1/chat/completions  |------------------------------------------|   attributes of GenAI's conventions
 *         queue                  |----|
 *         prefill                     |---------|
 *         decode                                |--------------------------|
 *
 * Requests put a record into a bounded queue and go on; a thread sends what has gathered. Where the collector is
 * away or slow, records are dropped and counted (ridge:trace_spans_dropped_total): nobody waits for it. A caller's
 * traceparent header makes these spans children of its own, or says that they are not wanted.
 */
#ifndef SERVER_OTLP_H
#define SERVER_OTLP_H

#include "server/metrics.h"
#include "server/server_log.h"

typedef struct Otlp Otlp;

/* endpoint: "http://localhost:4318"; "/v1/traces" is added where there is no path. UNSUPPORTED: built without
 * libcurl. */
Err otlp_new(Otlp **, const char *endpoint, ServerLog *, Error *);
void otlp_free(Otlp *);                        /* sends what is there, a moment at most. NULL is allowed, here and below */
void otlp_serve(Otlp *, const char *model, Metrics *);   /* metrics: where drops are counted; NULL: nowhere any more */
/* parent: the header's text; NULL: none came. */
void otlp_put(Otlp *, const ServerLogLine *, const char *parent);

/* "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" (W3C Trace Context). */
typedef struct TraceParent {
    char trace[33], span[17];
    bool sampled;
} TraceParent;
bool trace_parent_read(const char *text, TraceParent *);

#endif

/* metrics.h -- what the server counts, as Prometheus reads it (text format 0.0.4), under the names that vLLM uses.
 *
 *     ridge:time_to_first_token_seconds_bucket{model_name="story",le="0.001"} 0
 *
 * Histograms and counters are adds of atomics, so counting costs nothing that a step could notice. What only the
 * engine knows (blocks, sequences) is taken from its last snapshot while writing.
 */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "base/buf.h"
#include "cache/kv_usage.h"
#include "engine/engine.h"
#include "server/step_counts.h"

typedef struct Metrics Metrics;

typedef enum MetricHistogram {
    METRIC_TTFT, METRIC_INTER_TOKEN, METRIC_E2E, METRIC_QUEUE, METRIC_PREFILL, METRIC_DECODE,
    METRIC_PROMPT_TOKENS, METRIC_GENERATION_TOKENS, METRIC_ITERATION_TOKENS, METRIC_HISTOGRAMS,
} MetricHistogram;

/* What the engine said last, and what the device has done; see engine_thread.h. */
typedef struct EngineNow {
    EngineStats stats;
    StepCounts steps;
    int64_t cache_bytes;             /* of all pools */
    double busy_seconds;             /* spent in steps that computed something */
    DeviceWork work;                 /* of the device so far */
    Machine machine;                 /* what it could do; bytes_per_second 0: unknown */
    double step_seconds;             /* of the last step, as that: */
    DeviceWork step;
    bool present;                    /* there is an engine */
} EngineNow;

Err metrics_new(Metrics **, const char *model_name, int64_t context, Error *);
void metrics_free(Metrics *);        /* NULL is allowed */

void metrics_observe(Metrics *, MetricHistogram, double value);   /* METRIC_INTER_TOKEN: by who takes events, for each sample */
void metrics_sample(Metrics *, const Event *end);                 /* a sample has ended */
void metrics_answered(Metrics *, int status);                     /* of HTTP */
void metrics_spans_lost(Metrics *, int64_t count);                /* a collector of traces was away */

/* The newest first tokens, the oldest first; returns how many. */
enum { FIRST_TOKENS_KEPT = 128 };
typedef struct FirstToken { double at, seconds; } FirstToken;     /* at: as clock_seconds() */
int metrics_firsts(Metrics *, FirstToken out[FIRST_TOKENS_KEPT]);

/* Appends all of it; at the end the verdict, in comments. usage: NULL where nobody could ask the cache. */
void metrics_write(Metrics *, const EngineNow *, const KvUsage *usage, Buf *);

#endif

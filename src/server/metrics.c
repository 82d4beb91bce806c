#include "server/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/clock.h"

enum { BOUNDS_MAX = 32, REASONS = 5, STATUS_CLASSES = 5 };

typedef struct Histogram {
    double bounds[BOUNDS_MAX];
    int count;
    _Atomic int64_t buckets[BOUNDS_MAX + 1];   /* the last: over all bounds */
    _Atomic double sum;
} Histogram;

struct Metrics {
    char labels[320];                          /* model_name="..." */
    Histogram histograms[METRIC_HISTOGRAMS];
    _Atomic int64_t finished[REASONS], answered[STATUS_CLASSES], prompt_tokens, generation_tokens, spans_lost;
    pthread_mutex_t lock;                      /* for these */
    FirstToken firsts[FIRST_TOKENS_KEPT];      /* a ring */
    int64_t first_count;
};

/* ---- what there is ---- */

static const double seconds_short[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20,
                                       40, 80};
static const double seconds_first[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
                                       20, 40, 80, 160, 640, 2560};
static const double seconds_long[] = {0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920,
                                      7680};
static const double rows[] = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};

static const struct {
    const char *name, *help;
    const double *bounds;                      /* NULL: 1, 2, 5, 10, 20 ... up to the context */
    int count;
} histograms[METRIC_HISTOGRAMS] = {
    [METRIC_TTFT] = {"time_to_first_token_seconds", "From submission to the first token of an answer.", seconds_first,
                     COUNT_OF(seconds_first)},
    [METRIC_INTER_TOKEN] = {"inter_token_latency_seconds", "From one token of an answer to the next.", seconds_short,
                            COUNT_OF(seconds_short)},
    [METRIC_E2E] = {"e2e_request_latency_seconds", "From submission to the last token of an answer.", seconds_long,
                    COUNT_OF(seconds_long)},
    [METRIC_QUEUE] = {"request_queue_time_seconds", "From submission until something was computed for it.", seconds_long,
                      COUNT_OF(seconds_long)},
    [METRIC_PREFILL] = {"request_prefill_time_seconds", "From the first row of a prompt to the first token.", seconds_long,
                        COUNT_OF(seconds_long)},
    [METRIC_DECODE] = {"request_decode_time_seconds", "From the first token of an answer to its last.", seconds_long,
                       COUNT_OF(seconds_long)},
    [METRIC_PROMPT_TOKENS] = {"request_prompt_tokens", "Tokens of a prompt.", NULL, 0},
    [METRIC_GENERATION_TOKENS] = {"request_generation_tokens", "Tokens of an answer.", NULL, 0},
    [METRIC_ITERATION_TOKENS] = {"iteration_tokens_total", "Rows that one step computed.", rows, COUNT_OF(rows)},
};

static const char *const reasons[REASONS] = {
    [END_STOP] = "stop", [END_LENGTH] = "length", [END_CANCELLED] = "abort", [END_EXPIRED] = "expired", [END_ERROR] = "error"};

static void choose_bounds(Histogram *h, int which, int64_t context)
{
    static const double steps[] = {1, 2, 5};
    if (histograms[which].bounds) {
        h->count = histograms[which].count;
        memcpy(h->bounds, histograms[which].bounds, (size_t)h->count * sizeof *h->bounds);
        return;
    }
    double ten = 1;
    for (int i = 0; h->count < BOUNDS_MAX; ten = i % 3 == 2 ? 10 * ten : ten, i++) {
        double bound = ten * steps[i % 3];
        if (bound > (double)context && h->count > 0)
            break;
        h->bounds[h->count++] = bound;
    }
}

/* A label's value: quotes, backslashes and line ends are escaped. */
static void put_label(char *out, size_t bytes, const char *name)
{
    size_t at = (size_t)snprintf(out, bytes, "model_name=\"");
    for (; *name && at + 4 < bytes; name++) {
        if (*name == '"' || *name == '\\' || *name == '\n')
            out[at++] = '\\';
        out[at++] = *name == '\n' ? 'n' : *name;
    }
    out[at++] = '"';
    out[at] = 0;
}

Err metrics_new(Metrics **out, const char *model_name, int64_t context, Error *err)
{
    Metrics *m = calloc(1, sizeof *m);
    if (!m)
        return fail(err, NO_MEMORY, "no memory for metrics");
    pthread_mutex_init(&m->lock, NULL);
    put_label(m->labels, sizeof m->labels, model_name);
    for (int i = 0; i < METRIC_HISTOGRAMS; i++)
        choose_bounds(&m->histograms[i], i, context);
    *out = m;
    return OK;
}

void metrics_free(Metrics *m)
{
    if (!m)
        return;
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* ---- counting ---- */

static void add_real(_Atomic double *to, double value)
{
    double old = atomic_load_explicit(to, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(to, &old, old + value))
        ;
}

void metrics_observe(Metrics *m, MetricHistogram which, double value)
{
    Histogram *h = &m->histograms[which];
    int at = 0;
    while (at < h->count && value > h->bounds[at])
        at++;
    atomic_fetch_add(&h->buckets[at], 1);
    add_real(&h->sum, value);
}

static void keep_first(Metrics *m, double seconds)
{
    pthread_mutex_lock(&m->lock);
    m->firsts[m->first_count++ % FIRST_TOKENS_KEPT] = (FirstToken){clock_seconds(), seconds};
    pthread_mutex_unlock(&m->lock);
}

int metrics_firsts(Metrics *m, FirstToken out[FIRST_TOKENS_KEPT])
{
    pthread_mutex_lock(&m->lock);
    int count = (int)min_i64(m->first_count, FIRST_TOKENS_KEPT);
    for (int i = 0; i < count; i++)
        out[i] = m->firsts[(m->first_count - count + i) % FIRST_TOKENS_KEPT];
    pthread_mutex_unlock(&m->lock);
    return count;
}

void metrics_sample(Metrics *m, const Event *end)
{
    const RequestTimes *t = &end->times;
    if (end->sample == 0) {
        metrics_observe(m, METRIC_PROMPT_TOKENS, t->prompt_tokens);
        atomic_fetch_add(&m->prompt_tokens, t->prompt_tokens);
        if (t->started > 0)
            metrics_observe(m, METRIC_QUEUE, t->started);
    }
    if ((size_t)end->reason < REASONS)
        atomic_fetch_add(&m->finished[end->reason], 1);
    atomic_fetch_add(&m->generation_tokens, t->generated_tokens);
    metrics_observe(m, METRIC_GENERATION_TOKENS, t->generated_tokens);
    metrics_observe(m, METRIC_E2E, t->ended);
    if (t->first_token > 0) {
        keep_first(m, t->first_token);
        metrics_observe(m, METRIC_TTFT, t->first_token);
        metrics_observe(m, METRIC_PREFILL, fmax(0, t->first_token - t->started));
        metrics_observe(m, METRIC_DECODE, fmax(0, t->ended - t->first_token));
    }
}

void metrics_answered(Metrics *m, int status)
{
    int class = status / 100 - 1;
    if (class >= 0 && class < STATUS_CLASSES)
        atomic_fetch_add(&m->answered[class], 1);
}

void metrics_spans_lost(Metrics *m, int64_t count) { atomic_fetch_add(&m->spans_lost, count); }

/* ---- writing ---- */

static void put_head(Buf *out, const char *name, const char *help, const char *type)
{
    buf_printf(out, "# HELP ridge:%s %s\n# TYPE ridge:%s %s\n", name, help, name, type);
}

static void put_one(const Metrics *m, Buf *out, const char *name, const char *help, const char *type, double value)
{
    put_head(out, name, help, type);
    buf_printf(out, "ridge:%s{%s} %.17g\n", name, m->labels, value);
}

/* Whole numbers as le="1.0", as Prometheus' own clients write them. */
static void put_bound(Buf *out, double bound)
{
    buf_printf(out, bound == floor(bound) ? "%.1f" : "%g", bound);
}

static void put_histogram(Metrics *m, Buf *out, int which)
{
    Histogram *h = &m->histograms[which];
    const char *name = histograms[which].name;
    int64_t total = 0;
    put_head(out, name, histograms[which].help, "histogram");
    for (int i = 0; i <= h->count; i++) {
        total += atomic_load(&h->buckets[i]);
        buf_printf(out, "ridge:%s_bucket{%s,le=\"", name, m->labels);
        if (i < h->count)
            put_bound(out, h->bounds[i]);
        else
            buf_put_text(out, "+Inf");
        buf_printf(out, "\"} %lld\n", (long long)total);
    }
    buf_printf(out, "ridge:%s_count{%s} %lld\n", name, m->labels, (long long)total);
    buf_printf(out, "ridge:%s_sum{%s} %.17g\n", name, m->labels, atomic_load(&h->sum));
}

static void put_counters(Metrics *m, Buf *out)
{
    put_one(m, out, "prompt_tokens_total", "Tokens of prompts.", "counter", (double)atomic_load(&m->prompt_tokens));
    put_one(m, out, "generation_tokens_total", "Tokens of answers.", "counter", (double)atomic_load(&m->generation_tokens));
    put_head(out, "request_success_total", "Answers that have ended, by why.", "counter");
    for (int i = 0; i < REASONS; i++)
        buf_printf(out, "ridge:request_success_total{%s,finished_reason=\"%s\"} %lld\n", m->labels, reasons[i],
                   (long long)atomic_load(&m->finished[i]));
    put_head(out, "http_requests_total", "Answers of HTTP, by the class of their status.", "counter");
    for (int i = 0; i < STATUS_CLASSES; i++)
        buf_printf(out, "ridge:http_requests_total{%s,status=\"%dxx\"} %lld\n", m->labels, i + 1,
                   (long long)atomic_load(&m->answered[i]));
    put_one(m, out, "trace_spans_dropped_total", "Spans that no collector took.", "counter",
            (double)atomic_load(&m->spans_lost));
}

static BlockCounts all_blocks(const EngineStats *s)
{
    BlockCounts all = {0};
    for (int32_t g = 0; g < s->groups; g++) {
        all.blocks += s->blocks[g].blocks;
        all.free += s->blocks[g].free;
        all.cached += s->blocks[g].cached;
        all.held += s->blocks[g].held;
    }
    return all;
}

static void put_usage(Metrics *m, const KvUsage *u, Buf *out)
{
    int64_t shared = 0, references = 0;
    for (int32_t g = 0; g < u->groups; g++) {
        shared += u->group[g].shared;
        references += u->group[g].references;
    }
    put_one(m, out, "kv_cache_shared_blocks", "Blocks that two sequences or more hold.", "gauge", (double)shared);
    put_one(m, out, "kv_cache_references", "Blocks that would be held if nothing were shared.", "gauge", (double)references);
    put_one(m, out, "kv_cache_wasted_perc", "Share of the held memory that no token fills; 1 is all.", "gauge",
            kv_usage_wasted(u));
    put_one(m, out, "kv_cache_prefixes", "Known beginnings of prompts, a block each.", "gauge", u->prefixes);
}

static void put_blocks(Metrics *m, const EngineNow *now, const KvUsage *usage, Buf *out)
{
    BlockCounts all = all_blocks(&now->stats);
    const struct { const char *state; int32_t count; } states[] = {
        {"used", all.held}, {"cached", all.cached}, {"free", all.free}};
    put_one(m, out, "kv_cache_usage_perc", "Share of the cache's blocks that sequences hold; 1 is all.", "gauge",
            all.blocks ? (double)all.held / all.blocks : 0);
    put_head(out, "kv_cache_blocks", "Blocks of the cache, by what they hold.", "gauge");
    for (size_t i = 0; i < COUNT_OF(states); i++)
        buf_printf(out, "ridge:kv_cache_blocks{%s,state=\"%s\"} %d\n", m->labels, states[i].state, states[i].count);
    if (usage)
        put_usage(m, usage, out);
    put_one(m, out, "kv_cache_bytes", "Memory that the cache has taken at start.", "gauge", (double)now->cache_bytes);
}

static void put_engine(Metrics *m, const EngineNow *now, const KvUsage *usage, Buf *out)
{
    const EngineStats *s = &now->stats;
    double possible = now->busy_seconds * now->machine.bytes_per_second;
    put_one(m, out, "num_requests_running", "Sequences that are computed on.", "gauge", s->running);
    put_one(m, out, "num_requests_waiting", "Requests and sequences that wait for room.", "gauge", s->queued + s->waiting);
    put_one(m, out, "step_plan_seconds_total", "Time in steps for the plan.", "counter", now->steps.plan_seconds);
    put_one(m, out, "step_forward_seconds_total", "... for the model.", "counter", now->steps.forward_seconds);
    put_one(m, out, "step_deliver_seconds_total", "... for sampling and telling.", "counter", now->steps.deliver_seconds);
    put_one(m, out, "num_sequences_resting", "Sequences whose reader is slow.", "gauge", s->resting);
    put_blocks(m, now, usage, out);
    put_one(m, out, "prefix_cache_queries_total", "Tokens of prompts that were looked up in the cache.", "counter",
            (double)(usage ? usage->asked.asked : s->prompt_tokens));
    put_one(m, out, "prefix_cache_hits_total", "... that were found there.", "counter",
            (double)(usage ? usage->asked.found : s->reused_tokens));
    put_one(m, out, "num_preemptions_total", "Sequences that gave their blocks back before they ended.", "counter",
            (double)s->preemptions);
    put_one(m, out, "steps_total", "Steps of the engine.", "counter", (double)s->steps);
    put_one(m, out, "step_rows_total", "Rows that steps computed.", "counter", (double)s->rows);
    put_one(m, out, "step_seconds_total", "Time spent in steps.", "counter", now->busy_seconds);
    put_one(m, out, "step_bytes_total", "Bytes of weights and cache that steps read.", "counter", now->work.bytes);
    put_one(m, out, "step_bytes", "Bytes that the last step read.", "gauge", now->step.bytes);
    put_one(m, out, "step_bytes_per_second", "Bytes per second that the last step reached.", "gauge",
            now->step_seconds > 0 ? now->step.bytes / now->step_seconds : 0);
    put_one(m, out, "bandwidth_bytes_per_second", "Bytes per second that this machine can read; 0: not measured.", "gauge",
            now->machine.bytes_per_second);
    put_one(m, out, "roofline_share", "Bytes read in all steps over what the memory could have given meanwhile; 0: unknown.",
            "gauge", possible > 0 ? now->work.bytes / possible : 0);
}

/* What prompts and answers asked of the machine, to be held against what that can do (core/verdict.h). */
static void put_phases(Metrics *m, const EngineNow *now, const NamedWork *phases, int count, Buf *out)
{
    enum { NUMBERS = 6 };
    static const struct { const char *name, *help; } numbers[NUMBERS] = {
        {"phase_steps_total", "Steps in which prompts were computed (prefill), and all others (decode)."},
        {"phase_seconds_total", "... what they took."},
        {"phase_bound_seconds_total", "... what this machine would have needed for them; 0: not measured."},
        {"phase_weight_bytes_total", "... weights that they read."},
        {"phase_cache_bytes_total", "... keys, values and states that they read."},
        {"phase_operations_total", "... multiplications and additions."},
    };
    for (int n = 0; n < NUMBERS; n++) {
        put_head(out, numbers[n].name, numbers[n].help, "counter");
        for (int i = 0; i < count; i++) {
            const PhaseWork *w = &phases[i].work;
            const double value[NUMBERS] = {w->steps, w->seconds, verdict_of(&now->machine, w).bound_seconds, w->weight_bytes,
                                           w->cache_bytes, demand_operations(&w->demand)};
            buf_printf(out, "ridge:%s{%s,phase=\"%s\"} %.17g\n", numbers[n].name, m->labels, phases[i].name, value[n]);
        }
    }
}

void metrics_write(Metrics *m, const EngineNow *now, const KvUsage *usage, Buf *out)
{
    if (now->present)
        put_engine(m, now, usage, out);
    const NamedWork phases[] = {{"prefill", now->steps.prefill}, {"decode", now->steps.decode}};
    if (now->present)
        put_phases(m, now, phases, COUNT_OF(phases), out);
    put_counters(m, out);
    for (int i = 0; i < METRIC_HISTOGRAMS; i++)
        put_histogram(m, out, i);
    if (now->present)
        verdict_report(&now->machine, phases, COUNT_OF(phases), "# ", out);
}

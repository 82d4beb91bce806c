#include "tools/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/prng.h"
#include "tools/phase_meter.h"

typedef struct Bench {
    Engine *engine;
    Device *tally;
    BenchCase what;
    PrngStream random;
    int32_t vocabulary;
    int32_t *prompt;               /* [depth + prompt, at least 1] */
    uint64_t salt;                 /* a new one for each repetition on this engine: nothing is shared between them */
} Bench;

/* What one request took from the moment at which the clock was started. */
typedef struct Measure {
    double start, end;
    int32_t tokens;                /* generated after the start */
    int32_t reused;
} Measure;

void bench_name(BenchCase c, char out[BENCH_NAME_BYTES])
{
    int at = snprintf(out, BENCH_NAME_BYTES, c.prompt ? "pp%d" : "tg%d", c.prompt ? c.prompt : c.generate);
    if (c.batch > 1)
        at += snprintf(out + at, (size_t)(BENCH_NAME_BYTES - at), " x %d", c.batch);
    if (c.depth)
        snprintf(out + at, (size_t)(BENCH_NAME_BYTES - at), " @ d%d", c.depth);
}

int32_t bench_context(BenchCase c) { return c.depth + c.prompt + c.generate + 2; }

static void start_clock(Bench *b, Measure *m)
{
    tally_reset(b->tally);
    m->tokens = 0;
    m->start = clock_seconds();
}

/* A request from its start to its end. late: the clock starts at the first token, not at the request. */
static Err serve(Bench *b, int32_t prompt, int32_t tokens, int32_t samples, bool late, Measure *m, Error *err)
{
    RequestOptions options = {.prompt = b->prompt, .prompt_count = prompt, .max_tokens = tokens, .samples = samples,
                              .salt = b->salt, .sampling = sampler_options_greedy()};
    Request *request;
    Event event;
    Err result = OK;
    *m = (Measure){0};
    start_clock(b, m);
    TRY(engine_submit(b->engine, &options, &request, err));
    while (!request_ended(request)) {
        if (!request_next(request, &event)) {
            engine_step(b->engine);
            continue;
        }
        if (event.kind == EVENT_TOKEN && late)
            start_clock(b, m), late = false;
        else if (event.kind == EVENT_TOKEN)
            m->tokens++;
        else if (event.kind == EVENT_END && event.reason == END_ERROR && result == OK)
            result = fail(err, BAD_FILE, "%s", request_error(request));
        if (event.kind == EVENT_END)
            m->reused = event.times.reused_tokens;
    }
    m->end = clock_seconds();
    request_close(request);
    return result;
}

static Err repetition(Bench *b, double *seconds, double *tokens, PhaseWork *work, Error *err)
{
    const BenchCase *c = &b->what;
    int32_t length = (int32_t)max_i64(1, c->depth + c->prompt);
    Measure m;
    b->salt = 1 + (uint64_t)engine_stats(b->engine).steps;
    for (int32_t i = 0; i < length; i++)
        b->prompt[i] = (int32_t)stream_below(&b->random, (uint32_t)b->vocabulary);
    if (c->prompt) {
        if (c->depth)
            TRY(serve(b, c->depth, 1, 1, false, &m, err));
        TRY(serve(b, length, 1, c->batch, false, &m, err));
        *tokens = length - m.reused;
    } else {
        TRY(serve(b, length, c->generate + (c->depth > 0), c->batch, c->depth > 0, &m, err));
        *tokens = m.tokens;
    }
    *seconds = m.end - m.start;
    *work = phase_work_since(&(TallyMark){0}, b->tally);
    work->steps = c->prompt ? 1 : c->generate;
    work->sequences = c->prompt ? 0 : (double)c->generate * c->batch;
    return OK;
}

Err bench_run(Engine *engine, Device *tally, Device *tracer, int32_t vocabulary, BenchCase what, int32_t repetitions,
              BenchResult *out, Error *err)
{
    ASSERT(repetitions >= 1 && repetitions <= BENCH_REPETITIONS_MAX && !what.prompt != !what.generate);
    Bench b = {.engine = engine, .tally = tally, .what = what, .random = {1, 0}, .vocabulary = vocabulary};
    b.prompt = malloc(sizeof *b.prompt * (size_t)bench_context(what));
    if (!b.prompt)
        return fail(err, NO_MEMORY, "no memory for a prompt of %d tokens", bench_context(what));
    *out = (BenchResult){.what = what, .repetitions = repetitions};
    if (tracer)
        trace_pause(tracer, true);
    Err result = repetition(&b, &out->seconds[0], &out->tokens, &out->work, err);   /* warms up */
    if (tracer)
        trace_pause(tracer, false);
    for (int32_t r = 0; r < repetitions && result == OK; r++)
        result = repetition(&b, &out->seconds[r], &out->tokens, &out->work, err);
    free(b.prompt);
    return result;
}

static void mean_and_deviation(const double *x, int n, double *mean, double *deviation)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    *mean = sum / n;
    for (int i = 0; i < n; i++)
        squares += (x[i] - *mean) * (x[i] - *mean);
    *deviation = n > 1 ? sqrt(squares / (n - 1)) : 0;
}

BenchSummary bench_summary(const BenchResult *r)
{
    BenchSummary s;
    double rates[BENCH_REPETITIONS_MAX];
    for (int i = 0; i < r->repetitions; i++)
        rates[i] = r->tokens / r->seconds[i];
    mean_and_deviation(rates, r->repetitions, &s.rate, &s.rate_deviation);
    mean_and_deviation(r->seconds, r->repetitions, &s.seconds, &s.seconds_deviation);
    return s;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_seconds(const BenchResult *r)
{
    double sorted[BENCH_REPETITIONS_MAX];
    int n = r->repetitions;
    memcpy(sorted, r->seconds, sizeof *sorted * (size_t)n);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return (sorted[n / 2] + sorted[(n - 1) / 2]) / 2;
}

double bench_median(const BenchResult *r) { return r->tokens / bench_seconds(r); }

double bench_share(const BenchResult *r, const Machine *m) { return roofline_seconds(m, &r->work.demand) / bench_seconds(r); }

PhaseWork bench_work(const BenchResult *r)
{
    PhaseWork work = r->work;
    work.seconds = bench_seconds(r);
    return work;
}

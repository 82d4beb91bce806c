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
    int32_t vocabulary, length;    /* length: of a prompt, behind which tokens are generated */
    int32_t *prompt;               /* [batch, length] */
    Request **request;             /* [batch] */
    uint64_t salt;                 /* a new one for all that is computed anew: nothing is shared */
} Bench;

/* What requests took from the moment at which the clock was started. */
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

/* Whose events there are; *firsts: of how many requests the first token came among them. */
static Err read_events(Bench *b, int32_t count, int32_t *firsts, Measure *m, Error *err)
{
    Event event;
    Err result = OK;
    for (int32_t i = 0; i < count; i++)
        while (request_next(b->request[i], &event)) {
            *firsts += event.kind == EVENT_TOKEN && event.position == b->length;
            m->tokens += event.kind == EVENT_TOKEN;
            if (event.kind == EVENT_END)
                m->reused = event.times.reused_tokens;
            if (event.kind == EVENT_END && event.reason == END_ERROR && result == OK)
                result = fail(err, BAD_FILE, "%s", request_error(b->request[i]));
        }
    return result;
}

static bool all_ended(const Bench *b, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (!request_ended(b->request[i]))
            return false;
    return true;
}

/* Requests from their start to their end, for the prompts from `first` on. late: the clock starts when all have their
 * first token. */
static Err serve(Bench *b, int32_t first, int32_t count, int32_t prompt, int32_t tokens, bool late, Measure *m, Error *err)
{
    RequestOptions options = {.prompt_count = prompt, .max_tokens = tokens, .salt = b->salt,
                              .sampling = sampler_options_greedy()};
    Err result = OK;
    int32_t submitted = 0, firsts = 0;
    *m = (Measure){0};
    start_clock(b, m);
    for (; submitted < count && result == OK; submitted += result == OK) {
        options.prompt = b->prompt + (size_t)(first + submitted) * (size_t)b->length;
        result = engine_submit(b->engine, &options, &b->request[submitted], err);
    }
    while (result == OK && !all_ended(b, count)) {
        engine_step(b->engine);
        result = read_events(b, count, &firsts, m, err);
        if (late && firsts == count)
            start_clock(b, m), late = false;
    }
    m->end = clock_seconds();
    for (int32_t i = 0; i < submitted; i++)
        request_close(b->request[i]);
    return result;
}

static void draw_prompts(Bench *b)
{
    b->salt = 1 + (uint64_t)engine_stats(b->engine).steps;
    for (int32_t i = 0; i < b->what.batch * b->length; i++)
        b->prompt[i] = (int32_t)stream_below(&b->random, (uint32_t)b->vocabulary);
}

/* The prompts of a batch are computed once, one after another; the cache has them at all repetitions, so that all
 * answers begin in one step. */
static Err compute_prompts(Bench *b, Error *err)
{
    Measure m;
    draw_prompts(b);
    for (int32_t i = 0; i < b->what.batch && b->what.depth; i++)
        TRY(serve(b, i, 1, b->length, 1, false, &m, err));
    return OK;
}

static Err repetition(Bench *b, double *seconds, double *tokens, PhaseWork *work, Error *err)
{
    const BenchCase *c = &b->what;
    Measure m;
    if (c->prompt) {
        draw_prompts(b);
        if (c->depth)
            TRY(serve(b, 0, 1, c->depth, 1, false, &m, err));
        TRY(serve(b, 0, 1, b->length, 1, false, &m, err));
        *tokens = b->length - m.reused;
    } else {
        TRY(serve(b, 0, c->batch, b->length, c->generate + (c->depth > 0), c->depth > 0, &m, err));
        *tokens = m.tokens;
    }
    *seconds = m.end - m.start;
    *work = phase_work_since(&(TallyMark){0}, b->tally);
    work->steps = c->prompt ? 1 : c->generate;
    work->sequences = c->prompt ? 0 : (double)c->generate * c->batch;
    return OK;
}

static Err take(Bench *b, Error *err)
{
    b->prompt = malloc(sizeof *b->prompt * (size_t)b->what.batch * (size_t)b->length);
    b->request = malloc(sizeof *b->request * (size_t)b->what.batch);
    if (b->prompt && b->request)
        return OK;
    return fail(err, NO_MEMORY, "no memory for %d prompts of %d tokens", b->what.batch, b->length);
}

Err bench_run(Engine *engine, Device *tally, Device *tracer, int32_t vocabulary, BenchCase what, int32_t repetitions,
              BenchResult *out, Error *err)
{
    ASSERT(repetitions >= 1 && repetitions <= BENCH_REPETITIONS_MAX && !what.prompt != !what.generate);
    ASSERT(what.batch >= 1 && what.batch <= BENCH_BATCH_MAX);
    Bench b = {.engine = engine, .tally = tally, .what = what, .random = {1, 0}, .vocabulary = vocabulary,
               .length = (int32_t)max_i64(1, what.depth + what.prompt)};
    *out = (BenchResult){.what = what, .repetitions = repetitions};
    Err result = take(&b, err);
    if (tracer)
        trace_pause(tracer, true);
    if (result == OK && what.generate)
        result = compute_prompts(&b, err);
    if (result == OK)
        result = repetition(&b, &out->seconds[0], &out->tokens, &out->work, err);   /* warms up */
    if (tracer)
        trace_pause(tracer, false);
    for (int32_t r = 0; r < repetitions && result == OK; r++)
        result = repetition(&b, &out->seconds[r], &out->tokens, &out->work, err);
    free(b.prompt);
    free(b.request);
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

#include "main/bench_learn.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"

static void give_up(BenchLearn *l, const Error *err)
{
    fprintf(stderr, "nothing is kept for `ridge plan`: %s\n", err->text);
    bench_learn_close(l);
}

void bench_learn_open(BenchLearn *l, const Session *s, const char *model, const Machine *machine, int32_t rows)
{
    Error err;
    *l = (BenchLearn){.session = s, .threads = s->threads};
    l->options = (PlanOptions){.cache = s->cache_format, .rows = rows, .shards = 1, .replicas = 1};
    if (machine)
        l->options.machine = *machine;
    if (device_is_apart(s->computes))
        return;
    if (plan_model_open(&(PlanModelOptions){.model = model}, &l->model, &err) != OK ||
        journal_open(NULL, &l->journal, &err) != OK)
        give_up(l, &err);
    l->options.journal = l->journal;
}

void bench_learn_close(BenchLearn *l)
{
    if (l->model.model)
        plan_model_close(&l->model);
    journal_close(l->journal);
    l->journal = NULL;
}

/* A step of generation stands for all of them by the one in the middle. */
static int32_t past_of(BenchCase c) { return c.depth + c.generate / 2; }

static JournalEntry entry_of(const BenchLearn *l, BenchCase c)
{
    JournalEntry e = {.what = {.threads = l->threads, .prompt = c.prompt, .batch = c.batch}};
    e.what.context = c.prompt ? c.depth + c.prompt : past_of(c) + 1;
    snprintf(e.what.model, sizeof e.what.model, "%.127s", l->model.name);
    snprintf(e.what.format, sizeof e.what.format, "%s", l->model.formats);
    snprintf(e.what.cache, sizeof e.what.cache, "%s", l->options.cache->name);
    return e;
}

void bench_learn_foretell(BenchLearn *l, BenchCase c)
{
    Error err;
    PlanPhase phase;
    if (!l->journal || l->options.machine.bytes_per_second == 0)
        return;
    l->options.prompt = c.prompt;
    PlanStep step = {.sequences = c.batch, .rows = 1, .past = past_of(c)};
    Err result = c.prompt ? plan_prompt(&l->model, &l->options, c.depth, &phase, &err)
                          : plan_generate(&l->model, &l->options, step, &phase, &err);
    JournalEntry e = entry_of(l, c);
    e.seconds = phase.seconds;
    e.doubt = phase.doubt;
    if (result != OK || journal_foretell(l->journal, &e, &err) != OK)
        give_up(l, &err);
}

/* The trace has two repetitions: the first warms up, as always. */
static void scale(Work *work, const BenchResult *r)
{
    double sum = 0, took = 2 * bench_seconds(r);
    for (int32_t i = 0; i < work->lines; i++)
        sum += work->line[i].seconds;
    for (int32_t i = 0; i < work->lines && sum > took; i++)
        work->line[i].seconds *= took / sum;
}

static Err record(BenchLearn *l, const BenchResult *r, Work *work, Error *err)
{
    const Session *s = l->session;
    BenchResult again;
    trace_reset(s->tracer);
    trace_pause(s->tracer, false);
    Err result = bench_run(s->engine, s->tally, NULL, s->model->shape.V, r->what, 1, &again, err);
    trace_pause(s->tracer, true);
    TRY(result);
    *work = *trace_read(s->tracer);
    JournalEntry e = entry_of(l, r->what);
    JournalTrace traced = {.work = work};
    e.seconds = r->what.prompt ? bench_seconds(r) : bench_seconds(r) / r->what.generate;
    if (r->what.depth == 0) {                     /* else there are steps in it that nobody measured */
        scale(work, r);
        traced.seconds = 2 * bench_seconds(r);
        traced.steps = 2 * (r->what.prompt ? ceil_div(r->what.prompt, l->options.rows) : r->what.generate);
    }
    return journal_record(l->journal, &e, &traced, err);
}

void bench_learn_record(BenchLearn *l, const BenchResult *r)
{
    Error err;
    Work *work = l->journal ? malloc(sizeof *work) : NULL;
    if (work && record(l, r, work, &err) != OK)
        give_up(l, &err);
    free(work);
}

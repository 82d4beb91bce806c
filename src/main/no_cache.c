#include "main/no_cache.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/number_text.h"
#include "devices/watch/watch.h"

typedef struct Cost {
    const char *name;
    int64_t rows;
    double attention;              /* operations */
    PhaseWork work;                /* seconds 0: nobody did it */
} Cost;

Err no_cache_check(const ModelShape *shape, int32_t samples, Error *err)
{
    if (shape->bidirectional)
        return fail(err, BAD_ARGUMENT, "--no-cache: family '%s' refines whole answers; its own --diffusion-cache none keeps "
                    "nothing", shape->family);
    if (samples > 1)
        return fail(err, BAD_ARGUMENT, "--no-cache measures one answer: leave --samples away, or 1");
    return OK;
}

static double attention(const Tally *t) { return t->by_op[OP_ATTEND].operations; }

/* What these steps would ask for, without computing them. */
static Err foresee(const Session *s, const EngineSpan *spans, int32_t count, Cost *out, Error *err)
{
    Tally before = *tally_read(s->tally);
    TRY(engine_foresee(s->engine, spans, count, err));
    const Tally *after = tally_read(s->tally);
    out->work = phase_work_between(&before, after);
    out->attention = attention(after) - attention(&before);
    out->rows = 0;
    for (int32_t i = 0; i < count; i++)
        out->rows += spans[i].to - spans[i].from;
    return OK;
}

static Err predict(const Session *s, int32_t prompt, int32_t tokens, Cost *with, Cost *without, Error *err)
{
    EngineSpan *spans = calloc((size_t)tokens, sizeof *spans);
    if (!spans)
        return fail(err, NO_MEMORY, "no memory for the steps of %d tokens", tokens);
    for (int32_t t = 0; t < tokens; t++)
        spans[t] = (EngineSpan){0, prompt + t};
    Err result = foresee(s, spans, tokens, without, err);
    for (int32_t t = 1; t < tokens; t++)
        spans[t].from = prompt + t - 1;
    if (result == OK)
        result = foresee(s, spans, tokens, with, err);
    free(spans);
    return result;
}

static void print_row(const Cost *c, const Machine *m)
{
    fprintf(stderr, "%-24s %13s %14.3f %12.3f %12.1f", c->name, number_text((uint64_t)c->rows).text, c->attention / 1e9,
            demand_operations(&c->work.demand) / 1e9, c->work.demand.bytes / 1e6);
    if (c->work.seconds > 0)
        fprintf(stderr, " %9.3f\n", c->work.seconds);
    else if (m)
        fprintf(stderr, " >= %6.3f\n", roofline_seconds(m, &c->work.demand));
    else
        fprintf(stderr, " %9s\n", "-");
}

Err no_cache_print(const Session *s, int32_t prompt, int32_t tokens, const PhaseMeter *meter, Error *err)
{
    Machine machine;
    const Machine *known = session_machine(&machine);
    Cost with = {.name = "with a cache, predicted"}, without = {.name = "without, predicted"};
    Cost measured = {.name = "without, measured", .rows = engine_stats(s->engine).rows, .work = meter->prefill,
                     .attention = attention(tally_read(s->tally)) - attention(&meter->start)};
    if (tokens < 1)
        return OK;
    TRY(predict(s, prompt, tokens, &with, &without, err));
    fprintf(stderr, "\n%d tokens after %-9d %13s %14s %12s %12s %9s\n", tokens, prompt, "rows", "attention Gop", "all Gop",
            "read MB", "seconds");
    print_row(&with, known);
    print_row(&without, known);
    print_row(&measured, known);
    fprintf(stderr, "with a cache T tokens take O(T) rows and O(T^2) of attention, without O(T^2) and O(T^3): here %.1f times the "
            "rows and %.1f times the operations\n", (double)without.rows / (double)with.rows,
            demand_operations(&without.work.demand) / demand_operations(&with.work.demand));
    return OK;
}

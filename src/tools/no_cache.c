#include "tools/no_cache.h"

#include "base/checked.h"
#include "base/number_text.h"
#include "tools/phase_meter.h"

enum { ROWS_MOST = 1 << 16 };      /* that an engine's step may have */

Err no_cache_check(const ModelShape *shape, int32_t samples, Error *err)
{
    if (shape->bidirectional)
        return fail(err, BAD_ARGUMENT, "--no-cache: family '%s' refines whole answers; its own way to keep nothing is "
                    "--diffusion-cache none", shape->family);
    if (samples > 1)
        return fail(err, BAD_ARGUMENT, "--no-cache measures one answer: leave --samples away, or give 1");
    return OK;
}

void no_cache_options(EngineOptions *o, int32_t context)
{
    o->forgets = true;
    o->rows = (int32_t)min_i64(context, ROWS_MOST);
    o->state_snapshots = 0;
}

static double attention_of(const Tally *t)
{
    double sum = 0;
    for (int32_t i = 0; i < t->work.lines; i++)
        if (t->work.line[i].op == OP_ATTEND)
            sum += t->work.line[i].cost.operations;
    return sum;
}

RunCost run_cost_measured(const Device *tally, int64_t rows, double seconds)
{
    RunCost cost = {.rows = rows, .attention = attention_of(tally_read(tally))};
    cost.work = phase_work_since(&(TallyMark){0}, tally);
    cost.work.seconds = seconds;
    return cost;
}

/* The positions [from, to) of one sequence. */
static Err add_span(PlanModel *plan, const NoCacheRun *run, int32_t from, int32_t to, RunCost *sum, Error *err)
{
    for (int32_t rows; from < to; from += rows) {
        const Tally *tally;
        rows = (int32_t)min_i64(to - from, run->rows);
        TRY(plan_step(plan, (PlanStep){.sequences = 1, .rows = rows, .past = from}, run->cache, &tally, err));
        RunCost step = run_cost_measured(plan->tally, rows, 0);
        sum->rows += step.rows;
        sum->attention += step.attention;
        phase_work_add(&sum->work, &step.work);
    }
    return OK;
}

Err no_cache_predict(Model *model, NoCacheRun run, RunCost *with, RunCost *without, Error *err)
{
    PlanModel plan;
    *with = *without = (RunCost){0};
    TRY(plan_model_of(model, &plan, err));
    Err result = OK;
    for (int32_t t = 0; t < run.tokens && result == OK; t++) {
        result = add_span(&plan, &run, 0, run.prompt + t, without, err);
        if (result == OK)
            result = add_span(&plan, &run, t ? run.prompt + t - 1 : 0, run.prompt + t, with, err);
    }
    plan_model_close(&plan);
    return result;
}

static void put_row(const char *name, const RunCost *c, const Machine *m, Buf *out)
{
    buf_printf(out, "%-24s %13s %14.3f %12.3f %12.1f", name, number_text((uint64_t)c->rows).text, c->attention / 1e9,
               demand_operations(&c->work.demand) / 1e9, c->work.demand.bytes / 1e6);
    if (c->work.seconds > 0)
        buf_printf(out, " %9.3f\n", c->work.seconds);
    else if (m)
        buf_printf(out, " >= %6.3f\n", roofline_seconds(m, &c->work.demand));
    else
        buf_printf(out, " %9s\n", "-");
}

void no_cache_table(NoCacheRun run, const RunCost *with, const RunCost *without, const RunCost *measured,
                    const Machine *machine, Buf *out)
{
    char title[64];
    snprintf(title, sizeof title, "%d tokens after %d", run.tokens, run.prompt);
    buf_printf(out, "%-24s %13s %14s %12s %12s %9s\n", title, "rows", "attention Gop", "all Gop", "read MB", "seconds");
    put_row("with a cache, predicted", with, machine, out);
    put_row("without, predicted", without, machine, out);
    put_row("without, measured", measured, machine, out);
    buf_printf(out, "T tokens take O(T) rows and O(T^2) of attention with a cache, O(T^2) and O(T^3) without: here %.1f times "
               "the rows and %.1f times the operations\n", (double)without->rows / (double)with->rows,
               demand_operations(&without->work.demand) / demand_operations(&with->work.demand));
}

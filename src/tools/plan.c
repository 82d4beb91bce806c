#include "tools/plan.h"

#include <math.h>
#include <stdlib.h>

#include "base/checked.h"
#include "cache/kv_report.h"

enum { LINK_NUMBER_BYTES = 2, GUESSES_MAX = 16, STEPS_MAX = 1 << 13 };

double plan_intensity(const PlanPart *p) { return p->demand.bytes > 0 ? demand_operations(&p->demand) / p->demand.bytes : 0; }

bool plan_is_memory_bound(const Machine *m, const PlanPart *p)
{
    return roofline_bytes_seconds(m, &p->demand) > roofline_operations_seconds(m, &p->demand);
}

double machine_ridge_point(const Machine *m) { return (m->bf16 > 0 ? m->bf16 : m->fp32) / m->bytes_per_second; }

double plan_ridge_point(const Machine *m, const PlanPart *p)
{
    double seconds = roofline_operations_seconds(m, &p->demand);
    return seconds > 0 ? demand_operations(&p->demand) / seconds / m->bytes_per_second : 0;
}

/* ---- sharding ---- */

Err plan_check(const PlanModel *p, const PlanOptions *o, Error *err)
{
    const ModelShape *s = &p->model->shape;
    if (o->shards > 1 && s->N > 0 && s->N % o->shards)
        return fail(err, BAD_ARGUMENT, "--shards %d: must divide the %d heads of %s", o->shards, s->N, p->name);
    if (o->shards > 1 && o->machine.link_bytes_per_second == 0)
        return fail(err, BAD_ARGUMENT, "--shards %d: the link of %s is not known: give 'link_bytes_per_second' in its file",
                    o->shards, o->machine.name);
    int32_t longest = o->context > o->prompt ? o->context : o->prompt;
    if (s->positions_max && longest > s->positions_max)
        return fail(err, BAD_ARGUMENT, "%d positions: %s has a table of %d; choose a shorter %s", longest, p->name,
                    s->positions_max, o->context > o->prompt ? "--context" : "--prompt");
    if (o->prompt / o->rows >= STEPS_MAX)
        return fail(err, LIMIT_REACHED, "--prompt %d takes more than %d steps of %d rows; choose a larger --ubatch-size",
                    o->prompt, STEPS_MAX, o->rows);
    return OK;
}

/* Each key/value head is on one machine, or on several where there are fewer heads than machines. */
static double cache_share(const PlanModel *p, int32_t shards)
{
    int32_t heads = p->model->shape.K;
    for (int l = 0; l < p->model->kv.layers && heads; l++)
        if (p->model->kv.layer[l].heads > 0 && p->model->kv.layer[l].heads < heads)
            heads = p->model->kv.layer[l].heads;
    return heads > 0 ? (double)ceil_div(heads, shards) / heads : 1.0 / shards;
}

/* ---- time ---- */

/* Doubts add up with their times: what is learned too high for one operation is so for the others. */
typedef struct Sum { double seconds, doubt, unknown; } Sum;

static void expect_line(const PlanOptions *o, const WorkLine *line, PlanPhase *out, Sum *sum)
{
    PlanPart *parts[] = {&out->part[line->part], &out->all};
    Expected e = journal_expect(o->journal, &o->machine, line);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        op_cost_add(&parts[i]->cost, &line->cost);
        demand_add(&parts[i]->demand, &line->demand);
        parts[i]->seconds += e.seconds;
    }
    sum->seconds += e.seconds;
    sum->doubt += e.seconds * e.doubt;
    sum->unknown += e.doubt > 0 ? 0 : e.seconds;
}

static void add_step(const PlanModel *p, const PlanOptions *o, int32_t rows, const Tally *t, PlanPhase *out, Sum *sum)
{
    for (int32_t i = 0; i < t->work.lines; i++)
        expect_line(o, &t->work.line[i], out, sum);
    Expected rest = journal_expect_rest(o->journal, rows);
    out->all.seconds += rest.seconds;
    sum->seconds += rest.seconds;
    sum->doubt += rest.seconds * rest.doubt;
    out->steps++;
    if (o->shards > 1)
        out->link_bytes += 2.0 * (o->shards - 1) / o->shards * rows * p->model->shape.D * LINK_NUMBER_BYTES * t->branches;
}

/* A phase of which half was never measured is the roofline's. */
static void finish(const PlanOptions *o, const Sum *sum, PlanPhase *out)
{
    out->link_seconds = o->shards > 1 ? out->link_bytes / o->machine.link_bytes_per_second : 0;
    out->seconds = out->all.seconds / o->shards + out->link_seconds;
    out->doubt = sum->seconds > 0 && sum->unknown < sum->seconds / 2 ? sum->doubt / sum->seconds : 0;
}

Err plan_generate(PlanModel *p, const PlanOptions *o, PlanStep step, PlanPhase *out, Error *err)
{
    const Tally *t;
    Sum sum = {0};
    *out = (PlanPhase){0};
    TRY(plan_step(p, step, o->cache, &t, err));
    add_step(p, o, step.sequences * step.rows, t, out, &sum);
    finish(o, &sum, out);
    return OK;
}

Err plan_prompt(PlanModel *p, const PlanOptions *o, int32_t past, PlanPhase *out, Error *err)
{
    const Tally *t;
    Sum sum = {0};
    *out = (PlanPhase){0};
    for (int32_t done = 0, rows; done < o->prompt; done += rows) {
        rows = (int32_t)min_i64(o->rows, o->prompt - done);
        TRY(plan_step(p, (PlanStep){.sequences = 1, .rows = rows, .past = past + done}, o->cache, &t, err));
        add_step(p, o, rows, t, out, &sum);
    }
    finish(o, &sum, out);
    return OK;
}

/* ---- memory ---- */

double plan_memory_bytes(const PlanMemory *m, int64_t batch)
{
    return m->weights + (double)batch * (m->cache + m->row) + m->prompt;
}

Err plan_cache_bytes(const PlanModel *p, const Format *cache, int32_t tokens, double *out, Error *err)
{
    KvReport *report = malloc(sizeof *report);
    if (!report)
        return fail(err, NO_MEMORY, "no memory for a report");
    Err result = kv_report_init(report, &p->model->shape, &p->model->kv, cache, err);
    *out = result == OK ? (double)kv_report_bytes(&report->all, tokens) : 0;
    free(report);
    return result;
}

Err plan_memory(PlanModel *p, const PlanOptions *o, PlanMemory *out, Error *err)
{
    const Tally *t;
    *out = (PlanMemory){.weights = p->weight_bytes / o->shards, .batch_max = -1};
    TRY(plan_cache_bytes(p, o->cache, o->context, &out->cache, err));
    out->cache *= cache_share(p, o->shards);
    TRY(plan_step(p, (PlanStep){.sequences = 1, .rows = 1, .past = o->context - 1}, o->cache, &t, err));
    out->row = plan_activation_bytes(p);
    TRY(plan_step(p, (PlanStep){.sequences = 1, .rows = (int32_t)min_i64(o->rows, o->prompt)}, o->cache, &t, err));
    out->prompt = plan_activation_bytes(p);
    if (o->machine.memory_bytes > 0) {
        double room = o->machine.memory_bytes - out->weights - out->prompt;
        out->batch_max = room > 0 ? (int64_t)fmin(room / (out->cache + out->row), 1e9) : 0;
    }
    return OK;
}

Err plan_batch(PlanModel *p, const PlanOptions *o, const PlanMemory *memory, int32_t batch, PlanBatch *out, Error *err)
{
    *out = (PlanBatch){.batch = batch, .memory = plan_memory_bytes(memory, batch)};
    out->fits = memory->batch_max < 0 || batch <= memory->batch_max;
    TRY(plan_generate(p, o, (PlanStep){.sequences = batch, .rows = 1, .past = o->context - 1}, &out->step, err));
    out->throughput = batch / out->step.seconds;
    return OK;
}

/* ---- drafts ---- */

double plan_expected_tokens(double a, int32_t k) { return a < 1 ? (1 - pow(a, k + 1)) / (1 - a) : k + 1; }

Err plan_draft(PlanModel *p, PlanModel *draft, const PlanOptions *o, const PlanBatch *plain, double acceptance, int32_t tokens,
               PlanDraft *out, Error *err)
{
    PlanPhase guess, verify;
    PlanOptions alone = *o;
    alone.shards = 1;                             /* a small model gains nothing by it */
    *out = (PlanDraft){0};
    TRY(plan_generate(draft, &alone, (PlanStep){.sequences = plain->batch, .rows = 1, .past = o->context - 1}, &guess, err));
    for (int32_t k = tokens ? tokens : 1; k <= (tokens ? tokens : GUESSES_MAX) && k < o->context; k++) {
        PlanStep step = {.sequences = plain->batch, .rows = k + 1, .past = o->context - 1 - k, .all_logits = true};
        TRY(plan_generate(p, o, step, &verify, err));
        PlanDraft d = {k, plan_expected_tokens(acceptance, k), guess.seconds, verify.seconds, 0};
        d.gain = d.expected * plain->step.seconds / (k * d.draft_seconds + d.verify_seconds);
        if (d.gain > out->gain)
            *out = d;
    }
    return OK;
}

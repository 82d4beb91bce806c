#include "tools/suggest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double LOAD_MAX = 0.8;
enum { BATCH_MAX = 512, ROWS = 512 };

/* How far beyond its bounds; 1 or less: within them. */
static double excess_of(const SuggestQuestion *q, const Suggestion *s)
{
    double ttft = q->ttft > 0 ? s->ttft / q->ttft : 0, latency = q->latency > 0 ? s->latency / q->latency : 0;
    return ttft > latency ? ttft : latency;
}

static bool is_better(const SuggestQuestion *q, const Suggestion *a, const Suggestion *b)
{
    double x = excess_of(q, a), y = excess_of(q, b);
    if (x <= 1 && y <= 1)
        return a->price < b->price || (a->price == b->price && a->latency < b->latency);
    return x < y;
}

static void load_with(const SuggestQuestion *q, double prompt_seconds, double step_seconds, Suggestion *s)
{
    double request = prompt_seconds + q->answer * step_seconds / s->batch;
    s->replicas = (int64_t)fmax(1, ceil(q->rate * request / LOAD_MAX));
    s->load = q->rate * request / (double)s->replicas;
    s->ttft = prompt_seconds + step_seconds + s->load / (2 * (1 - s->load)) * request;
    s->latency = step_seconds + s->batch * prompt_seconds / q->answer;
    s->price = (double)s->replicas * s->shards * s->machine->price;
    double excess = excess_of(q, s);
    s->why = excess <= 1 ? SUGGEST_MEETS : q->ttft > 0 && s->ttft / q->ttft == excess ? SUGGEST_TTFT : SUGGEST_LATENCY;
}

/* All batches of one way. */
static Err try_batches(const SuggestQuestion *q, PlanModel *p, const PlanOptions *o, Suggestion *out, Error *err)
{
    PlanMemory memory;
    PlanPhase prompt, step;
    PlanOptions whole = *o;
    whole.context = q->prompt + q->answer;
    TRY(plan_memory(p, &whole, &memory, err));
    out->why = SUGGEST_NO_ROOM;
    out->memory = plan_memory_bytes(&memory, 1);
    TRY(plan_prompt(p, o, 0, &prompt, err));
    for (int32_t b = 1; b <= BATCH_MAX && (memory.batch_max < 0 || b <= memory.batch_max); b *= 2) {
        Suggestion s = *out;
        TRY(plan_generate(p, o, (PlanStep){.sequences = b, .rows = 1, .past = o->context - 1}, &step, err));
        s.batch = b;
        s.memory = plan_memory_bytes(&memory, b);
        load_with(q, prompt.seconds, step.seconds, &s);
        if (out->why == SUGGEST_NO_ROOM || is_better(q, &s, out))
            *out = s;
    }
    return OK;
}

/* All machines and caches of a model in one format. */
static Err try_model(const SuggestQuestion *q, PlanModel *p, const char *format, Suggestion *out, int *count, Error *err)
{
    for (int m = 0; m < q->machines; m++)
        for (int c = 0; c < q->caches; c++)
            for (int i = 0; i < SUGGEST_SHARDS; i++) {
                PlanOptions o = {.machine = q->machine[m].machine, .cache = q->cache[c], .prompt = q->prompt, .rows = ROWS,
                                 .context = q->prompt + (q->answer + 1) / 2, .shards = 1 << i, .replicas = 1};
                Error ignored;
                if (plan_check(p, &o, i ? &ignored : err) != OK) {
                    if (i == 0)
                        return err->code;
                    continue;                    /* cannot be shared by so many */
                }
                Suggestion *s = &out[*count];
                *s = (Suggestion){.machine = &q->machine[m], .format = format, .cache = q->cache[c], .shards = o.shards,
                                  .turn = *count};
                TRY(try_batches(q, p, &o, s, err));
                ++*count;
            }
    return OK;
}

static int by_price(const void *x, const void *y)
{
    const Suggestion *a = x, *b = y;
    if ((a->why == SUGGEST_MEETS) != (b->why == SUGGEST_MEETS))
        return a->why == SUGGEST_MEETS ? -1 : 1;
    if (a->why != SUGGEST_MEETS && (a->why == SUGGEST_NO_ROOM) != (b->why == SUGGEST_NO_ROOM))
        return a->why == SUGGEST_NO_ROOM ? 1 : -1;
    double x_price = a->price > 0 ? a->price : a->shards * a->machine->price;
    double y_price = b->price > 0 ? b->price : b->shards * b->machine->price;
    return x_price > y_price ? 1 : x_price < y_price ? -1 : a->turn - b->turn;
}

Err suggest(const SuggestQuestion *q, Suggestion out[SUGGESTIONS_MAX], int *count, Error *err)
{
    *count = 0;
    for (int f = 0; f < q->formats; f++) {
        PlanModel p;
        PlanModelOptions model = {.model = q->model, .format = q->format[f], .kv_heads = q->kv_heads};
        Err result = plan_model_open(&model, &p, err);
        if (result == UNSUPPORTED && q->formats > 1)
            continue;                            /* its rows are no whole blocks of this format */
        TRY(result);
        result = try_model(q, &p, q->format[f] ? q->format[f]->name : "as stored", out, count, err);
        plan_model_close(&p);
        TRY(result);
    }
    if (*count == 0)
        return fail(err, UNSUPPORTED, "%s cannot be in any of these formats", q->model ? q->model : "the default model");
    qsort(out, (size_t)*count, sizeof *out, by_price);
    return OK;
}

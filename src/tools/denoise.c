#include "tools/denoise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/trace_events.h"
#include "kernels/choose/choose_scan.h"

/* ---- the loss ---- */

static double log_probability(const float *logits, int32_t n, int32_t id)
{
    const Scan *scan = scan_of(TIER_BEST);
    float peak = scan->peak(logits, n).value;
    return (double)logits[id] - (double)peak - log(scan->exp_sum(logits, n, peak, 1));
}

static Err infill_window(Diffusion *d, const ModelShape *s, const Infill *how, const int32_t *ids, int32_t *masked,
                         float *logits, InfillSum *sum, Error *err)
{
    DiffusionText text = {masked, how->window, 0, logits};
    for (int32_t i = 0; i < how->window; i++)
        masked[i] = i % how->every == how->first ? s->mask_id : ids[i];
    TRY(diffusion_logits(d, &text, 1, err));
    for (int32_t i = how->first; i < how->window; i += how->every) {
        sum->nats -= log_probability(logits + (size_t)(i - s->logits_shift) * (size_t)s->V, s->V, ids[i]);
        sum->tokens++;
    }
    sum->windows++;
    return OK;
}

Err denoise_infill(Diffusion *d, const ModelShape *s, const Infill *how, const int32_t *ids, int64_t count, InfillSum *sum,
                   Error *err)
{
    *sum = (InfillSum){0};
    if (how->first < 1 || how->first >= how->every)
        return fail(err, BAD_ARGUMENT, "of every %d positions number %d cannot be masked; it must be from 1 to %d", how->every,
                    how->first, how->every - 1);
    if (count < how->window)
        return fail(err, BAD_ARGUMENT, "the text has %lld tokens and fills no window of %d", (long long)count, how->window);
    int32_t *masked = malloc((size_t)how->window * sizeof *masked);
    float *logits = malloc((size_t)how->window * (size_t)s->V * sizeof *logits);
    Err result = masked && logits ? OK : fail(err, NO_MEMORY, "no memory for logits of %d positions", how->window);
    for (int64_t at = 0; at + how->window <= count && result == OK; at += how->window)
        result = infill_window(d, s, how, ids + at, masked, logits, sum, err);
    free(masked);
    free(logits);
    return result;
}

/* ---- answers ---- */

static RefineOptions options_of(const RefineOptions *all, const DenoiseTask *t)
{
    RefineOptions o = *all;
    o.prompt = t->prompt;
    o.prompt_count = t->prompt_count;
    o.length = t->length;
    o.block = o.block ? o.block : t->length;
    o.steps = o.steps ? o.steps : t->length;
    return o;
}

static void count_answer(const DenoiseTask *t, const Refinement *r, DenoiseFigures *f)
{
    memcpy(t->answer, r->tokens + r->first, (size_t)t->length * sizeof *t->answer);
    f->steps += r->step;
    f->rows += r->rows;
    f->tokens += t->length - r->masks;
    f->questions += t->expected_count > 0;
    f->right += t->expected_count > 0 && t->expected_count <= t->length &&
                !memcmp(t->answer, t->expected, (size_t)t->expected_count * sizeof *t->answer);
}

typedef struct Running { Refinement *refinement; const DenoiseTask *task; } Running;

/* Fills the places that are free. Running: [count], those that run first. */
static Err begin_more(Diffusion *d, const DenoiseTask *tasks, int32_t count, const RefineOptions *all, int32_t *next,
                      Running *running, int32_t *n, Error *err)
{
    for (; *next < count; ++*next) {
        RefineOptions o = options_of(all, &tasks[*next]);
        Err result = diffusion_begin(d, &o, &running[*n].refinement, err);
        if (result == LIMIT_REACHED)
            return OK;
        TRY(result);
        running[(*n)++].task = &tasks[*next];
    }
    return OK;
}

static Err take_ended(Diffusion *d, Running *running, int32_t *n, DenoiseFigures *f, Error *err)
{
    Err result = OK;
    for (int32_t i = 0; i < *n;) {
        Refinement *r = running[i].refinement;
        if (!r->ended) {
            i++;
            continue;
        }
        if (r->error.code != OK)
            result = fail(err, r->error.code, "%s", r->error.text);
        count_answer(running[i].task, r, f);
        diffusion_end(d, r);
        running[i] = running[--*n];
    }
    return result;
}

Err denoise_tasks(Diffusion *d, const DenoiseTask *tasks, int32_t count, const RefineOptions *all, DenoiseFigures *f,
                  Error *err)
{
    int32_t next = 0, n = 0;
    Running *running = calloc((size_t)count + 1, sizeof *running);
    *f = (DenoiseFigures){0};
    if (!running)
        return fail(err, NO_MEMORY, "no memory for %d tasks", count);
    double start = clock_seconds();
    Err result = begin_more(d, tasks, count, all, &next, running, &n, err);
    while (result == OK && n > 0) {
        diffusion_step(d);
        result = take_ended(d, running, &n, f, err);
        if (result == OK)
            result = begin_more(d, tasks, count, all, &next, running, &n, err);
    }
    f->seconds = clock_seconds() - start;
    while (n > 0)
        diffusion_end(d, running[--n].refinement);
    free(running);
    return result;
}

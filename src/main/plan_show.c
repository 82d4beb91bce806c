#include "main/plan_show.h"

#include <stdio.h>

#include "base/number_text.h"

static const WorkPart shown[] = {WORK_PROJECTIONS, WORK_ATTENTION, WORK_STATE, WORK_MLP, WORK_HEAD};

BytesText bytes_text(double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    BytesText t;
    size_t u = 0;
    for (; bytes >= 999.95 && u + 1 < COUNT_OF(units); u++)
        bytes /= 1000;
    snprintf(t.text, sizeof t.text, u ? "%.1f %s" : "%.0f %s", bytes, units[u]);
    return t;
}

static const char *side(const Machine *m, const PlanPart *p) { return plan_is_memory_bound(m, p) ? "memory" : "arithmetic"; }

static const char *times(const PlanPhase *phase) { return phase->doubt > 0 ? "expected" : "at best"; }

/* "13.5 ms ± 6 %", "64.0 s" */
typedef struct TimeText { char text[40]; } TimeText;
static TimeText time_text(const PlanPhase *phase)
{
    TimeText t;
    double ms = 1e3 * phase->seconds;
    bool long_one = ms >= 1e4;
    int at = snprintf(t.text, sizeof t.text, "%.*f %s", ms < 10 ? 2 : 1, long_one ? ms / 1e3 : ms, long_one ? "s" : "ms");
    if (phase->doubt > 0)
        snprintf(t.text + at, sizeof t.text - (size_t)at, " ± %.0f %%", 100 * phase->doubt);
    return t;
}

/* ---- people ---- */

static void print_head(const Planned *p)
{
    const PlanOptions *o = &p->options;
    const Machine *m = &o->machine;
    printf("%s in %s, cache in %s, on ", p->model.name, p->model.formats, o->cache->name);
    if (o->shards > 1)
        printf("%d x ", o->shards);
    printf("%s\n\n  parameters     %s\n", m->name, number_text((uint64_t)p->model.model->parameters).text);
    printf("  weights        %s%s\n", bytes_text(p->memory.weights).text, o->shards > 1 ? " on each" : "");
    printf("  cache          %s a token, %s a sequence of %s tokens\n", bytes_text(p->token_bytes).text,
           bytes_text(p->memory.cache).text, number_text((uint64_t)o->context).text);
    printf("  activations    %s for a prompt's step, %s a sequence\n", bytes_text(p->memory.prompt).text,
           bytes_text(p->memory.row).text);
    if (p->memory.batch_max >= 0)
        printf("  largest batch  %s sequences in %s\n", number_text((uint64_t)p->memory.batch_max).text,
               bytes_text(m->memory_bytes).text);
    double ridge = plan_ridge_point(m, &p->prompt.all);
    if (ridge > 0)
        printf("  ridge point    %.0f operations a byte: below it memory is what limits, above it arithmetic\n", ridge);
    else
        puts("  ridge point    not known: the machine's file has no peaks, so only reading takes time here");
}

static void print_intensity(const Machine *m, const PlanPart *p)
{
    char text[32] = "-";
    if (p->demand.bytes > 0)
        snprintf(text, sizeof text, "%.1f %s", plan_intensity(p), plan_is_memory_bound(m, p) ? "mem" : "ari");
    printf("  %15s", text);
}

static bool has_part(const Planned *p, WorkPart part) { return p->prompt.part[part].demand.bytes > 0; }

static void print_intensities(const Planned *p)
{
    const Machine *m = &p->options.machine;
    printf("\noperations for each byte, and what limits\n  %-18s", "");
    for (size_t i = 0; i < COUNT_OF(shown); i++)
        if (has_part(p, shown[i]))
            printf("  %15s", work_part_name[shown[i]]);
    printf("  %15s\n  prompt of %-8d", "all", p->options.prompt);
    for (size_t i = 0; i < COUNT_OF(shown); i++)
        if (has_part(p, shown[i]))
            print_intensity(m, &p->prompt.part[shown[i]]);
    print_intensity(m, &p->prompt.all);
    putchar('\n');
    for (int b = 0; b < p->batches; b++) {
        printf("  batch of %-9d", p->batch[b].batch);
        for (size_t i = 0; i < COUNT_OF(shown); i++)
            if (has_part(p, shown[i]))
                print_intensity(m, &p->batch[b].step.part[shown[i]]);
        print_intensity(m, &p->batch[b].step.all);
        putchar('\n');
    }
}

static void print_batches(const Planned *p)
{
    const PlanOptions *o = &p->options;
    printf("\n  %7s  %9s  %18s  %18s  %10s", "batch", "memory", "TTFT", "time per token", "tokens/s");
    if (o->replicas > 1)
        printf("  %9d replicas", o->replicas);
    if (p->acceptance > 0)
        printf("  %s", "with the draft");
    putchar('\n');
    for (int b = 0; b < p->batches; b++) {
        const PlanBatch *batch = &p->batch[b];
        printf("  %7d  %9s", batch->batch, bytes_text(batch->memory).text);
        if (!batch->fits) {
            printf("  does not fit in %s\n", bytes_text(o->machine.memory_bytes).text);
            continue;
        }
        /* ± has two bytes */
        printf("  %*s  %*s  %10.1f", 18 + (p->prompt.doubt > 0), time_text(&p->prompt).text, 18 + (batch->step.doubt > 0),
               time_text(&batch->step).text, batch->throughput);
        if (o->replicas > 1)
            printf("  %18.1f", o->replicas * batch->throughput);
        if (p->draft[b].tokens)
            printf("  %.1f: %d guesses, %.2f tokens a step", p->draft[b].gain * batch->throughput, p->draft[b].tokens,
                   p->draft[b].expected);
        putchar('\n');
    }
}

static void print_links(const Planned *p)
{
    const PlanOptions *o = &p->options;
    if (o->shards < 2)
        return;
    printf("\nThe price of %d shards, at %s a second over the link:\n", o->shards,
           bytes_text(o->machine.link_bytes_per_second).text);
    printf("  prompt of %-6d  %s: %.2f ms, %.0f%% of TTFT\n", o->prompt, bytes_text(p->prompt.link_bytes).text,
           1e3 * p->prompt.link_seconds, 100 * p->prompt.link_seconds / p->prompt.seconds);
    for (int b = 0; b < p->batches; b++) {
        const PlanPhase *step = &p->batch[b].step;
        printf("  batch of %-7d  %s a step: %.3f ms, %.0f%% of it\n", p->batch[b].batch, bytes_text(step->link_bytes).text,
               1e3 * step->link_seconds, 100 * step->link_seconds / step->seconds);
    }
}

static void print_verdict(const Planned *p, const PlanBatch *batch)
{
    const PlanPart *all = &batch->step.all;
    const OpCost *c = &all->cost;
    const Machine *m = &p->options.machine;
    double bytes = c->weight_bytes + c->cache_bytes;
    printf("Batch %d: ", batch->batch);
    if (!batch->fits) {
        printf("does not fit; ");
        p->memory.batch_max > 0 ? printf("%lld would.\n", (long long)p->memory.batch_max)
                                : printf("nor would a single sequence: more shards, a smaller format or a larger machine.\n");
        return;
    }
    printf("generation is limited by %s, %.0f%% of the bytes being weights and %.0f%% the past", side(m, all),
           100 * c->weight_bytes / bytes, 100 * c->cache_bytes / bytes);
    printf("; %s %.1f tokens/s.\n", times(&batch->step), batch->throughput);
}

void plan_print(const Planned *p)
{
    print_head(p);
    print_intensities(p);
    print_batches(p);
    print_links(p);
    printf("\nA prompt of %d tokens is limited by %s; %s %s.\n", p->options.prompt,
           side(&p->options.machine, &p->prompt.all), times(&p->prompt), time_text(&p->prompt).text);
    for (int b = 0; b < p->batches; b++)
        print_verdict(p, &p->batch[b]);
    if (p->prompt.doubt == 0)
        puts(p->options.journal ? "Times are the roofline's, which nothing can beat: what `ridge bench` measures is learned."
                                : "Times are the roofline's, which nothing can beat: of this machine no runs are known.");
}

/* ---- programs ---- */

static json_t *part_json(const Machine *m, const PlanPart *p)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:s, s:f}", "operations", p->cost.operations, "weight_bytes",
                     p->cost.weight_bytes, "cache_bytes", p->cost.cache_bytes, "activation_bytes", p->cost.activation_bytes,
                     "intensity", plan_intensity(p), "limited_by", side(m, p), "seconds", p->seconds);
}

static json_t *phase_json(const Machine *m, const PlanPhase *phase)
{
    json_t *parts = json_object();
    for (int i = 0; i < WORK_PARTS; i++)
        if (phase->part[i].cost.operations > 0)
            json_object_set_new(parts, work_part_name[i], part_json(m, &phase->part[i]));
    return json_pack("{s:f, s:f, s:i, s:f, s:f, s:o, s:o}", "seconds", phase->seconds, "doubt", phase->doubt, "steps",
                     phase->steps, "link_bytes", phase->link_bytes, "link_seconds", phase->link_seconds, "all",
                     part_json(m, &phase->all), "parts", parts);
}

static json_t *batch_json(const Planned *p, int b)
{
    const PlanBatch *batch = &p->batch[b];
    const PlanDraft *d = &p->draft[b];
    json_t *json = json_pack("{s:i, s:f, s:b, s:f, s:f, s:f, s:f, s:o}", "batch", batch->batch, "memory_bytes", batch->memory,
                             "fits", batch->fits, "ttft_seconds", p->prompt.seconds, "seconds_per_token", batch->step.seconds,
                             "tokens_per_second", batch->throughput, "tokens_per_second_of_all_replicas",
                             p->options.replicas * batch->throughput, "step", phase_json(&p->options.machine, &batch->step));
    if (json && d->tokens)
        json_object_set_new(json, "draft", json_pack("{s:i, s:f, s:f, s:f, s:f}", "guesses", d->tokens, "tokens_per_step",
                                                     d->expected, "guess_seconds", d->draft_seconds, "verify_seconds",
                                                     d->verify_seconds, "gain", d->gain));
    return json;
}

json_t *plan_json(const Planned *p)
{
    const PlanOptions *o = &p->options;
    json_t *batches = json_array();
    for (int b = 0; b < p->batches; b++)
        json_array_append_new(batches, batch_json(p, b));
    return json_pack("{s:s, s:s, s:s, s:I, s:f, s:f, s:f, s:I, s:i, s:i, s:i, s:i, s:f, s:o, s:o, s:o}", "model", p->model.name,
                     "format", p->model.formats, "cache_format", o->cache->name, "parameters",
                     (json_int_t)p->model.model->parameters, "weight_bytes", p->memory.weights * o->shards,
                     "cache_bytes_per_token", p->token_bytes, "cache_bytes_per_sequence", p->memory.cache, "largest_batch",
                     (json_int_t)p->memory.batch_max, "context", o->context, "prompt", o->prompt, "shards", o->shards,
                     "replicas", o->replicas, "ridge_point", plan_ridge_point(&o->machine, &p->prompt.all), "machine",
                     machine_json(&o->machine), "prefill", phase_json(&o->machine, &p->prompt), "batches", batches);
}

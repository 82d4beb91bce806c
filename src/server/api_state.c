/* api_state.c -- GET /ridge/state: the engine at this moment, for the live page and for whoever is curious.
 *
 *     uptime_seconds    requests {queued, waiting, running, resting}    sequences [{slot, state, prompt, known, ...}]
 *     totals {...}      step {rows, seconds, bytes, operations, ...}    machine {bytes_per_second, operations_per_second}
 *     ttft [[at, seconds], ...]      blocks {groups: [{kind, count, held, ..., map, references}]}
 *     verdicts [{phase, sentence, limit, share, ...}]: of prompts and of answers (core/verdict.h)
 *
 * A map has a number for each block: the slot of a sequence that holds it, -1 where it is kept for later, -2 where
 * it is free. It shows others' requests (never their texts), so it wants a key with "admin" where keys are asked for.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "server/engine_thread.h"
#include "server/service.h"

enum { SEQUENCES_MAX = 1024, MAP_MAX = 4096 };   /* of blocks, in each group: more is no picture any more */

/* Taken between two steps. */
typedef struct Look {
    KvUsage usage;
    SequenceView sequences[SEQUENCES_MAX];
    int32_t count;
    KvBlock *blocks[KV_GROUPS_MAX];              /* as many as a group has; NULL: no memory */
} Look;

static void look(void *with, const Engine *e)
{
    Look *l = with;
    l->usage = kv_cache_usage(engine_cache(e));
    l->count = engine_sequences(e, l->sequences, SEQUENCES_MAX);
    for (int32_t g = 0; g < l->usage.groups; g++)
        if (l->blocks[g])
            kv_cache_map(engine_cache(e), g, l->blocks[g]);
}

/* The engine's thread allocates nothing: what it fills is there before. Sizes never change. */
static Look *new_look(const Engine *e)
{
    const KvLedger *ledger = engine_ledger(e);
    Look *l = calloc(1, sizeof *l);
    for (int32_t g = 0; l && g < ledger->groups; g++)
        l->blocks[g] = calloc((size_t)ledger->group[g].blocks + 1, sizeof *l->blocks[g]);
    return l;
}

static void free_look(Look *l)
{
    for (int32_t g = 0; l && g < KV_GROUPS_MAX; g++)
        free(l->blocks[g]);
    free(l);
}

/* ---- as JSON ---- */

static json_t *sequence_json(const SequenceView *v)
{
    static const char *const phases[] = {
        [PHASE_QUEUED] = "queued", [PHASE_FOLLOWS] = "follows", [PHASE_PREEMPTED] = "preempted",
        [PHASE_PREFILL] = "prompt", [PHASE_GENERATES] = "generates", [PHASE_RESTS] = "rests"};
    return json_pack("{s:i, s:I, s:i, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f}", "slot", (int)v->slot, "request",
                     (json_int_t)v->tag, "sample", (int)v->sample, "state", phases[v->phase], "prompt", (int)v->prompt, "known",
                     (int)v->known, "computed", (int)v->computed, "reused", (int)v->reused, "limit", (int)v->limit, "priority",
                     (int)v->priority, "preemptions", (int)v->preemptions, "seconds", v->age, "waiting", v->waiting);
}

static const char *kind_name(KvKind kind)
{
    static const char *const names[] = {[KV_FULL] = "full", [KV_WINDOW] = "window", [KV_CHUNK] = "chunk", [KV_STATE] = "state"};
    return (size_t)kind < COUNT_OF(names) && names[kind] ? names[kind] : "other";
}

static void put_map(json_t *group, const KvBlock *blocks, int32_t count)
{
    json_t *map = json_array(), *references = json_array();
    for (int32_t i = 0; blocks && i < count && i < MAP_MAX; i++) {
        const KvBlock *b = &blocks[i];
        json_array_append_new(map, json_integer(b->state == KV_BLOCK_HELD     ? b->holder
                                                : b->state == KV_BLOCK_CACHED ? -1
                                                                              : -2));
        json_array_append_new(references, json_integer(b->references));
    }
    json_object_set_new(group, "map", map);
    json_object_set_new(group, "references", references);
}

static json_t *group_json(const KvGroupUsage *u, const KvBlock *blocks)
{
    json_t *group = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:f}", "kind", kind_name(u->kind), "window",
                              (int)u->window, "count", (int)u->blocks.blocks, "held", (int)u->blocks.held, "shared",
                              (int)u->shared, "cached", (int)u->blocks.cached, "free", (int)u->blocks.free, "bytes",
                              (json_int_t)u->block_bytes, "evictions", (json_int_t)u->evictions, "wasted_percent",
                              u->places ? 100.0 * (double)u->wasted / (double)u->places : 0.0);
    put_map(group, blocks, u->blocks.blocks);
    return group;
}

static json_t *blocks_json(const Look *l)
{
    json_t *groups = json_array();
    for (int32_t g = 0; g < l->usage.groups; g++)
        json_array_append_new(groups, group_json(&l->usage.group[g], l->blocks[g]));
    return json_pack("{s:i, s:i, s:o}", "block_tokens", (int)l->usage.block_tokens, "prefixes", (int)l->usage.prefixes,
                     "groups", groups);
}

static json_t *step_json(const EngineNow *now)
{
    const StepReport *r = &now->steps.last;
    double seconds = now->step_seconds, rate = seconds > 0 ? now->step.bytes / seconds : 0;
    double most = now->machine.bytes_per_second;
    return json_pack("{s:I, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "number", (json_int_t)r->step, "rows",
                     (int)r->rows, "prefill_rows", (int)r->prefill_rows, "decode_rows", (int)r->decode_rows, "seconds", seconds,
                     "plan_seconds", r->plan_seconds, "forward_seconds", r->forward_seconds, "deliver_seconds",
                     r->deliver_seconds, "bytes", now->step.bytes, "operations", now->step.operations, "bytes_per_second", rate,
                     "share", most > 0 ? rate / most : 0.0);
}

static json_t *totals_json(const EngineNow *now)
{
    const EngineStats *s = &now->stats;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "prompt_tokens", (json_int_t)s->prompt_tokens, "reused_tokens",
                     (json_int_t)s->reused_tokens, "prompt_tokens_computed", (json_int_t)now->steps.prefill_rows,
                     "generation_tokens", (json_int_t)now->steps.outs, "steps", (json_int_t)s->steps, "preemptions",
                     (json_int_t)s->preemptions, "busy_seconds", now->busy_seconds);
}

static json_t *firsts_json(const Service *s)
{
    FirstToken firsts[FIRST_TOKENS_KEPT];
    int count = metrics_firsts(s->metrics, firsts);
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_pack("[f, f]", firsts[i].at - s->started, firsts[i].seconds));
    return list;
}

static json_t *machine_json_of(const Machine *m)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "bytes_per_second", m->bytes_per_second, "operations_per_second", m->int8,
                     "fp32", m->fp32, "bf16", m->bf16, "int8", m->int8);
}

static json_t *state_json(const Service *s, const Look *l)
{
    EngineNow now = engine_thread_now(s->thread);
    json_t *sequences = json_array();
    for (int32_t i = 0; i < l->count; i++)
        json_array_append_new(sequences, sequence_json(&l->sequences[i]));
    return json_pack("{s:s, s:f, s:{s:i, s:i, s:i, s:i}, s:o, s:o, s:o, s:o, s:o, s:o, s:[o, o]}", "model", s->model_name,
                     "uptime_seconds", clock_seconds() - s->started, "requests", "queued", (int)now.stats.queued, "waiting",
                     (int)now.stats.waiting, "running", (int)now.stats.running, "resting", (int)now.stats.resting, "sequences",
                     sequences, "totals", totals_json(&now), "step", step_json(&now), "machine",
                     machine_json_of(&now.machine), "ttft", firsts_json(s), "blocks", blocks_json(l), "verdicts",
                     verdict_json(&now.machine, "prefill", &now.steps.prefill),
                     verdict_json(&now.machine, "decode", &now.steps.decode));
}

static void state(Exchange *x)
{
    ApiError e;
    Service *s = exchange_service(x);
    Look *l = s->engine ? new_look(s->engine) : NULL;
    if (l && service_between_steps(s, look, l))
        exchange_json(x, 200, state_json(s, l));
    else {
        api_refuse(&e, 503, NULL, "there is no engine to look at");
        exchange_refuse(x, &e);
    }
    free_look(l);
}

static const Route list[] = {{"GET", "/ridge/state", ACCESS_ADMIN, state}};
const RouteList routes_state = ROUTES(list, api_error_json);

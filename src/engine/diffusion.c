#include "engine/diffusion.h"

#include <string.h>

#include "base/checked.h"
#include "base/prng.h"
#include "engine/runner.h"

enum { ROWS_MAX = 1 << 20, LOGIT_ROWS = 128, SEQUENCES_MAX = 1 << 12, MASK_BITS = 32 };
static const size_t ARENA_BYTES_MAX = (size_t)1 << 35;   /* addresses; only what is used is touched */

typedef struct Place {               /* of a text that is refined, or whose logits are asked for */
    Refinement r;
    Sequence sequence;
    Guess *guesses;                  /* [context] */
    bool taken;
} Place;

struct Diffusion {
    DiffusionOptions o;
    EngineModel model;
    Arena *arena;
    KvLedger ledger;
    KvCache *cache;
    Runner *runner;
    Sampler *sampler;
    Place *places;                   /* [sequences] */
    Plan plan;
    int32_t turn;                    /* the place that is looked at first in the next step */
    uint32_t *allowed;               /* all tokens but the mask */
};

DiffusionOptions diffusion_options_default(void)
{
    return (DiffusionOptions){.sequences = 1, .logit_rows = LOGIT_ROWS, .block_tokens = 16, .cache_format = &format_f32};
}

/* --- birth and end --- */

static Err check_model(const EngineModel *m, Error *err)
{
    if (!m->shape->bidirectional)
        return fail(err, UNSUPPORTED,
                    "family '%s' is no diffusion model: it continues a text token by token and cannot refine masks",
                    m->shape->family);
    for (int32_t l = 0; l < m->kv->layers; l++)
        if (m->kv->layer[l].kind != KV_FULL && m->kv->layer[l].kind != KV_ALIAS)
            return fail(err, UNSUPPORTED, "layer %d: refinement needs keys and values of all positions in each layer", l);
    return OK;
}

static Err check_options(const DiffusionOptions *o, Error *err)
{
    const struct { const char *name; int64_t value, min, max; } bounds[] = {
        {"sequences", o->sequences, 1, SEQUENCES_MAX},
        {"context", o->context, 1, ROWS_MAX},
        {"rows of a step", o->rows, o->context, ROWS_MAX},
        {"logit rows of a step", o->logit_rows, 1, ROWS_MAX},
        {"tokens of a cache block", o->block_tokens, 1, ROWS_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(bounds); i++)
        if (bounds[i].value < bounds[i].min || bounds[i].value > bounds[i].max)
            return fail(err, BAD_ARGUMENT, "%s: %lld; it must be from %lld to %lld", bounds[i].name,
                        (long long)bounds[i].value, (long long)bounds[i].min, (long long)bounds[i].max);
    return OK;
}

static bool take_places(Diffusion *d)
{
    d->places = ARENA_ARRAY(d->arena, Place, (size_t)d->o.sequences);
    d->plan.entry = ARENA_ARRAY(d->arena, PlanEntry, (size_t)d->o.sequences);
    for (int32_t i = 0; d->places && i < d->o.sequences; i++) {
        Place *p = &d->places[i];
        p->sequence.slot = i;
        p->sequence.tokens = ARENA_ARRAY(d->arena, int32_t, (size_t)d->o.context);
        p->guesses = ARENA_ARRAY(d->arena, Guess, (size_t)d->o.context);
        if (!p->sequence.tokens || !p->guesses)
            return false;
    }
    return d->places && d->plan.entry;
}

static bool take_allowed(Diffusion *d)
{
    int32_t words = (int32_t)ceil_div(d->model.shape->V, MASK_BITS), mask = d->model.shape->mask_id;
    d->allowed = ARENA_ARRAY(d->arena, uint32_t, (size_t)words);
    if (!d->allowed)
        return false;
    memset(d->allowed, 0xff, (size_t)words * sizeof *d->allowed);
    d->allowed[mask / MASK_BITS] &= ~(1u << mask % MASK_BITS);
    return true;
}

static Err build(Diffusion *d, Device *device, Error *err)
{
    int32_t tokens = d->o.block_tokens, whole = (int32_t)ceil_div(d->o.context, tokens) * tokens; /* blocks are not shared */
    KvOptions kv = {.format = d->o.cache_format, .block_tokens = tokens, .sequences = d->o.sequences, .context = whole,
                    .rows = whole};
    RunnerOptions runner = {d->o.sequences, d->o.rows, d->o.logit_rows, 0, NULL};
    TRY(kv_ledger_init(&d->ledger, d->model.kv, &kv, err));
    TRY(kv_cache_new(&d->cache, &d->ledger, d->model.kv, device, d->arena, err));
    d->sampler = sampler_new(d->arena, d->model.shape->V);
    if (!d->sampler || !take_places(d) || !take_allowed(d))
        return fail(err, NO_MEMORY, "no memory for %d texts of %d tokens", d->o.sequences, d->o.context);
    TRY(runner_new(&d->runner, runner, &d->model, d->cache, device, d->arena, err));
    arena_seal(d->arena);
    return OK;
}

Err diffusion_new(Diffusion **out, const DiffusionOptions *options, const EngineModel *model, Device *device, Error *err)
{
    DiffusionOptions o = *options;
    TRY(check_model(model, err));
    o.context = o.context ? o.context : model->shape->context;
    o.rows = o.rows ? o.rows : o.context;
    TRY(check_options(&o, err));
    Arena *arena = arena_new(ARENA_BYTES_MAX);
    Diffusion *d = arena ? ARENA_NEW(arena, Diffusion) : NULL;
    if (!d) {
        arena_free(arena);
        return fail(err, NO_MEMORY, "no memory to refine texts");
    }
    d->arena = arena;
    d->o = o;
    d->model = *model;
    Err result = build(d, device, err);
    if (result != OK) {
        arena_free(arena);
        return result;
    }
    *out = d;
    return OK;
}

void diffusion_free(Diffusion *d)
{
    if (d)
        arena_free(d->arena);
}

const KvLedger *diffusion_ledger(const Diffusion *d) { return &d->ledger; }
int32_t diffusion_context(const Diffusion *d) { return d->o.context; }

/* --- what is asked for --- */

static Err check_ids(const Diffusion *d, const char *what, const int32_t *ids, int32_t count, Error *err)
{
    for (int32_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= d->model.shape->V)
            return fail(err, BAD_ARGUMENT, "token %d of the %s is %d; the vocabulary has %d", i, what, ids[i],
                        d->model.shape->V);
    return OK;
}

static Err check_steps(const Diffusion *d, const RefineOptions *o, Error *err)
{
    if (o->length < 1)
        return fail(err, BAD_ARGUMENT, "length: %d; an answer has at least 1 token", o->length);
    if (o->block < 1 || o->block > o->length || o->length % o->block)
        return fail(err, BAD_ARGUMENT, "block length: %d; it must divide the answer's %d tokens", o->block, o->length);
    if (o->block > d->o.logit_rows)
        return fail(err, NO_MEMORY, "block length: %d; a step has logits for %d positions", o->block, d->o.logit_rows);
    int32_t blocks = o->length / o->block;
    if (o->steps < blocks || o->steps % blocks || o->steps > o->length)
        return fail(err, BAD_ARGUMENT,
                    "steps: %d; it must be a multiple of the %d blocks, and at most the answer's %d tokens, for each "
                    "step finds at least one",
                    o->steps, blocks, o->length);
    return OK;
}

static Err check_sampling(const Diffusion *d, const SamplerOptions *o, Error *err)
{
    TRY(sampler_options_check(o, d->model.shape->V, err));
    bool repeats = o->repeat_penalty != 1 && o->repeat_last_n != 0;
    if (repeats || o->presence_penalty != 0 || o->frequency_penalty != 0)
        return fail(err, UNSUPPORTED, "penalties count what was said before a token, and a diffusion model fills in an "
                    "answer in any order: leave repeat_penalty at 1, presence_penalty and frequency_penalty at 0");
    return OK;
}

static Err check_request(const Diffusion *d, const RefineOptions *o, Error *err)
{
    if (o->prompt_count < 1)
        return fail(err, BAD_ARGUMENT, "the prompt is empty: it needs at least one token");
    TRY(check_steps(d, o, err));
    if (o->remask > REMASK_ORIGIN || !(o->remask_temperature >= 0))
        return fail(err, BAD_ARGUMENT, "remasking: rule %d at temperature %g", (int)o->remask, (double)o->remask_temperature);
    TRY(check_ids(d, "prompt", o->prompt, o->prompt_count, err));
    TRY(check_ids(d, "suffix", o->suffix, o->suffix_count, err));
    int64_t total = (int64_t)o->prompt_count + o->length + o->suffix_count;
    if (total > d->o.context)
        return fail(err, NO_MEMORY, "a prompt of %d tokens, an answer of %d and a suffix of %d are %lld; the context is %d",
                    o->prompt_count, o->length, o->suffix_count, (long long)total, d->o.context);
    return check_sampling(d, &o->sampling, err);
}

/* A place for a text of so many positions, all of which it may write; NULL: all are taken. */
static Place *take_place(Diffusion *d, int32_t total)
{
    for (int32_t i = 0; i < d->o.sequences; i++) {
        Place *p = &d->places[i];
        if (p->taken)
            continue;
        BlockCopies none = {0};
        bool fits = kv_cache_extend(d->cache, i, 0, total, false, &none);
        ASSERT(fits);                        /* the cache has room for `sequences` whole contexts */
        p->taken = true;
        p->sequence.prompt = total;          /* a rotation that depends on the length sees all of it */
        return p;
    }
    return NULL;
}

static void give_place(Diffusion *d, Place *p)
{
    kv_cache_drop(d->cache, p->sequence.slot);
    p->taken = false;
}

Err diffusion_begin(Diffusion *d, const RefineOptions *o, Refinement **out, Error *err)
{
    TRY(check_request(d, o, err));
    int32_t total = o->prompt_count + o->length + o->suffix_count;
    Place *p = take_place(d, total);
    if (!p)
        return fail(err, LIMIT_REACHED, "%d texts are being refined already", d->o.sequences);
    p->r = (Refinement){.options = *o, .tokens = p->sequence.tokens, .total = total, .first = o->prompt_count,
                        .masks = o->length, .guesses = p->guesses};
    p->r.options.prompt = p->r.options.suffix = NULL;
    p->r.options.sampling.logprobs = LOGPROBS_NONE;
    memcpy(p->r.tokens, o->prompt, (size_t)o->prompt_count * sizeof *o->prompt);
    for (int32_t i = 0; i < o->length; i++)
        p->r.tokens[p->r.first + i] = d->model.shape->mask_id;
    if (o->suffix_count)
        memcpy(p->r.tokens + p->r.first + o->length, o->suffix, (size_t)o->suffix_count * sizeof *o->suffix);
    *out = &p->r;
    return OK;
}

void diffusion_end(Diffusion *d, Refinement *r)
{
    Place *p = (Place *)r;                   /* its first member */
    ASSERT(p >= d->places && p < d->places + d->o.sequences && p->taken);
    give_place(d, p);
}

/* --- a step of one text --- */

static int32_t steps_of_block(const RefineOptions *o) { return o->steps / (o->length / o->block); }
static int32_t block_first(const Refinement *r) { return r->first + r->block * r->options.block; }

/* What of it the next step computes. */
static PlanEntry entry_for(const Diffusion *d, Place *p)
{
    const Refinement *r = &p->r;
    int32_t from = block_first(r) - (d->model.shape->logits_shift ? 1 : 0), block = r->options.block;
    bool cached = r->options.cache == REFINE_PREFIX && r->step % steps_of_block(&r->options) > 0;
    int32_t first = cached ? from : 0;
    return (PlanEntry){.sequence = &p->sequence, .first = first, .rows = r->total - first, .outs = block,
                       .after = r->total - from - block};
}

static double unit_at(const Refinement *r, int32_t position)
{
    return prng_unit((PrngPlace){.seed = r->options.sampling.seed, .position = (uint32_t)position, .purpose = PRNG_REMASK,
                                 .sample = r->options.sample * (uint32_t)r->options.steps + (uint32_t)r->step});
}

static Err guess(Diffusion *d, const Refinement *r, int32_t position, const float *logits, Guess *out, Error *err)
{
    const RefineOptions *o = &r->options;
    SamplePlace place = {.tokens = r->tokens, .prompt_count = r->first, .token_count = position, .allowed = d->allowed,
                         .sample = o->sample * (uint32_t)o->steps + (uint32_t)r->step};
    Sampled token;
    TRY(sampler_sample(d->sampler, &o->sampling, &place, logits, &token, err));
    double unit = unit_at(r, position);
    float temperature = sampler_is_greedy(&o->sampling) ? 0 : o->sampling.temperature;
    *out = (Guess){.position = position, .id = token.id};
    out->confidence = remask_confidence(o->remask, logits, d->model.shape->V, token.id, temperature, unit);
    if (o->remask_temperature > 0 && o->remask != REMASK_RANDOM && o->remask != REMASK_ORIGIN)
        out->confidence = remask_noisy(out->confidence, o->remask_temperature, unit);
    return OK;
}

static void choose(const RefineOptions *o, int32_t step, Guess *guesses, int32_t count)
{
    int32_t steps = steps_of_block(o), at = step % steps;
    if (o->remask != REMASK_ORIGIN) {
        remask_choose(guesses, count, remask_count(o->block, steps, at));
        return;
    }
    for (int32_t i = 0; i < count; i++)
        guesses[i].stays = guesses[i].confidence < remask_chance(steps, at);
}

static bool block_has_end(const Refinement *r)
{
    for (int32_t i = 0; i < r->options.block; i++)
        if (token_ids_have(&r->options.sampling.end, r->tokens[block_first(r) + i]))
            return true;
    return false;
}

static void advance(Refinement *r)
{
    bool block_done = ++r->step % steps_of_block(&r->options) == 0;
    if (block_done) {
        r->ended = r->step == r->options.steps || block_has_end(r);
        r->block += !r->ended;
    }
}

/* out: which of the step's logits are its first. */
static Err refine(Diffusion *d, Place *p, int32_t out, Error *err)
{
    Refinement *r = &p->r;
    r->guess_count = 0;
    for (int32_t i = 0; i < r->options.block; i++) {
        int32_t position = block_first(r) + i;
        if (r->tokens[position] == d->model.shape->mask_id)
            TRY(guess(d, r, position, runner_logits(d->runner, out + i), &p->guesses[r->guess_count++], err));
    }
    choose(&r->options, r->step, p->guesses, r->guess_count);
    for (int32_t i = 0; i < r->guess_count; i++)
        if (p->guesses[i].stays) {
            r->tokens[p->guesses[i].position] = p->guesses[i].id;
            r->masks--;
        }
    advance(r);
    return OK;
}

/* --- a step of all --- */

static void plan_clear(Plan *plan) { plan->entries = plan->rows = plan->outs = plan->copies.count = 0; }

static bool plan_add(Diffusion *d, PlanEntry e)
{
    Plan *plan = &d->plan;
    if (e.rows > d->o.rows - plan->rows || e.outs > d->o.logit_rows - plan->outs)
        return false;
    plan->entry[plan->entries++] = e;
    plan->rows += e.rows;
    plan->outs += e.outs;
    return true;
}

/* From the one whose turn it is on; the first that finds no room is the first of the next step. */
static void plan_refinements(Diffusion *d)
{
    int32_t n = d->o.sequences, turn = d->turn;
    plan_clear(&d->plan);
    for (int32_t i = 0; i < n; i++) {
        Place *p = &d->places[(turn + i) % n];
        if (p->taken && !p->r.ended && !plan_add(d, entry_for(d, p))) {
            d->turn = (turn + i) % n;
            return;
        }
    }
}

static Place *place_of(Diffusion *d, const PlanEntry *e) { return &d->places[e->sequence->slot]; }

bool diffusion_step(Diffusion *d)
{
    plan_refinements(d);
    if (d->plan.entries == 0)
        return false;
    runner_run(d->runner, &d->plan);
    int32_t out = 0;
    for (int32_t i = 0; i < d->plan.entries; i++) {
        const PlanEntry *e = &d->plan.entry[i];
        Place *p = place_of(d, e);
        p->r.rows += e->rows;
        if (refine(d, p, out, &p->r.error) != OK)
            p->r.ended = true;
        out += e->outs;
    }
    return true;
}

/* --- logits of given texts --- */

static Err check_text(const Diffusion *d, const DiffusionText *t, Error *err)
{
    if (t->count < 1 || t->count > d->o.context)
        return fail(err, t->count < 1 ? BAD_ARGUMENT : NO_MEMORY, "a text of %d tokens; it must have 1 to %d", t->count,
                    d->o.context);
    if (t->from < 0 || t->count - t->from > d->o.logit_rows || t->from >= t->count)
        return fail(err, BAD_ARGUMENT, "logits from position %d of %d on; a step has those of 1 to %d", t->from, t->count,
                    d->o.logit_rows);
    return check_ids(d, "text", t->ids, t->count, err);
}

/* As many of the texts as fit into one step; how many, or -1: there is no place. */
static int32_t logits_step(Diffusion *d, const DiffusionText *texts, int32_t count)
{
    int32_t n = 0, out = 0;
    plan_clear(&d->plan);
    for (; n < count; n++) {
        const DiffusionText *t = &texts[n];
        Place *p = take_place(d, t->count);
        PlanEntry e = {.sequence = p ? &p->sequence : NULL, .rows = t->count, .outs = t->count - t->from};
        if (!p || !plan_add(d, e)) {
            if (p)
                give_place(d, p);
            break;
        }
        p->r = (Refinement){.ended = true};
        memcpy(p->sequence.tokens, t->ids, (size_t)t->count * sizeof *t->ids);
    }
    if (n == 0)
        return -1;
    runner_run(d->runner, &d->plan);
    for (int32_t i = 0; i < n; i++) {
        size_t V = (size_t)d->model.shape->V;
        for (int32_t row = 0; row < texts[i].count - texts[i].from; row++)
            memcpy(texts[i].logits + (size_t)row * V, runner_logits(d->runner, out++), V * sizeof(float));
        give_place(d, place_of(d, &d->plan.entry[i]));
    }
    return n;
}

Err diffusion_logits(Diffusion *d, const DiffusionText *texts, int32_t count, Error *err)
{
    for (int32_t i = 0; i < count; i++)
        TRY(check_text(d, &texts[i], err));
    for (int32_t done = 0; done < count;) {
        int32_t n = logits_step(d, texts + done, count - done);
        if (n < 0)
            return fail(err, LIMIT_REACHED, "%d texts are being refined already", d->o.sequences);
        done += n;
    }
    return OK;
}

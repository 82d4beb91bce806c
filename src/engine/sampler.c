#include "engine/sampler.h"

#include <math.h>
#include <string.h>

#include "base/prng.h"
#include "kernels/choose/choose_row.h"

_Static_assert((int)CHOOSE_BEST_MAX == (int)LOGPROBS_MAX && (int)CHOOSE_NO_LOGPROBS == (int)LOGPROBS_NONE,
               "what may be asked is what may be told");

struct Sampler {
    int32_t vocabulary;
    float *adjusted;            /* [V] the logits after bans, biases and penalties */
    ChooseEdit *edits;          /* [V] those of one place */
    int32_t *edit_of;           /* [V] 1 + which of them is a token's; all 0 between two calls */
    int32_t count;
    Picks picks;
};

Sampler *sampler_new(Arena *arena, int32_t vocabulary)
{
    Sampler *s = ARENA_NEW(arena, Sampler);
    if (!s)
        return NULL;
    s->vocabulary = vocabulary;
    s->adjusted = ARENA_ARRAY(arena, float, (size_t)vocabulary);
    s->edits = ARENA_ARRAY(arena, ChooseEdit, (size_t)vocabulary);
    s->edit_of = ARENA_ARRAY(arena, int32_t, (size_t)vocabulary);
    bool all = s->adjusted && s->edits && s->edit_of && picks_init(&s->picks, arena, vocabulary, scan_of(TIER_BEST));
    return all ? s : NULL;
}

/* ---- what acts on single logits ---- */

static ChooseEdit *edit_of(Sampler *s, int32_t id)
{
    if (s->edit_of[id] == 0) {
        s->edits[s->count] = (ChooseEdit){.id = id};
        s->edit_of[id] = ++s->count;
    }
    return &s->edits[s->edit_of[id] - 1];
}

static void ban(Sampler *s, const TokenIds *ids)
{
    for (int i = 0; i < ids->count; i++)
        edit_of(s, ids->id[i])->bias = -INFINITY;
}

static void note_repeats(Sampler *s, const SamplerOptions *o, const SamplePlace *at)
{
    bool all = o->repeat_last_n == REPEAT_ALL || o->repeat_last_n > at->token_count;
    for (int32_t i = all ? 0 : at->token_count - o->repeat_last_n; i < at->token_count; i++)
        edit_of(s, at->tokens[i])->repeats = 1;
}

/* s->edits, s->count. */
static void note_edits(Sampler *s, const SamplerOptions *o, const SamplePlace *at)
{
    bool early = at->token_count - at->prompt_count < o->min_tokens;
    s->count = 0;
    if (early || o->ignore_eos)
        ban(s, &o->end);
    if (early)
        ban(s, &o->stop);
    for (int32_t i = 0; i < o->biases; i++)
        edit_of(s, o->bias[i].id)->bias += o->bias[i].bias;
    if (o->repeat_penalty != 1 && o->repeat_last_n != 0)
        note_repeats(s, o, at);
    for (int32_t i = at->prompt_count; (o->presence_penalty != 0 || o->frequency_penalty != 0) && i < at->token_count; i++)
        edit_of(s, at->tokens[i])->count++;
    for (int32_t i = 0; i < s->count; i++)
        s->edit_of[s->edits[i].id] = 0;
}

ChooseHow sampler_how(Sampler *s, const SamplerOptions *o, const SamplePlace *at, const ChooseEdit **edits)
{
    note_edits(s, o, at);
    *edits = s->edits;
    return (ChooseHow){
        .edits = s->count, .mask = -1, .scale = sampler_is_greedy(o) ? 0 : 1 / o->temperature,
        .top_k = o->top_k > 0 ? o->top_k : 0, .top_p = o->top_p, .min_p = o->min_p, .typical_p = o->typical_p,
        .repeat = o->repeat_penalty, .presence = o->presence_penalty, .frequency = o->frequency_penalty,
        .best = o->logprobs,
        .unit = prng_unit((PrngPlace){.seed = o->seed, .sample = at->sample, .position = (uint32_t)at->token_count,
                                      .purpose = PRNG_TOKEN}),
    };
}

/* ---- what was chosen ---- */

/* Insertion into a short sorted list; of equals, the one with the lower id is there first. */
static void rank_best(const Chosen *c, double log_total, Sampled *out)
{
    for (int32_t i = 0; i < c->best_count; i++) {
        int32_t to = i;
        for (; to > 0 && out->best[to - 1].logprob < c->best[i].logit; to--)
            out->best[to] = out->best[to - 1];
        out->best[to] = (TokenLogprob){c->best[i].id, c->best[i].logit};
    }
    for (int32_t i = 0; i < c->best_count; i++)
        out->best[i].logprob = (float)((double)out->best[i].logprob - log_total);
    out->best_count = c->best_count;
}

Err sampler_read(const Chosen *c, int32_t logprobs, Sampled *out, Error *err)
{
    if (c->broken >= 0)
        return fail(err, BAD_FILE, "the logit of token %d is not a finite number: the model's weights are damaged, "
                    "or their format is computed wrongly (try `ridge check`)", c->broken);
    if (c->id < 0)
        return fail(err, LIMIT_REACHED, "no token is allowed here: bans, biases and grammar exclude all of them");
    out->id = c->id;
    out->logprob = NAN;
    out->best_count = 0;
    if (logprobs >= 0) {
        double log_total = (double)c->peak + log(c->total);
        out->logprob = (float)((double)c->logit - log_total);
        rank_best(c, log_total, out);
    }
    return OK;
}

Err sampler_logprobs(Sampler *s, const float *logits, int32_t id, int32_t n, Sampled *out, Error *err)
{
    Chosen chosen;
    choose_tell(&s->picks, logits, s->vocabulary, id, n, &chosen);
    return sampler_read(&chosen, n, out, err);
}

Err sampler_sample(Sampler *s, const SamplerOptions *o, const SamplePlace *at, const float *logits, Sampled *out,
                   Error *err)
{
    Chosen chosen;
    ChooseRow row = {.logits = logits, .vocabulary = s->vocabulary, .allowed = at->allowed};
    ChooseHow how = sampler_how(s, o, at, &row.edits);
    choose_row(&s->picks, s->adjusted, &how, &row, &chosen);
    return sampler_read(&chosen, o->logprobs, out, err);
}

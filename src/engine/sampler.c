#include "engine/sampler.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/prng.h"
#include "engine/sampler_pick.h"

struct Sampler {
    int32_t vocabulary;
    const Scan *scan;
    float *adjusted;            /* [V] the logits after bans, biases and penalties */
    int32_t *seen;              /* [V] counts of tokens; all 0 between two calls */
    Picks picks;
};

Sampler *sampler_new(Arena *arena, int32_t vocabulary)
{
    Sampler *s = ARENA_NEW(arena, Sampler);
    if (!s)
        return NULL;
    s->vocabulary = vocabulary;
    s->scan = scan_of(TIER_BEST);
    s->adjusted = ARENA_ARRAY(arena, float, (size_t)vocabulary);
    s->seen = ARENA_ARRAY(arena, int32_t, (size_t)vocabulary);
    return s->adjusted && s->seen && picks_init(&s->picks, arena, vocabulary, s->scan) ? s : NULL;
}

static void penalise_repeats(Sampler *s, const SamplerOptions *o, const SamplePlace *at, float *z)
{
    bool all = o->repeat_last_n == REPEAT_ALL || o->repeat_last_n > at->token_count;
    int32_t from = all ? 0 : at->token_count - o->repeat_last_n;
    for (int32_t i = from; i < at->token_count; i++) {
        float *logit = &z[at->tokens[i]];
        if (s->seen[at->tokens[i]]++ == 0)
            *logit = *logit > 0 ? *logit / o->repeat_penalty : *logit * o->repeat_penalty;
    }
    for (int32_t i = from; i < at->token_count; i++)
        s->seen[at->tokens[i]] = 0;
}

static void penalise_answer(Sampler *s, const SamplerOptions *o, const SamplePlace *at, float *z)
{
    for (int32_t i = at->prompt_count; i < at->token_count; i++)
        s->seen[at->tokens[i]]++;
    for (int32_t i = at->prompt_count; i < at->token_count; i++) {
        int32_t id = at->tokens[i], count = s->seen[id];
        if (count > 0)
            z[id] -= o->frequency_penalty * (float)count + o->presence_penalty;
        s->seen[id] = 0;
    }
}

static void ban(const TokenIds *ids, float *z)
{
    for (int i = 0; i < ids->count; i++)
        z[ids->id[i]] = -INFINITY;
}

/* The logits after all that acts on single ones; those of the model where there is nothing to do. */
static const float *adjust(Sampler *s, const SamplerOptions *o, const SamplePlace *at, const float *logits)
{
    bool early = at->token_count - at->prompt_count < o->min_tokens;
    bool repeats = o->repeat_penalty != 1 && o->repeat_last_n != 0;
    bool answer = o->presence_penalty != 0 || o->frequency_penalty != 0;
    float *z = s->adjusted;

    if (!early && !o->ignore_eos && !at->allowed && o->biases == 0 && !repeats && !answer)
        return logits;
    memcpy(z, logits, (size_t)s->vocabulary * sizeof *z);
    if (early || o->ignore_eos)
        ban(&o->end, z);
    if (early)
        ban(&o->stop, z);
    if (at->allowed)
        s->scan->mask(z, at->allowed, s->vocabulary);
    for (int32_t i = 0; i < o->biases; i++)
        z[o->bias[i].id] += o->bias[i].bias;
    if (repeats)
        penalise_repeats(s, o, at, z);
    if (answer)
        penalise_answer(s, o, at, z);
    return z;
}

static Err check_peak(Peak peak, Error *err)
{
    if (peak.broken >= 0)
        return fail(err, BAD_FILE, "the logit of token %d is not a finite number: the model's weights are damaged, "
                    "or their format is computed wrongly (try `ridge check`)", peak.broken);
    if (peak.value == -INFINITY)
        return fail(err, LIMIT_REACHED, "no token is allowed here: bans, biases and grammar exclude all of them");
    return OK;
}

/* At and below this logit nothing can pass the filters; -INFINITY when that cannot be said beforehand.
 *
 * top_p: all with p < (1 - top_p) / V together have less than 1 - top_p, so what lies above them
 * reaches top_p without them. min_p alone: its own definition. */
static float filter_floor(const SamplerOptions *o, int32_t vocabulary, float peak, double total)
{
    double least = o->typical_p < 1 ? 0 : o->top_p < 1 ? (1 - (double)o->top_p) * total / vocabulary : (double)o->min_p;
    if (least <= 0)
        return -INFINITY;
    /* One thousandth more and the rounding of logits, so that only a filter itself decides. */
    return (float)((double)peak + (log(least) - 1e-3) * (double)o->temperature - fabs((double)peak) * 1e-6);
}

/* Ranks by how near -ln p is to the entropy. With x = ln p + constant, the entropy is the mean of -x
 * plus the same constant, so that the difference needs no logarithm. */
static void keep_typical(Picks *p, double total, float typical_p)
{
    double mean = 0;
    for (int32_t i = 0; i < p->count; i++)
        mean += (double)p->weight[i] * (double)p->key[i] / total;
    for (int32_t i = 0; i < p->count; i++)
        p->key[i] = -fabsf(p->key[i] - (float)mean);
    picks_keep_mass(p, p->key, (double)typical_p * total);
}

/* Fills the picks with the tokens that pass the filters and their weights; returns the sum of these. */
static double filter(Sampler *s, const SamplerOptions *o, const float *z, float peak, bool masked)
{
    Picks *p = &s->picks;
    float scale = 1 / o->temperature;
    double total = 0;

    if (o->top_k > 0 && o->top_k < s->vocabulary) {
        picks_gather_best(p, z, s->vocabulary, o->top_k);
    } else {
        if (o->top_p < 1)
            total = s->scan->exp_sum(z, s->vocabulary, peak, scale);
        float floor = filter_floor(o, s->vocabulary, peak, total);
        picks_gather(p, z, s->vocabulary, masked ? fmaxf(floor, -FLT_MAX) : floor);    /* a mask leaves few */
    }
    s->scan->exps(p->key, p->weight, p->count, peak, scale);
    if (total == 0)
        total = s->scan->sum(p->weight, p->count);
    if (o->typical_p < 1) {
        keep_typical(p, total, o->typical_p);
        total = s->scan->sum(p->weight, p->count);
    }
    if (o->top_p < 1)
        picks_keep_mass(p, p->weight, (double)o->top_p * total);
    if (o->min_p > 0)
        picks_keep_above(p, o->min_p * s->scan->peak(p->weight, p->count).value);
    return o->top_p < 1 || o->min_p > 0 ? s->scan->sum(p->weight, p->count) : total;
}

static int32_t draw(Sampler *s, const SamplerOptions *o, const SamplePlace *at, const float *z, float peak)
{
    double total = filter(s, o, z, peak, at->allowed != NULL);
    double unit = prng_unit((PrngPlace){
        .seed = o->seed, .sample = at->sample, .position = (uint32_t)at->token_count, .purpose = PRNG_TOKEN,
    });
    return s->picks.id[s->scan->find(s->picks.weight, s->picks.count, unit * total)];
}

/* Insertion into a short sorted list; of equals, the one with the lower id is there first. */
static void rank_best(Sampler *s, const float *logits, int32_t n, double log_total, Sampled *out)
{
    Picks *p = &s->picks;
    picks_gather_best(p, logits, s->vocabulary, n);
    for (int32_t i = 0; i < p->count; i++) {
        int32_t to = i;
        for (; to > 0 && out->best[to - 1].logprob < p->key[i]; to--)
            out->best[to] = out->best[to - 1];
        out->best[to] = (TokenLogprob){p->id[i], p->key[i]};
    }
    for (int32_t i = 0; i < p->count; i++)
        out->best[i].logprob = (float)((double)out->best[i].logprob - log_total);
    out->best_count = p->count;
}

Err sampler_logprobs(Sampler *s, const float *logits, int32_t id, int32_t n, Sampled *out, Error *err)
{
    Peak peak = s->scan->peak(logits, s->vocabulary);
    TRY(check_peak(peak, err));
    double log_total = (double)peak.value + log(s->scan->exp_sum(logits, s->vocabulary, peak.value, 1));
    out->id = id;
    out->logprob = (float)((double)logits[id] - log_total);
    out->best_count = 0;
    if (n > 0)
        rank_best(s, logits, n, log_total, out);
    return OK;
}

Err sampler_sample(Sampler *s, const SamplerOptions *o, const SamplePlace *at, const float *logits, Sampled *out,
                   Error *err)
{
    const float *z = adjust(s, o, at, logits);
    Peak peak = s->scan->peak(z, s->vocabulary);
    TRY(check_peak(peak, err));
    int32_t id = sampler_is_greedy(o) ? peak.id : draw(s, o, at, z, peak.value);
    if (o->logprobs >= 0)
        return sampler_logprobs(s, logits, id, o->logprobs, out, err);
    out->id = id;
    out->logprob = NAN;
    out->best_count = 0;
    return OK;
}

/* The sampler draws from exactly the distribution that its options define. The expected distribution
 * is computed here a second time, in f64, by sorting, without any of the sampler's code. */
#include "test.h"

#include <float.h>
#include <math.h>

#include "base/prng.h"
#include "engine/sampler.h"
#include "kernels/choose/choose_scan.h"

enum { V = 61, TOKENS = 12, PROMPT = 5 };

static const int32_t TOKEN[TOKENS] = {3, 9, 9, 17, 40, 3, 3, 8, 50, 9, 60, 3};

typedef struct Fixture {
    Arena *arena;
    Sampler *sampler;
    float logits[V];
} Fixture;

static int set_up(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    PrngStream stream = {.seed = 5};
    f->arena = arena_new(1 << 20);
    f->sampler = sampler_new(f->arena, V);
    arena_seal(f->arena);
    for (int i = 0; i < V; i++)
        f->logits[i] = (float)(6 * stream_unit(&stream) - 3);
    *state = f;
    return f->sampler ? 0 : -1;
}

static int tear_down(void **state)
{
    Fixture *f = *state;
    arena_free(f->arena);
    free(f);
    return 0;
}

static SamplePlace place(uint32_t sample)
{
    return (SamplePlace){.tokens = TOKEN, .prompt_count = PROMPT, .token_count = TOKENS, .sample = sample};
}

static Sampled sample(Fixture *f, const SamplerOptions *o, SamplePlace at)
{
    Sampled out;
    Error err;
    assert_int_equal(sampler_options_check(o, V, &err), OK);
    assert_int_equal(sampler_sample(f->sampler, o, &at, f->logits, &out, &err), OK);
    return out;
}

/* ---- the distribution, computed the slow and obvious way ---- */

static double rank_key[V];
static int by_key(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return rank_key[x] != rank_key[y] ? (rank_key[x] < rank_key[y] ? 1 : -1) : x - y;
}
static void scale_to_one(double *p)
{
    double sum = 0;
    for (int i = 0; i < V; i++)
        sum += p[i];
    for (int i = 0; i < V; i++)
        p[i] /= sum;
}
/* Zeroes what comes, in the order of rank_key, after `count` tokens or after `mass` was reached. */
static void cut(double *p, int count, double mass)
{
    int order[V];
    double sum = 0;
    for (int i = 0; i < V; i++) {
        order[i] = i;
        if (p[i] == 0)
            rank_key[i] = -INFINITY;
    }
    qsort(order, V, sizeof *order, by_key);
    for (int i = 0; i < V; i++) {
        bool keep = i == 0 || (i < count && sum < mass);
        sum += p[order[i]];
        if (!keep)
            p[order[i]] = 0;
    }
    scale_to_one(p);
}

static void expected_logits(const SamplerOptions *o, const float *logits, double *z)
{
    int all[V] = {0}, answer[V] = {0};
    for (int i = 0; i < V; i++)
        z[i] = (double)logits[i];
    for (int i = 0; i < TOKENS; i++) {
        all[TOKEN[i]] += o->repeat_last_n == REPEAT_ALL || i >= TOKENS - o->repeat_last_n;
        answer[TOKEN[i]] += i >= PROMPT;
    }
    for (int i = 0; i < o->end.count && o->ignore_eos; i++)
        z[o->end.id[i]] = -INFINITY;
    for (int i = 0; i < o->biases; i++)
        z[o->bias[i].id] += (double)o->bias[i].bias;
    for (int i = 0; i < V; i++) {
        if (all[i])
            z[i] = z[i] > 0 ? z[i] / (double)o->repeat_penalty : z[i] * (double)o->repeat_penalty;
        z[i] -= answer[i] * (double)o->frequency_penalty + (answer[i] > 0) * (double)o->presence_penalty;
    }
}

static void expected(const SamplerOptions *o, const float *logits, double *p)
{
    double z[V], entropy = 0, most = 0;
    expected_logits(o, logits, z);
    for (int i = 0; i < V; i++)
        p[i] = exp(z[i] / (double)o->temperature);
    scale_to_one(p);
    if (o->top_k > 0) {
        memcpy(rank_key, z, sizeof z);
        cut(p, o->top_k, 2);
    }
    for (int i = 0; i < V; i++)
        entropy -= p[i] > 0 ? p[i] * log(p[i]) : 0;
    for (int i = 0; i < V; i++)
        rank_key[i] = -fabs(-log(p[i]) - entropy);
    if (o->typical_p < 1)
        cut(p, V, (double)o->typical_p);
    memcpy(rank_key, p, sizeof rank_key);
    if (o->top_p < 1)
        cut(p, V, (double)o->top_p);
    for (int i = 0; i < V; i++)
        most = p[i] > most ? p[i] : most;
    for (int i = 0; i < V; i++)
        p[i] = p[i] >= (double)o->min_p * most ? p[i] : 0;
    scale_to_one(p);
}

/* The value that a chi-square of `df` degrees passes once in a million (Wilson and Hilferty 1931). */
static double chi_limit(int df)
{
    double a = 2.0 / (9 * df), c = 1 - a + 4.7534 * sqrt(a);
    return df * c * c * c;
}

static void check_draws(Fixture *f, const SamplerOptions *o, int draws)
{
    double p[V], chi = 0, rare = 0;
    int count[V] = {0}, df = -1, rare_count = 0;
    expected(o, f->logits, p);
    for (int i = 0; i < draws; i++)
        count[sample(f, o, place((uint32_t)i)).id]++;
    for (int i = 0; i < V; i++) {
        double e = p[i] * draws;
        if (p[i] == 0)
            assert_int_equal(count[i], 0);
        if (e < 5) {            /* too few for the approximation: all of these are one class */
            rare += e;
            rare_count += count[i];
            continue;
        }
        chi += (count[i] - e) * (count[i] - e) / e;
        df++;
    }
    if (rare >= 5) {
        chi += (rare_count - rare) * (rare_count - rare) / rare;
        df++;
    }
    if (df > 0 && chi > chi_limit(df)) {
        print_error("chi-square %g with %d degrees; T %g k %d p %g min %g typical %g\n", chi, df,
                    (double)o->temperature, o->top_k, (double)o->top_p, (double)o->min_p, (double)o->typical_p);
        assert_true(chi <= chi_limit(df));
    }
}

/* ---- tests ---- */

static SamplerOptions plain(void)
{
    SamplerOptions o = sampler_options_greedy();
    o.temperature = 1;
    o.seed = 11;
    return o;
}

static void each_option_alone_gives_its_exact_distribution(void **state)
{
    enum { ALONE = 14 };
    SamplerOptions o[ALONE];
    for (int i = 0; i < ALONE; i++)
        o[i] = plain();
    o[1].temperature = 0.6f;
    o[2].temperature = 3;
    o[3].top_k = 6;
    o[4].top_p = 0.7f;
    o[5].min_p = 0.2f;
    o[6].typical_p = 0.6f;
    o[7].repeat_penalty = 1.8f;
    o[8].repeat_penalty = 0.5f, o[8].repeat_last_n = 4;
    o[9].presence_penalty = 1.5f;
    o[10].frequency_penalty = 0.7f;
    o[11].biases = 2, o[11].bias[0] = (LogitBias){7, 4}, o[11].bias[1] = (LogitBias){9, -2.5f};
    o[12].top_p = 0;            /* still one token */
    o[13].top_k = 1;
    for (int i = 0; i < ALONE; i++)
        check_draws(*state, &o[i], 20000);
}

static void all_options_together_give_their_exact_distribution(void **state)
{
    for (int mask = 0; mask < 256; mask++) {
        SamplerOptions o = plain();
        o.temperature = mask & 1 ? 0.7f : 1.6f;
        o.top_k = mask & 2 ? 20 : 0;
        o.top_p = mask & 4 ? 0.8f : 1;
        o.min_p = mask & 8 ? 0.1f : 0;
        o.typical_p = mask & 16 ? 0.85f : 1;
        if (mask & 32)
            o.repeat_penalty = 1.3f, o.repeat_last_n = 9, o.presence_penalty = 0.5f, o.frequency_penalty = -0.3f;
        if (mask & 64)
            o.biases = 2, o.bias[0] = (LogitBias){3, 2}, o.bias[1] = (LogitBias){33, -100};
        if (mask & 128)
            o.ignore_eos = true, o.end = (TokenIds){.id = {8, 21}, .count = 2};
        o.seed = (uint64_t)mask;
        check_draws(*state, &o, 3000);
    }
}

/* A draw inverts the cumulative distribution in order of ids: known exactly, not just in the mean. */
static void a_draw_is_the_inverse_of_the_distribution_at_its_place(void **state)
{
    SamplerOptions o = plain();
    double p[V];
    o.top_p = 0.9f;
    expected(&o, ((Fixture *)*state)->logits, p);
    for (uint32_t n = 0; n < 2000; n++) {
        double u = prng_unit((PrngPlace){.seed = o.seed, .sample = n, .position = TOKENS, .purpose = PRNG_TOKEN});
        int id = 0;
        for (double sum = p[0]; sum <= u;)
            sum += p[++id];
        assert_int_equal(sample(*state, &o, place(n)).id, id);
    }
}

static void the_same_seed_and_place_draw_the_same_and_others_differ(void **state)
{
    SamplerOptions o = plain(), other = plain();
    int by_seed = 0, by_sample = 0, by_position = 0;
    other.seed = 12;
    for (uint32_t i = 0; i < 200; i++) {
        SamplePlace earlier = place(i);
        earlier.token_count--;
        int32_t id = sample(*state, &o, place(i)).id;
        assert_int_equal(id, sample(*state, &o, place(i)).id);
        by_seed += id != sample(*state, &other, place(i)).id;
        by_sample += id != sample(*state, &o, place(i + 200)).id;
        by_position += id != sample(*state, &o, earlier).id;
    }
    assert_true(by_seed > 100 && by_sample > 100 && by_position > 100);
}

static void equals_go_to_the_lowest_id(void **state)
{
    Fixture *f = *state;
    SamplerOptions o = sampler_options_greedy();
    for (int i = 0; i < V; i++)
        f->logits[i] = i % 7 == 5 ? 2.0f : -1.0f;
    assert_int_equal(sample(f, &o, place(0)).id, 5);
    o = plain();
    o.min_p = 1;                /* all nine are as likely as the best */
    check_draws(f, &o, 2000);
    o.min_p = 0;
    o.top_k = 3;                /* 5, 12 and 19 of nine equals */
    bool seen[V] = {0};
    for (uint32_t i = 0; i < 300; i++)
        seen[sample(f, &o, place(i)).id] = true;
    for (int i = 0; i < V; i++)
        assert_int_equal(seen[i], i == 5 || i == 12 || i == 19);
    o.top_k = 0;
    o.top_p = 0.2f;             /* nine equals of 0.08 and more: three reach a fifth */
    memset(seen, 0, sizeof seen);
    for (uint32_t i = 0; i < 300; i++)
        seen[sample(f, &o, place(i)).id] = true;
    double p[V];
    expected(&o, f->logits, p);
    for (int i = 0; i < V; i++)
        assert_int_equal(seen[i], p[i] > 0);
}

static void logprobs_are_the_models_own_and_sorted(void **state)
{
    Fixture *f = *state;
    SamplerOptions o = plain();
    double sum = 0;
    f->logits[20] = f->logits[10];      /* equals */
    f->logits[30] = -INFINITY;
    for (int i = 0; i < V; i++)
        sum += exp((double)f->logits[i]);
    o.logprobs = 64, o.temperature = 0.3f, o.top_k = 4, o.repeat_penalty = 2, o.ignore_eos = true;
    token_ids_add(&o.end, 5);
    for (uint32_t n = 0; n < 20; n++) {
        Sampled s = sample(f, &o, place(n));
        assert_true(fabs((double)s.logprob - ((double)f->logits[s.id] - log(sum))) < 1e-5);
        assert_int_equal(s.best_count, V - 1);
        for (int i = 0; i < s.best_count; i++) {
            TokenLogprob b = s.best[i], before = s.best[i ? i - 1 : 0];
            assert_true(fabs((double)b.logprob - ((double)f->logits[b.id] - log(sum))) < 1e-5);
            assert_true(i == 0 || before.logprob > b.logprob || (before.logprob == b.logprob && before.id < b.id));
        }
    }
    o.logprobs = LOGPROBS_NONE;
    assert_true(isnan(sample(f, &o, place(0)).logprob));
}

static void ends_are_banned_as_long_as_asked(void **state)
{
    Fixture *f = *state;
    SamplerOptions o = sampler_options_greedy();
    f->logits[4] = 9, f->logits[6] = 8, f->logits[8] = 7;
    token_ids_add(&o.end, 4);
    token_ids_add(&o.stop, 6);
    assert_int_equal(sample(f, &o, place(0)).id, 4);
    assert_true(sampler_ends_at(&o, 4) && sampler_ends_at(&o, 6) && !sampler_ends_at(&o, 8));
    o.min_tokens = TOKENS - PROMPT;
    assert_int_equal(sample(f, &o, place(0)).id, 4);
    o.min_tokens++;
    assert_int_equal(sample(f, &o, place(0)).id, 8);
    o.min_tokens = 0;
    o.ignore_eos = true;
    assert_int_equal(sample(f, &o, place(0)).id, 6);
    assert_false(sampler_ends_at(&o, 4));
}

static void only_tokens_of_the_mask_are_chosen(void **state)
{
    SamplerOptions o = plain();
    uint32_t allowed[(V + 31) / 32] = {1u << 3 | 1u << 31, 1u << 28};
    SamplePlace at = place(0);
    at.allowed = allowed;
    bool seen[V] = {0};
    for (at.sample = 0; at.sample < 2000; at.sample++)
        seen[sample(*state, &o, at).id] = true;
    for (int i = 0; i < V; i++)
        assert_int_equal(seen[i], i == 3 || i == 31 || i == 60);
}

static void what_cannot_be_drawn_from_is_an_error_and_not_a_token(void **state)
{
    Fixture *f = *state;
    SamplerOptions greedy = sampler_options_greedy(), drawn = plain();
    uint32_t none[(V + 31) / 32] = {0};
    SamplePlace at = place(0);
    Sampled out;
    Error err;
    at.allowed = none;
    assert_int_equal(sampler_sample(f->sampler, &greedy, &at, f->logits, &out, &err), LIMIT_REACHED);
    at.allowed = NULL;
    for (int i = 0; i < 2; i++) {
        f->logits[58] = i ? NAN : INFINITY;
        assert_int_equal(sampler_sample(f->sampler, &greedy, &at, f->logits, &out, &err), BAD_FILE);
        assert_non_null(strstr(err.text, "token 58"));
        assert_int_equal(sampler_sample(f->sampler, &drawn, &at, f->logits, &out, &err), BAD_FILE);
        assert_int_equal(sampler_logprobs(f->sampler, f->logits, 1, 3, &out, &err), BAD_FILE);
    }
}

/* Extreme logits must neither overflow nor choose what has no probability. */
static void extreme_logits_and_temperatures_stay_defined(void **state)
{
    Fixture *f = *state;
    static const float temperature[] = {1e-5f, 1e-3f, 1, 100};
    for (int i = 0; i < V; i++)
        f->logits[i] = i == 13 ? FLT_MAX : i % 2 ? -FLT_MAX : -INFINITY;
    for (int mask = 0; mask < 16; mask++)
        for (size_t t = 0; t < COUNT_OF(temperature); t++) {
            SamplerOptions o = plain();
            o.temperature = temperature[t];
            o.top_k = mask & 1 ? 5 : 0, o.top_p = mask & 2 ? 0.5f : 1;
            o.min_p = mask & 4 ? 0.5f : 0, o.typical_p = mask & 8 ? 0.5f : 1;
            assert_int_equal(sample(f, &o, place(0)).id, 13);
        }
}

/* The lists are cut in blocks and several times when the vocabulary is large. */
static void a_large_vocabulary_keeps_the_right_tokens(void **state)
{
    (void)state;
    enum { LARGE = 50021, K = 40 };
    Arena *arena = arena_new(8 << 20);
    Sampler *sampler = sampler_new(arena, LARGE);
    float *z = ARENA_ARRAY(arena, float, LARGE);
    Error err;
    Sampled out;
    for (int shape = 0; shape < 4; shape++) {
        int first = 0;
        for (int i = 0; i < LARGE; i++)     /* by the smallest steps upward, falling, many equals, noise */
            z[i] = shape == 0 ? (i ? nextafterf(z[i - 1], 2) : 1) : shape == 1 ? (float)i * -1e-3f
                 : shape == 2 ? (float)(i % 3) : (float)(philox(1, (PhiloxBlock){{(uint32_t)i}}).word[0] >> 8) * 1e-6f;
        for (int i = 0; i < LARGE; i++)
            first = z[i] > z[first] ? i : first;
        SamplerOptions greedy = sampler_options_greedy();
        SamplePlace here = place(0);
        assert_int_equal(sampler_sample(sampler, &greedy, &here, z, &out, &err), OK);
        assert_int_equal(out.id, first);
        assert_int_equal(sampler_logprobs(sampler, z, 0, K, &out, &err), OK);
        assert_int_equal(out.best_count, K);
        float last = z[out.best[K - 1].id];
        for (int i = 0; i < LARGE; i++) {     /* exactly the best, and of equals the first */
            bool listed = false;
            for (int j = 0; j < K; j++)
                listed |= out.best[j].id == i;
            assert_true(z[i] > last ? listed : z[i] < last ? !listed : listed == (i <= out.best[K - 1].id));
        }
        SamplerOptions o = plain();
        o.top_k = K, o.top_p = 0.95f;
        for (uint32_t n = 0; n < 50; n++) {
            SamplePlace at = place(n);
            assert_int_equal(sampler_sample(sampler, &o, &at, z, &out, &err), OK);
            assert_true(z[out.id] >= last);
        }
    }
    arena_free(arena);
}

/* Each pass over the vocabulary, on each tier that this processor has, at sizes around the blocks. */
static void all_tiers_give_the_same_bits(void **state)
{
    (void)state;
    static float z[TIER_COUNT][1100], w[TIER_COUNT][1100];
    static const int32_t sizes[] = {1, 15, 16, 17, 63, 64, 65, 511, 512, 513, 1100};
    uint32_t allowed[35];
    PrngStream stream = {.seed = 8};
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        int32_t n = sizes[s];
        for (int i = 0; i < n; i++)
            z[0][i] = i % 37 == 36 || (i == 0 && n > 1) ? -INFINITY : (float)(200 * stream_unit(&stream) - 120);
        for (int i = 0; i < 35; i++)
            allowed[i] = (uint32_t)stream_bits(&stream) | 3u;
        for (int t = 1; t < TIER_COUNT; t++)
            memcpy(z[t], z[0], sizeof z[0]);
        double sums[TIER_COUNT][2];
        for (CpuTier t = TIER_REFERENCE; t <= cpu_best_tier(); t++) {
            const Scan *scan = scan_of(t);
            scan->mask(z[t], allowed, n);
            Peak peak = scan->peak(z[t], n);
            sums[t][0] = scan->exp_sum(z[t], n, peak.value, 0.7f);
            assert_int_equal(scan->next_above(z[t], 0, n, peak.value), n);
            assert_int_equal(scan->next_above(z[t], 0, n, nextafterf(peak.value, -INFINITY)), peak.id / 64 * 64);
            static float at_once[1100];
            double all = scan->weights(z[t], at_once, n, peak.value, 0.7f);
            assert_memory_equal(&all, &sums[t][0], sizeof all);
            scan->exps(z[t], w[t], n, peak.value, 0.7f);
            sums[t][1] = scan->sum(w[t], n);
            assert_memory_equal(sums[t], sums[0], sizeof sums[0]);
            assert_memory_equal(z[t], z[0], (size_t)n * sizeof z[0][0]);
            assert_memory_equal(w[t], w[0], (size_t)n * sizeof w[0][0]);
            assert_memory_equal(w[t], at_once, (size_t)n * sizeof w[0][0]);
            for (int i = 0; i < 100; i++) {     /* also beyond the sum, and from 0 with a weight of 0 in front */
                int32_t at = scan->find(w[t], n, i * 0.011 * sums[t][1]);
                assert_true(w[t][at] > 0);
                assert_int_equal(at, scan_of(0)->find(w[0], n, i * 0.011 * sums[0][1]));
            }
        }
    }
}

static void exp_is_within_its_stated_error_and_ends_at_zero(void **state)
{
    (void)state;
    enum { N = 4096 };
    static float x[N], w[N];
    for (int i = 0; i < N; i++)
        x[i] = -90.0f * (float)i / N;
    scan_of(TIER_BEST)->exps(x, w, N, 0, 1);
    assert_true(w[0] == 1);
    for (int i = 0; i < N; i++) {
        double right = x[i] > -87 ? exp((double)x[i]) : 0;
        assert_true(fabs((double)w[i] - right) <= 2e-7 * right);
    }
}

typedef struct BadOptions { const char *field; SamplerOptions options; } BadOptions;

static void the_check_names_each_bad_field(void **state)
{
    (void)state;
    const float floats[] = {NAN, INFINITY, -INFINITY, -3, 1e9f};
    const size_t float_at[] = {
        offsetof(SamplerOptions, temperature), offsetof(SamplerOptions, top_p), offsetof(SamplerOptions, min_p),
        offsetof(SamplerOptions, typical_p), offsetof(SamplerOptions, repeat_penalty),
        offsetof(SamplerOptions, presence_penalty), offsetof(SamplerOptions, frequency_penalty),
    };
    const char *float_name[] = {"temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty",
                                "frequency_penalty"};
    Error err;
    for (size_t f = 0; f < COUNT_OF(float_at); f++)
        for (size_t i = 0; i < COUNT_OF(floats); i++) {
            SamplerOptions o = plain();
            memcpy((char *)&o + float_at[f], &floats[i], sizeof floats[i]);
            assert_int_equal(sampler_options_check(&o, V, &err), BAD_ARGUMENT);
            assert_true(strncmp(err.text, float_name[f], strlen(float_name[f])) == 0);
        }

    SamplerOptions ok = plain();
    assert_int_equal(sampler_options_check(&ok, V, &err), OK);
    BadOptions bad[] = {
        {"top_k", ok}, {"repeat_last_n", ok}, {"min_tokens", ok}, {"logprobs", ok}, {"logprobs", ok}, {"biases", ok},
        {"logit_bias", ok}, {"logit_bias", ok}, {"logit_bias", ok}, {"end", ok}, {"stop", ok}, {"stop.count", ok},
    };
    bad[0].options.top_k = -2;
    bad[1].options.repeat_last_n = -2;
    bad[2].options.min_tokens = -1;
    bad[3].options.logprobs = LOGPROBS_MAX + 1;
    bad[4].options.logprobs = -2;
    bad[5].options.biases = LOGIT_BIASES_MAX + 1;
    for (int i = 6; i < 9; i++)
        bad[i].options.biases = 1;
    bad[6].options.bias[0] = (LogitBias){V, 0};
    bad[7].options.bias[0] = (LogitBias){-1, 0};
    bad[8].options.bias[0] = (LogitBias){0, NAN};
    bad[9].options.end = (TokenIds){1, {V}};
    bad[10].options.stop = (TokenIds){1, {-1}};
    bad[11].options.stop.count = STOP_IDS_MAX + 1;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(sampler_options_check(&bad[i].options, V, &err), BAD_ARGUMENT);
        assert_true(strncmp(err.text, bad[i].field, strlen(bad[i].field)) == 0);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_option_alone_gives_its_exact_distribution),
        TEST(all_options_together_give_their_exact_distribution),
        TEST(a_draw_is_the_inverse_of_the_distribution_at_its_place),
        TEST(the_same_seed_and_place_draw_the_same_and_others_differ),
        TEST(equals_go_to_the_lowest_id),
        TEST(logprobs_are_the_models_own_and_sorted),
        TEST(ends_are_banned_as_long_as_asked),
        TEST(only_tokens_of_the_mask_are_chosen),
        TEST(what_cannot_be_drawn_from_is_an_error_and_not_a_token),
        TEST(extreme_logits_and_temperatures_stay_defined),
        TEST(a_large_vocabulary_keeps_the_right_tokens),
        TEST(all_tiers_give_the_same_bits),
        TEST(exp_is_within_its_stated_error_and_ends_at_zero),
        TEST(the_check_names_each_bad_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

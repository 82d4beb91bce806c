/* Masked refinement: the schedules, the rules by which guesses stay, blocks, the cache, and what is refused. */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "base/prng.h"
#include "devices/cpu/cpu_device.h"
#include "engine/diffusion.h"
#include "model/decoder.h"
#include "model/model_open.h"
#include "read_config.h"
#include "model/synth.h"

enum { PROMPT = 11, LENGTH = 24, CONTEXT = 64 };

/* Made-up models of both families. */
enum { LLADA, DREAM, ONE_LAYER, MODELS };
static const char *const configs[MODELS] = {
    "{\"model_type\": \"llada\", \"d_model\": 64, \"n_layers\": 2, \"n_heads\": 4, \"mlp_hidden_size\": 96, \"vocab_size\": 320,"
    " \"max_sequence_length\": 128, \"rms_norm_eps\": 1e-5, \"weight_tying\": false, \"mask_token_id\": 300}",
    "{\"model_type\": \"Dream\", \"hidden_size\": 64, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"
    " \"num_key_value_heads\": 2, \"intermediate_size\": 96, \"vocab_size\": 320, \"max_position_embeddings\": 128,"
    " \"tie_word_embeddings\": false, \"mask_token_id\": 300}",
    "{\"model_type\": \"llada\", \"d_model\": 64, \"n_layers\": 1, \"n_heads\": 4, \"mlp_ratio\": 2, \"vocab_size\": 320,"
    " \"max_sequence_length\": 128, \"rms_norm_eps\": 1e-5, \"weight_tying\": false, \"mask_token_id\": 300}",
};
enum { BOTH = ONE_LAYER }; /* the families */
static char folder[64], models[MODELS][128];

static int make_models(void **state)
{
    (void)state;
    Team *team;
    Error err;
    snprintf(folder, sizeof folder, "/tmp/ridge-diffusion-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(team_new(&team, 1, false, &err), OK);
    for (int i = 0; i < MODELS; i++) {
        char config[128];
        snprintf(config, sizeof config, "%s/%d.json", folder, i);
        snprintf(models[i], sizeof models[i], "%s/%d.gguf", folder, i);
        FILE *f = fopen(config, "w");
        assert_non_null(f);
        fputs(configs[i], f);
        fclose(f);
        SynthOptions o = {.config = config, .name = "made up", .format = &format_f32, .seed = 7, .team = team};
        assert_int_equal(synth_write(&o, models[i], &err), OK);
        unlink(config);
    }
    team_free(team);
    return 0;
}

static int remove_models(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++)
        unlink(models[i]);
    return rmdir(folder);
}

typedef struct World {
    Checkpoint checkpoint;
    Device *device;
    Model *model;
    Diffusion *diffusion;
    int32_t prompt[PROMPT];
} World;

static World *world_open(int which, int32_t sequences, int32_t rows)
{
    World *w = calloc(1, sizeof *w);
    Error err;
    DiffusionOptions options = diffusion_options_default();
    options.sequences = sequences;
    options.rows = rows;
    options.context = CONTEXT;
    assert_int_equal(checkpoint_open(&w->checkpoint, models[which], &err), OK);
    assert_int_equal(cpu_device_open(&(CpuOptions){.tier = TIER_BEST, .threads = 1}, &w->device, &err), OK);
    assert_int_equal(model_open(&w->checkpoint, w->device, NULL, &w->model, &err), OK);
    EngineModel model = engine_model(w->model);
    assert_int_equal(diffusion_new(&w->diffusion, &options, &model, w->device, &err), OK);
    for (int i = 0; i < PROMPT; i++)
        w->prompt[i] = 17 * i % 300 + 3;
    return w;
}

static void world_close(World *w)
{
    diffusion_free(w->diffusion);
    model_close(w->model);
    device_close(w->device);
    checkpoint_close(&w->checkpoint);
    free(w);
}


static RefineOptions plain(const World *w)
{
    return (RefineOptions){.prompt = w->prompt, .prompt_count = PROMPT, .length = LENGTH, .block = 8, .steps = 12,
                           .sampling = sampler_options_greedy()};
}

static void finish(World *w)
{
    while (diffusion_step(w->diffusion))
        ;
}

/* Refines alone, to the end. */
static void tokens_of(World *w, const RefineOptions *o, int32_t out[LENGTH])
{
    Refinement *r;
    Error err;
    assert_int_equal(diffusion_begin(w->diffusion, o, &r, &err), OK);
    finish(w);
    assert_int_equal(r->error.code, OK);
    assert_true(r->ended);
    memcpy(out, r->tokens + r->first, LENGTH * sizeof *out);
    diffusion_end(w->diffusion, r);
}

/* ---- schedules and rules ---- */

static void every_schedule_fills_the_block(void **state)
{
    (void)state;
    for (int32_t masks = 1; masks <= 40; masks++)
        for (int32_t steps = 1; steps <= masks; steps++) {
            int32_t sum = 0, most = 0, least = masks;
            for (int32_t i = 0; i < steps; i++) {
                int32_t n = remask_count(masks, steps, i);
                sum += n;
                assert_true(i == 0 || n <= remask_count(masks, steps, i - 1)); /* the larger shares come first */
                most = n > most ? n : most;
                least = n < least ? n : least;
            }
            assert_int_equal(sum, masks);
            assert_true(least >= 1 && most - least <= 1);
        }
}

static void origin_keeps_an_even_share_of_what_is_left(void **state)
{
    (void)state;
    for (int32_t steps = 1; steps <= 64; steps *= 2) {
        double left = 1;
        for (int32_t i = 0; i < steps; i++) {
            double chance = remask_chance(steps, i), time = 1 - i * (1 - REMASK_TIME_END) / steps;
            assert_true(chance > 0 && chance <= 1 + 1e-12);
            assert_true(fabs(left - time) < 1e-9);
            left *= 1 - chance;
        }
        assert_true(left == 0); /* no mask stays behind */
    }
}

static void confidences_are_what_their_names_say(void **state)
{
    (void)state;
    const float logits[] = {0.5f, 2.0f, -1.0f, 1.25f}, temperature = 0.5f;
    double p[4], q[4], p_sum = 0, q_sum = 0, entropy = 0;
    for (int i = 0; i < 4; i++) {
        p_sum += p[i] = exp((double)logits[i]);
        q_sum += q[i] = exp((double)(logits[i] / temperature));
    }
    for (int i = 0; i < 4; i++) {
        p[i] /= p_sum;
        q[i] /= q_sum;
        entropy -= q[i] * log(q[i]);
    }
    const struct {
        Remask rule;
        double expected;
    } cases[] = {{REMASK_LOW_CONFIDENCE, p[3]}, {REMASK_MASKGIT_PLUS, q[3]}, {REMASK_TOPK_MARGIN, q[1] - q[3]},
                 {REMASK_ENTROPY, -entropy},    {REMASK_RANDOM, 0.25},       {REMASK_ORIGIN, 0.25}};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_true(fabs(remask_confidence(cases[i].rule, logits, 4, 3, temperature, 0.25) - cases[i].expected) < 1e-6);
}

static void the_surest_stay_and_of_equals_the_first(void **state)
{
    (void)state;
    Guess g[] = {{.confidence = 1}, {.confidence = 3}, {.confidence = 3}, {.confidence = -INFINITY}, {.confidence = 2}};
    remask_choose(g, 5, 2);
    assert_true(g[1].stays && g[2].stays && !g[0].stays && !g[3].stays && !g[4].stays);
    Guess equal[] = {{.confidence = 1}, {.confidence = 1}, {.confidence = 1}};
    remask_choose(equal, 3, 2);
    assert_true(equal[0].stays && equal[1].stays && !equal[2].stays);
    remask_choose(equal, 3, 9); /* more than there are */
    assert_true(equal[2].stays);
}

/* The noise of a choice at a temperature draws by softmax(confidence / temperature). */
static void a_choice_at_a_temperature_draws_by_the_softmax(void **state)
{
    (void)state;
    const double confidence[3] = {0.9, 0.5, 0.1};
    const float temperature = 0.4f;
    PrngStream stream = {.seed = 5};
    int won[3] = {0}, draws = 20000;
    double total = 0;
    for (int d = 0; d < draws; d++) {
        Guess g[3] = {{0}};
        for (int i = 0; i < 3; i++)
            g[i].confidence = remask_noisy(confidence[i], temperature, stream_unit(&stream));
        remask_choose(g, 3, 1);
        for (int i = 0; i < 3; i++)
            won[i] += g[i].stays;
    }
    for (int i = 0; i < 3; i++)
        total += exp(confidence[i] / (double)temperature);
    for (int i = 0; i < 3; i++) {
        double p = exp(confidence[i] / (double)temperature) / total, sigma = sqrt(draws * p * (1 - p));
        assert_true(fabs(won[i] - draws * p) < 5 * sigma);
    }
    assert_true(isfinite(remask_noisy(1, temperature, 0)));
}

/* LLaDA draws the token with the largest exp(logit) / (-ln u)^temperature; we draw from softmax(logits / temperature). */
static void gumbel_noise_draws_what_the_sampler_draws(void **state)
{
    (void)state;
    const float logits[3] = {1.0f, 0.25f, -0.5f}, temperature = 0.7f;
    PrngStream stream = {.seed = 9};
    Arena *arena = arena_new(1 << 20);
    Sampler *sampler = sampler_new(arena, 3);
    int gumbel[3] = {0}, drawn[3] = {0}, draws = 20000;
    int32_t tokens[1] = {0};
    Error err;
    for (int d = 0; d < draws; d++) {
        double best = -1;
        int at = 0;
        for (int i = 0; i < 3; i++) {
            double value = exp((double)logits[i]) / pow(-log(stream_unit(&stream)), (double)temperature);
            at = value > best ? i : at;
            best = fmax(value, best);
        }
        gumbel[at]++;
        SamplerOptions o = sampler_options_greedy();
        o.temperature = temperature;
        o.seed = (uint64_t)d;
        Sampled s;
        assert_int_equal(sampler_sample(sampler, &o, &(SamplePlace){.tokens = tokens, .token_count = 1}, logits, &s, &err), OK);
        drawn[s.id]++;
    }
    for (int i = 0; i < 3; i++)
        assert_true(abs(gumbel[i] - drawn[i]) < 5 * (int)sqrt(draws / 2.0));
    arena_free(arena);
}

/* ---- blocks ---- */

static void check_step(const Refinement *r, const int32_t *before, int32_t mask)
{
    int32_t known = 0;
    for (int32_t i = 0; i < r->total; i++) {
        if (before[i] != mask)
            assert_int_equal(r->tokens[i], before[i]); /* what is known never changes */
        if (before[i] == mask && r->tokens[i] != mask) {
            int32_t block = (r->step - 1) / 4; /* 12 steps, 3 blocks */
            assert_in_range(i, r->first + 8 * block, r->first + 8 * block + 7);
            known++;
        }
    }
    assert_int_equal(known, 2);
}

static void blocks_are_filled_from_left_to_right(void **state)
{
    (void)state;
    for (int f = 0; f < BOTH; f++) {
        World *w = world_open(f, 1, 0);
        int32_t before[CONTEXT], suffix[] = {7, 8, 9}, mask = w->model->shape.mask_id;
        RefineOptions o = plain(w);
        Refinement *r;
        Error err;
        o.suffix = suffix;
        o.suffix_count = 3;
        assert_int_equal(diffusion_begin(w->diffusion, &o, &r, &err), OK);
        assert_int_equal(r->masks, LENGTH);
        do
            memcpy(before, r->tokens, (size_t)r->total * sizeof *before);
        while (diffusion_step(w->diffusion) && (check_step(r, before, mask), true));
        assert_int_equal(r->step, 12);
        assert_int_equal(r->masks, 0);
        assert_memory_equal(r->tokens, w->prompt, sizeof w->prompt);
        assert_memory_equal(r->tokens + PROMPT + LENGTH, suffix, sizeof suffix);
        diffusion_end(w->diffusion, r);
        world_close(w);
    }
}

static void every_rule_fills_every_mask_and_a_seed_repeats(void **state)
{
    (void)state;
    World *w = world_open(LLADA, 1, 0);
    for (int rule = REMASK_LOW_CONFIDENCE; rule <= REMASK_ORIGIN; rule++) {
        int32_t a[LENGTH], b[LENGTH], other[LENGTH];
        RefineOptions o = plain(w);
        o.remask = (Remask)rule;
        o.sampling.temperature = 0.8f;
        o.remask_temperature = rule == REMASK_ENTROPY ? 0.5f : 0;
        o.sampling.seed = 3;
        tokens_of(w, &o, a);
        tokens_of(w, &o, b);
        assert_memory_equal(a, b, sizeof a);
        o.sample = 1;
        tokens_of(w, &o, other);
        assert_true(memcmp(a, other, sizeof a));
        for (int i = 0; i < LENGTH; i++)
            assert_int_not_equal(a[i], w->model->shape.mask_id);
    }
    world_close(w);
}

/* After a block in which the answer ends, the others are not begun: nothing of them would be shown. */
static void an_answer_that_has_ended_is_not_filled_on(void **state)
{
    (void)state;
    World *w = world_open(LLADA, 1, 0);
    int32_t whole[LENGTH];
    RefineOptions o = plain(w);
    Refinement *r;
    Error err;
    tokens_of(w, &o, whole);
    token_ids_add(&o.sampling.end, whole[9]); /* in block 1, if not before */
    assert_int_equal(diffusion_begin(w->diffusion, &o, &r, &err), OK);
    finish(w);
    assert_true(r->ended && r->step <= 8 && r->masks >= 8);
    assert_memory_equal(r->tokens + r->first, whole, (size_t)(LENGTH - r->masks) * sizeof *whole);
    diffusion_end(w->diffusion, r);
    world_close(w);
}

/* ---- company and memory ---- */

/* Answers of other lengths beside it, and steps too small for all of them, change nothing. */
static void company_changes_nothing(void **state)
{
    (void)state;
    for (int cache = REFINE_EXACT; cache <= REFINE_PREFIX; cache++) {
        World *alone = world_open(DREAM, 1, 0), *w = world_open(DREAM, 5, 100);
        Refinement *r[5];
        Error err;
        int32_t expected[LENGTH];
        for (int i = 0; i < 5; i++) {
            RefineOptions o = plain(w);
            o.cache = (RefineCache)cache;
            o.prompt_count = PROMPT - 2 * i;
            o.sampling.temperature = 0.5f;
            o.sampling.seed = (uint64_t)i;
            assert_int_equal(diffusion_begin(w->diffusion, &o, &r[i], &err), OK);
        }
        assert_int_equal(diffusion_begin(w->diffusion, &(RefineOptions){0}, &r[0], &err), BAD_ARGUMENT);
        finish(w);
        for (int i = 0; i < 5; i++) {
            RefineOptions o = r[i]->options;
            o.prompt = w->prompt;
            tokens_of(alone, &o, expected);
            assert_memory_equal(r[i]->tokens + r[i]->first, expected, sizeof expected);
        }
        world_close(w);
        world_close(alone);
    }
}

/* In the first step of a block all is computed, so with one step a block the cache changes nothing. With more it
 * leaves out the prompt and the blocks before, and says so in rows. */
static void the_cache_is_exact_where_nothing_is_taken_from_it(void **state)
{
    (void)state;
    for (int f = 0; f < BOTH; f++) {
        World *w = world_open(f, 2, 0);
        int32_t exact[LENGTH], cached[LENGTH];
        RefineOptions o = plain(w);
        o.steps = 3;
        tokens_of(w, &o, exact);
        o.cache = REFINE_PREFIX;
        tokens_of(w, &o, cached);
        assert_memory_equal(exact, cached, sizeof exact);

        Refinement *r;
        Error err;
        o.steps = LENGTH;
        assert_int_equal(diffusion_begin(w->diffusion, &o, &r, &err), OK);
        finish(w);
        int64_t total = PROMPT + LENGTH, shift = w->model->shape.logits_shift, rows = 0;
        for (int64_t block = 0; block < 3; block++)
            rows += total + 7 * (LENGTH - 8 * block + shift);
        assert_int_equal(r->rows, rows);
        assert_int_equal(r->masks, 0);
        world_close(w);
    }
}

/* The keys of the first layer depend on nothing but their token, so with one layer the cache is exact, step by step,
 * whatever the rule and the temperature; with more it is an approximation, and not another computation. */
static void a_cached_step_sees_the_whole_text(void **state)
{
    (void)state;
    for (int which = LLADA; which <= ONE_LAYER; which++) {
        World *w = world_open(which, 1, 0);
        int32_t exact[LENGTH], cached[LENGTH], same = 0;
        RefineOptions o = plain(w);
        o.steps = LENGTH;
        o.sampling.temperature = 0.3f;
        tokens_of(w, &o, exact);
        o.cache = REFINE_PREFIX;
        tokens_of(w, &o, cached);
        for (int i = 0; i < LENGTH; i++)
            same += exact[i] == cached[i];
        assert_true(same >= (which == ONE_LAYER ? LENGTH : LENGTH / 3)); /* of 320 tokens: chance would give none */
        world_close(w);
    }
}

/* Every place may hold the longest text, also where that is no multiple of a cache block. */
static void all_places_fit_at_once(void **state)
{
    (void)state;
    World *w = world_open(LLADA, 1, 0);
    Diffusion *d;
    Refinement *r;
    Error err;
    DiffusionOptions options = diffusion_options_default();
    EngineModel model = engine_model(w->model);
    options.sequences = 5;
    options.context = PROMPT + LENGTH; /* 35: two blocks of 16 and three more */
    assert_int_equal(diffusion_new(&d, &options, &model, w->device, &err), OK);
    RefineOptions o = plain(w);
    for (int i = 0; i < 5; i++)
        assert_int_equal(diffusion_begin(d, &o, &r, &err), OK);
    while (diffusion_step(d))
        ;
    assert_true(r->ended && r->masks == 0);
    diffusion_free(d);
    world_close(w);
}

static int32_t least_length, rows_seen;

static void look_at_lengths(const void *model, Device *d, const Step *step, Tensor logits)
{
    for (int32_t i = 0; i < step->rows && rows_seen >= 0; i++, rows_seen++)
        least_length = tensor_i32(step->lengths)[i] < least_length ? tensor_i32(step->lengths)[i] : least_length;
    model_forward(model, d, step, logits);
}

/* Rotations that stretch with the length go by that of the whole text, for its first row as for its last. */
static void all_rows_know_the_whole_length(void **state)
{
    (void)state;
    World *w = world_open(DREAM, 1, 0);
    Diffusion *d;
    Refinement *r;
    Error err;
    DiffusionOptions options = diffusion_options_default();
    EngineModel model = engine_model(w->model);
    model.forward = look_at_lengths;
    rows_seen = -1; /* not while the memory is planned */
    assert_int_equal(diffusion_new(&d, &options, &model, w->device, &err), OK);
    RefineOptions o = plain(w);
    rows_seen = 0;
    least_length = INT32_MAX;
    assert_int_equal(diffusion_begin(d, &o, &r, &err), OK);
    while (diffusion_step(d))
        ;
    assert_int_equal(rows_seen, 12 * (PROMPT + LENGTH));
    assert_int_equal(least_length, PROMPT + LENGTH);
    diffusion_free(d);
    world_close(w);
}

static void logits_need_no_place_that_is_taken(void **state)
{
    (void)state;
    World *w = world_open(LLADA, 2, 0);
    RefineOptions o = plain(w);
    Refinement *r;
    Error err;
    int32_t V = w->model->shape.V, tokens[LENGTH], undisturbed[LENGTH];
    float *once = calloc((size_t)(PROMPT * V), sizeof *once), *twice = calloc((size_t)(2 * PROMPT * V), sizeof *twice);
    tokens_of(w, &o, undisturbed);
    DiffusionText text = {w->prompt, PROMPT, 0, once}, texts[2] = {text, text};
    texts[0].logits = twice;
    texts[1].logits = twice + PROMPT * V;
    assert_int_equal(diffusion_logits(w->diffusion, texts, 2, &err), OK);
    assert_int_equal(diffusion_begin(w->diffusion, &o, &r, &err), OK);
    for (int i = 0; i < 5; i++)
        assert_true(diffusion_step(w->diffusion));
    assert_int_equal(diffusion_logits(w->diffusion, &text, 1, &err), OK);
    finish(w);
    memcpy(tokens, r->tokens + r->first, sizeof tokens);
    assert_memory_equal(tokens, undisturbed, sizeof tokens);
    assert_memory_equal(once, twice, (size_t)(PROMPT * V) * sizeof *once);
    assert_memory_equal(once, twice + PROMPT * V, (size_t)(PROMPT * V) * sizeof *once);
    free(once);
    free(twice);
    world_close(w);
}

/* ---- refusals ---- */

static void what_is_wrong_is_named_with_its_numbers(void **state)
{
    (void)state;
    World *w = world_open(LLADA, 1, 0);
    RefineOptions good = plain(w), length = good, block = good, steps = good, few = good, many = good, room = good,
                  token = good, empty = good, penalty = good;
    int32_t wild[] = {5, 320};
    length.length = 0;
    block.block = 7;
    steps.steps = 13;
    few.steps = 2;
    many.steps = 48;
    room.length = room.block = room.steps = 56;
    token.prompt = wild;
    token.prompt_count = 2;
    empty.prompt_count = 0;
    penalty.sampling.presence_penalty = 1;
    const struct {
        const RefineOptions *o;
        Err code;
        const char *says;
    } cases[] = {
        {&length, BAD_ARGUMENT, "length: 0"},
        {&block, BAD_ARGUMENT, "block length: 7; it must divide the answer's 24"},
        {&steps, BAD_ARGUMENT, "steps: 13; it must be a multiple of the 3 blocks"},
        {&few, BAD_ARGUMENT, "steps: 2;"},
        {&many, BAD_ARGUMENT, "at most the answer's 24"},
        {&room, NO_MEMORY, "are 67; the context is 64"},
        {&token, BAD_ARGUMENT, "token 1 of the prompt is 320"},
        {&empty, BAD_ARGUMENT, "the prompt is empty"},
        {&penalty, UNSUPPORTED, "penalties"},
    };
    Refinement *r, *second;
    Error err;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(diffusion_begin(w->diffusion, cases[i].o, &r, &err), cases[i].code);
        assert_non_null(strstr(err.text, cases[i].says));
    }
    assert_int_equal(diffusion_begin(w->diffusion, &good, &r, &err), OK);
    assert_int_equal(diffusion_begin(w->diffusion, &good, &second, &err), LIMIT_REACHED);
    diffusion_end(w->diffusion, r); /* in the middle of it */
    assert_int_equal(diffusion_begin(w->diffusion, &good, &r, &err), OK);
    world_close(w);
}

static Err read_variant(const char *family, const char *fields, Read *r, Error *err)
{
    char all[256];
    bool llada = !strcmp(family, "llada");
    snprintf(all, sizeof all, "%s%s", llada ? "\"mask_token_id\": 300, " : "", fields);
    return read_config(r, family, all, false, err);
}

static void configs_are_understood_or_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *family, *fields, *says;
    } refused[] = {
        {"llada", "\"embedding_size\": 320, \"alibi\": true", "alibi true"},
        {"llada", "\"embedding_size\": 320, \"rope\": false", "rope false"},
        {"llada", "\"embedding_size\": 320, \"block_type\": \"sequential\"", "block_type 'sequential'"},
        {"llada", "\"embedding_size\": 320, \"layer_norm_type\": \"gemma_rms\"", "layer_norm_type 'gemma_rms'"},
        {"llada", "\"embedding_size\": 200", "embedding_size is 200"},
        {"llada", "\"x\": 0", "mask_token_id is 300; ridge takes 0 to 299"},
        {"Dream", "\"x\": 0", "mask_token_id is missing"},
        {"Dream", "\"mask_token_id\": 5, \"use_sliding_window\": true", "use_sliding_window"},
        {"Dream", "\"mask_token_id\": 5, \"use_mrope\": true", "use_mrope"},
    };
    Read r;
    Error err;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        Err result = read_variant(refused[i].family, refused[i].fields, &r, &err);
        if (result == OK || !strstr(err.text, refused[i].says))
            print_error("%s: %s\n", refused[i].fields, result == OK ? "was taken" : err.text);
        assert_int_not_equal(result, OK);
        assert_non_null(strstr(err.text, refused[i].says));
        close_config(&r);
    }
    assert_int_equal(read_variant("llada", "\"embedding_size\": 320, \"n_kv_heads\": 2, \"clip_qkv\": 8", &r, &err), OK);
    assert_true(r.shape.bidirectional && !r.shape.logits_shift && r.shape.mask_id == 300);
    assert_true(r.shape.V == 320 && r.shape.K == 2);
    assert_true(decoder_shape(&r.shape)->layer[1].attention.clip == 8);
    assert_true(decoder_shape(&r.shape)->layer[1].attention.how.bidirectional);
    close_config(&r);
    assert_int_equal(read_variant("Dream", "\"mask_token_id\": 5", &r, &err), OK);
    assert_true(r.shape.bidirectional && r.shape.logits_shift);
    close_config(&r);
    World *w = world_open(ONE_LAYER, 1, 0); /* says the width of its mlp as a multiple */
    assert_int_equal(w->model->shape.F, 2 * w->model->shape.D);
    world_close(w);
}

static void each_loop_refuses_the_other_kind_of_model(void **state)
{
    (void)state;
    Error err;
    Engine *engine;
    Diffusion *diffusion;
    World *w = world_open(LLADA, 1, 0);
    EngineOptions options = engine_options_default();
    EngineModel model = engine_model(w->model);
    assert_int_equal(engine_new(&engine, &options, &model, w->device, &err), UNSUPPORTED);
    assert_non_null(strstr(err.text, "'llada' is a diffusion model"));
    world_close(w);

    Checkpoint checkpoint;
    Device *device;
    Model *llama;
    DiffusionOptions refine = diffusion_options_default();
    assert_int_equal(checkpoint_open(&checkpoint, "tests/fixtures/hf/llama", &err), OK);
    assert_int_equal(cpu_device_open(&(CpuOptions){.threads = 1}, &device, &err), OK);
    assert_int_equal(model_open(&checkpoint, device, NULL, &llama, &err), OK);
    model = engine_model(llama);
    assert_int_equal(diffusion_new(&diffusion, &refine, &model, device, &err), UNSUPPORTED);
    assert_non_null(strstr(err.text, "'llama' is no diffusion model"));
    model_close(llama);
    device_close(device);
    checkpoint_close(&checkpoint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_schedule_fills_the_block),
        cmocka_unit_test(origin_keeps_an_even_share_of_what_is_left),
        cmocka_unit_test(confidences_are_what_their_names_say),
        cmocka_unit_test(the_surest_stay_and_of_equals_the_first),
        cmocka_unit_test(a_choice_at_a_temperature_draws_by_the_softmax),
        cmocka_unit_test(gumbel_noise_draws_what_the_sampler_draws),
        cmocka_unit_test(blocks_are_filled_from_left_to_right),
        cmocka_unit_test(every_rule_fills_every_mask_and_a_seed_repeats),
        cmocka_unit_test(an_answer_that_has_ended_is_not_filled_on),
        cmocka_unit_test(company_changes_nothing),
        cmocka_unit_test(the_cache_is_exact_where_nothing_is_taken_from_it),
        cmocka_unit_test(a_cached_step_sees_the_whole_text),
        cmocka_unit_test(all_places_fit_at_once),
        cmocka_unit_test(all_rows_know_the_whole_length),
        cmocka_unit_test(logits_need_no_place_that_is_taken),
        cmocka_unit_test(what_is_wrong_is_named_with_its_numbers),
        cmocka_unit_test(configs_are_understood_or_refused_by_name),
        cmocka_unit_test(each_loop_refuses_the_other_kind_of_model),
    };
    return cmocka_run_group_tests(tests, make_models, remove_models);
}

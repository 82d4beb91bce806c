/* Without a cache (EngineOptions.forgets) the tokens are the same, and the work is what was predicted without doing it:
 * protects the comparison of O(T^3) with O(T^2), and every plan that is made by the forward pass on paper. */
#include <math.h>

#include "devices/cpu/cpu_device.h"
#include "model/package.h"
#include "test.h"
#include "tools/no_cache.h"

enum { PROMPT = 21, TOKENS = 9, LAST = PROMPT + TOKENS };

/* Full, latent, windowed and shared pasts, experts, angles that depend on the length, states of fixed size. */
static const char *const families[] = {"llama", "deepseek_v3", "gemma3_text", "hunyuan_cla", "mixtral", "phi3_longrope",
                                       "mamba", "jamba", "rwkv"};

typedef struct Subject {
    Package package;
    Device *tally;
    Model *model;
    int32_t prompt[PROMPT];
} Subject;

typedef struct Answer {
    int32_t tokens[2][TOKENS], count[2];
    RunCost cost;
} Answer;

static void open_subject(Subject *s, const char *family)
{
    Error err = {0};
    Device *cpu;
    char path[256];
    snprintf(path, sizeof path, "tests/fixtures/hf/%s", family);
    must_be_ok(package_open(&s->package, path, &err), &err);
    must_be_ok(cpu_device_open(&(CpuOptions){.tier = TIER_BEST, .threads = 1}, &cpu, &err), &err);
    must_be_ok(tally_open(cpu, &s->tally, &err), &err);
    must_be_ok(model_open(&s->package.checkpoint, s->tally, NULL, &s->model, &err), &err);
    for (int32_t i = 0; i < PROMPT; i++)
        s->prompt[i] = 3 + (i * 37 + i * i * 11) % (s->model->shape.V - 8);
}

static void close_subject(Subject *s)
{
    model_close(s->model);
    device_close(s->tally);
    package_close(&s->package);
}

/* rows: of a step, so that a past is computed again in several. */
static Engine *open_engine(const Subject *s, bool forgets, int32_t rows)
{
    Error err = {0};
    Engine *engine;
    EngineOptions o = engine_options_default();
    o.sequences = 2;
    o.context = LAST + 4;
    o.block_tokens = 8;
    o.rows = rows;
    o.state_snapshots = 0;         /* for which a prompt would be computed in more steps */
    if (forgets)
        no_cache_options(&o, o.context);
    o.rows = rows;
    EngineModel model = engine_model(s->model);
    must_be_ok(engine_new(&engine, &o, &model, s->tally, &err), &err);
    return engine;
}

static Answer ask(const Subject *s, Engine *engine, int32_t samples)
{
    Error err = {0};
    Request *request;
    Event event;
    Answer a = {0};
    RequestOptions o = {.prompt = s->prompt, .prompt_count = PROMPT, .max_tokens = TOKENS, .samples = samples,
                        .sampling = sampler_options_greedy()};
    o.sampling.temperature = 0.9f;
    o.sampling.seed = 11;
    tally_reset(s->tally);
    must_be_ok(engine_submit(engine, &o, &request, &err), &err);
    while (!request_ended(request)) {
        engine_step(engine);
        while (request_next(request, &event))
            if (event.kind == EVENT_TOKEN)
                a.tokens[event.sample][a.count[event.sample]++] = event.token.id;
    }
    request_close(request);
    must_be_ok(engine_audit(engine, &err), &err);
    a.cost = run_cost_measured(s->tally, engine_stats(engine).rows, 0);
    return a;
}

static void tokens_are_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        Subject s;
        print_message("%s\n", families[i]);
        open_subject(&s, families[i]);
        Engine *keeps = open_engine(&s, false, 64), *forgets = open_engine(&s, true, 64), *chunks = open_engine(&s, true, 10);
        Answer with = ask(&s, keeps, 2), without = ask(&s, forgets, 2), in_chunks = ask(&s, chunks, 2);
        assert_int_equal(with.count[1], TOKENS);
        assert_memory_equal(with.tokens, without.tokens, sizeof with.tokens);
        assert_memory_equal(with.tokens, in_chunks.tokens, sizeof with.tokens);
        assert_int_equal(with.cost.rows, PROMPT + 2 * (TOKENS - 1));
        assert_true(without.cost.rows > 4 * with.cost.rows);
        engine_free(keeps), engine_free(forgets), engine_free(chunks);
        close_subject(&s);
    }
}

/* But for the order of sums. */
static void near(double a, double b) { assert_true(fabs(a - b) <= 1e-9 * fabs(b)); }

static void must_agree(const RunCost *predicted, const RunCost *measured)
{
    assert_int_equal(predicted->rows, measured->rows);
    near(predicted->work.demand.bytes, measured->work.demand.bytes);
    near(predicted->work.cache_bytes, measured->work.cache_bytes);
    near(predicted->attention, measured->attention);
    for (int kind = 0; kind < ARITHMETICS; kind++)
        near(predicted->work.demand.operations[kind], measured->work.demand.operations[kind]);
}

/* Rows by hand: S + T - 1 with a cache, T S + T (T - 1) / 2 without. */
static void the_work_is_what_was_predicted(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        Subject s;
        Error err = {0};
        RunCost with, without;
        print_message("%s\n", families[i]);
        open_subject(&s, families[i]);
        NoCacheRun run = {PROMPT, TOKENS, 64, &format_f32};
        must_be_ok(no_cache_predict(s.model, run, &with, &without, &err), &err);
        Engine *keeps = open_engine(&s, false, 64), *forgets = open_engine(&s, true, 64);
        Answer done = ask(&s, keeps, 1);
        must_agree(&with, &done.cost);
        assert_int_equal(with.rows, PROMPT + TOKENS - 1);
        done = ask(&s, forgets, 1);
        must_agree(&without, &done.cost);
        assert_int_equal(without.rows, TOKENS * PROMPT + TOKENS * (TOKENS - 1) / 2);
        engine_free(keeps), engine_free(forgets);
        close_subject(&s);
    }
}

/* Pairs by hand: each row sees itself and all before it, over 2 layers of 4 heads, 16 wide: 4 operations for each value. */
static void attention_grows_with_the_cube(void **state)
{
    (void)state;
    Subject s;
    Error err = {0};
    RunCost with, without;
    open_subject(&s, "llama");
    const ModelShape *m = &s.model->shape;
    must_be_ok(no_cache_predict(s.model, (NoCacheRun){2, 3, 64, &format_f32}, &with, &without, &err), &err);
    double pair = 4.0 * m->N * m->H * s.model->kv.layers;
    assert_true(with.attention == pair * (1 + 2 + 3 + 4));
    assert_true(without.attention == pair * ((1 + 2) + (1 + 2 + 3) + (1 + 2 + 3 + 4)));
    close_subject(&s);
}

static void what_it_means_nothing_for_is_refused(void **state)
{
    (void)state;
    Error err = {0};
    ModelShape shape = {.family = "llada", .bidirectional = true};
    assert_int_equal(no_cache_check(&shape, 1, &err), BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "llada"));
    shape.bidirectional = false;
    assert_int_equal(no_cache_check(&shape, 2, &err), BAD_ARGUMENT);
    assert_int_equal(no_cache_check(&shape, 1, &err), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_the_same),
        cmocka_unit_test(the_work_is_what_was_predicted),
        cmocka_unit_test(attention_grows_with_the_cube),
        cmocka_unit_test(what_it_means_nothing_for_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

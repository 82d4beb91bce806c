/* Without a cache (EngineOptions.forgets) the tokens are the same, and the work is what was foreseen without doing it:
 * protects the comparison of O(T^3) with O(T^2), and every prediction that is made by showing a device steps. */
#include "devices/cpu/cpu_device.h"
#include "devices/watch/watch.h"
#include "engine/engine.h"
#include "model/package.h"
#include "test.h"

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
    int64_t rows;
    Tally work;
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
    o.forgets = forgets;
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
    a.rows = engine_stats(engine).rows;
    a.work = *tally_read(s->tally);
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
        assert_int_equal(with.rows, PROMPT + 2 * (TOKENS - 1));
        assert_true(without.work.demand.bytes >= with.work.demand.bytes);
        engine_free(keeps), engine_free(forgets), engine_free(chunks);
        close_subject(&s);
    }
}

static void foresee(const Subject *s, Engine *engine, const EngineSpan *spans, Tally *out)
{
    Error err = {0};
    tally_reset(s->tally);
    must_be_ok(engine_foresee(engine, spans, TOKENS, &err), &err);
    *out = *tally_read(s->tally);
}

static void must_agree(const Tally *foreseen, const Tally *done)
{
    assert_true(foreseen->demand.bytes == done->demand.bytes);
    for (int op = 0; op < OP_COUNT; op++)
        assert_true(foreseen->by_op[op].operations == done->by_op[op].operations && foreseen->calls[op] == done->calls[op]);
}

/* Rows by hand: S + T - 1 with a cache, T S + T (T - 1) / 2 without. */
static void the_work_is_what_was_foreseen(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        Subject s;
        Tally foreseen;
        EngineSpan with[TOKENS], without[TOKENS];
        print_message("%s\n", families[i]);
        open_subject(&s, families[i]);
        for (int32_t t = 0; t < TOKENS; t++) {
            with[t] = (EngineSpan){t ? PROMPT + t - 1 : 0, PROMPT + t};
            without[t] = (EngineSpan){0, PROMPT + t};
        }
        Engine *keeps = open_engine(&s, false, 64), *forgets = open_engine(&s, true, 10);
        foresee(&s, keeps, with, &foreseen);
        Answer done = ask(&s, keeps, 1);
        must_agree(&foreseen, &done.work);
        assert_int_equal(done.rows, PROMPT + TOKENS - 1);
        foresee(&s, forgets, without, &foreseen);
        done = ask(&s, forgets, 1);
        must_agree(&foreseen, &done.work);
        assert_int_equal(done.rows, TOKENS * PROMPT + TOKENS * (TOKENS - 1) / 2);
        engine_free(keeps), engine_free(forgets);
        close_subject(&s);
    }
}

static void steps_beyond_the_context_are_refused(void **state)
{
    (void)state;
    Subject s;
    Error err = {0};
    open_subject(&s, "llama");
    Engine *engine = open_engine(&s, false, 64);
    const EngineSpan wrong[] = {{0, LAST + 5}, {-1, 3}, {4, 4}};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(engine_foresee(engine, &wrong[i], 1, &err), BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "the longest sequence has"));
    engine_free(engine);
    close_subject(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_the_same),
        cmocka_unit_test(the_work_is_what_was_foreseen),
        cmocka_unit_test(steps_beyond_the_context_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

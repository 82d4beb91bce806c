/* Families with states of fixed size, on their own kernels: a past that was taken from a snapshot, or went
 * back after wrong drafts, gives the same bits as one that was computed. (That the cache does so for any
 * schedule is the simulation's business; here it is that the operations keep their whole past in the state.) */
#include "test.h"

#include "devices/cpu/cpu_device.h"
#include "engine/engine.h"
#include "model/package.h"

enum { PROMPT = 70, NEW_TOKENS = 20, BLOCK = 8, DRAFTS = 4, TOKENS_MAX = PROMPT + NEW_TOKENS };

static const char *const families[] = {"mamba", "mamba2", "rwkv", "xlstm", "jamba", "recurrent_gemma", "lfm2", "minimax",
                                       "olmo_hybrid", "falcon_h1", "nemotron_h", "zamba", "zamba2"};

typedef struct Answer {
    int32_t tokens[NEW_TOKENS], count, reused;
    float *last;                   /* [V] logits after the prompt */
} Answer;

static void must(Err code, const Error *err)
{
    if (code != OK)
        print_error("%s\n", err->text);
    assert_int_equal(code, OK);
}

/* Every third guess is wrong. */
static int32_t propose(void *with, const int32_t *tokens, int32_t known, int32_t *drafts, int32_t most)
{
    const Answer *truth = with;
    int32_t count = 0;
    (void)tokens;
    for (int32_t at = known - PROMPT; count < most && at < truth->count; at++)
        drafts[count++] = at % 3 ? truth->tokens[at] : truth->tokens[at] ^ 1;
    return count;
}

static Answer ask(Engine *engine, const int32_t *prompt, int32_t V, bool with_logits)
{
    Error err = {0};
    Request *request;
    Event event;
    Answer a = {.last = with_logits ? calloc((size_t)V, sizeof(float)) : NULL};
    RequestOptions o = {.prompt = prompt, .prompt_count = PROMPT, .max_tokens = NEW_TOKENS, .score_from = PROMPT - 1,
                        .logits = a.last, .sampling = sampler_options_greedy()};
    must(engine_submit(engine, &o, &request, &err), &err);
    while (!request_ended(request)) {
        engine_step(engine);
        while (request_next(request, &event))
            if (event.kind == EVENT_TOKEN)
                a.tokens[a.count++] = event.token.id;
            else if (event.kind == EVENT_END)
                a.reused = event.times.reused_tokens;
    }
    request_close(request);
    must(engine_audit(engine, &err), &err);
    return a;
}

static Engine *open_engine(const Model *model, Device *device, EngineDrafter drafter)
{
    Error err = {0};
    Engine *engine;
    EngineOptions o = engine_options_default();
    o.sequences = 2;
    o.context = TOKENS_MAX;
    o.block_tokens = BLOCK;
    o.state_interval = 3 * BLOCK;
    o.drafter = drafter;
    EngineModel described = engine_model(model);
    must(engine_new(&engine, &o, &described, device, &err), &err);
    return engine;
}

static void check_family(const char *path)
{
    Error err = {0};
    Package package;
    Device *device;
    Model *model;
    int32_t prompt[PROMPT];
    print_message("%s\n", path);
    must(package_open(&package, path, &err), &err);
    must(cpu_device_open(&(CpuOptions){.tier = TIER_BEST, .threads = 2}, &device, &err), &err);
    must(model_open(&package.checkpoint, device, NULL, &model, &err), &err);
    int32_t V = model->shape.V;
    for (int32_t i = 0; i < PROMPT; i++)
        prompt[i] = 3 + (i * 37 + i * i * 11) % (V - 8);

    Engine *engine = open_engine(model, device, (EngineDrafter){0});
    Answer computed = ask(engine, prompt, V, true), again = ask(engine, prompt, V, true);
    assert_int_equal(computed.reused, 0);
    assert_int_equal(again.reused, (PROMPT - 1) / BLOCK * BLOCK);
    assert_int_equal(computed.count, NEW_TOKENS);
    assert_memory_equal(computed.tokens, again.tokens, sizeof again.tokens);
    assert_memory_equal(computed.last, again.last, (size_t)V * sizeof *again.last);
    engine_free(engine);

    engine = open_engine(model, device, (EngineDrafter){propose, &computed, DRAFTS});
    Answer drafted = ask(engine, prompt, V, false);
    EngineStats stats = engine_stats(engine);
    assert_memory_equal(computed.tokens, drafted.tokens, sizeof drafted.tokens);
    assert_true(stats.accepted_tokens > 0 && stats.accepted_tokens < stats.drafted_tokens);
    engine_free(engine);

    free(computed.last);
    free(again.last);
    model_close(model);
    device_close(device);
    package_close(&package);
}

static void a_past_from_a_snapshot_or_after_wrong_drafts_is_the_computed_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        char name[64];
        snprintf(name, sizeof name, "fixtures/hf/%s", families[i]);
        const char *path = shared_path(name);
        if (path)
            check_family(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_past_from_a_snapshot_or_after_wrong_drafts_is_the_computed_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

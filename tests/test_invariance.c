/* The same request gives the same bits: in one step or in many, alone or in company, whatever the blocks,
 * the threads and the tier. Speculation, prefix sharing and preemption all stand on this. */
#include "test.h"

#include "devices/cpu/cpu_device.h"
#include "engine/engine.h"
#include "model/package.h"

enum { PROMPT = 90, COMPANY = 5, NEW_TOKENS = 12 };

typedef struct World {
    Package package;
    int32_t prompt[PROMPT];
    size_t logits_bytes;
} World;

typedef struct How {
    CpuTier tier;
    int32_t threads, rows, block_tokens, company;
} How;

typedef struct Outcome {
    float *logits; /* [PROMPT, V] */
    int32_t tokens[NEW_TOKENS], count;
} Outcome;

static const char *model_path;

static int open_world(void **state)
{
    static World w;
    Error err;
    if (package_open(&w.package, model_path, &err) != OK) {
        print_error("%s\n", err.text);
        return -1;
    }
    for (int i = 0; i < PROMPT; i++)
        w.prompt[i] = (i * 37 + i * i * 11) % 320;
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    package_close(&((World *)*state)->package);
    return 0;
}

static void must(Err code, const Error *err)
{
    if (code != OK)
        print_error("%s\n", err->text);
    assert_int_equal(code, OK);
}

/* Others that come and go beside the request: other lengths, some with its own beginning. */
static void bring_company(const World *w, Engine *engine, int count, Request **others)
{
    Error err = {0};
    for (int i = 0; i < count; i++) {
        RequestOptions options = {.prompt = w->prompt + (i % 2) * 9,
                                  .prompt_count = 11 * (i + 1),
                                  .max_tokens = 3 + 7 * i,
                                  .sampling = sampler_options_greedy()};
        must(engine_submit(engine, &options, &others[i], &err), &err);
    }
}

static void drain(Engine *engine, Request *request, Request *const *others, int count, Outcome *out)
{
    Event event;
    while (!request_ended(request)) {
        engine_step(engine);
        while (request_next(request, &event))
            if (event.kind == EVENT_TOKEN)
                out->tokens[out->count++] = event.token.id;
        for (int i = 0; i < count; i++)
            while (request_next(others[i], &event))
                ;
    }
}

static Outcome run(const World *w, How how)
{
    Error err = {0};
    Device *device;
    Model *model;
    Engine *engine;
    Request *request, *others[COMPANY];
    must(cpu_device_open(&(CpuOptions){.tier = how.tier, .threads = how.threads}, &device, &err), &err);
    must(model_open(&w->package.checkpoint, device, NULL, &model, &err), &err);
    EngineOptions options = engine_options_default();
    options.sequences = options.logit_rows = COMPANY + 1;
    options.rows = how.rows > options.sequences ? how.rows : options.sequences;
    options.block_tokens = how.block_tokens;
    options.context = 160;
    options.cache_format = &format_f32;
    EngineModel described = engine_model(model);
    must(engine_new(&engine, &options, &described, device, &err), &err);

    Outcome out = {.logits = calloc(PROMPT * (size_t)model->shape.V, sizeof(float))};
    bring_company(w, engine, how.company, others);
    RequestOptions asked = {.prompt = w->prompt,
                            .prompt_count = PROMPT,
                            .max_tokens = NEW_TOKENS,
                            .prompt_logprobs = true,
                            .sampling = sampler_options_greedy(),
                            .logits = out.logits};
    must(engine_submit(engine, &asked, &request, &err), &err);
    drain(engine, request, others, how.company, &out);
    request_close(request);
    for (int i = 0; i < how.company; i++)
        request_close(others[i]);
    engine_free(engine);
    model_close(model);
    device_close(device);
    return out;
}

static void same(const World *w, How a, How b)
{
    Outcome one = run(w, a), two = run(w, b);
    assert_int_equal(one.count, NEW_TOKENS);
    assert_memory_equal(one.tokens, two.tokens, sizeof one.tokens);
    assert_memory_equal(one.logits, two.logits, PROMPT * 320 * sizeof(float));
    free(one.logits);
    free(two.logits);
}

static const How usual = {.tier = TIER_BEST, .threads = 2, .rows = 128, .block_tokens = 16};

static void chunks_change_nothing(void **state)
{
    for (int32_t rows = 7; rows <= 64; rows += 19) {
        How how = usual;
        how.rows = rows;
        same(*state, usual, how);
    }
}

static void chunks_change_nothing_on_the_reference_either(void **state)
{
    How whole = usual, parts = usual;
    whole.tier = parts.tier = TIER_REFERENCE;
    parts.rows = 7;
    same(*state, whole, parts);
}

static void company_changes_nothing(void **state)
{
    for (int32_t company = 1; company <= COMPANY; company += 2) {
        How how = usual;
        how.company = company;
        how.rows = 24;
        same(*state, usual, how);
    }
}

static void blocks_change_nothing(void **state)
{
    for (int32_t tokens = 1; tokens <= 64; tokens *= 4) {
        How how = usual;
        how.block_tokens = tokens;
        same(*state, usual, how);
    }
}

static void threads_change_nothing(void **state)
{
    How how = usual;
    how.threads = 1;
    same(*state, usual, how);
    how.threads = 3;
    same(*state, usual, how);
}

static void tiers_give_the_same_bits(void **state)
{
    for (int tier = TIER_AVX2; tier < cpu_best_tier(); tier++) {
        How how = usual;
        how.tier = (CpuTier)tier;
        same(*state, usual, how);
    }
}

/* A window; then every kind of state, alone, between attention, beside it; experts; shared blocks. */
static const char *const models[] = {
    "tests/fixtures/hf/mistral", "fixtures/hf/mamba",      "fixtures/hf/mamba2",     "fixtures/hf/jamba",
    "fixtures/hf/falcon_h1",     "fixtures/hf/nemotron_h", "fixtures/hf/lfm2_moe",   "fixtures/hf/zamba2",
    "fixtures/hf/rwkv",          "fixtures/hf/xlstm",      "fixtures/hf/qwen3_next", "fixtures/hf/minimax",
    "fixtures/hf/recurrent_gemma",
};

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_change_nothing),   cmocka_unit_test(chunks_change_nothing_on_the_reference_either),
        cmocka_unit_test(company_changes_nothing), cmocka_unit_test(blocks_change_nothing),
        cmocka_unit_test(threads_change_nothing),  cmocka_unit_test(tiers_give_the_same_bits),
    };
    int failed = 0;
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        model_path = i == 0 ? models[0] : shared_path(models[i]);
        if (model_path)
            failed += cmocka_run_group_tests_name(models[i], tests, open_world, close_world);
    }
    return failed;
}

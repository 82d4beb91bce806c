/* The same request gives the same bits: in one step or in many, alone or in company, whatever the blocks,
 * the threads and the tier. Speculation, prefix sharing and preemption all stand on this. */
#include "test.h"

#include <glob.h>

#include "devices/cpu/cpu_device.h"
#include "engine/engine.h"
#include "model/package.h"

enum { PROMPT = 90, COMPANY = 5, NEW_TOKENS = 12, VOCABULARY = 320 };

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
    int32_t tokens[NEW_TOKENS], count, reused;
} Outcome;

static bool open_fixture(World *w, const char *folder)
{
    Error err;
    for (int i = 0; i < PROMPT; i++)
        w->prompt[i] = (i * 37 + i * i * 11) % VOCABULARY;
    if (package_open(&w->package, folder, &err) == OK)
        return true;
    print_error("%s\n", err.text);
    return false;
}

static int open_world(void **state)
{
    static World w;
    *state = &w;
    return open_fixture(&w, "tests/fixtures/hf/mistral") ? 0 : -1;
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
            else if (event.kind == EVENT_END)
                out->reused = event.times.reused_tokens;
        for (int i = 0; i < count; i++)
            while (request_next(others[i], &event))
                ;
    }
}

/* A model that runs. */
typedef struct Running {
    Device *device;
    Model *model;
    Engine *engine;
} Running;

static Running start(const World *w, How how)
{
    Running r;
    Error err = {0};
    must(cpu_device_open(&(CpuOptions){.tier = how.tier, .threads = how.threads}, &r.device, &err), &err);
    must(model_open(&w->package.checkpoint, r.device, NULL, &r.model, &err), &err);
    EngineOptions options = engine_options_default();
    options.sequences = options.logit_rows = COMPANY + 1;
    options.rows = how.rows > options.sequences ? how.rows : options.sequences;
    options.block_tokens = how.block_tokens;
    options.context = 160;
    options.cache_format = &format_f32;
    EngineModel described = engine_model(r.model);
    must(engine_new(&r.engine, &options, &described, r.device, &err), &err);
    return r;
}

static void stop(Running r)
{
    engine_free(r.engine);
    model_close(r.model);
    device_close(r.device);
}

static Outcome run(const World *w, How how)
{
    Error err = {0};
    Request *request, *others[COMPANY];
    Running r = start(w, how);
    Outcome out = {.logits = calloc(PROMPT * (size_t)r.model->shape.V, sizeof(float))};
    bring_company(w, r.engine, how.company, others);
    RequestOptions asked = {.prompt = w->prompt,
                            .prompt_count = PROMPT,
                            .max_tokens = NEW_TOKENS,
                            .prompt_logprobs = true,
                            .sampling = sampler_options_greedy(),
                            .logits = out.logits};
    must(engine_submit(r.engine, &asked, &request, &err), &err);
    drain(r.engine, request, others, how.company, &out);
    request_close(request);
    for (int i = 0; i < how.company; i++)
        request_close(others[i]);
    stop(r);
    return out;
}

static void same(const World *w, How a, How b)
{
    Outcome one = run(w, a), two = run(w, b);
    assert_int_equal(one.count, NEW_TOKENS);
    assert_memory_equal(one.tokens, two.tokens, sizeof one.tokens);
    assert_memory_equal(one.logits, two.logits, PROMPT * VOCABULARY * sizeof(float));
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
    for (int tier = TIER_REFERENCE + 1; tier < cpu_best_tier(); tier++) {
        How how = usual;
        how.tier = (CpuTier)tier;
        same(*state, usual, how);
    }
}

/* Calls `check` for each fixture whose text is written from left to right: of those that $FAMILIES names ("{mistral,mamba}"),
 * if it does. */
static void for_each_family(void (*check)(const World *))
{
    glob_t found;
    char pattern[512];
    const char *families = getenv("FAMILIES");
    snprintf(pattern, sizeof pattern, "tests/fixtures/hf/%s", families && *families ? families : "*");
    assert_int_equal(glob(pattern, GLOB_BRACE, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        World w = {0};
        Model *model;
        Error err;
        assert_true(open_fixture(&w, found.gl_pathv[i]));
        must(model_describe(&w.package.checkpoint, &model, &err), &err);
        bool left_to_right = !model->shape.bidirectional;
        model_close(model);
        print_message("%s%s\n", found.gl_pathv[i], left_to_right ? "" : ": refines masks, test_diffusion has it");
        if (left_to_right)
            check(&w);
        package_close(&w.package);
    }
    globfree(&found);
}

static void nothing_changes_a_bit(const World *w)
{
    const How hows[] = {
        {.tier = TIER_BEST, .threads = 1, .rows = 23, .block_tokens = 16, .company = 3},
        {.tier = TIER_BEST, .threads = 3, .rows = 7, .block_tokens = 4, .company = COMPANY},
        {.tier = TIER_REFERENCE + 1, .threads = 2, .rows = 64, .block_tokens = 32},
    };
    for (size_t i = 0; i < COUNT_OF(hows); i++)
        if (hows[i].tier == TIER_BEST || hows[i].tier < cpu_best_tier())
            same(w, usual, hows[i]);
}

static void every_kind_of_layer_gives_the_same_bits(void **state)
{
    (void)state;
    for_each_family(nothing_changes_a_bit);
}

static Outcome ask(const World *w, Engine *engine)
{
    Error err = {0};
    Request *request;
    Outcome out = {0};
    RequestOptions asked = {.prompt = w->prompt, .prompt_count = PROMPT, .max_tokens = NEW_TOKENS,
                            .sampling = sampler_options_greedy()};
    must(engine_submit(engine, &asked, &request, &err), &err);
    drain(engine, request, NULL, 0, &out);
    request_close(request);
    return out;
}

static void a_known_beginning_changes_nothing(const World *w)
{
    Running r = start(w, usual);
    Outcome first = ask(w, r.engine), second = ask(w, r.engine);
    stop(r);
    assert_int_equal(first.reused, 0);
    assert_true(second.reused >= PROMPT / 2);
    assert_int_equal(first.count, second.count);
    assert_memory_equal(first.tokens, second.tokens, sizeof first.tokens);
}

static void every_kind_of_cache_shares_a_known_beginning(void **state)
{
    (void)state;
    for_each_family(a_known_beginning_changes_nothing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_change_nothing),   cmocka_unit_test(chunks_change_nothing_on_the_reference_either),
        cmocka_unit_test(company_changes_nothing), cmocka_unit_test(blocks_change_nothing),
        cmocka_unit_test(threads_change_nothing),  cmocka_unit_test(tiers_give_the_same_bits),
        cmocka_unit_test(every_kind_of_layer_gives_the_same_bits),
        cmocka_unit_test(every_kind_of_cache_shares_a_known_beginning),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}

/* Embeddings: what the head would have read, of the last position or as the mean over all; the same bits
 * whatever the chunks, the company and what the cache knew. */
#include "test.h"

#include <math.h>

#include "base/json.h"
#include "store/store.h"
#include "small_model.h"

enum { PROMPT = 40, WIDTH_MAX = 256, VOCABULARY = 320, TOKENS_MAX = 64 };

typedef struct World {
    SmallModel of;
    Engine *engine;
    int32_t prompt[PROMPT];
} World;

static void open_world(World *w, const char *folder, int32_t rows)
{
    EngineOptions o = engine_options_default();
    o.sequences = o.logit_rows = 4;
    o.rows = rows;
    o.block_tokens = 4;
    o.context = 128;
    o.state_interval = 8;
    small_model_open(&w->of, folder, o);
    w->engine = w->of.engine;
    for (int i = 0; i < PROMPT; i++)
        w->prompt[i] = (i * 37 + i * i * 11) % VOCABULARY;
}

static Request *ask(const World *w, Pooling pooling, const int32_t *prompt, int32_t count, float *out)
{
    Error err;
    Request *r;
    RequestOptions o = {.prompt = prompt, .prompt_count = count, .pooling = pooling, .embedding = out,
                        .sampling = sampler_options_greedy()};
    must_be_ok(engine_submit(w->engine, &o, &r, &err), &err);
    return r;
}

/* Reads its one event. Returns what the cache gave. */
static int32_t finish(const World *w, Request *r)
{
    Error err;
    Event event;
    while (engine_step(w->engine))
        must_be_ok(engine_audit(w->engine, &err), &err);
    assert_true(request_next(r, &event));
    assert_int_equal(event.kind, EVENT_END);
    assert_int_equal(event.reason, END_LENGTH);
    assert_true(request_ended(r));
    request_close(r);
    return event.times.reused_tokens;
}

/* --- the truth --- */

static int32_t read_ids(const json_t *ids, int32_t *out)
{
    int32_t count = (int32_t)json_array_size(ids);
    assert_in_range(count, 1, TOKENS_MAX);
    for (int32_t i = 0; i < count; i++)
        out[i] = (int32_t)json_integer_value(json_array_get(ids, (size_t)i));
    return count;
}

/* The logits that transformers computed for the last token are the head times the embedding. */
static void the_head_makes_the_reference_logits_of_it(const char *folder, const char *head_name)
{
    World w;
    Error err;
    char path[256];
    float hidden[WIDTH_MAX], row[WIDTH_MAX];
    int32_t ids[TOKENS_MAX];
    Store *expected;
    json_t *plan;
    open_world(&w, folder, 16);
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    must_be_ok(store_open(path, &expected, &err), &err);
    snprintf(path, sizeof path, "%s/expected.json", folder);
    must_be_ok(json_read_file(path, 1 << 20, &plan, &err), &err);
    int32_t count = read_ids(json_object_get(json_object_get(plan, "short"), "input_ids"), ids);
    const StoreTensor *logits = store_find(expected, "short_logits");
    const StoreTensor *head = store_find(w.of.package.checkpoint.store, head_name);
    assert_true(logits && head && logits->format == &format_f32);
    int64_t width = store_tensor_width(head), rows = store_tensor_elems(logits) / VOCABULARY;
    finish(&w, ask(&w, POOL_LAST, ids, count, hidden));
    const float *last = (const float *)(const void *)logits->bytes.data + (rows - 1) * VOCABULARY;
    for (int32_t v = 0; v < VOCABULARY; v++) {
        double sum = 0;
        head->format->decode(row, head->bytes.data + (size_t)v * format_row_bytes(head->format, width), (size_t)width);
        for (int64_t i = 0; i < width; i++)
            sum += (double)row[i] * (double)hidden[i];
        assert_true(fabs(sum - (double)last[v]) < 1e-3);
    }
    json_decref(plan);
    store_free(expected);
    small_model_close(&w.of);
}

static void an_embedding_is_what_the_head_reads(void **state)
{
    (void)state;
    the_head_makes_the_reference_logits_of_it("tests/fixtures/hf/llama", "lm_head.weight");
    the_head_makes_the_reference_logits_of_it("tests/fixtures/hf/qwen3", "model.embed_tokens.weight");
}

/* --- the same bits --- */

/* By definition, from the last states of all beginnings, each computed as a request of its own. */
static void mean_of_beginnings(World *w, float *out)
{
    static float last[PROMPT][WIDTH_MAX];
    Request *r[PROMPT];
    int32_t width = w->of.model->shape.D;
    for (int32_t n = 1; n <= PROMPT; n++)
        r[n - 1] = ask(w, POOL_LAST, w->prompt, n, last[n - 1]);
    for (int32_t n = 0; n < PROMPT; n++)
        finish(w, r[n]);
    for (int32_t i = 0; i < width; i++) {
        double sum = 0;
        for (int32_t n = 0; n < PROMPT; n++)
            sum += (double)last[n][i];
        out[i] = (float)(sum / PROMPT);
    }
}

static void check_family(const char *folder)
{
    static const int32_t chunks[] = {4, 7, 64};
    float expected[WIDTH_MAX], mean[WIDTH_MAX], again[WIDTH_MAX];
    for (size_t i = 0; i < COUNT_OF(chunks); i++) {
        World w;
        open_world(&w, folder, chunks[i]);
        size_t bytes = (size_t)w.of.model->shape.D * sizeof(float);
        assert_true(w.of.model->shape.D <= WIDTH_MAX);
        if (i == 0)
            mean_of_beginnings(&w, expected);
        Request *one = ask(&w, POOL_MEAN, w.prompt, PROMPT, mean), *two = ask(&w, POOL_MEAN, w.prompt, PROMPT, again);
        assert_int_equal(finish(&w, one), 0);
        assert_int_equal(finish(&w, two), 0); /* all rows are needed: nothing comes from the cache */
        assert_memory_equal(mean, expected, bytes);
        assert_memory_equal(again, expected, bytes);
        small_model_close(&w.of);
    }
}

static void a_mean_has_the_same_bits_in_any_chunks_and_company(void **state)
{
    (void)state;
    static const char *const families[] = {"llama", "gemma3n_text", "rwkv", "mamba2", "zamba2", "gpt2", "based", "mixtral"};
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        char folder[128];
        snprintf(folder, sizeof folder, "tests/fixtures/hf/%s", families[i]);
        check_family(folder);
    }
}

static void the_last_state_needs_only_the_last_row(void **state)
{
    (void)state;
    World w;
    float first[WIDTH_MAX], again[WIDTH_MAX];
    open_world(&w, "tests/fixtures/hf/llama", 16);
    assert_int_equal(finish(&w, ask(&w, POOL_LAST, w.prompt, PROMPT, first)), 0);
    assert_int_equal(finish(&w, ask(&w, POOL_LAST, w.prompt, PROMPT, again)), (PROMPT - 1) / 4 * 4);
    assert_memory_equal(first, again, (size_t)w.of.model->shape.D * sizeof(float));
    small_model_close(&w.of);
}

static void what_does_not_go_together_is_refused(void **state)
{
    (void)state;
    World w;
    float out[WIDTH_MAX];
    open_world(&w, "tests/fixtures/hf/llama", 16);
    const RequestOptions good = {.prompt = w.prompt, .prompt_count = 5, .pooling = POOL_MEAN, .embedding = out,
                                 .sampling = sampler_options_greedy()};
    RequestOptions bad[] = {good, good, good, good, good};
    bad[0].max_tokens = 1;
    bad[1].samples = 2;
    bad[2].embedding = NULL;
    bad[3].prompt_logprobs = true;
    bad[4].pooling = (Pooling)7;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Request *r;
        Error err;
        assert_int_equal(engine_submit(w.engine, &bad[i], &r, &err), BAD_ARGUMENT);
        assert_non_null(strstr(err.text, "pooling: "));
    }
    small_model_close(&w.of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_embedding_is_what_the_head_reads),
        cmocka_unit_test(a_mean_has_the_same_bits_in_any_chunks_and_company),
        cmocka_unit_test(the_last_state_needs_only_the_last_row),
        cmocka_unit_test(what_does_not_go_together_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

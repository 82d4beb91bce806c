/* The public interface: what include/ridge.h promises, through nothing but that header. */
#include "test.h"

#include <pthread.h>

#include <ridge.h>

typedef struct World {
    ridge_model *model;
    ridge_engine *engine;
} World;

static int open_world(void **state)
{
    static World w;
    ridge_error error;
    if (ridge_model_open("models", NULL, &w.model, &error) || ridge_engine_new(w.model, NULL, &w.engine, &error)) {
        print_error("%s\n", error.text);
        return -1;
    }
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    World *w = *state;
    ridge_engine_free(w->engine);
    ridge_model_close(w->model);
    return 0;
}

typedef struct Said {
    char text[4][4096];
    int32_t tokens, ends;
    ridge_reason reason[4];
} Said;

static void take(ridge_request *request, Said *said)
{
    for (ridge_event event; ridge_next(request, &event);) {
        char *text = said->text[event.sample];
        size_t have = strlen(text);
        assert_true(have + event.text_bytes < sizeof said->text[0]);
        memcpy(text + have, event.text, event.text_bytes);
        text[have + event.text_bytes] = 0;
        said->tokens += event.token >= 0;
        if (event.reason != RIDGE_GOES_ON) {
            said->ends++;
            said->reason[event.sample] = event.reason;
        }
    }
}

static Said answer(World *w, ridge_request_options options)
{
    Said said = {0};
    ridge_request *request;
    ridge_error error;
    assert_int_equal(ridge_submit(w->engine, &options, &request, &error), RIDGE_OK);
    while (!ridge_ended(request)) {
        ridge_step(w->engine);
        take(request, &said);
    }
    ridge_request_close(request);
    return said;
}

static void text_comes_back_from_its_tokens(void **state)
{
    World *w = *state;
    static const char text[] = "Caf\xC3\xA9, said the fox.\n";
    int32_t ids[64];
    char back[64];
    int64_t n = ridge_tokenize(w->model, text, sizeof text - 1, false, ids, 64, NULL);
    assert_in_range(n, 5, 30);
    assert_int_equal(ridge_detokenize(w->model, ids, (size_t)n, back, sizeof back, NULL), sizeof text - 1);
    assert_memory_equal(back, text, sizeof text - 1);
    assert_int_equal(ridge_tokenize(w->model, text, sizeof text - 1, false, ids, 2, NULL),
                     n); /* counts all, stores two */
    ridge_error error;
    assert_true(ridge_detokenize(w->model, (int32_t[]){1 << 20}, 1, back, sizeof back, &error) < 0);
    assert_int_equal(error.status, RIDGE_BAD_ARGUMENT);
}

static void a_chat_is_answered(void **state)
{
    World *w = *state;
    char prompt[512] = "";
    int64_t n = ridge_render_chat(w->model, "[{\"role\": \"user\", \"content\": \"What is the capital of France?\"}]",
                                  true, prompt, sizeof prompt - 1, NULL);
    assert_in_range(n, 20, 500);
    Said said = answer(w, (ridge_request_options){.text = prompt, .max_tokens = 40});
    assert_non_null(strstr(said.text[0], "Paris"));
    assert_int_equal(said.reason[0], RIDGE_END_STOP);
}

static void a_stop_text_ends_an_answer_and_is_not_part_of_it(void **state)
{
    World *w = *state;
    Said whole = answer(w, (ridge_request_options){.text = "Once upon a time", .max_tokens = 40});
    assert_int_equal(whole.reason[0], RIDGE_END_LENGTH);
    char *dot = strchr(whole.text[0], '.');
    assert_non_null(dot);
    *dot = 0;
    Said cut = answer(w, (ridge_request_options){.text = "Once upon a time", .max_tokens = 40, .stop = {"."}});
    assert_string_equal(cut.text[0], whole.text[0]);
    assert_int_equal(cut.reason[0], RIDGE_END_STOP);
}

static void the_same_seed_says_the_same_and_samples_differ(void **state)
{
    World *w = *state;
    ridge_request_options options = {
        .text = "The old man", .max_tokens = 24, .samples = 3, .temperature = 1, .seed = 7};
    Said one = answer(w, options), two = answer(w, options);
    assert_int_equal(one.ends, 3);
    for (int i = 0; i < 3; i++)
        assert_string_equal(one.text[i], two.text[i]);
    assert_string_not_equal(one.text[0], one.text[1]);
    assert_string_not_equal(one.text[1], one.text[2]);
}

typedef struct Submitter {
    ridge_engine *engine;
    ridge_request *request;
    ridge_status status;
} Submitter;

static void *submit_from_here(void *context)
{
    Submitter *s = context;
    s->status =
        ridge_submit(s->engine, &(ridge_request_options){.text = "The sea was", .max_tokens = 16}, &s->request, NULL);
    return NULL;
}

static void many_threads_submit_and_all_get_the_solo_answer(void **state)
{
    World *w = *state;
    enum { THREADS = 12 };
    Submitter submitters[THREADS];
    pthread_t threads[THREADS];
    Said solo = answer(w, (ridge_request_options){.text = "The sea was", .max_tokens = 16});
    for (int i = 0; i < THREADS; i++) {
        submitters[i] = (Submitter){.engine = w->engine};
        pthread_create(&threads[i], NULL, submit_from_here, &submitters[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        Said said = {0};
        assert_int_equal(submitters[i].status, RIDGE_OK);
        while (!ridge_ended(submitters[i].request)) {
            ridge_step(w->engine);
            take(submitters[i].request, &said);
        }
        assert_string_equal(said.text[0], solo.text[0]);
        ridge_request_close(submitters[i].request);
    }
}

static void two_models_live_in_one_process(void **state)
{
    World *w = *state;
    World other;
    assert_int_equal(
        ridge_model_open("models", &(ridge_model_options){.threads = 1, .tier = "reference"}, &other.model, NULL),
        RIDGE_OK);
    assert_int_equal(
        ridge_engine_new(other.model, &(ridge_engine_options){.sequences = 1, .context = 64}, &other.engine, NULL),
        RIDGE_OK);
    ridge_request_options options = {.text = "The door", .max_tokens = 8};
    assert_string_equal(answer(&other, options).text[0], answer(w, options).text[0]);
    ridge_engine_free(other.engine);
    ridge_model_close(other.model);
}

static void what_is_wrong_is_told_and_harms_nobody(void **state)
{
    World *w = *state;
    ridge_model *model;
    ridge_request *request;
    ridge_error error;
    assert_int_equal(ridge_model_open("no/such/model", NULL, &model, &error), RIDGE_NOT_FOUND);
    assert_non_null(strstr(error.text, "no/such/model"));
    assert_int_not_equal(ridge_model_open("tests", NULL, &model, &error), RIDGE_OK);
    assert_int_equal(ridge_model_open("models", &(ridge_model_options){.tier = "mmx"}, &model, &error),
                     RIDGE_BAD_ARGUMENT);
    const ridge_request_options wrong[] = {
        {.text = "x", .ids = (int32_t[]){1}, .ids_count = 1},
        {.max_tokens = 4},
        {.text = ""},
        {.text = "x", .max_tokens = -5},
        {.text = "x", .temperature = -1},
        {.text = "x", .top_p = 2},
        {.text = "x", .samples = 1 << 20},
        {.text = "x", .stop = {""}},
        {.ids = (int32_t[]){-1}, .ids_count = 1},
        {.ids = (int32_t[]){1 << 24}, .ids_count = 1},
        {.text = "x", .logprobs = 1 << 20},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        error.text[0] = 0;
        assert_int_not_equal(ridge_submit(w->engine, &wrong[i], &request, &error), RIDGE_OK);
        assert_true(strlen(error.text) > 10);
    }
    assert_string_not_equal(answer(w, (ridge_request_options){.text = "A", .max_tokens = 4}).text[0], "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_back_from_its_tokens),
        cmocka_unit_test(a_chat_is_answered),
        cmocka_unit_test(a_stop_text_ends_an_answer_and_is_not_part_of_it),
        cmocka_unit_test(the_same_seed_says_the_same_and_samples_differ),
        cmocka_unit_test(many_threads_submit_and_all_get_the_solo_answer),
        cmocka_unit_test(two_models_live_in_one_process),
        cmocka_unit_test(what_is_wrong_is_told_and_harms_nobody),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}

/* Scoring: sums that can be checked by hand, windows that score each token once, lines with errors
 * that say where. */
#include "test.h"

#include <math.h>

#include "devices/cpu/cpu_device.h"
#include "tools/score.h"

static bool near(double a, double b) { return fabs(a - b) <= 1e-12 * (1 + fabs(b)); }

static void figures_follow_from_the_sums(void **state)
{
    (void)state;
    ScoreSum sum = {0}, part = {0};
    score_sum_token(&sum, log(0.5), 2);
    score_sum_token(&part, log(0.125), 4);
    score_sum_token(&part, log(0.25), 6);
    score_sum_add(&sum, &part);
    ScoreFigures f = score_figures(&sum);
    assert_true(sum.tokens == 3 && sum.bytes == 12);
    assert_true(near(f.nats_per_token, 2 * log(2)) && near(f.perplexity, 4) && near(f.bits_per_byte, 0.5));
    /* -ln p is ln 2 times 1, 3, 2: a variance of (ln 2)^2, so an error of ln 2 / sqrt 3 in the mean. */
    assert_true(near(f.perplexity_error, 4 * log(2) / sqrt(3)));
    ScoreSum one = {0};
    score_sum_token(&one, -1, 0);
    assert_true(isnan(score_figures(&one).perplexity_error) && isnan(score_figures(&one).bits_per_byte));
}

static void windows_score_each_token_once_and_never_without_context(void **state)
{
    (void)state;
    for (int32_t context = 2; context <= 9; context++)
        for (int32_t stride = 1; stride <= context; stride++)
            for (int64_t tokens = 0; tokens < 40; tokens++) {
                ScoreWindows w = {context, stride, 1};
                int seen[40] = {0};
                int64_t count = score_windows_count(&w, tokens);
                for (int64_t i = 0; i < count; i++) {
                    ScoreWindow at = score_window(&w, i);
                    assert_true(at.from >= 1 && at.start + context <= tokens);
                    for (int32_t t = at.from; t < context; t++)
                        seen[at.start + t]++;
                }
                int64_t end = count ? (count - 1) * stride + context : 0;
                assert_true(tokens - end < (count ? stride : context));      /* no whole window is left out */
                for (int64_t t = 0; t < tokens; t++)
                    assert_int_equal(seen[t], t < end && (stride < context ? t > 0 : t % stride != 0));
            }
}

static void the_published_conventions_score_what_they_say(void **state)
{
    (void)state;
    ScoreWindows results = {512, 512, 1}, llama_cpp = {512, 512, 257};
    assert_int_equal(score_windows_count(&results, 204236), 398);
    assert_int_equal(398 * (512 - score_window(&results, 5).from), 203378);     /* base/results.json */
    assert_int_equal(score_window(&llama_cpp, 3).from, 257);
    assert_int_equal(score_window(&llama_cpp, 3).start, 1536);
}

static void bad_windows_are_refused_by_name(void **state)
{
    (void)state;
    static const struct { ScoreWindows w; const char *name; } bad[] = {
        {{1, 1, 1}, "--context"}, {{1025, 512, 1}, "--context"}, {{512, 0, 1}, "--stride"}, {{512, 513, 1}, "--stride"},
        {{512, 512, 0}, "--score-from"}, {{512, 512, 512}, "--score-from"},
    };
    Error err;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(score_windows_check(&bad[i].w, 1024, &err), BAD_ARGUMENT);
        assert_non_null(strstr(err.text, bad[i].name));
    }
    assert_int_equal(score_windows_check(&(ScoreWindows){1024, 1, 1023}, 1024, &err), OK);
}

static void lines_are_read_with_their_numbers(void **state)
{
    (void)state;
    ScoreLines lines = {.name = "f", .rest = span_text("{\"prompt\": \"a\", \"continuation\": \"b\"}\n\n  \r\n"
                                                      "{\"id\": 7, \"prompt\": \"\", \"expected\": \"c\"}")};
    ScoreLine line;
    Error err;
    bool more;
    assert_int_equal(score_lines_next(&lines, &line, &more, &err), OK);
    assert_true(more && line.number == 1 && !line.is_question && span_is(line.prompt, "a") && span_is(line.text, "b"));
    score_line_deinit(&line);
    assert_int_equal(score_lines_next(&lines, &line, &more, &err), OK);
    assert_true(more && line.number == 4 && line.is_question && span_is(line.prompt, "") && span_is(line.text, "c"));
    score_line_deinit(&line);
    assert_int_equal(score_lines_next(&lines, &line, &more, &err), OK);
    assert_false(more);
}

static void a_bad_line_is_told_by_its_number(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{", "[]", "3", "{}", "{\"prompt\": 1, \"expected\": \"x\"}", "{\"prompt\": \"x\"}",
        "{\"prompt\": \"x\", \"expected\": \"\"}", "{\"prompt\": \"x\", \"continuation\": null}",
        "{\"prompt\": \"x\", \"continuation\": \"y\", \"expected\": \"z\"}",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char text[200];
        ScoreLine line;
        Error err;
        bool more;
        snprintf(text, sizeof text, "\n%s\n", bad[i]);
        ScoreLines lines = {.name = "tasks.jsonl", .rest = span_text(text)};
        assert_int_equal(score_lines_next(&lines, &line, &more, &err), BAD_FILE);
        assert_non_null(strstr(err.text, "tasks.jsonl: line 2"));
    }
}

/* ---- through the engine: a model whose next token depends on the current one only ---- */

enum { LETTERS = 8, END = LETTERS, BEGIN, V };
static const char tokenizer_text[] =
    "{\"decoder\": {\"type\": \"Fuse\"},"
    " \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"c\": 2, \"d\": 3, \"e\": 4, \"f\": 5, \"g\": 6,"
    " \"h\": 7}, \"merges\": []}, \"added_tokens\": ["
    "{\"id\": 8, \"content\": \"<end>\", \"special\": true}, {\"id\": 9, \"content\": \"<begin>\", \"special\": true}]}";

/* After x comes most likely the letter after x, after h the end. */
static float logit(int32_t from, int32_t to) { return to == (from + 1) % V ? 3 : (float)((from * 7 + to * 3) % 5) * 0.5f; }

static double log_p(int32_t from, int32_t to)
{
    double sum = 0;
    for (int32_t i = 0; i < V; i++)
        sum += exp((double)logit(from, i));
    return (double)logit(from, to) - log(sum);
}

static void bigram_forward(const void *model, Device *d, const Step *s, Tensor logits)
{
    (void)model;
    (void)d;
    for (int32_t i = 0; i < s->outs; i++) {
        int32_t from = tensor_i32(s->tokens)[tensor_i32(s->out_rows)[i]];
        for (int32_t to = 0; to < V; to++)
            ((float *)tensor_row(logits, i))[to] = logit(from, to);
    }
}

typedef struct Fixture {
    Device *device;
    Tokenizer *tokenizer;
    Engine *engine;
    ModelShape shape;
    KvLayout kv;
} Fixture;

static int set_up(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    Error err;
    f->shape = (ModelShape){.V = V, .L = 1, .context = 64};
    f->kv.layers = 1;
    f->kv.layer[0] = (KvLayer){.kind = KV_FULL, .heads = 1, .key_width = 1, .value_width = 1};
    EngineOptions o = engine_options_default();
    o.sequences = 3;            /* fewer than a batch, so that some wait */
    o.rows = 5;
    o.logit_rows = 4;
    o.events = 4;
    EngineModel model = {&f->shape, &f->kv, bigram_forward, NULL};
    assert_int_equal(cpu_device_open(&(CpuOptions){.tier = TIER_REFERENCE, .threads = 1}, &f->device, &err), OK);
    assert_int_equal(engine_new(&f->engine, &o, &model, f->device, &err), OK);
    assert_int_equal(tokenizer_open_json(span_text(tokenizer_text), span_text(""), "t", &f->tokenizer, &err), OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;
    engine_free(f->engine);
    tokenizer_free(f->tokenizer);
    device_close(f->device);
    free(f);
    return 0;
}

static void a_texts_windows_add_up_to_the_models_own_log_probabilities(void **state)
{
    Fixture *f = *state;
    char letters[101];
    ScoreText text;
    Error err;
    for (int i = 0; i < 100; i++)
        letters[i] = (char)('a' + (i * i + i / 7) % LETTERS);
    letters[100] = 0;
    for (int bos = 0; bos < 2; bos++)
        for (int32_t stride = 5; stride <= 20; stride += 5) {
            ScoreReader reader = {f->tokenizer, bos ? BEGIN : TOKEN_NONE, false};
            ScoreWindows w = {20, stride, 3};
            ScoreSum sum;
            float logprobs[101];
            double nats = 0;
            int64_t tokens = 0;
            assert_int_equal(score_text_init(&text, &reader, span_text(letters), &err), OK);
            assert_int_equal(text.count, 100 + bos);
            assert_int_equal(score_windows(f->engine, &text, &w, (ScoreProgress){0}, logprobs, &sum, &err), OK);
            for (int64_t i = 0; i < score_windows_count(&w, text.count); i++)
                for (int32_t t = score_window(&w, i).from; t < w.context; t++, tokens++) {
                    const int32_t *id = text.ids + score_window(&w, i).start + t;
                    nats -= log_p(t == 1 && bos ? BEGIN : id[-1], id[0]);
                    assert_true(fabs((double)logprobs[id - text.ids] - log_p(t == 1 && bos ? BEGIN : id[-1], id[0])) < 1e-5);
                }
            assert_true(sum.tokens == tokens && sum.bytes == tokens && fabs(sum.nats - nats) < 1e-4);
            score_text_deinit(&text);
        }
}

static void special_tokens_are_tokens_unless_asked_to_be_letters(void **state)
{
    Fixture *f = *state;
    ScoreText text;
    Error err;
    assert_int_equal(score_text_init(&text, &(ScoreReader){f->tokenizer, TOKEN_NONE, false}, span_text("ab<end>c"), &err), OK);
    assert_true(text.count == 4 && text.ids[2] == END && text.bytes[2] == 5);
    score_text_deinit(&text);
    assert_int_equal(score_text_init(&text, &(ScoreReader){f->tokenizer, TOKEN_NONE, true}, span_text("ab<end>c"), &err), OK);
    for (int i = 0; i < text.count; i++)
        assert_int_not_equal(text.ids[i], END);
    score_text_deinit(&text);
}

static ScoreTask run_task(Fixture *f, const char *json, int32_t bos)
{
    ScoreLines lines = {.name = "tasks", .rest = span_text(json)};
    ScoreLine line;
    ScoreTask task;
    Error err;
    bool more;
    assert_int_equal(score_lines_next(&lines, &line, &more, &err), OK);
    assert_int_equal(score_task_init(&task, &line, &(ScoreReader){f->tokenizer, bos, false}, &err), OK);
    assert_int_equal(score_tasks(f->engine, f->tokenizer, &task, 1, &err), OK);
    task.expected = (Span){0};          /* its line goes */
    score_line_deinit(&line);
    return task;
}

static void a_continuation_is_scored_from_its_own_first_token(void **state)
{
    Fixture *f = *state;
    ScoreTask task = run_task(f, "{\"prompt\": \"ab\", \"continuation\": \"cd<end>\"}", TOKEN_NONE);
    double right[] = {log_p(1, 2), log_p(2, 3), log_p(3, END)};
    assert_true(task.sum.tokens == 3 && task.sum.bytes == 7 && task.first == 2 && !task.is_greedy);
    assert_true(fabs(-task.sum.nats - right[0] - right[1] - right[2]) < 1e-5);
    for (int i = 0; i < 3; i++)
        assert_true(fabs((double)task.logprobs[i] - right[i]) < 1e-5);
    score_task_deinit(&task);
    task = run_task(f, "{\"prompt\": \"b\", \"continuation\": \"cdefgh<end>\"}", TOKEN_NONE);
    assert_true(task.is_greedy && task.sum.tokens == 7);
    score_task_deinit(&task);
    task = run_task(f, "{\"prompt\": \"\", \"continuation\": \"a\"}", BEGIN);
    assert_true(fabs((double)task.logprobs[0] - log_p(BEGIN, 0)) < 1e-5 && task.is_greedy);
    score_task_deinit(&task);
}

static void an_answer_is_right_only_when_it_is_exactly_what_was_expected(void **state)
{
    Fixture *f = *state;
    static const struct { const char *json; bool right; const char *answer; } known[] = {
        {"{\"prompt\": \"e\", \"expected\": \"fgh<end>\"}", true, "fgh<end>"},
        {"{\"prompt\": \"e\", \"expected\": \"fg\"}", true, "fg"},
        {"{\"prompt\": \"e\", \"expected\": \"fgg\"}", false, "fgh"},
        {"{\"prompt\": \"e\", \"expected\": \"x\"}", false, "f"},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        ScoreTask task = run_task(f, known[i].json, TOKEN_NONE);
        assert_int_equal(task.is_right, known[i].right);
        assert_true(strncmp(task.answer.data, known[i].answer, strlen(known[i].answer)) == 0);
        score_task_deinit(&task);
    }
}

static void a_whole_batch_gives_each_task_its_own_result(void **state)
{
    Fixture *f = *state;
    ScoreTask tasks[SCORE_BATCH];
    ScoreLine line[SCORE_BATCH];
    Error err;
    bool more;
    for (int i = 0; i < SCORE_BATCH; i++) {
        char json[100];
        snprintf(json, sizeof json, "{\"prompt\": \"ba\", \"continuation\": \"%c%c\"}", 'a' + i, 'h' - i);
        ScoreLines lines = {.name = "tasks", .rest = span_text(json)};
        assert_int_equal(score_lines_next(&lines, &line[i], &more, &err), OK);
        assert_int_equal(score_task_init(&tasks[i], &line[i], &(ScoreReader){f->tokenizer, TOKEN_NONE, false}, &err), OK);
    }
    assert_int_equal(score_tasks(f->engine, f->tokenizer, tasks, SCORE_BATCH, &err), OK);
    for (int i = 0; i < SCORE_BATCH; i++) {
        assert_true(fabs(-tasks[i].sum.nats - log_p(0, i) - log_p(i, 7 - i)) < 1e-5);
        score_task_deinit(&tasks[i]);
        score_line_deinit(&line[i]);
    }
}

static void a_task_that_cannot_be_scored_names_its_line(void **state)
{
    Fixture *f = *state;
    static const char *const bad[] = {
        "\n{\"prompt\": \"\", \"continuation\": \"a\"}", "\n{\"prompt\": \"\", \"expected\": \"a\"}",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ScoreLines lines = {.name = "tasks", .rest = span_text(bad[i])};
        ScoreLine line;
        ScoreTask task;
        Error err;
        bool more;
        assert_int_equal(score_lines_next(&lines, &line, &more, &err), OK);
        assert_int_equal(score_task_init(&task, &line, &(ScoreReader){f->tokenizer, TOKEN_NONE, false}, &err), BAD_FILE);
        assert_non_null(strstr(err.text, "line 2"));
        score_line_deinit(&line);
    }
    char json[400] = "{\"prompt\": \"";
    for (int i = 0; i < 80; i++)
        strcat(json, "a");
    strcat(json, "\", \"continuation\": \"b\"}");
    ScoreLines lines = {.name = "tasks", .rest = span_text(json)};
    ScoreLine line;
    ScoreTask task;
    Error err;
    bool more;
    assert_int_equal(score_lines_next(&lines, &line, &more, &err), OK);
    assert_int_equal(score_task_init(&task, &line, &(ScoreReader){f->tokenizer, TOKEN_NONE, false}, &err), OK);
    assert_int_not_equal(score_tasks(f->engine, f->tokenizer, &task, 1, &err), OK);     /* longer than the context */
    assert_non_null(strstr(err.text, "line 1"));
    score_task_deinit(&task);
    score_line_deinit(&line);
}

#define WITH_ENGINE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_follow_from_the_sums),
        cmocka_unit_test(windows_score_each_token_once_and_never_without_context),
        cmocka_unit_test(the_published_conventions_score_what_they_say),
        cmocka_unit_test(bad_windows_are_refused_by_name),
        cmocka_unit_test(lines_are_read_with_their_numbers),
        cmocka_unit_test(a_bad_line_is_told_by_its_number),
        WITH_ENGINE(a_texts_windows_add_up_to_the_models_own_log_probabilities),
        WITH_ENGINE(special_tokens_are_tokens_unless_asked_to_be_letters),
        WITH_ENGINE(a_continuation_is_scored_from_its_own_first_token),
        WITH_ENGINE(an_answer_is_right_only_when_it_is_exactly_what_was_expected),
        WITH_ENGINE(a_whole_batch_gives_each_task_its_own_result),
        WITH_ENGINE(a_task_that_cannot_be_scored_names_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

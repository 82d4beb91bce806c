/* Scoring: sums that can be checked by hand, windows that score each token once, lines with errors
 * that say where. */
#include "test.h"

#include <math.h>

#include "tools/score_lines.h"
#include "tools/score_sum.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_follow_from_the_sums),
        cmocka_unit_test(windows_score_each_token_once_and_never_without_context),
        cmocka_unit_test(the_published_conventions_score_what_they_say),
        cmocka_unit_test(bad_windows_are_refused_by_name),
        cmocka_unit_test(lines_are_read_with_their_numbers),
        cmocka_unit_test(a_bad_line_is_told_by_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The associative-recall task: lists without doubles, questions that their list answers, prompts that end where the
 * answer begins. */
#include "test.h"

#include "tools/recall.h"

static const char chatml[] = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<end>\n{% endfor %}"
                             "{% if add_generation_prompt %}<assistant>{% endif %}";
/* Leaves out what it thinks when the turn is over, so the new answer does not begin like the old ones. */
static const char thinking[] = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<end>\n{% endfor %}"
                               "{% if add_generation_prompt %}<assistant><think>{% endif %}";

static void write_tasks(const RecallPlan *plan, Buf *out)
{
    Error err;
    buf_init(out, 1 << 24);
    assert_int_equal(recall_write(plan, out, &err), OK);
}

static RecallPlan plan_of(int32_t pairs, int32_t cases, int32_t queries, uint64_t seed)
{
    return (RecallPlan){.pairs = {pairs}, .sizes = 1, .cases = cases, .queries = queries, .seed = seed};
}

/* What stands between two texts; points behind it. */
static const char *between(const char *at, const char *before, const char *after, char *out, size_t bytes)
{
    const char *start = strstr(at, before);
    const char *end = start ? strstr(start + strlen(before), after) : NULL;
    if (!end)
        return NULL;
    start += strlen(before);
    assert_true((size_t)(end - start) < bytes);
    memcpy(out, start, (size_t)(end - start));
    out[end - start] = 0;
    return end;
}

typedef struct Pair { char key[32], value[8]; } Pair;

static int read_pairs(const char *prompt, Pair *pairs, int max)
{
    int n = 0;
    for (const char *at = prompt; n < max; n++) {
        const char *next = between(at, "The code of ", " is ", pairs[n].key, sizeof pairs[n].key);
        next = next ? between(next, " is ", ". ", pairs[n].value, sizeof pairs[n].value) : NULL;
        if (!next)
            return n;
        at = next;
    }
    return n;
}

static void a_question_is_answered_by_its_list_and_by_nothing_else_in_it(void **state)
{
    (void)state;
    static const int32_t sizes[] = {1, 2, 8, 53, 54, 55, 200};
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        RecallPlan plan = plan_of(sizes[s], 10, 3, 7);
        Buf tasks;
        Error err;
        write_tasks(&plan, &tasks);
        ScoreLines lines = {.name = "tasks", .rest = buf_span(&tasks)};
        ScoreLine line;
        bool more;
        int count = 0;
        for (; score_lines_next(&lines, &line, &more, &err) == OK && more; count++) {
            static Pair pairs[256];
            char asked[64];
            int n = read_pairs((const char *)line.prompt.data, pairs, 256);
            int position = (int)json_integer_value(json_object_get(line.object, "position"));
            assert_int_equal(n, sizes[s]);
            assert_int_equal(json_integer_value(json_object_get(line.object, "pairs")), n);
            for (int i = 0; i < n; i++)
                for (int j = 0; j < i; j++)
                    assert_true(strcmp(pairs[i].key, pairs[j].key) && strcmp(pairs[i].value, pairs[j].value));
            snprintf(asked, sizeof asked, "The code of %s is", pairs[position].key);
            assert_true(line.prompt.bytes > strlen(asked));
            assert_string_equal((const char *)line.prompt.data + line.prompt.bytes - strlen(asked), asked);
            assert_true(line.is_question && line.text.data[0] == ' ');
            assert_string_equal((const char *)line.text.data + 1, pairs[position].value);
            score_line_deinit(&line);
        }
        assert_int_equal(count, 10);
        buf_deinit(&tasks);
    }
}

static void questions_to_one_list_ask_for_different_pairs(void **state)
{
    (void)state;
    RecallPlan plan = plan_of(6, 12, 6, 1);
    Buf tasks;
    Error err;
    write_tasks(&plan, &tasks);
    ScoreLines lines = {.name = "tasks", .rest = buf_span(&tasks)};
    int seen[2][6] = {{0}};
    for (int i = 0; i < 12; i++) {
        ScoreLine line;
        bool more;
        assert_int_equal(score_lines_next(&lines, &line, &more, &err), OK);
        seen[i % 2][json_integer_value(json_object_get(line.object, "position"))]++;     /* two lists take turns */
        score_line_deinit(&line);
    }
    for (int i = 0; i < 12; i++)
        assert_int_equal(seen[i / 6][i % 6], 1);
    buf_deinit(&tasks);
}

static void a_size_has_the_same_lists_whatever_is_beside_it(void **state)
{
    (void)state;
    RecallPlan both = {.pairs = {8, 4}, .sizes = 2, .cases = 5, .queries = 2, .seed = 3};
    RecallPlan one = plan_of(4, 5, 2, 3), other = plan_of(4, 5, 2, 4);
    Buf a, b, c;
    write_tasks(&both, &a);
    write_tasks(&one, &b);
    write_tasks(&other, &c);
    assert_true(a.bytes > b.bytes && !memcmp(a.data + a.bytes - b.bytes, b.data, b.bytes));
    assert_true(b.bytes != c.bytes || memcmp(b.data, c.data, b.bytes));
    buf_deinit(&a);
    buf_deinit(&b);
    buf_deinit(&c);
}

static void an_answer_ends_as_the_template_ends_a_turn(void **state)
{
    (void)state;
    static const struct { const char *source, *begins, *ends, *behind; } cases[] = {
        {chatml, "<user>The code of ", "?<end>\n<assistant>", "<end>"},
        {thinking, "<user>The code of ", "?<end>\n<assistant><think>", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Package package = {0};
        ChatTemplate *chat;
        Error err;
        Buf tasks;
        ScoreLine line;
        bool more;
        assert_int_equal(chat_template_new(&chat, span_text(cases[i].source), "t", &err), OK);
        RecallPlan plan = plan_of(3, 1, 1, 1);
        plan.package = &package;
        plan.chat = chat;
        write_tasks(&plan, &tasks);
        ScoreLines lines = {.name = "tasks", .rest = buf_span(&tasks)};
        assert_int_equal(score_lines_next(&lines, &line, &more, &err), OK);
        size_t bytes = strlen(cases[i].ends);
        assert_memory_equal(line.prompt.data, cases[i].begins, strlen(cases[i].begins));
        assert_memory_equal(line.prompt.data + line.prompt.bytes - bytes, cases[i].ends, bytes);
        assert_int_equal(line.text.bytes, 4 + strlen(cases[i].behind));
        assert_string_equal((const char *)line.text.data + 4, cases[i].behind);
        score_line_deinit(&line);
        buf_deinit(&tasks);
        chat_template_free(chat);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_answered_by_its_list_and_by_nothing_else_in_it),
        cmocka_unit_test(questions_to_one_list_ask_for_different_pairs),
        cmocka_unit_test(a_size_has_the_same_lists_whatever_is_beside_it),
        cmocka_unit_test(an_answer_ends_as_the_template_ends_a_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

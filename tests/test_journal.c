/* The journal of predictions and runs: what is learned from it, and that a spoilt one is named. Protects every "expected" and
 * every error bar that a plan says. */
#include <math.h>
#include <unistd.h>

#include "test.h"
#include "tools/journal.h"

static char path[] = "/tmp/ridge-journal-XXXXXX";
static const Machine machine = {.bytes_per_second = 10e9, .fp32 = 100e9, .threads = 2};

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void put(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static Journal *open_journal(void)
{
    Error err = {0};
    Journal *j;
    must_be_ok(journal_open(path, &j, &err), &err);
    return j;
}

/* 8 products of [rows, 1000] x [1000, 1000] in F32. */
static WorkLine product(int32_t rows, double seconds)
{
    WorkLine l = {.op = OP_LINEAR, .format = &format_f32, .rows = rows, .elems = 1000000, .calls = 8, .seconds = seconds};
    l.demand = (Demand){8 * 4e6, {[ARITHMETIC_FP32] = 8 * 2e6 * rows}};
    l.cost = (OpCost){.operations = 8 * 2e6 * rows, .weight_bytes = 8 * 4e6, .activation_bytes = 8 * 8e3 * rows};
    return l;
}

static JournalEntry entry(const char *model, int32_t prompt, int32_t batch, int32_t context, double seconds)
{
    JournalEntry e = {.seconds = seconds, .doubt = 0.1};
    e.what = (JournalCase){.format = "F32", .cache = "F16", .threads = 2, .prompt = prompt, .batch = batch, .context = context};
    snprintf(e.what.model, sizeof e.what.model, "%s", model);
    return e;
}

static void record(Journal *j, JournalEntry e, WorkLine line, double seconds, int64_t steps)
{
    Error err = {0};
    static Work work;
    work.lines = 1;
    work.line[0] = line;
    must_be_ok(journal_record(j, &e, &(JournalTrace){&work, steps, seconds}, &err), &err);
}

static void nothing_known_is_the_roofline(void **state)
{
    (void)state;
    put("");
    Journal *j = open_journal();
    WorkLine l = product(1, 0);
    Expected e = journal_expect(j, &machine, &l), none = journal_expect(NULL, &machine, &l);
    assert_true(e.seconds == 8 * 4e6 / 10e9 && e.doubt == 0);
    assert_true(none.seconds == e.seconds && none.doubt == 0);
    journal_close(j);
}

/* Half as fast as possible at one row, a quarter at 512: each prediction is near what is most like it. */
static void efficiencies_go_by_operation_and_shape(void **state)
{
    (void)state;
    put("");
    Journal *j = open_journal();
    double few = 8 * 4e6 / 10e9, many = 8 * 2e6 * 512 / 100e9;
    record(j, entry("a", 0, 1, 10, 1), product(1, 2 * few), 2 * few + 0.5, 5);
    record(j, entry("a", 512, 1, 512, 1), product(512, 4 * many), 4 * many, 1);
    journal_close(j);
    j = open_journal();
    assert_int_equal(journal_count(j), 2);
    WorkLine one = product(1, 0), two = product(2, 0), most = product(512, 0);
    assert_true(fabs(journal_expect(j, &machine, &one).seconds / (2 * few) - 1) < 0.01);
    assert_true(fabs(journal_expect(j, &machine, &most).seconds / (4 * many) - 1) < 0.01);
    assert_true(fabs(journal_expect(j, &machine, &two).seconds / (2 * few) - 1) < 0.1);
    assert_true(journal_expect(j, &machine, &two).doubt > journal_expect(j, &machine, &one).doubt);
    assert_true(fabs(journal_expect_rest(j, 1).seconds - 0.1) < 1e-6);   /* what is no operation, a step */
    one.op = OP_ROPE;
    assert_true(journal_expect(j, &machine, &one).doubt == 0);           /* never seen */
    Machine other = machine;
    other.threads = 8;                                                   /* a run with 2 teaches nothing of 8 */
    assert_true(journal_expect(j, &other, &two).doubt == 0);
    journal_close(j);
}

/* A call that has nothing to do and takes 10 us is not a hundred times slower than the roofline, but begins slowly. */
static void the_start_of_a_call_is_no_efficiency(void **state)
{
    (void)state;
    put("");
    Journal *j = open_journal();
    WorkLine tiny = {.op = OP_ATTEND, .rows = 1, .calls = 1, .seconds = 10e-6, .demand = {.bytes = 1000}}, large = tiny;
    large.demand.bytes = 1e6;                    /* 100 us */
    record(j, entry("a", 0, 1, 10, 1), tiny, 10e-6, 1);
    journal_close(j);
    j = open_journal();
    double seconds = journal_expect(j, &machine, &large).seconds;
    assert_true(seconds > 100e-6 && seconds < 1.1e-3);
    assert_true(fabs(journal_expect(j, &machine, &tiny).seconds / 10e-6 - 1) < 0.01);
    journal_close(j);
}

static void runs_that_differ_make_doubt(void **state)
{
    (void)state;
    put("");
    Journal *j = open_journal();
    double few = 8 * 4e6 / 10e9;
    record(j, entry("a", 0, 1, 10, 1), product(1, 1 * few), few, 1);
    record(j, entry("a", 0, 1, 10, 1), product(1, 4 * few), 4 * few, 1);
    journal_close(j);
    j = open_journal();
    WorkLine one = product(1, 0);
    Expected e = journal_expect(j, &machine, &one);
    assert_true(fabs(e.seconds / (2 * few) - 1) < 0.01 && e.doubt > 0.6 && e.doubt < 0.8);   /* ln 2 */
    journal_close(j);
}

static void a_prediction_meets_the_next_run_of_its_case(void **state)
{
    (void)state;
    Error err = {0};
    put("");
    Journal *j = open_journal();
    JournalEntry said[] = {entry("a", 0, 4, 100, 2.0), entry("a", 512, 1, 512, 3), entry("b", 0, 4, 100, 7)};
    record(j, entry("a", 0, 4, 100, 9), product(4, 1), 1, 1);             /* before it was said: no proof */
    for (size_t i = 0; i < COUNT_OF(said); i++)
        must_be_ok(journal_foretell(j, &said[i], &err), &err);
    said[0].doubt = 0;                                                    /* the roofline promises nothing */
    must_be_ok(journal_foretell(j, &said[0], &err), &err);
    record(j, entry("a", 0, 1, 100, 9), product(1, 1), 1, 1);             /* another batch */
    record(j, entry("a", 0, 4, 140, 2.5), product(4, 1), 1, 1);           /* a little further on */
    record(j, entry("a", 256, 1, 256, 9), product(4, 1), 1, 1);           /* another prompt */
    journal_close(j);
    j = open_journal();
    JournalPair pairs[8];
    assert_int_equal(journal_pairs(j, pairs, 8), 1);
    assert_true(pairs[0].foretold->seconds == 2.0 && pairs[0].measured->seconds == 2.5);
    journal_close(j);
}

static void spoilt_lines_are_named(void **state)
{
    (void)state;
    static const struct { const char *text, *told; } cases[] = {
        {"{\"model\": \"a\", \"batch\": 1, \"seconds\": 1}\n{\n", "line 2"},
        {"{\"model\": \"a\", \"batch\": 1}\n", "'seconds'"},
        {"{\"batch\": 1, \"seconds\": 1}\n", "'model'"},
        {"{\"model\": \"a\", \"batch\": 1, \"seconds\": -5}\n", "'seconds'"},
        {"7\n", "line 1"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Journal *j;
        put(cases[i].text);
        assert_int_equal(journal_open(path, &j, &err), BAD_FILE);
        assert_non_null(strstr(err.text, cases[i].told));
        assert_non_null(strstr(err.text, path));
    }
    /* what another version knew, and numbers that mean nothing, teach nothing */
    put("{\"model\": \"a\", \"batch\": 1, \"seconds\": 1, \"operations\": [{\"op\": \"teleport\", \"rows\": 1, \"calls\": 1, "
        "\"seconds\": 1}, {\"op\": \"linear\", \"rows\": -3, \"calls\": 1, \"seconds\": 1}, 5, {}], \"rest\": -1}\n");
    Journal *j = open_journal();
    WorkLine l = product(1, 0);
    assert_true(journal_expect(j, &machine, &l).doubt == 0 && journal_expect_rest(j, 1).seconds == 0);
    journal_close(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_known_is_the_roofline),
        cmocka_unit_test(efficiencies_go_by_operation_and_shape),
        cmocka_unit_test(the_start_of_a_call_is_no_efficiency),
        cmocka_unit_test(runs_that_differ_make_doubt),
        cmocka_unit_test(a_prediction_meets_the_next_run_of_its_case),
        cmocka_unit_test(spoilt_lines_are_named),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}

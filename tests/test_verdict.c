/* The verdict: its numbers against counts by hand. Whoever buys a machine or a larger batch by them must not be misled. */
#include <math.h>

#include "core/verdict.h"
#include "test.h"

/* 80 GB/s; a step of decode reads 6.674 GB of weights and 0.426 GB of cache (6%) in 0.1 s: 71 GB/s, 89%. */
static const Machine machine = {.bytes_per_second = 80e9, .fp32 = 0.5e12, .bf16 = 1e12, .int8 = 2e12};
static const PhaseWork decode = {
    .demand = {.bytes = 7.1e9, .operations = {[ARITHMETIC_INT8] = 1.34e9}},
    .weight_bytes = 6.674e9, .cache_bytes = 0.426e9, .steps = 1, .seconds = 0.1, .sequences = 1,
};

static void near(double a, double b) { assert_true(fabs(a - b) <= 1e-9 * fabs(b)); }

static const char *sentence(const Machine *m, const char *phase, const PhaseWork *w)
{
    static Buf text;
    buf_deinit(&text);
    buf_init(&text, 4096);
    verdict_tell(m, phase, w, &text);
    assert_false(text.full);
    return text.data;
}

static void decode_is_told_in_one_sentence(void **state)
{
    (void)state;
    Verdict v = verdict_of(&machine, &decode);
    assert_int_equal(v.limit, LIMIT_WEIGHTS);
    near(v.rate, 71e9);
    near(v.roof, 80e9);
    near(v.share, 71.0 / 80);
    near(v.latency, ((6.674 + 2 * 0.426) / 80 + 2 * 1.34 / 2000) / (7.1 / 80 + 1.34 / 2000));
    near(v.throughput, 2 / v.latency);
    assert_string_equal(sentence(&machine, "decode", &decode),
                        "decode is limited by weight reads: 71 of 80 GB/s (89%); cache reads 6%; "
                        "doubling the batch would give +87% throughput for +7% latency");
}

static void a_long_past_is_what_limits(void **state)
{
    (void)state;
    PhaseWork w = decode;
    w.weight_bytes = 1.42e9;
    w.cache_bytes = 5.68e9;
    assert_string_equal(sentence(&machine, "decode", &w),
                        "decode is limited by cache reads: 71 of 80 GB/s (89%); weight reads 20%; "
                        "doubling the batch would give +11% throughput for +80% latency");
}

/* Two kinds of arithmetic follow one another: 1 s of fp32 and 0.5 s of int8 are 1.5e12 operations in 1.5 s. */
static void prefill_is_limited_by_arithmetic_of_several_kinds(void **state)
{
    (void)state;
    PhaseWork w = {.demand = {.bytes = 12e9, .operations = {[ARITHMETIC_FP32] = 0.5e12, [ARITHMETIC_INT8] = 1e12}},
                   .weight_bytes = 12e9, .steps = 1, .seconds = 2};
    Verdict v = verdict_of(&machine, &w);
    assert_int_equal(v.limit, LIMIT_ARITHMETIC);
    near(v.bound_seconds, 1.5);
    near(v.roof, 1e12);
    near(v.rate, 0.75e12);
    near(v.reads_part, 0.1);
    assert_string_equal(sentence(&machine, "prefill", &w),
                        "prefill is limited by arithmetic: 750 of 1000 Gop/s (75%); reading needs 10% of that time");
}

/* 40 ms of reading stay, 30 ms of products become 60. */
static void twice_the_batch_reads_its_weights_once(void **state)
{
    (void)state;
    PhaseWork w = {.demand = {.bytes = 3.2e9, .operations = {[ARITHMETIC_BF16] = 30e9}}, .weight_bytes = 3.2e9, .steps = 1,
                   .seconds = 0.05, .sequences = 16};
    Verdict v = verdict_of(&machine, &w);
    near(v.latency, 100.0 / 70);
    near(v.throughput, 140.0 / 100);
}

/* A quarter of the experts is chosen; as many rows again choose a quarter too, and a quarter of that was read anyhow. */
static void more_rows_choose_more_experts(void **state)
{
    (void)state;
    PhaseWork w = {.demand = {.bytes = 1.25e9}, .weight_bytes = 1.25e9, .chosen_bytes = 1e9, .choice_bytes = 4e9, .steps = 1,
                   .seconds = 1, .sequences = 1};
    near(phase_work_times(&w, 2).weight_bytes, 0.25e9 + 4e9 * (1 - 0.75 * 0.75));
    near(phase_work_times(&w, 2).demand.bytes, 2e9);
    near(verdict_of(&machine, &w).latency, 1.6);
    near(phase_work_times(&w, 1).weight_bytes, w.weight_bytes);
}

static void what_is_far_from_every_bound_is_not_blamed_on_the_memory(void **state)
{
    (void)state;
    PhaseWork w = decode;
    w.seconds = 1;
    assert_non_null(strstr(sentence(&machine, "decode", &w),
                           "decode is limited by neither memory nor arithmetic; nearest are weight reads: 7.1 of 80 GB/s (9%)"));
    w.seconds = 0.04;
    assert_non_null(strstr(sentence(&machine, "decode", &w), "the processor's caches hold what it reads: 178 of 80 GB/s (222%)"));
}

static void nothing_is_made_up_of_a_machine_that_nobody_measured(void **state)
{
    (void)state;
    const Machine nothing = {0};
    const char *said = "decode reads 71 GB/s and computes 13 Gop/s; what limits it is not known, as this machine was not "
                       "measured: run `ridge probe`";
    assert_int_equal(verdict_of(NULL, &decode).limit, LIMIT_UNKNOWN);
    assert_string_equal(sentence(NULL, "decode", &decode), said);
    assert_string_equal(sentence(&nothing, "decode", &decode), said);
    assert_string_equal(sentence(&machine, "decode", &(PhaseWork){0}), "decode: nothing was computed yet");
}

static void the_table_has_a_row_for_each_phase_per_step(void **state)
{
    (void)state;
    Buf text;
    NamedWork phases[] = {{.name = "prefill"}, {.name = "decode", .work = decode}};
    phases[1].work.steps = 2;
    buf_init(&text, 4096);
    verdict_report(&machine, phases, 2, "# ", &text);
    const char *row = strstr(text.data, "\n# decode ");
    int end;
    double steps, weights, cache, operations, bound, took, share;
    assert_non_null(row);
    assert_null(strstr(text.data, "\n# prefill "));
    assert_int_equal(sscanf(row, "\n# decode %lf %lf %lf %lf %lf %lf %lf%%%n", &steps, &weights, &cache, &operations, &bound,
                            &took, &share, &end), 7);
    near(steps, 2), near(weights, 3337), near(cache, 213), near(operations, 0.67), near(took, 50), near(share, 89);
    assert_true(fabs(bound - 44.375) < 0.01);
    assert_string_equal(row + end, "\n");
    buf_deinit(&text);
}

static void programs_get_the_same_numbers(void **state)
{
    (void)state;
    json_t *json = verdict_json(&machine, "decode", &decode);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "limit")), "weight reads");
    assert_string_equal(json_string_value(json_object_get(json, "sentence")), sentence(&machine, "decode", &decode));
    near(json_real_value(json_object_get(json, "share")), 71.0 / 80);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_is_told_in_one_sentence),
        cmocka_unit_test(a_long_past_is_what_limits),
        cmocka_unit_test(prefill_is_limited_by_arithmetic_of_several_kinds),
        cmocka_unit_test(twice_the_batch_reads_its_weights_once),
        cmocka_unit_test(more_rows_choose_more_experts),
        cmocka_unit_test(what_is_far_from_every_bound_is_not_blamed_on_the_memory),
        cmocka_unit_test(nothing_is_made_up_of_a_machine_that_nobody_measured),
        cmocka_unit_test(the_table_has_a_row_for_each_phase_per_step),
        cmocka_unit_test(programs_get_the_same_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

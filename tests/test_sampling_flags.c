/* The options of generating commands: whole numbers or an error that names the flag; what was not
 * given is the checkpoint's word, or nothing at all. */
#include "test.h"

#include <math.h>

#include "main/sampling_flags.h"

enum { V = 1000 };

static Err read_flags(const char *const *words, int count, SamplingFlags *given, Error *err)
{
    char *argv[40] = {(char *)"run"};
    const char *rest[1];
    int rest_count;
    bool help;
    *given = sampling_flags_none();
    FlagGroup groups[] = {{"Sampling", sampling_flags, SAMPLING_FLAGS, given}, {0}};
    for (int i = 0; i < count; i++)
        argv[i + 1] = (char *)words[i];
    return flags_read(groups, count + 1, argv, rest, 1, &rest_count, &help, err);
}

static SamplerDefaults defaults_of(const char *json, Err expected, const char *said)
{
    SamplerDefaults out;
    Error err = {0};
    json_t *config = NULL;
    assert_int_equal(json_read(span_text(json), 10000, "generation_config.json", &config, &err), OK);
    assert_int_equal(sampler_defaults_read(config, "generation_config.json", V, &out, &err), expected);
    assert_true(!said || (strstr(err.text, said) && strstr(err.text, "generation_config.json")));
    json_decref(config);
    return out;
}

static void every_flag_reaches_its_option(void **state)
{
    (void)state;
    const char *words[] = {
        "-n", "7", "--temp", "0.5", "--top-k=9", "--top-p", "0.25", "--min-p", "0.125", "--typical", "0.75",
        "--repeat-penalty", "1.5", "--repeat-last-n", "64", "--presence-penalty", "-1", "--frequency-penalty", "0.5",
        "--seed", "18446744073709551615", "--stop", "a", "--stop", "", "--ignore-eos", "--min-tokens", "3",
        "--logprobs", "5", "--samples", "2", "--logit-bias", "3=1.5,4+2,5-2.5,6=-1",
    };
    SamplingFlags given;
    SamplingOptions o;
    Error err;
    SamplerDefaults defaults = defaults_of("{}", OK, NULL);
    assert_int_equal(read_flags(words, COUNT_OF(words), &given, &err), OK);
    assert_int_equal(sampling_options(&given, &defaults, V, &o, &err), OK);
    SamplerOptions *s = &o.sampler;
    assert_true(o.max_tokens == 7 && o.samples == 2 && given.stop.count == 2);
    assert_true(s->temperature == 0.5f && s->top_k == 9 && s->top_p == 0.25f && s->min_p == 0.125f);
    assert_true(s->typical_p == 0.75f && s->repeat_penalty == 1.5f && s->repeat_last_n == 64);
    assert_true(s->presence_penalty == -1 && s->frequency_penalty == 0.5f && s->seed == UINT64_MAX);
    assert_true(s->ignore_eos && s->min_tokens == 3 && s->logprobs == 5 && s->biases == 4);
    const LogitBias right[] = {{3, 1.5f}, {4, 2}, {5, -2.5f}, {6, -1}};
    assert_memory_equal(s->bias, right, sizeof right);
}

static void what_is_not_given_is_the_checkpoints_word(void **state)
{
    (void)state;
    const char *words[] = {"--top-p", "0.5"};
    SamplingFlags given;
    SamplingOptions o;
    Error err;
    SamplerDefaults d = defaults_of("{\"do_sample\": true, \"temperature\": 0.6, \"top_k\": 20, \"top_p\": 0.95,"
        "\"repetition_penalty\": 1.05, \"max_new_tokens\": 256, \"eos_token_id\": [2, 0, 2]}", OK, NULL);
    assert_int_equal(read_flags(words, 2, &given, &err), OK);
    assert_int_equal(sampling_options(&given, &d, V, &o, &err), OK);
    assert_true(o.sampler.temperature == 0.6f && o.sampler.top_k == 20 && o.sampler.top_p == 0.5f);
    assert_true(o.sampler.repeat_penalty == 1.05f && o.max_tokens == 256 && o.samples == 1);
    assert_true(o.sampler.end.count == 2 && o.sampler.end.id[0] == 2 && o.sampler.end.id[1] == 0);
    assert_true(o.sampler.logprobs == LOGPROBS_NONE && o.sampler.seed == given.sampler.seed);
    assert_true(sampling_flags_none().sampler.seed != given.sampler.seed);
}

static void a_checkpoint_that_does_not_sample_is_greedy(void **state)
{
    (void)state;
    assert_true(defaults_of("{\"do_sample\": false, \"temperature\": 0.6}", OK, NULL).options.temperature == 0);
    assert_true(defaults_of("{\"eos_token_id\": 7}", OK, NULL).options.temperature == 0);
    assert_true(defaults_of("{\"temperature\": null, \"top_k\": 5}", OK, NULL).options.temperature == 1);
    assert_true(defaults_of("{\"do_sample\": true}", OK, NULL).options.temperature == 1);
    SamplerDefaults none;
    assert_int_equal(sampler_defaults_read(NULL, "", V, &none, NULL), OK);
    assert_true(none.options.temperature == 0 && none.max_tokens == -1);
}

static void a_bad_checkpoint_is_told_by_file_and_field(void **state)
{
    (void)state;
    defaults_of("[]", BAD_FILE, "not a JSON object");
    defaults_of("{\"temperature\": \"warm\"}", BAD_FILE, "temperature");
    defaults_of("{\"top_k\": 1.5}", BAD_FILE, "top_k");
    defaults_of("{\"top_k\": 1e300}", BAD_FILE, "top_k");
    defaults_of("{\"top_p\": 7}", BAD_FILE, "top_p");
    defaults_of("{\"temperature\": NaN}", BAD_FILE, "temperature");
    defaults_of("{\"eos_token_id\": 1000}", BAD_FILE, "eos_token_id");
    defaults_of("{\"eos_token_id\": [1, \"x\"]}", BAD_FILE, "eos_token_id");
}

static void bad_values_are_refused_with_the_flags_name(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"--temperature", "nan"}, {"--temperature", "-0.1"}, {"--temperature", "1e9"}, {"--temperature", "1x"},
        {"--temperature", ""}, {"--top-k", "2.5"}, {"--top-k", "99999999999999999999"}, {"--top-p", "1.01"},
        {"--min-p", "-1"}, {"--typical", "inf"}, {"--repeat-penalty", "0"}, {"--repeat-last-n", "-2"},
        {"--presence-penalty", "2.1"}, {"--frequency-penalty", "-3"}, {"--seed", "-1"}, {"--seed", "x"},
        {"--min-tokens", "-1"}, {"--logprobs", "65"}, {"--samples", "0"}, {"--predict", "-2"}, {"--logit-bias", "5"},
        {"--logit-bias", "=1"}, {"--logit-bias", "a=1"}, {"--logit-bias", "5=x"}, {"--logit-bias", "5=1,"},
        {"--logit-bias", "5=nan"}, {"--logit-bias", "5-inf"}, {"--logit-bias", "5=101"},
        {"--logit-bias", "99999999999=1"}, {"--logit-bias", "5==1"},
        {"--logit-bias", "111111111111111111111111111111111111111111111111111111111111111111111111=1"},
    };
    SamplingFlags given;
    Error err;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_not_equal(read_flags(bad[i], 2, &given, &err), OK);
        assert_non_null(strstr(err.text, bad[i][0]));
    }
}

static void an_id_beyond_the_vocabulary_is_refused_once_the_model_is_known(void **state)
{
    (void)state;
    const char *words[] = {"--logit-bias", "1000=1"};
    SamplingFlags given;
    SamplingOptions o;
    Error err;
    SamplerDefaults d = defaults_of("{}", OK, NULL);
    assert_int_equal(read_flags(words, 2, &given, &err), OK);
    assert_int_equal(sampling_options(&given, &d, V, &o, &err), BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "logit_bias"));
}

static void too_many_biases_are_refused(void **state)
{
    (void)state;
    static char text[8 * (LOGIT_BIASES_MAX + 2)];
    SamplingFlags given;
    Error err;
    for (int i = 0; i <= LOGIT_BIASES_MAX; i++)
        sprintf(text + strlen(text), "%s%d=1", i ? "," : "", i);
    const char *words[] = {"--logit-bias", text};
    assert_int_equal(read_flags(words, 2, &given, &err), LIMIT_REACHED);
    *strrchr(text, ',') = 0;
    assert_int_equal(read_flags(words, 2, &given, &err), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flag_reaches_its_option),
        cmocka_unit_test(what_is_not_given_is_the_checkpoints_word),
        cmocka_unit_test(a_checkpoint_that_does_not_sample_is_greedy),
        cmocka_unit_test(a_bad_checkpoint_is_told_by_file_and_field),
        cmocka_unit_test(bad_values_are_refused_with_the_flags_name),
        cmocka_unit_test(an_id_beyond_the_vocabulary_is_refused_once_the_model_is_known),
        cmocka_unit_test(too_many_biases_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

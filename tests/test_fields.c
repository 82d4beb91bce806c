/* Bodies that strangers write: each field has a type and a range, and what is wrong is said with its name. */
#include <math.h>

#include "server/fields.h"
#include "server/sampling_fields.h"
#include "test.h"

typedef struct Read {
    Fields fields;
    ApiError error;
} Read;

static Read *open_text(Read *r, const char *text)
{
    r->error = (ApiError){0};
    assert_true(fields_open(&r->fields, span_text(text), &r->error));
    return r;
}

static void refuses(const char *text, const char *part)
{
    Read r = {0};
    assert_false(fields_open(&r.fields, span_text(text), &r.error));
    assert_int_equal(r.error.status, 400);
    if (!strstr(r.error.message, part))
        print_error("%.60s: %s\n", text, r.error.message);
    assert_non_null(strstr(r.error.message, part));
    fields_close(&r.fields);
}

/* What is no body at all, or one that would cost more than it may, never gets as far as a field. */
static void bodies(void **state)
{
    (void)state;
    char deep[4096];
    refuses("", "empty");
    refuses("[1]", "object");
    refuses("{\"a\": 1", "not valid JSON");
    refuses("{\"a\": 1} x", "not valid JSON");
    refuses("{\"a\": NaN}", "not valid JSON");
    refuses("{\"a\": 1e999}", "not valid JSON");
    refuses("{\"a\": 1, \"a\": 2}", "not valid JSON");
    refuses("{\"a\": \"\xc3\x28\"}", "not valid JSON");
    refuses("{\"a\": \"\\ud800\"}", "not valid JSON");
    refuses("{\"a\": \"x\\u0000y\"}", "not valid JSON");
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"a\":", 5);
    deep[sizeof deep - 1] = 0;
    refuses(deep, "deeper than 64");
    Read r;
    open_text(&r, "{\"a\": \"[[[[ \\\" [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}");
    fields_close(&r.fields);
}

static void int_is(const char *text, bool good, int32_t wanted)
{
    Read r;
    int32_t n = 77;
    open_text(&r, text);
    fields_int(&r.fields, "n", -5, 1000, &n);
    if (fields_ok(&r.fields) != good || n != (good ? wanted : 77))
        print_error("%s: %d, %s\n", text, n, r.error.message);
    assert_int_equal(fields_ok(&r.fields), good);
    assert_int_equal(n, good ? wanted : 77);
    if (!good) {
        assert_string_equal(r.error.param, "n");
        assert_non_null(strstr(r.error.message, "from -5 to 1000"));
    }
    fields_close(&r.fields);
}

static void whole_numbers(void **state)
{
    (void)state;
    int_is("{}", true, 77);
    int_is("{\"n\": null}", true, 77);
    int_is("{\"n\": 1000}", true, 1000);
    int_is("{\"n\": -5}", true, -5);
    int_is("{\"n\": 3.0}", true, 3);
    int_is("{\"n\": 1e2}", true, 100);
    int_is("{\"n\": 1001}", false, 0);
    int_is("{\"n\": -6}", false, 0);
    int_is("{\"n\": 3.5}", false, 0);
    int_is("{\"n\": \"3\"}", false, 0);
    int_is("{\"n\": true}", false, 0);
    int_is("{\"n\": [3]}", false, 0);
    int_is("{\"n\": 4294967299}", false, 0);
    int_is("{\"n\": 9223372036854775807}", false, 0);
    int_is("{\"n\": 100000000000000000000000000}", false, 0);
    int_is("{\"n\": -1e300}", false, 0);
}

static void long_is(const char *text, bool good, int64_t wanted)
{
    Read r;
    int64_t n = 77;
    open_text(&r, text);
    fields_long(&r.fields, "seed", INT64_MIN, INT64_MAX, &n);
    assert_int_equal(fields_ok(&r.fields), good);
    assert_true(n == (good ? wanted : 77));
    fields_close(&r.fields);
}

/* 64 bits are exact; a float beyond 2^53 no longer says which whole number was meant. */
static void long_numbers(void **state)
{
    (void)state;
    long_is("{\"seed\": 9223372036854775807}", true, INT64_MAX);
    long_is("{\"seed\": -9223372036854775808}", true, INT64_MIN);
    long_is("{\"seed\": 9007199254740992.0}", true, 9007199254740992);
    long_is("{\"seed\": 9223372036854775808}", false, 0);
    long_is("{\"seed\": 1e17}", false, 0);
}

static void other_types(void **state)
{
    (void)state;
    static const char *const names[] = {"auto", "none"};
    Read r;
    float x = 0.5f;
    double seconds = 9;
    bool yes = false;
    const char *text = NULL;
    open_text(&r, "{\"t\": 2, \"s\": 1.5, \"b\": true, \"w\": \"none\", \"text\": \"abc\", \"l\": [1, 2], \"o\": {}, \"z\": null}");
    fields_float(&r.fields, "t", 0, 2, &x);
    fields_seconds(&r.fields, "s", 10, &seconds);
    fields_bool(&r.fields, "b", &yes);
    fields_text(&r.fields, "text", 3, &text);
    assert_int_equal(fields_choice(&r.fields, "w", names, 2, 0), 1);
    assert_int_equal(fields_choice(&r.fields, "absent", names, 2, -1), -1);
    assert_int_equal(json_array_size(fields_array(&r.fields, "l", 2)), 2);
    assert_non_null(fields_object(&r.fields, "o"));
    assert_null(fields_any(&r.fields, "z"));
    assert_false(fields_has(&r.fields, "z"));
    assert_true(fields_ok(&r.fields) && x == 2 && seconds == 1.5 && yes);
    assert_string_equal(text, "abc");
    fields_close(&r.fields);
}

/* The first error counts: what comes after it changes neither the error nor the values. */
static void the_first_error_counts(void **state)
{
    (void)state;
    Read r;
    float x = 0.5f;
    int32_t n = 1;
    open_text(&r, "{\"tools\": [{\"t\": 2.5, \"n\": 5}]}");
    Fields inner = fields_within(&r.fields, json_array_get(fields_array(&r.fields, "tools", 9), 0), "tools[%d].", 0);
    fields_float(&inner, "t", 0, 2, &x);
    fields_int(&inner, "n", 0, 1, &n);
    fields_refuse(&inner, "n", "something else");
    assert_string_equal(r.error.param, "tools[0].t");
    assert_non_null(strstr(r.error.message, "tools[0].t: must be a number from 0 to 2, but is 2.5"));
    assert_true(x == 0.5f && n == 1);
    fields_close(&r.fields);
}

/* A path that would not fit is cut, never written past its end. */
static void long_paths(void **state)
{
    (void)state;
    Read r;
    open_text(&r, "{\"a\": 1}");
    Fields inner = r.fields;
    for (int i = 0; i < 40; i++)
        inner = fields_within(&inner, r.fields.object, "something_long[%d].", i);
    fields_refuse(&inner, "a", "is wrong");
    assert_true(strlen(r.error.param) < sizeof r.error.param);
    fields_close(&r.fields);
}

/* A stop is a text, or some; an empty one in a list would stop everything at once. */
static void stops(void **state)
{
    (void)state;
    static const struct { const char *text; int count; } cases[] = {
        {"{}", 0}, {"{\"stop\": null}", 0}, {"{\"stop\": \"\"}", 0}, {"{\"stop\": \"a\"}", 1}, {"{\"stop\": [\"a\", \"bc\"]}", 2},
        {"{\"stop\": []}", 0}, {"{\"stop\": [\"\"]}", -1}, {"{\"stop\": [1]}", -1}, {"{\"stop\": {}}", -1}, {"{\"stop\": 5}", -1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Read r;
        GenerationSpec spec = {0};
        open_text(&r, cases[i].text);
        sampling_fields_stop(&r.fields, "stop", &spec);
        assert_int_equal(fields_ok(&r.fields) ? spec.stop_count : -1, cases[i].count);
        fields_close(&r.fields);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies), cmocka_unit_test(whole_numbers), cmocka_unit_test(long_numbers), cmocka_unit_test(other_types),
        cmocka_unit_test(the_first_error_counts), cmocka_unit_test(long_paths), cmocka_unit_test(stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The floor that everything stands on: limits hold, sizes never wrap, JSON says where it went wrong. */
#include "test.h"

#include <math.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/json.h"

static void sizes_never_wrap(void **state)
{
    (void)state;
    size_t out = 7;
    assert_false(mul_fits(SIZE_MAX / 2, 3, &out));
    assert_false(add_fits(SIZE_MAX, 1, &out));
    assert_false(round_up_fits(SIZE_MAX - 3, 64, &out));
    assert_int_equal(out, 7);
    assert_false(range_within(UINT64_MAX, 2, 10));
    assert_false(range_within(8, 3, 10));
    assert_true(range_within(8, 2, 10));
    assert_true(range_within(10, 0, 10));
}

static void an_arena_stops_at_its_limit_and_zeroes_what_it_gives_again(void **state)
{
    (void)state;
    Arena *a = arena_new(1 << 16);
    size_t start = arena_used(a);
    char *p = arena_take(a, 100);
    memset(p, 'x', 100);
    arena_rewind(a, start);
    char *again = arena_take(a, 100);
    assert_ptr_equal(p, again);
    for (int i = 0; i < 100; i++)
        assert_int_equal(again[i], 0);
    assert_null(arena_take(a, 1 << 16));
    assert_null(arena_take_array(a, SIZE_MAX / 4, 8));
    assert_non_null(arena_take(a, (1 << 16) - 128));
    arena_free(a);
}

static void a_buf_keeps_its_limit_and_stays_a_string(void **state)
{
    (void)state;
    Buf b;
    buf_init(&b, 10);
    assert_string_equal(b.data, "");
    assert_true(buf_printf(&b, "%s-%d", "abc", 42));
    assert_string_equal(b.data, "abc-42");
    assert_false(buf_put_text(&b, "12345"));
    assert_true(b.full);
    assert_string_equal(b.data, "abc-42");
    buf_clear(&b);
    assert_true(buf_put_utf8(&b, 0x20AC) && buf_put_utf8(&b, 0x1F600));
    assert_string_equal(b.data, "\xE2\x82\xAC\xF0\x9F\x98\x80");
    buf_deinit(&b);
}

static void json_reads_pythons_floats_and_names_the_line_of_a_mistake(void **state)
{
    (void)state;
    json_t *value;
    Error err;
    double x;
    assert_int_equal(json_read(span_text("{\"a\": -Infinity, \"b\": [NaN], \"c\": \"Infinity\"}"),
                               1000, "f", &value, &err), OK);
    assert_true(json_float(json_object_get(value, "a"), &x) && isinf(x) && x < 0);
    assert_true(json_float(json_array_get(json_object_get(value, "b"), 0), &x) && isnan(x));
    assert_string_equal(json_string_value(json_object_get(value, "c")), "Infinity");
    json_decref(value);
    assert_int_equal(json_read(span_text("{\n\"a\": 1,\n\"a\": 2}"), 1000, "dir/config.json", &value, &err), BAD_FILE);
    assert_non_null(strstr(err.text, "dir/config.json: line 3"));
    assert_int_equal(json_read(span_text("[1,2,3]"), 3, "f", &value, &err), BAD_FILE);
}

static void an_error_keeps_its_cause_behind_where_it_happened(void **state)
{
    (void)state;
    Error err;
    fail(&err, BAD_FILE, "tensor 'x' is cut short");
    assert_int_equal(fail_within(&err, "%s", "model.gguf"), BAD_FILE);
    assert_string_equal(err.text, "model.gguf: tensor 'x' is cut short");
    char longer[2000];
    memset(longer, 'y', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_int_equal(fail_within(&err, "%s", longer), BAD_FILE);
    assert_int_equal(strlen(err.text), ERROR_TEXT_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_never_wrap),
        cmocka_unit_test(an_arena_stops_at_its_limit_and_zeroes_what_it_gives_again),
        cmocka_unit_test(a_buf_keeps_its_limit_and_stays_a_string),
        cmocka_unit_test(json_reads_pythons_floats_and_names_the_line_of_a_mistake),
        cmocka_unit_test(an_error_keeps_its_cause_behind_where_it_happened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

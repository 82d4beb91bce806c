/* What a model keeps of the past, told kind by kind: numbers that can be checked by hand. */
#include "test.h"

#include "cache/kv_report.h"

static const KvReportLine *line_of(const KvReport *r, const char *kind)
{
    for (int32_t i = 0; i < r->lines; i++)
        if (!strcmp(r->line[i].kind, kind))
            return &r->line[i];
    return NULL;
}

static void each_kind_of_layer_has_its_own_line_and_all_add_up(void **state)
{
    (void)state;
    static const ModelShape shape = {.D = 64, .N = 8, .H = 16, .L = 9};
    KvLayout layout = {.layers = 9,
                       .layer = {[0] = {.kind = KV_WINDOW, .window = 64, .heads = 2, .key_width = 16, .value_width = 16},
                                 [1] = {.kind = KV_WINDOW, .window = 64, .heads = 2, .key_width = 16, .value_width = 16},
                                 [2] = {.kind = KV_FULL, .heads = 2, .key_width = 16, .value_width = 8},
                                 [3] = {.kind = KV_ALIAS, .alias_of = 2},
                                 [4] = {.kind = KV_WINDOW, .window = 64, .heads = 2, .key_width = 16, .value_width = 16},
                                 [5] = {.kind = KV_FULL, .heads = 1, .key_width = 48 + 16},
                                 [6] = {.kind = KV_NONE},
                                 [7] = {.kind = KV_CHUNK, .window = 32, .heads = 1, .key_width = 4, .value_width = 4,
                                        .state_width = 10},
                                 [8] = {.kind = KV_STATE, .state_width = 6}}};
    KvReport r;
    Error err;
    assert_int_equal(kv_report_init(&r, &shape, &layout, format_find("F16"), &err), OK);
    static const struct { const char *kind, *layers; int64_t token, fixed; } wanted[] = {
        {"window of 64", "0-1, 4", 0, 3 * 64 * 2 * 32 * 2},
        {"full", "2", 2 * 24 * 2, 0},
        {"alias", "3", 0, 0},
        {"latent", "5", 64 * 2, 0},
        {"nothing", "6", 0, 0},
        {"chunk of 32", "7", 0, 32 * 8 * 2},
        {"state", "7-8", 0, 16 * 4},
    };
    int64_t token = 0, fixed = 0, at = 0;
    assert_int_equal(r.lines, COUNT_OF(wanted));
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        const KvReportLine *line = line_of(&r, wanted[i].kind);
        assert_non_null(line);
        assert_string_equal(line->layers, wanted[i].layers);
        assert_int_equal(line->token_bytes, wanted[i].token);
        assert_int_equal(line->fixed_bytes, wanted[i].fixed);
        token += line->token_bytes;
        fixed += line->fixed_bytes;
        at += kv_report_bytes(line, 1000);
    }
    assert_true(r.all.token_bytes == token && r.all.fixed_bytes == fixed);
    assert_true(kv_report_bytes(&r.all, 1000) == at && at == 1000 * token + fixed);
    assert_int_equal(r.multi_head_bytes, 8 * 2 * 128 * 2);      /* 2 N H numbers for each layer that attends */
}

static void a_window_stays_constant_however_long_the_sequence_is(void **state)
{
    (void)state;
    static const ModelShape shape = {.D = 64, .N = 4, .H = 16, .L = 1};
    KvLayout layout = {.layers = 1,
                       .layer = {{.kind = KV_WINDOW, .window = 4096, .heads = 4, .key_width = 16, .value_width = 16}}};
    KvReport r;
    Error err;
    assert_int_equal(kv_report_init(&r, &shape, &layout, format_find("F16"), &err), OK);
    int64_t full = 4096 * 4 * 32 * 2;
    assert_int_equal(kv_report_bytes(&r.all, 1024), full / 4);
    assert_int_equal(kv_report_bytes(&r.all, 8192), full);
    assert_int_equal(kv_report_bytes(&r.all, 131072), full);
    assert_int_equal(r.all.fixed_bytes, full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_layer_has_its_own_line_and_all_add_up),
        cmocka_unit_test(a_window_stays_constant_however_long_the_sequence_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

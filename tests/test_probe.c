/* What a machine's file may hold, and that a probe fills it: protects every percentage that is told. */
#include "core/machine.h"
#include "tools/probe.h"

#include "test.h"

#include <math.h>
#include <unistd.h>

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
}

static char directory[] = "/tmp/ridge-probe-XXXXXX", path[128];

static int make_directory(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/a/b/machine.json", directory);
    return 0;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    Error err;
    Machine m = {.name = "a machine", .source = "a test", .bytes_per_second = 50e9, .int8 = 2e12, .memory_bytes = 8e9,
                 .threads = 3}, back;
    assert_int_equal(machine_write(path, &m, &err), OK);      /* makes the folders */
    assert_int_equal(machine_read(path, &back, &err), OK);
    assert_string_equal(back.name, m.name);
    assert_string_equal(back.source, m.source);
    assert_true(back.bytes_per_second == m.bytes_per_second && back.int8 == m.int8 && back.bf16 == 0 && back.fp32 == 0);
    assert_int_equal(back.threads, 3);
}

static void bad_files_are_named(void **state)
{
    (void)state;
    static const struct { const char *text, *told; } cases[] = {
        {"{\"bytes_per_second\": -1}", "bytes_per_second"},
        {"{\"bytes_per_second\": \"fast\"}", "bytes_per_second"},
        {"{\"int8\": 1}", "bytes_per_second"},
        {"{\"bytes_per_second\": 1, \"int8\": Infinity}", "int8"},
        {"{\"bytes_per_second\": 1, \"threads\": -2}", "threads"},
        {"{\"bytes_per_second\": 1, \"name\": 5}", "name"},
        {"[1]", "no JSON object"},
        {"{", "machine.json"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Machine m;
        put(path, cases[i].text);
        assert_int_equal(machine_read(path, &m, &err), BAD_FILE);
        assert_non_null(strstr(err.text, cases[i].told));
        assert_non_null(strstr(err.text, path));
    }
}

static void where_it_is_kept(void **state)
{
    (void)state;
    Error err;
    Machine m;
    char at[MACHINE_PATH_BYTES];
    setenv("RIDGE_MACHINE", "", 1);
    setenv("XDG_CACHE_HOME", directory, 1);
    assert_int_equal(machine_path(false, at, &err), OK);
    assert_true(!strncmp(at, directory, strlen(directory)) && strstr(at, "/ridge/machine.json"));
    assert_int_equal(machine_path(true, at, &err), OK);
    assert_true(!strncmp(at, directory, strlen(directory)) && strstr(at, "/ridge/machine-gpu.json"));
    for (int gpu = 0; gpu < 2; gpu++) {
        assert_int_equal(machine_of_this(gpu, &m, &err), NOT_FOUND);
        assert_non_null(strstr(err.text, gpu ? "`ridge probe --device cuda`" : "`ridge probe`"));
    }
    setenv("RIDGE_MACHINE", path, 1);
    put(path, "{\"bytes_per_second\": 7e9}");
    assert_int_equal(machine_of_this(false, &m, &err), OK);
    assert_true(m.bytes_per_second == 7e9);
    assert_int_equal(machine_of_this(true, &m, &err), NOT_FOUND);
}

static void a_probe_finds_limits(void **state)
{
    (void)state;
    Error err;
    Probe p;
    ProbeOptions o = {.threads = 1, .tier = TIER_BEST, .buffer_bytes = 1};   /* the smallest buffer */
    assert_int_equal(probe_run(&o, &p, &err), OK);
    Machine m = probe_machine(&p);
    assert_true(isfinite(m.bytes_per_second) && m.bytes_per_second > 1e6);
    assert_true(p.tier == TIER_REFERENCE || (m.fp32 > 1e6 && m.int8 > 1e6));
    assert_int_equal(m.threads, 1);
    json_t *json = probe_json(&p);
    assert_int_equal(json_array_size(json_object_get(json, "reads")), PROBE_PAGES * PROBE_STREAMS);
    assert_int_equal(json_array_size(json_object_get(json, "copies")), PROBE_PAGES);
    assert_true(p.copies[0] > 1e6 && p.copies[1] > 1e6);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(bad_files_are_named),
        cmocka_unit_test(where_it_is_kept), cmocka_unit_test(a_probe_finds_limits),
    };
    return cmocka_run_group_tests(tests, make_directory, NULL);
}

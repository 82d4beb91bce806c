/* What a config says by layer arrives by layer, in either kind of file, and what does not fit is refused by name. */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "model/keys.h"
#include "model/rope_config.h"

enum { LAYERS = 4 };

typedef struct World { /* one of the two kinds of file */
    json_t *config;
    Store *store;
    Keys keys;
} World;

static void open_config(World *w, const char *text)
{
    Error err;
    *w = (World){0};
    if (json_read(span_text(text), strlen(text), "config", &w->config, &err) != OK)
        print_error("%s\n", err.text), assert_true(false);
    w->keys = (Keys){.where = "config", .config = w->config, .family = "test", .record_family = "test"};
}

static void close_world(World *w)
{
    json_decref(w->config);
    store_free(w->store);
}

/* The world of a GGUF that was recorded. */
static void write_and_open(World *w, GgufWriter *writer)
{
    char path[] = "/tmp/ridge-keys-XXXXXX.gguf";
    Error err;
    *w = (World){0};
    close(mkstemps(path, 5));
    if (gguf_write(writer, path, NULL, NULL, &err) != OK || store_open(path, &w->store, &err) != OK)
        print_error("%s\n", err.text), assert_true(false);
    unlink(path);
    w->keys = (Keys){.where = "file", .gguf = store_gguf(w->store), .family = "test"};
}

static const char config[] =
    "{\"one\": 7, \"many\": [1, 2, 3, 2], \"same\": [5, 5, 5, 5], \"truths\": [true, false, true, true],"
    " \"rates\": [0.5, 1, 2.0, 4], \"limit\": [0.0, Infinity, 1, 1], \"deep\": {\"er\": {\"est\": [9, 8, 7, 6]}},"
    " \"spelled\": {\"__float__\": \"Infinity\"}, \"bare\": -Infinity, \"whole\": 3.0, \"nothing\": null,"
    " \"layer_types\": [\"mamba\", \"attention\", \"mamba\", \"moe\"], \"short\": [1, 2, 3], \"mixed\": [1, 2.5, 3, 4],"
    " \"texts\": [\"a\", \"b\", \"c\", \"d\"]}";

static void a_list_of_numbers_arrives_by_layer_and_one_number_for_all(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int32_t want[LAYERS];
    } cases[] = {
        {"one", {7, 7, 7, 7}},     {"many", {1, 2, 3, 2}},          {"same", {5, 5, 5, 5}},       {"truths", {1, 0, 1, 1}},
        {"whole", {3, 3, 3, 3}},   {"deep.er.est", {9, 8, 7, 6}},   {"absent", {4, 4, 4, 4}},     {"nothing", {4, 4, 4, 4}},
    };
    World w;
    Error err;
    open_config(&w, config);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int32_t got[LAYERS];
        assert_int_equal(keys_ints_or(&w.keys, cases[i].name, NULL, 0, 9, 4, got, LAYERS, &err), OK);
        assert_memory_equal(got, cases[i].want, sizeof got);
    }
    close_world(&w);
}

/* transformers 5 and Python's json spell it differently, and GGUF has it as a number. */
static void an_infinite_number_is_one_however_it_is_spelled(void **state)
{
    (void)state;
    World w;
    Error err;
    float x, limit[LAYERS];
    open_config(&w, config);
    assert_int_equal(keys_float(&w.keys, "spelled", NULL, 0, INFINITY, &x, &err), OK);
    assert_true(x == INFINITY);
    assert_int_equal(keys_float(&w.keys, "bare", NULL, -INFINITY, 0, &x, &err), OK);
    assert_true(x == -INFINITY);
    assert_int_equal(keys_floats_or(&w.keys, "limit", NULL, 0, INFINITY, 1, limit, LAYERS, &err), OK);
    assert_true(limit[0] == 0 && limit[1] == INFINITY && limit[2] == 1);
    assert_int_equal(keys_float(&w.keys, "spelled", NULL, 0, 1e9, &x, &err), BAD_FILE); /* where a finite one is needed */
    close_world(&w);
}

static void what_is_read_by_layer_is_recorded_and_read_back(void **state)
{
    (void)state;
    static const char *const names[] = {"one", "many", "same", "truths"};
    World w, file;
    Error err;
    int32_t was[4][LAYERS], is[LAYERS];
    float rates[LAYERS], again[LAYERS];
    bool yes = false;
    open_config(&w, config);
    w.keys.record = gguf_writer_new();
    for (int i = 0; i < 4; i++)
        assert_int_equal(keys_ints_or(&w.keys, names[i], names[i], 0, 9, 4, was[i], LAYERS, &err), OK);
    assert_int_equal(keys_floats_or(&w.keys, "rates", "rates", 0, 9, 4, rates, LAYERS, &err), OK);
    assert_int_equal(keys_bool_or(&w.keys, "absent", "yes", true, &yes, &err), OK);
    write_and_open(&file, w.keys.record);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(keys_ints_or(&file.keys, NULL, names[i], 0, 9, 0, is, LAYERS, &err), OK);
        assert_memory_equal(is, was[i], sizeof is);
    }
    assert_int_equal(keys_floats_or(&file.keys, NULL, "rates", 0, 9, 0, again, LAYERS, &err), OK);
    assert_memory_equal(again, rates, sizeof again);
    assert_int_equal(keys_bool_or(&file.keys, NULL, "yes", false, &yes, &err), OK);
    assert_true(yes);
    /* One number where all layers agree: programs that know only the number read it too. */
    assert_int_equal(gguf_find(file.keys.gguf, "test.same")->type, GGUF_U32);
    assert_int_equal(gguf_find(file.keys.gguf, "test.many")->type, GGUF_ARRAY);
    assert_int_equal(keys_int(&file.keys, NULL, "same", 0, 9, is, &err), OK);
    assert_int_equal(keys_int(&file.keys, NULL, "many", 0, 9, is, &err), UNSUPPORTED);
    gguf_writer_free(w.keys.record);
    close_world(&file);
    close_world(&w);
}

/* llama.cpp counts layers for guessing ahead as layers, and its lists go on for them. */
static void lists_of_a_gguf_may_go_on_for_layers_that_guess_ahead(void **state)
{
    (void)state;
    static const int32_t heads[] = {1, 2, 3, 2, 9, 9};
    for (uint32_t drafts = 0; drafts < 4; drafts++) {
        World file;
        Error err;
        int32_t got[LAYERS];
        GgufWriter *writer = gguf_writer_new();
        gguf_put_array(writer, "test.heads", GGUF_I32, heads, COUNT_OF(heads));
        gguf_put_u32(writer, "test.nextn_predict_layers", drafts);
        write_and_open(&file, writer);
        assert_int_equal(keys_ints_or(&file.keys, NULL, "heads", 0, 9, 0, got, LAYERS, &err), drafts == 2 ? OK : BAD_FILE);
        if (drafts == 2)
            assert_memory_equal(got, heads, sizeof got);
        gguf_writer_free(writer);
        close_world(&file);
    }
}

static void a_list_that_does_not_fit_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *name, *said;
        int64_t max;
    } bad[] = {
        {"short", "short has 3 numbers; 4 are wanted", 9}, {"many", "many[2] is 3; ridge takes 0 to 2", 2},
        {"mixed", "mixed must be a list of integers", 9},  {"texts", "texts must be a list of integers", 9},
        {"one", "one is 7; ridge takes 0 to 6", 6},        {"deep", "deep must be an integer", 9},
        {"one.deeper", "one.deeper must be an integer", 9},
    };
    World w;
    open_config(&w, config);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Error err = {0};
        int32_t got[LAYERS];
        assert_int_equal(keys_ints_or(&w.keys, bad[i].name, NULL, 0, bad[i].max, 4, got, LAYERS, &err), BAD_FILE);
        if (!strstr(err.text, bad[i].said))
            print_error("%s\n", err.text), assert_true(false);
    }
    close_world(&w);
}

static void kinds_of_layers_are_known_by_name_and_others_refused(void **state)
{
    (void)state;
    static const char *const kinds[] = {"attention", "moe", "mamba"};
    static const int want[LAYERS] = {2, 0, 2, 1};
    World w;
    Error err = {0};
    int got[LAYERS];
    open_config(&w, config);
    assert_int_equal(keys_layer_kinds(&w.keys, "layer_types", kinds, 3, got, LAYERS, &err), OK);
    assert_memory_equal(got, want, sizeof got);
    assert_int_equal(keys_layer_kinds(&w.keys, "layer_types", kinds, 2, got, LAYERS, &err), UNSUPPORTED);
    assert_non_null(strstr(err.text, "layer_types[0] is 'mamba'"));
    assert_non_null(strstr(err.text, "attention, moe"));
    assert_int_equal(keys_layer_kinds(&w.keys, "layer_types", kinds, 3, got, LAYERS + 1, &err), BAD_FILE);
    assert_non_null(strstr(err.text, "names 4 layers; the model has 5"));
    assert_int_equal(keys_layer_kinds(&w.keys, "many", kinds, 3, got, LAYERS, &err), BAD_FILE);
    assert_int_equal(keys_layer_kinds(&w.keys, "absent", kinds, 3, got, LAYERS, &err), BAD_FILE);
    assert_non_null(strstr(err.text, "absent is missing"));
    close_world(&w);
}

/* llama.cpp's files of DeepSeek and Mistral 3 leave it to the reader what yarn multiplies by. */
static void yarns_magnitude_follows_from_what_a_gguf_says(void **state)
{
    (void)state;
    const float plain = 0.1f * logf(16) + 1;
    const struct {
        float multiplier, factor; /* 0: not said */
        bool tempered;
        float want;
    } cases[] = {
        {0, 0, false, plain},   {0, 0.5f, false, 0.5f * plain}, {1, 0, false, 1}, {0.5f, 0, false, plain / (0.05f * logf(16) + 1)},
        {0.0707f, 0, true, 1},  {0.1f, 1.25f, true, 1.25f},     {0, 0, true, plain},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        World w;
        Arena *arena = arena_new(1 << 16);
        GgufWriter *writer = gguf_writer_new();
        gguf_put_text(writer, "test.rope.scaling.type", "yarn");
        gguf_put_f32(writer, "test.rope.scaling.factor", 16);
        if (cases[i].multiplier != 0)
            gguf_put_f32(writer, "test.rope.scaling.yarn_log_multiplier", cases[i].multiplier);
        if (cases[i].factor != 0)
            gguf_put_f32(writer, "test.rope.scaling.attn_factor", cases[i].factor);
        write_and_open(&w, writer);
        w.keys.store = w.store;
        RopeConfig rope = {.tempered = cases[i].tempered};
        assert_int_equal(rope_config_read(&w.keys, "rope_parameters", 16, 0, 256, arena, &rope, &err), OK);
        assert_float_equal(rope.angles.magnitude, cases[i].want, 1e-6);
        close_world(&w);
        gguf_writer_free(writer);
        arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_of_numbers_arrives_by_layer_and_one_number_for_all),
        cmocka_unit_test(an_infinite_number_is_one_however_it_is_spelled),
        cmocka_unit_test(what_is_read_by_layer_is_recorded_and_read_back),
        cmocka_unit_test(lists_of_a_gguf_may_go_on_for_layers_that_guess_ahead),
        cmocka_unit_test(a_list_that_does_not_fit_is_refused_by_name),
        cmocka_unit_test(yarns_magnitude_follows_from_what_a_gguf_says),
        cmocka_unit_test(kinds_of_layers_are_known_by_name_and_others_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A config.json means to ridge what it means to transformers, and what a GGUF cannot say is not written. */
#include "test.h"

#include <string.h>

#include "model/decoder.h"
#include "read_config.h"

#define WINDOW "\"use_sliding_window\": true, \"sliding_window\": 16"
#define SCALED(type, fields) "\"rope_scaling\": {\"type\": \"" type "\", \"factor\": 4.0, " fields "}"

/* Each line is a rule of transformers that is easily taken for another. */
static void a_config_means_what_it_means_to_transformers(void **state)
{
    (void)state;
    static const struct {
        const char *family, *fields;
        int32_t window[3], width, dims;
    } cases[] = {
        {"llama", "\"sliding_window\": 16", {0, 0, 0}, 16, 16},
        {"mistral", "\"sliding_window\": 16", {16, 16, 16}, 16, 16},
        {"qwen2", WINDOW, {0, 0, 0}, 16, 16}, /* from layer 28 on, if nothing else is said */
        {"qwen2", WINDOW ", \"max_window_layers\": 1", {0, 16, 16}, 16, 16},
        {"qwen3", "", {0, 0, 0}, 128, 128}, /* not D / N */
        {"qwen3", "\"head_dim\": 32", {0, 0, 0}, 32, 32},
        {"llama", "\"rope_parameters\": {\"partial_rotary_factor\": 0.5}", {0, 0, 0}, 16, 16},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Read r;
        assert_int_equal(read_config(&r, cases[i].family, cases[i].fields, false, &err), OK);
        for (int l = 0; l < 3; l++)
            assert_int_equal(decoder_shape(&r.shape)->layer[l].attention.how.window, cases[i].window[l]);
        assert_int_equal(r.shape.H, cases[i].width);
        assert_int_equal(decoder_shape(&r.shape)->rope[0].angles.dims, cases[i].dims);
        close_config(&r);
    }
}

static void dynamic_rope_stretches_from_the_models_own_length(void **state)
{
    (void)state;
    Error err;
    Read r;
    const char *fields = SCALED("dynamic", "\"original_max_position_embeddings\": 32");
    assert_int_equal(read_config(&r, "llama", fields, false, &err), OK);
    assert_int_equal(decoder_shape(&r.shape)->rope[0].angles.original_length, 256);
    close_config(&r);
}

/* The file would load, and compute something else than the checkpoint. */
static void what_a_gguf_cannot_say_is_not_converted(void **state)
{
    (void)state;
    static const struct {
        const char *family, *fields;
        bool can;
    } cases[] = {
        {"llama", "", true},
        {"llama", "\"hidden_act\": \"gelu\"", false},
        {"qwen2", WINDOW ", \"max_window_layers\": 0", true},
        {"qwen2", WINDOW ", \"max_window_layers\": 3", true},
        {"qwen2", WINDOW ", \"max_window_layers\": 1", false},
        {"llama", SCALED("yarn", "\"truncate\": true"), true},
        {"llama", SCALED("yarn", "\"truncate\": false"), false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Read r;
        Err result = read_config(&r, cases[i].family, cases[i].fields, true, &err);
        assert_int_equal(result, cases[i].can ? OK : UNSUPPORTED);
        close_config(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_config_means_what_it_means_to_transformers),
        cmocka_unit_test(dynamic_rope_stretches_from_the_models_own_length),
        cmocka_unit_test(what_a_gguf_cannot_say_is_not_converted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Gemma 3n and 4: which layers keep keys and values of their own, how wide their heads are, which mlps are sparse; and
 * what of their configs is refused. */
#include "test.h"

#include <math.h>
#include <string.h>

#include "model/decoder.h"
#include "read_config.h"

#define KINDS(a, b, c) "\"layer_types\": [\"" a "_attention\", \"" b "_attention\", \"" c "_attention\"]"
#define LLG KINDS("sliding", "sliding", "full")
#define LGG KINDS("sliding", "full", "full")
#define THREE_N "\"activation_sparsity_pattern\": [0.95, 0.5, 0.0]"
#define FOUR "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"proportional\", \"partial_rotary_factor\": 0.25}}"

static DecoderLayer *layer_of(const Read *r, int l) { return &decoder_shape(&r->shape)->layer[l]; }

static Read read_or_fail(const char *family, const char *fields)
{
    Error err;
    Read r;
    if (read_config(&r, family, fields, false, &err) != OK) {
        print_error("%s %s: %s\n", family, fields, err.text);
        assert_true(false);
    }
    return r;
}

static void the_last_layers_own_no_cache_and_see_the_last_of_their_kind(void **state)
{
    (void)state;
    static const struct {
        const char *family, *fields;
        int alias[3];                        /* -1: keys and values of its own */
    } cases[] = {
        {"gemma3n_text", THREE_N ", " LGG ", \"num_kv_shared_layers\": 0", {-1, -1, -1}},
        {"gemma3n_text", THREE_N ", " LGG ", \"num_kv_shared_layers\": 1", {-1, -1, 1}},
        {"gemma3n_text", THREE_N ", " KINDS("full", "sliding", "full") ", \"num_kv_shared_layers\": 1", {-1, -1, 0}},
        {"gemma4_text", FOUR ", " KINDS("full", "full", "full") ", \"num_kv_shared_layers\": 2", {-1, 0, 0}},
        {"gemma4_text", FOUR ", " LLG, {-1, -1, -1}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        static KvLayout kv;
        Read r = read_or_fail(cases[i].family, cases[i].fields);
        arch_find(cases[i].family)->kv_layout(&r.shape, &kv);
        for (int l = 0; l < 3; l++) {
            assert_int_equal(kv.layer[l].kind == KV_ALIAS, cases[i].alias[l] >= 0);
            if (kv.layer[l].kind == KV_ALIAS)
                assert_int_equal(kv.layer[l].alias_of, cases[i].alias[l]);
        }
        close_config(&r);
    }
}

static void heads_are_as_wide_as_their_kind_of_layer_says(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        int32_t local, global, local_kv, global_kv;
        bool one_projection;
    } cases[] = {
        {"\"head_dim\": 16", 16, 512, 4, 4, false},
        {"\"head_dim\": 16, \"global_head_dim\": 32, \"num_key_value_heads\": 2", 16, 32, 2, 2, false},
        {"\"head_dim\": 16, \"num_global_key_value_heads\": 1", 16, 512, 4, 4, false},   /* only with the next */
        {"\"head_dim\": 16, \"num_global_key_value_heads\": 1, \"attention_k_eq_v\": true", 16, 512, 4, 1, true},
        {"\"head_dim\": 16, \"global_head_dim\": 32, \"per_layer_config\": {\"2\": {\"head_dim\": 64, "
         "\"num_key_value_heads\": 2}}", 16, 64, 4, 2, false},
        {"\"head_dim\": 16, \"per_layer_config\": {}", 16, 16, 4, 4, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char fields[512];
        snprintf(fields, sizeof fields, "%s, " FOUR ", " LLG, cases[i].fields);
        Read r = read_or_fail("gemma4_text", fields);
        for (int l = 0; l < 3; l++) {
            const AttentionShape *a = &layer_of(&r, l)->attention;
            assert_int_equal(a->H, l < 2 ? cases[i].local : cases[i].global);
            assert_int_equal(a->V, a->H);
            assert_int_equal(a->K, l < 2 ? cases[i].local_kv : cases[i].global_kv);
            assert_int_equal(a->v_is_k, l == 2 && cases[i].one_projection);
        }
        close_config(&r);
    }
}

/* A quarter of the pairs turns, with the frequencies of a whole head; the others stand still. */
static void pairs_that_do_not_turn_keep_the_others_frequencies(void **state)
{
    (void)state;
    Read r = read_or_fail("gemma4_text", "\"head_dim\": 16, \"global_head_dim\": 32, " FOUR ", " LLG);
    const RopeConfig *global = &decoder_shape(&r.shape)->rope[0], *local = &decoder_shape(&r.shape)->rope[1];
    assert_int_equal(global->angles.dims, 32);
    assert_int_equal(local->angles.dims, 16);
    for (int i = 0; i < 16; i++)
        assert_true(fabs(global->inv_freq[i] - (i < 4 ? pow(1e6, -2.0 * i / 32) : 0)) < 1e-6);
    close_config(&r);
}

static void mlps_are_sparse_and_wide_where_the_config_says(void **state)
{
    (void)state;
    Read r = read_or_fail("gemma3n_text", THREE_N ", " LGG ", \"num_kv_shared_layers\": 1, \"intermediate_size\": [8, 9, 10]");
    const double deviations[] = {1.6448536269514722, 0, 0};   /* of the normal distribution, at 0.95 and 0.5 */
    for (int l = 0; l < 3; l++) {
        const MlpShape *m = &layer_of(&r, l)->mlp;
        assert_int_equal(m->sparse, l < 2);
        assert_true(fabs(m->deviations - deviations[l]) < 1e-6);
        assert_int_equal(m->F, 8 + l);
    }
    close_config(&r);
    r = read_or_fail("gemma4_text", FOUR ", " LGG ", \"num_kv_shared_layers\": 1, \"use_double_wide_mlp\": true");
    for (int l = 0; l < 3; l++)
        assert_int_equal(layer_of(&r, l)->mlp.F, l < 2 ? 96 : 192);
    close_config(&r);
}

static void what_is_not_understood_is_refused_with_what_it_says(void **state)
{
    (void)state;
    static const struct { const char *family, *fields, *first, *second; } cases[] = {
        {"gemma3n_text", THREE_N ", " LLG ", \"num_kv_shared_layers\": 1", "layer 2", "global"},
        {"gemma3n_text", THREE_N ", " LGG ", \"num_kv_shared_layers\": 3", "num_kv_shared_layers", "0 to 2"},
        {"gemma3n_text", "\"num_kv_shared_layers\": 0, \"activation_sparsity_pattern\": [0.95]", "pattern", "3 are wanted"},
        {"gemma3n_text", "\"num_kv_shared_layers\": 0, \"activation_sparsity_pattern\": [1, 0, 0]", "pattern[0]", "1;"},
        {"gemma3n_text", "\"num_kv_shared_layers\": 0, \"altup_active_idx\": 4", "altup_active_idx", "0 to 3"},
        {"gemma3n_text", "\"num_kv_shared_layers\": 0, \"hidden_size_per_layer_input\": 0", "hidden_size_per_layer_input", "0"},
        {"gemma4_text", FOUR ", " KINDS("full", "full", "sliding"), "last layer", "full_attention"},
        {"gemma4_text", LLG, "rope_parameters.full_attention.rope_type", "must be said"},
        {"gemma4_text", FOUR ", " LLG ", \"use_bidirectional_attention\": \"all\"", "use_bidirectional_attention", "all"},
        {"gemma4_text", FOUR ", " LLG ", \"per_layer_config\": {\"1\": {\"sliding_window\": 3}}", "per_layer_config.1", "sliding"},
        {"gemma4_text", FOUR ", " LLG ", \"per_layer_config\": {\"0\": {\"head_dim\": 8}}", "head_dim 256", "with 8"},
        {"gemma4_text", FOUR ", " LLG ", \"num_key_value_heads\": 3", "4 query heads", "3 key/value heads"},
        {"gemma4_text", FOUR ", " LLG ", \"vocab_size_per_layer_input\": 200", "200 tokens", "300"},
        {"gemma3_text", "\"rope_parameters\": {\"rope_type\": \"proportional\"}", "proportional", "gemma3_text"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Read r;
        assert_int_not_equal(read_config(&r, cases[i].family, cases[i].fields, false, &err), OK);
        if (!strstr(err.text, cases[i].first) || !strstr(err.text, cases[i].second)) {
            print_error("%s %s: %s\n", cases[i].family, cases[i].fields, err.text);
            assert_true(false);
        }
        close_config(&r);
    }
}

static void a_gguf_is_not_written_of_what_it_cannot_say(void **state)
{
    (void)state;
    Error err;
    Read r;
    assert_int_equal(read_config(&r, "gemma3n_text", THREE_N ", " LGG ", \"num_kv_shared_layers\": 1", true, &err), OK);
    close_config(&r);
    assert_int_not_equal(read_config(&r, "gemma3n_text", THREE_N ", \"num_kv_shared_layers\": 0, \"altup_correct_scale\": false",
                                     true, &err), OK);
    assert_non_null(strstr(err.text, "altup_correct_scale"));
    close_config(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_layers_own_no_cache_and_see_the_last_of_their_kind),
        cmocka_unit_test(heads_are_as_wide_as_their_kind_of_layer_says),
        cmocka_unit_test(pairs_that_do_not_turn_keep_the_others_frequencies),
        cmocka_unit_test(mlps_are_sparse_and_wide_where_the_config_says),
        cmocka_unit_test(what_is_not_understood_is_refused_with_what_it_says),
        cmocka_unit_test(a_gguf_is_not_written_of_what_it_cannot_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Which layers of a family of state spaces keep keys and values, which a state, and how large it is; and what
 * of their configs is refused. */
#include "test.h"

#include <string.h>

#include "model/decoder.h"
#include "read_config.h"

/* s: a state; f: keys and values; b: both; -: nothing */
static char kept_by(const KvLayer *layer)
{
    bool attention = layer->kind == KV_FULL || layer->kind == KV_WINDOW;
    return attention ? layer->state_width ? 'b' : 'f' : layer->kind == KV_STATE ? 's' : '-';
}

#define HEADS "\"mamba_n_heads\": 4, \"mamba_d_state\": 16"
#define NEMOTRON "\"mamba_num_heads\": 4, \"mamba_head_dim\": 16, \"ssm_state_size\": 8"

static void each_layer_keeps_what_its_kind_needs(void **state)
{
    (void)state;
    static const struct {
        const char *family, *fields, *kept;
        int32_t width;                       /* of the states */
    } cases[] = {
        {"mamba", "", "sss", 3 * 96 + 16 * 96},                       /* intermediate_size counts */
        {"mamba", "\"conv_kernel\": 2", "sss", 96 + 16 * 96},
        {"falcon_mamba", "\"state_size\": 8", "sss", 3 * 96 + 8 * 96},
        {"mamba2", "\"num_heads\": 4, \"head_dim\": 32, \"state_size\": 16", "sss", 3 * (128 + 32) + 128 * 16},
        {"mamba2", "\"num_heads\": 4, \"head_dim\": 32, \"state_size\": 16, \"n_groups\": 2", "sss",
         3 * (128 + 64) + 128 * 16},
        {"jamba", "\"attn_layer_period\": 2, \"attn_layer_offset\": 1, \"num_experts\": 1", "sfs", 19 * 128},
        {"jamba", "\"num_experts\": 1", "sss", 19 * 128},             /* the fifth of eight would have attention */
        {"bamba", HEADS ", \"attn_layer_indices\": [0, 2]", "fsf", 3 * 160 + 128 * 16},
        {"granitemoehybrid", HEADS ", \"layer_types\": [\"mamba\", \"attention\", \"linear_attention\"]", "sfs",
         3 * 160 + 128 * 16},
        {"falcon_h1", HEADS ", \"mamba_d_ssm\": 96", "bbb", 3 * (96 + 32) + 96 * 16},
        {"nemotron_h", NEMOTRON ", \"hybrid_override_pattern\": \"M*-M\"", "sf-s", 3 * (64 + 16) + 64 * 8},
        {"lfm2", "\"full_attn_idxs\": [1]", "sfs", 2 * 64},
        {"lfm2", "", "fff", 0},
        {"zamba", "", "ssb", 19 * 128},
        {"zamba2", HEADS ", \"n_mamba_heads\": 4, \"layers_block_type\": [\"mamba\", \"hybrid\", \"hybrid\"]", "sbb",
         3 * 160 + 128 * 16},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Read r;
        static KvLayout kv;
        if (read_config(&r, cases[i].family, cases[i].fields, false, &err) != OK) {
            print_error("%s %s: %s\n", cases[i].family, cases[i].fields, err.text);
            assert_true(false);
        }
        arch_find(cases[i].family)->kv_layout(&r.shape, &kv);
        assert_int_equal(kv.layers, (int)strlen(cases[i].kept));
        for (int l = 0; l < kv.layers; l++) {
            assert_int_equal(kept_by(&kv.layer[l]), cases[i].kept[l]);
            if (kv.layer[l].state_width)
                assert_int_equal(kv.layer[l].state_width, cases[i].width);
        }
        close_config(&r);
    }
}

static void what_does_not_fit_together_is_refused_with_what_it_says(void **state)
{
    (void)state;
    static const struct { const char *family, *fields, *first, *second; } cases[] = {
        {"bamba", HEADS ", \"attn_layer_indices\": [3]", "attn_layer_indices[0]", "3 layers"},
        {"bamba", HEADS ", \"attn_layer_indices\": 1", "attn_layer_indices", "list"},
        {"bamba", HEADS ", \"mamba_n_groups\": 3", "3 groups", "4 heads"},
        {"mamba2", "\"num_heads\": 4, \"head_dim\": 32, \"state_size\": 16, \"time_step_limit\": [0.5, 0.1]", "0.5", "0.1"},
        {"mamba2", "\"num_heads\": 1024, \"head_dim\": 1, \"state_size\": 1048576, \"n_groups\": 1024",
         "1024 groups of 1048576", "limit"},
        {"mamba2", "\"num_heads\": 1000, \"state_size\": 8", "1000 heads", "128"},
        {"lfm2", "\"block_multiple_of\": 1, \"block_ffn_dim_multiplier\": 0.001", "mlp of 0", "block_"},
        {"nemotron_h", NEMOTRON ", \"hybrid_override_pattern\": \"\"", "hybrid_override_pattern", "no layer"},
        {"falcon_h1", HEADS ", \"mamba_d_ssm\": 96, \"mamba_d_head\": 32", "4 heads of 32", "96"},
        {"falcon_h1", HEADS ", \"mamba_d_ssm\": 96, \"ssm_multipliers\": [1, 2]", "ssm_multipliers", "5"},
        {"granitemoehybrid", HEADS ", \"layer_types\": [\"mamba\", \"sliding\", \"mamba\"]", "sliding", "layer_types"},
        {"granitemoehybrid", HEADS ", \"position_embedding_type\": \"alibi\"", "position_embedding_type", "alibi"},
        {"nemotron_h", NEMOTRON ", \"hybrid_override_pattern\": \"M?*\"", "hybrid_override_pattern", "layer 1"},
        {"nemotron_h", NEMOTRON ", \"layers_block_type\": []", "layers_block_type", "0 layers"},
        {"zamba", "\"attention_hidden_size\": 100", "100", "128"},
        {"zamba2", "\"n_mamba_heads\": 4, \"mamba_d_state\": 8, \"use_long_context\": true", "use_long_context", "rotation"},
        {"mamba", "\"hidden_act\": \"snake\"", "hidden_act", "snake"},
        {"jamba", "\"mamba_dt_rank\": \"some\", \"num_experts\": 1", "mamba_dt_rank", "integer"},
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

/* The file would load in llama.cpp, and compute something else than the checkpoint. */
static void what_a_gguf_cannot_say_of_a_state_space_is_not_written(void **state)
{
    (void)state;
    static const struct { const char *family, *fields; bool can; } cases[] = {
        {"mamba", "", true},
        {"mamba", "\"use_bias\": true", false},
        {"mamba", "\"use_conv_bias\": false", false},
        {"jamba", "\"num_experts\": 1", true},
        {"bamba", HEADS ", \"mamba_proj_bias\": true", false},
        {"falcon_h1", HEADS ", \"mamba_d_ssm\": 96, \"lm_head_multiplier\": 0.5, \"tie_word_embeddings\": false", true},
        {"falcon_h1", HEADS ", \"mamba_d_ssm\": 96, \"lm_head_multiplier\": 0.5, \"tie_word_embeddings\": true", false},
        {"falcon_h1", HEADS ", \"mamba_d_ssm\": 96, \"mamba_rms_norm\": true", false},
        {"falcon_h1", HEADS ", \"mamba_d_ssm\": 96, \"mamba_rms_norm\": true, \"mamba_norm_before_gate\": false", true},
        {"nemotron_h", NEMOTRON ", \"hybrid_override_pattern\": \"M*-\"", true},
        {"nemotron_h", NEMOTRON ", \"hybrid_override_pattern\": \"M*-\", \"mlp_hidden_act\": \"silu\"", false},
        {"lfm2", "\"conv_bias\": true", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err = {0};
        Read r;
        Err result = read_config(&r, cases[i].family, cases[i].fields, true, &err);
        if (result != (cases[i].can ? OK : UNSUPPORTED))
            print_error("%s %s: %s\n", cases[i].family, cases[i].fields, err.text);
        assert_int_equal(result, cases[i].can ? OK : UNSUPPORTED);
        close_config(&r);
    }
}

/* LFM2's config says a width from which the true one follows. */
static void the_width_of_an_lfm2_mlp_is_adjusted_as_transformers_does(void **state)
{
    (void)state;
    static const struct { const char *fields; int32_t width; } cases[] = {
        {"\"block_multiple_of\": 16", 64},                              /* 2/3 of 96 */
        {"\"block_multiple_of\": 48", 96},
        {"\"block_multiple_of\": 1, \"block_ff_dim\": 100", 66},
        {"\"block_multiple_of\": 8, \"block_ffn_dim_multiplier\": 1.3", 88},   /* 83, rounded up */
        {"\"block_auto_adjust_ff_dim\": false", 96},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Read r;
        assert_int_equal(read_config(&r, "lfm2", cases[i].fields, false, &err), OK);
        assert_int_equal(decoder_shape(&r.shape)->layer[1].mlp.F, cases[i].width);
        close_config(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_layer_keeps_what_its_kind_needs),
        cmocka_unit_test(what_does_not_fit_together_is_refused_with_what_it_says),
        cmocka_unit_test(what_a_gguf_cannot_say_of_a_state_space_is_not_written),
        cmocka_unit_test(the_width_of_an_lfm2_mlp_is_adjusted_as_transformers_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

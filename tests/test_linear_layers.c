/* Which layers of families of linear attention and recurrences keep keys and values, which a state, and how large it
 * is; what of their configs is refused; and what a GGUF cannot say of them. */
#include "test.h"

#include <string.h>

#include "model/decoder.h"
#include "read_config.h"

/* s: a state; f: keys and values; w: those of a window */
static char kept_by(const KvLayer *layer)
{
    return layer->kind == KV_FULL ? 'f' : layer->kind == KV_WINDOW ? 'w' : layer->kind == KV_STATE ? 's' : '?';
}

#define TYPES(a, b, c) "\"layer_types\": [\"" a "\", \"" b "\", \"" c "\"]"
#define LINEAR "linear_attention"
#define FULL "full_attention"
#define DELTA "\"linear_num_key_heads\": 2, \"linear_num_value_heads\": 4, \"linear_key_head_dim\": 8, \"linear_value_head_dim\": 12"
#define EXPERTS "\"num_experts\": 4, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 16"
#define MINIMAX "\"num_local_experts\": 4, \"num_experts_per_tok\": 2"
#define KIMI EXPERTS ", \"kv_lora_rank\": 24, \"qk_nope_head_dim\": 16, \"qk_rope_head_dim\": 8, \"v_head_dim\": 16, " \
             "\"q_lora_rank\": null, \"linear_head_dim\": 16, \"linear_num_heads\": 4"
#define BASED TYPES(LINEAR, "sliding_attention", LINEAR)

static void each_layer_keeps_what_its_kind_needs(void **state)
{
    (void)state;
    static const struct {
        const char *family, *fields, *kept;
        int32_t width;                       /* of the states */
    } cases[] = {
        {"rwkv", "", "sss", 2 * 64 + 3 * 64},
        {"rwkv", "\"attention_hidden_size\": 96", "sss", 2 * 64 + 3 * 96},
        {"xlstm", "\"num_heads\": 4", "sss", 4 * (8 * 16 + 8 + 1)},
        {"xlstm", "\"num_heads\": 2, \"qk_dim_factor\": 1.0, \"v_dim_factor\": 2.0", "sss", 2 * (32 * 64 + 32 + 1)},
        {"minimax", MINIMAX ", " TYPES(LINEAR, FULL, LINEAR), "sfs", 4 * 16 * 16},
        {"minimax", MINIMAX ", \"attn_type_list\": [0, 0, 1]", "ssf", 4 * 16 * 16},
        {"minimax", MINIMAX, "fsf", 4 * 16 * 16},
        {"based", BASED ", \"feature_dim\": 8", "sws", 4 * (1 + 8 + 36) * 17},
        {"qwen3_5_text", DELTA, "sss", 3 * (16 + 16 + 48) + 4 * 8 * 12},        /* the fourth would have attention */
        {"qwen3_5_text", DELTA ", \"full_attention_interval\": 2", "sfs", 3 * 80 + 384},
        {"qwen3_next", DELTA ", " EXPERTS ", \"linear_conv_kernel_dim\": 2", "sss", 80 + 384},
        {"olmo_hybrid", "", "ssf", 3 * (48 + 48 + 96) + 4 * 12 * 24},           /* one of so few is made to have attention */
        {"olmo_hybrid", DELTA ", " TYPES(FULL, LINEAR, FULL), "fsf", 3 * 80 + 384},
        {"kimi_linear", KIMI, "sss", 3 * 3 * 64 + 4 * 16 * 16},
        {"kimi_linear", KIMI ", \"linear_attn_config\": {\"full_attn_layers\": [2], \"num_heads\": 2, \"head_dim\": 8, "
         "\"short_conv_kernel_size\": 3}", "sfs", 2 * 3 * 16 + 2 * 8 * 8},
        {"recurrent_gemma", "", "ssw", 3 * 64 + 64},
        {"recurrent_gemma", "\"lru_width\": 96, \"conv1d_width\": 2, \"block_types\": [\"attention\", \"recurrent\"]", "wsw",
         96 + 96},
        {"s4d", "\"d_state\": 10", "sss", 2 * 64 * 5},
        {"h3", "\"ssm_cfg\": {\"d_state\": 10}, \"attn_layer_idx\": [1], \"attn_cfg\": {\"num_heads\": 4}", "sfs",
         64 * 10 + 2 * 64 * 5},
        {"stripedhyena", "\"state_size\": 5, \"attn_layer_idxs\": [0, 2]", "fsf", 3 * 2 * 64 + 2 * 64 * 5},
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
            if (kept_by(&kv.layer[l]) != cases[i].kept[l] || (kv.layer[l].state_width && kv.layer[l].state_width != cases[i].width))
                print_error("%s %s: layer %d keeps %c, %d numbers\n", cases[i].family, cases[i].fields, l,
                            kept_by(&kv.layer[l]), kv.layer[l].state_width);
            assert_int_equal(kept_by(&kv.layer[l]), cases[i].kept[l]);
            assert_int_equal(kv.layer[l].state_width, cases[i].kept[l] == 's' ? cases[i].width : 0);
        }
        close_config(&r);
    }
}

static void what_is_unknown_or_does_not_fit_is_refused_with_what_it_says(void **state)
{
    (void)state;
    static const struct { const char *family, *fields, *first, *second; } cases[] = {
        {"xlstm", "\"num_heads\": 3", "qk_dim_factor", "3 heads"},
        {"xlstm", "\"num_heads\": 4, \"weight_mode\": \"split\"", "weight_mode", "split"},
        {"xlstm", "\"num_heads\": 4, \"add_out_norm\": false", "add_out_norm", "xlstm"},
        {"minimax", MINIMAX ", \"attn_type_list\": [0, 2, 1]", "attn_type_list", "2"},
        {"minimax", MINIMAX ", " TYPES(LINEAR, "sliding_attention", LINEAR), "layer_types", "sliding_attention"},
        {"based", BASED ", \"feature_map\": \"relu\"", "feature_map", "relu"},
        {"based", BASED ", \"feature_map_order\": 3", "order 3", "order 2"},
        {"based", "", "layer_types", "missing"},
        {"qwen3_5_text", "\"linear_num_key_heads\": 3, \"linear_num_value_heads\": 4", "4 value heads", "3 key heads"},
        {"qwen3_next", DELTA ", " EXPERTS ", " TYPES(LINEAR, FULL, "mamba"), "layer_types", "mamba"},
        {"olmo_hybrid", "\"linear_conv_kernel_dim\": 0", "linear_conv_kernel_dim", "0"},
        {"kimi_linear", KIMI ", \"linear_attn_config\": {\"full_attn_layers\": [0]}", "full_attn_layers[0]", "3 layers"},
        {"recurrent_gemma", "\"block_types\": [\"recurrent\", \"mamba\"]", "block_types[1]", "mamba"},
        {"recurrent_gemma", "\"lru_width\": 66", "66", "4 blocks"},
        {"s4d", "\"d_state\": 7", "d_state 7", "even"},
        {"h3", "\"ssm_cfg\": {\"mode\": \"ema\"}", "ssm_cfg.mode", "ema"},
        {"h3", "\"ssm_cfg\": {\"disc\": \"dss\"}", "ssm_cfg.disc", "dss"},
        {"h3", "\"ssm_cfg\": {\"head_dim\": 8}", "head_dim 8", "h3"},
        {"h3", "\"ssm_cfg\": {\"n_ssm\": 5}", "64 channels", "5 state spaces"},
        {"h3", "\"attn_layer_idx\": [1]", "attn_cfg.num_heads", "missing"},
        {"stripedhyena", "\"hyena_filter_groups\": 4", "4 groups", "one filter for each channel"},
        {"stripedhyena", "\"use_interpolated_rotary_pos_emb\": true", "use_interpolated_rotary_pos_emb", "true"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err = {0};
        Read r;
        Err result = read_config(&r, cases[i].family, cases[i].fields, false, &err);
        if (result == OK || !strstr(err.text, cases[i].first) || !strstr(err.text, cases[i].second)) {
            print_error("%s %s: %s\n", cases[i].family, cases[i].fields, result == OK ? "was read" : err.text);
            assert_true(false);
        }
        close_config(&r);
    }
}

/* The file would load in llama.cpp, and compute something else than the checkpoint. */
static void what_a_gguf_cannot_say_of_linear_attention_is_not_written(void **state)
{
    (void)state;
    static const struct { const char *family, *fields; bool can; } cases[] = {
        {"minimax", MINIMAX, true},
        {"minimax", MINIMAX ", \"full_attn_alpha_factor\": 3.5, \"linear_attn_alpha_factor\": 3.5, \"mlp_alpha_factor\": 3.5",
         true},
        {"minimax", MINIMAX ", \"mlp_alpha_factor\": 3.5", false},
        {"minimax", MINIMAX ", \"mlp_beta_factor\": 0.5", false},
        {"qwen3_next", DELTA ", " EXPERTS, true},
        {"qwen3_next", DELTA ", " EXPERTS ", \"norm_topk_prob\": false", false},
        {"qwen3_next", DELTA ", " EXPERTS ", \"attention_bias\": true", false},
        {"qwen3_5_text", DELTA, true},
        {"kimi_linear", KIMI ", \"mlp_layer_types\": [\"dense\", \"sparse\", \"sparse\"]", true},
        {"kimi_linear", KIMI ", \"first_k_dense_replace\": 1, \"moe_renormalize\": false", false},
        {"kimi_linear", KIMI ", \"first_k_dense_replace\": 1, \"linear_attn_config\": {\"num_heads\": 2}", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err = {0};
        Read r;
        Err result = read_config(&r, cases[i].family, cases[i].fields, true, &err);
        if (result != (cases[i].can ? OK : UNSUPPORTED))
            print_error("%s %s: %s\n", cases[i].family, cases[i].fields, result == OK ? "was written" : err.text);
        assert_int_equal(result, cases[i].can ? OK : UNSUPPORTED);
        close_config(&r);
    }
}

/* RWKV-4 halves the stream behind every so many-th layer, and from there on what is added to it. */
static void rescaling_halves_the_stream_and_what_is_added(void **state)
{
    (void)state;
    Error err;
    Read r;
    assert_int_equal(read_config(&r, "rwkv", "\"rescale_every\": 2", false, &err), OK);
    const DecoderLayer *layer = decoder_shape(&r.shape)->layer;
    const float keeps[] = {1, 0.5f, 1}, adds[] = {1, 0.5f, 0.5f};
    for (int l = 0; l < 3; l++) {
        assert_true(layer[l].stage[0].branch[0].keeps == 1 && layer[l].stage[1].branch[0].keeps == keeps[l]);
        assert_true(layer[l].stage[1].branch[0].adds == adds[l]);
    }
    close_config(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_layer_keeps_what_its_kind_needs),
        cmocka_unit_test(what_is_unknown_or_does_not_fit_is_refused_with_what_it_says),
        cmocka_unit_test(what_a_gguf_cannot_say_of_linear_attention_is_not_written),
        cmocka_unit_test(rescaling_halves_the_stream_and_what_is_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What configs say of experts: which layers have some, how they are chosen, and what is refused. */
#include "test.h"

#include "model/moe.h"
#include "read_config.h"

#define EXPERTS "\"num_experts\": 8, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 16"

#define GLM "\"n_routed_experts\": 8, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 16"
#define ERNIE "\"moe_num_experts\": 8, \"moe_k\": 2, \"moe_intermediate_size\": 16"
#define LLAMA4 "\"num_local_experts\": 4, \"num_experts_per_tok\": 1, \"intermediate_size_mlp\": 128"
#define HUNYUAN "\"num_experts\": 4, \"moe_topk\": "

static const MoeShape *experts_of(const Read *r, int l)
{
    const Branch *b = &decoder_shape(&r->shape)->layer[l].stage[1].branch[0];
    return b->part == &part_moe ? b->shape : NULL;
}

static void a_config_says_which_layers_have_experts(void **state)
{
    (void)state;
    static const struct { const char *fields; bool sparse[3]; } cases[] = {
        {EXPERTS, {true, true, true}},
        {EXPERTS ", \"decoder_sparse_step\": 2", {false, true, false}},
        {EXPERTS ", \"mlp_only_layers\": [0, 2]", {false, true, false}},
        {EXPERTS ", \"first_k_dense_replace\": 1", {false, true, true}},
        {EXPERTS ", \"first_k_dense_replace\": 2, \"mlp_layer_types\": [\"sparse\", \"dense\", \"dense\"]",
         {true, false, false}},
        {EXPERTS ", \"moe_layer_freq\": [0, 1, 0]", {false, true, false}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Read r;
        assert_int_equal(read_config(&r, "qwen3_moe", cases[i].fields, false, &err), OK);
        for (int l = 0; l < 3; l++)
            assert_int_equal(experts_of(&r, l) != NULL, cases[i].sparse[l]);
        close_config(&r);
    }
}

static void a_config_says_how_experts_are_chosen_and_how_wide_they_are(void **state)
{
    (void)state;
    Error err;
    Read r;
    assert_int_equal(read_config(&r, "qwen2_moe",
                                 EXPERTS ", \"norm_topk_prob\": true, \"shared_expert_intermediate_size\": 40", false, &err),
                     OK);
    const MoeShape *m = experts_of(&r, 0);
    assert_int_equal(m->experts, 8);
    assert_int_equal(m->used, 2);
    assert_int_equal(m->F, 16);
    assert_int_equal(m->shared.F, 40);
    assert_int_equal(m->router.norm, ROUTER_NORM_SUM);
    assert_true(m->shared_gate);
    close_config(&r);
    assert_int_equal(read_config(&r, "mixtral", "\"num_local_experts\": 8, \"num_experts_per_tok\": 2", false, &err), OK);
    assert_int_equal(experts_of(&r, 2)->F, 96);                        /* that of the mlp */
    assert_int_equal(experts_of(&r, 2)->router.norm, ROUTER_NORM_SUM); /* always */
    close_config(&r);
}

/* What families mean that their configs do not say: which layers come first without experts, what is shared. */
static void families_have_defaults_of_their_own(void **state)
{
    (void)state;
    static const struct { const char *family, *fields; bool sparse[3]; int32_t shared; RouterNorm norm; } cases[] = {
        {"glm4_moe", GLM, {false, true, true}, 16, ROUTER_NORM_SUM},
        {"dots1", GLM ", \"n_shared_experts\": 2", {true, true, true}, 32, ROUTER_NORM_NONE},
        {"exaone_moe", EXPERTS, {false, true, true}, 16, ROUTER_NORM_SUM},
        {"hy_v3", EXPERTS, {false, true, true}, 16, ROUTER_NORM_SUM},
        {"ernie4_5_moe", ERNIE, {false, true, true}, 32, ROUTER_NORM_SUM},
        {"ernie4_5_moe", ERNIE ", \"moe_layer_end_index\": 1", {false, true, false}, 32, ROUTER_NORM_SUM},
        {"mimo_v2_flash", GLM ", \"num_key_value_heads\": 1", {false, true, true}, 0, ROUTER_NORM_SUM},
        {"llama4_text", LLAMA4 ", \"interleave_moe_layer_step\": 2", {false, true, false}, 96, ROUTER_NORM_NONE},
        {"llama4_text", LLAMA4 ", \"moe_layers\": [0]", {true, false, false}, 96, ROUTER_NORM_NONE},
        {"hunyuan", HUNYUAN "1", {true, true, true}, 0, ROUTER_NORM_NONE},
        {"hunyuan", HUNYUAN "2, \"use_mixed_mlp_moe\": true", {true, true, true}, 96, ROUTER_NORM_SUM},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Read r;
        Err result = read_config(&r, cases[i].family, cases[i].fields, false, &err);
        if (result != OK)
            print_error("%s, %s: %s\n", cases[i].family, cases[i].fields, err.text);
        assert_int_equal(result, OK);
        for (int l = 0; l < 3; l++) {
            const MoeShape *m = experts_of(&r, l);
            assert_int_equal(m != NULL, cases[i].sparse[l]);
            assert_int_equal(m ? m->shared.F : cases[i].shared, cases[i].shared);
            assert_int_equal(m ? m->router.norm : cases[i].norm, cases[i].norm);
        }
        close_config(&r);
    }
}

/* Layers of Llama 4 that turn are those with chunks and norms; of MiMo, local ones have more heads and sinks. */
static void layers_of_one_model_have_attention_of_two_kinds(void **state)
{
    (void)state;
    Error err;
    Read r;
    assert_int_equal(read_config(&r, "llama4_text", LLAMA4 ", \"attention_chunk_size\": 8, \"no_rope_layers\": [1, 0, 1]",
                                 false, &err),
                     OK);
    for (int l = 0; l < 3; l++) {
        const AttentionShape *a = &decoder_shape(&r.shape)->layer[l].attention;
        assert_int_equal(a->how.chunk, l == 1 ? 0 : 8);
        assert_int_equal(a->rope, l == 1 ? ROPE_NONE : 0);
        assert_int_equal(a->head_norm, l == 1 ? HEAD_NORM_NONE : HEAD_NORM_EACH);
        assert_true((a->q_growth > 0) == (l == 1));
    }
    close_config(&r);
    assert_int_equal(read_config(&r, "mimo_v2_flash",
                                 GLM ", \"num_key_value_heads\": 1, \"hybrid_layer_pattern\": [0, 1, 0], "
                                     "\"sliding_window_size\": 8, \"head_dim\": 24, \"v_head_dim\": 16",
                                 false, &err),
                     OK);
    for (int l = 0; l < 3; l++) {
        const AttentionShape *a = &decoder_shape(&r.shape)->layer[l].attention;
        assert_int_equal(a->K, l == 1 ? 2 : 1);
        assert_int_equal(a->V, 16);
        assert_int_equal(a->how.window, l == 1 ? 9 : 0); /* 8 before the token, and itself */
        assert_int_equal(a->rope, l == 1);
        assert_int_equal(a->sinks, l == 1);
    }
    close_config(&r);
}

/* Each message names what is wrong, with the numbers. */
static void what_experts_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct { const char *family, *fields, *says; } cases[] = {
        {"qwen3_moe", "\"num_experts_per_tok\": 2", "num_experts"},
        {"qwen3_moe", "\"num_experts\": 4, \"num_experts_per_tok\": 5", "5 of 4 experts"},
        {"qwen3_moe", "\"num_experts\": 100000, \"num_experts_per_tok\": 5", "num_experts"},
        {"qwen3_moe", EXPERTS ", \"scoring_func\": \"sparsemax\"", "'sparsemax'"},
        {"qwen3_moe", EXPERTS ", \"scoring_func\": \"sigmoid\"", "'sigmoid'"},
        {"qwen3_moe", EXPERTS ", \"mlp_only_layers\": [3]", "mlp_only_layers[0]"},
        {"qwen3_moe", EXPERTS ", \"mlp_layer_types\": [\"sparse\", \"thin\", \"dense\"]", "thin"},
        {"qwen3_moe", EXPERTS ", \"moe_layer_freq\": 2", "moe_layer_freq 2"},
        {"phimoe", "\"num_local_experts\": 4, \"num_experts_per_tok\": 3", "3 experts"},
        {"dbrx", "\"ffn_config\": {\"moe_num_experts\": 4, \"moe_top_k\": 2, \"moe_normalize_expert_weights\": 3}",
         "moe_normalize_expert_weights 3"},
        {"gpt_oss", EXPERTS, "rope_type"},
        {"llama4_text", "\"num_local_experts\": 4, \"num_experts_per_tok\": 1, \"interleave_moe_layer_step\": 2",
         "intermediate_size_mlp"},
        {"llama4_text", LLAMA4 ", \"moe_layers\": [3]", "moe_layers[0]"},
        {"mimo_v2_flash", GLM ", \"num_key_value_heads\": 1, \"swa_head_dim\": 64", "swa_head_dim is 64, but 192"},
        {"jetmoe", "\"num_local_experts\": 4, \"num_experts_per_tok\": 2, \"num_key_value_heads\": 3",
         "num_attention_heads is 4, but 2 experts of 3 heads"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Read r;
        Err result = read_config(&r, cases[i].family, cases[i].fields, false, &err);
        if (result == OK || !strstr(err.text, cases[i].says))
            print_error("%s, %s: %s\n", cases[i].family, cases[i].fields, result == OK ? "is taken" : err.text);
        assert_int_not_equal(result, OK);
        assert_non_null(strstr(err.text, cases[i].says));
        close_config(&r);
    }
}

/* llama.cpp would read the file, and compute something else. */
static void what_a_gguf_cannot_say_of_experts_is_not_converted(void **state)
{
    (void)state;
    static const struct { const char *family, *fields; bool can; } cases[] = {
        {"qwen2_moe", EXPERTS, true},
        {"qwen2_moe", EXPERTS ", \"norm_topk_prob\": true", false},
        {"qwen3_moe", EXPERTS ", \"norm_topk_prob\": true", true},
        {"qwen3_moe", EXPERTS, false},
        {"qwen3_moe", EXPERTS ", \"norm_topk_prob\": true, \"decoder_sparse_step\": 2", true},
        {"phimoe", "\"num_local_experts\": 4, \"num_experts_per_tok\": 2, \"router_jitter_noise\": 0.1", false},
        {"dots1", GLM ", \"norm_topk_prob\": false, \"mlp_layer_types\": [\"sparse\", \"dense\", \"sparse\"]", true},
        {"ernie4_5_moe", ERNIE ", \"moe_norm_min\": 0.5", false},
        {"llama4_text", LLAMA4, true},
        {"llama4_text", LLAMA4 ", \"use_qk_norm\": false", false},
        {"llama4_text", LLAMA4 ", \"layer_types\": [\"full_attention\", \"chunked_attention\", \"full_attention\"]",
         false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Read r;
        assert_int_equal(read_config(&r, cases[i].family, cases[i].fields, true, &err), cases[i].can ? OK : UNSUPPORTED);
        close_config(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_config_says_which_layers_have_experts),
        cmocka_unit_test(a_config_says_how_experts_are_chosen_and_how_wide_they_are),
        cmocka_unit_test(families_have_defaults_of_their_own),
        cmocka_unit_test(layers_of_one_model_have_attention_of_two_kinds),
        cmocka_unit_test(what_experts_cannot_be_is_refused),
        cmocka_unit_test(what_a_gguf_cannot_say_of_experts_is_not_converted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A config.json means to ridge what it means to transformers, and what a GGUF cannot say is not written. */
#include "test.h"

#include <math.h>
#include <string.h>

#include "devices/cpu/cpu_device.h"
#include "model/decoder.h"
#include "model/moe.h"
#include "read_config.h"

#define WINDOW "\"use_sliding_window\": true, \"sliding_window\": 16"
#define TWO_ROPES(local) \
    "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}, \"sliding_attention\": {" local "}}"
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
        {"mistral", "", {4096, 4096, 4096}, 16, 16}, /* silence is the usual window, null is none */
        {"mistral", "\"sliding_window\": null", {0, 0, 0}, 16, 16},
        {"qwen2", "\"use_sliding_window\": true, \"max_window_layers\": 2", {0, 0, 4096}, 16, 16},
        {"cwm", "", {0, 8192, 8192}, 128, 128}, /* the first of four layers is global, not the last */
        {"cwm", "\"head_dim\": null", {0, 8192, 8192}, 16, 16},
        {"smollm3", WINDOW ", \"no_rope_layer_interval\": 2", {0, 16, 0}, 16, 16}, /* where nothing turns */
        {"cohere2", "\"_sliding_window_pattern\": 2", {4096, 4096, 4096}, 16, 16}, /* nobody reads that word */
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

/* Where a config says nothing, each family takes something else; where it says null, often nothing at all. */
static void silence_and_null_mean_what_they_mean_to_transformers(void **state)
{
    (void)state;
    static const struct {
        const char *family, *fields;
        float cap, logit_cap, eps, theta;
        Activation act;
    } cases[] = {
        {"gemma2", "", 50, 30, 1e-6f, 1e4f, GELU_TANH},
        {"gemma2", "\"attn_logit_softcapping\": null", 0, 30, 1e-6f, 1e4f, GELU_TANH},
        {"vaultgemma", "\"final_logit_softcapping\": null", 50, 0, 1e-6f, 1e4f, GELU_TANH},
        {"gemma2", "\"hidden_act\": \"relu\"", 50, 30, 1e-6f, 1e4f, GELU_TANH}, /* hidden_activation says it */
        {"gemma3_text", "\"attn_logit_softcapping\": 4", 0, 0, 1e-6f, 1e6f, GELU_TANH}, /* its code has none */
        {"gemma", "\"hidden_act\": \"gelu\"", 0, 0, 1e-6f, 1e4f, GELU_TANH}, /* as the first ones were published */
        {"gemma", "\"hidden_act\": \"relu\"", 0, 0, 1e-6f, 1e4f, RELU},
        {"nanochat", "", 0, 15, 1e-6f, 1e4f, RELU_SQUARED},
        {"nanochat", "\"final_logit_softcapping\": null", 0, 0, 1e-6f, 1e4f, RELU_SQUARED},
        {"cohere", "", 0, 0, 1e-5f, 5e5f, SILU},
        {"cohere2", "\"hidden_act\": \"linear\"", 0, 0, 1e-5f, 1e4f, IDENTITY},
        {"olmo2", "", 0, 0, 1e-5f, 1e4f, SILU},
        {"olmo3", "", 0, 0, 1e-5f, 5e5f, SILU},
        {"apertus", "\"hidden_act\": \"gelu\", \"rope_theta\": 300", 0, 0, 1e-5f, 1.2e7f, GELU}, /* not 300 */
        {"apertus", "\"hidden_act\": \"gelu\", \"rope_parameters\": {\"rope_theta\": 300}", 0, 0, 1e-5f, 300, GELU},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Read r;
        assert_int_equal(read_config(&r, cases[i].family, cases[i].fields, false, &err), OK);
        const DecoderShape *m = decoder_shape(&r.shape);
        double step = pow(cases[i].theta, -2.0 / m->rope[0].angles.dims);
        assert_float_equal(m->layer[0].attention.how.softcap, cases[i].cap, 0);
        assert_float_equal(m->logit_cap, cases[i].logit_cap, 0);
        assert_float_equal(r.shape.eps, cases[i].eps, 0);
        assert_float_equal(fabsf(m->rope[0].inv_freq[1]), step, 1e-5 * step);
        assert_int_equal(m->layer[0].mlp.activation, cases[i].act);
        close_config(&r);
    }
}

/* The classes of these families have a scaling that a config replaces as a whole, or not at all. */
static void families_have_rotary_scalings_of_their_own(void **state)
{
    (void)state;
    static const struct {
        const char *family, *fields;
        bool divided;
        float growth;
        int32_t original;
    } cases[] = {
        {"cwm", "", true, 0, 8192},
        {"cwm", "\"rope_theta\": 300, \"rope_scaling\": null", true, 0, 8192},
        {"cwm", "\"rope_parameters\": {\"rope_theta\": 300}", false, 0, 256},
        {"ministral3", "", false, 0.1f, 16384},
        {"ministral3", "\"rope_parameters\": {\"rope_theta\": 300}", false, 0, 256},
        {"phi3", "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}", false, 0, 4096},
        {"phi3", "\"original_max_position_embeddings\": 64, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, "
                 "\"original_max_position_embeddings\": 32}", false, 0, 64},
        {"llama", "\"original_max_position_embeddings\": 64, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, "
                  "\"original_max_position_embeddings\": 32}", false, 0, 64}, /* the outer one counts */
        {"llama", SCALED("yarn", "\"original_max_position_embeddings\": 32"), false, 0, 32},
        {"qwen3", "\"max_position_embeddings\": null, " SCALED("dynamic", "\"x\": 0"), false, 0, 32768},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Read r;
        assert_int_equal(read_config(&r, cases[i].family, cases[i].fields, false, &err), OK);
        const DecoderShape *m = decoder_shape(&r.shape);
        assert_int_equal(m->rope[0].divisors != NULL, cases[i].divided);
        assert_float_equal(m->layer[0].attention.q_growth, cases[i].growth, 0);
        assert_int_equal(m->rope[0].angles.original_length, cases[i].original);
        close_config(&r);
    }
}

static void biases_are_where_the_family_says_when_its_config_does_not(void **state)
{
    (void)state;
    static const struct {
        const char *family, *fields;
        bool qkv, mlp;
    } cases[] = {
        {"glm", "", true, false},
        {"glm4", "\"attention_bias\": false", false, false},
        {"deepseek_v2", "\"first_k_dense_replace\": 3", false, false},
        {"deepseek_v2", "\"first_k_dense_replace\": 3, \"mlp_bias\": true", false, true},
        {"deepseek_v3", "\"mlp_bias\": true", false, false}, /* not a word of its */
        {"minicpm3", "\"mlp_bias\": true", false, true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Read r;
        assert_int_equal(read_config(&r, cases[i].family, cases[i].fields, false, &err), OK);
        assert_int_equal(decoder_shape(&r.shape)->layer[0].attention.q_bias, cases[i].qkv);
        assert_int_equal(decoder_shape(&r.shape)->layer[0].mlp.up_bias, cases[i].mlp);
        close_config(&r);
    }
}

/* How the layers of older families are built follows from switches, most of which configs leave out. */
static void switches_say_how_the_layers_of_older_families_are_built(void **state)
{
    (void)state;
    static const struct {
        const char *family, *fields;
        int32_t kv_heads, branches; /* branches: of the first stage */
        const char *pre, *post;     /* norms of the last branch of the first stage */
    } cases[] = {
        {"gpt_bigcode", "", 1, 1, "ln_1", NULL},
        {"gpt_bigcode", "\"multi_query\": false", 4, 1, "ln_1", NULL},
        {"gpt_neox", "", 4, 2, "post_attention_layernorm", NULL},
        {"gpt_neox", "\"use_parallel_residual\": false", 4, 1, "input_layernorm", NULL},
        {"gptj", "\"rotary_dim\": 8", 4, 2, NULL, NULL},
        {"falcon", "\"num_kv_heads\": 4", 1, 2, NULL, NULL},
        {"falcon", "\"parallel_attn\": false, \"multi_query\": false", 4, 1, "input_layernorm", NULL},
        {"falcon", "\"new_decoder_architecture\": true, \"num_kv_heads\": 2", 2, 2, "ln_mlp", NULL},
        {"falcon", "\"new_decoder_architecture\": true, \"num_ln_in_parallel_attn\": 1", 4, 2, NULL, NULL},
        {"stablelm", "", 4, 1, "input_layernorm", NULL},
        {"stablelm", "\"use_parallel_residual\": true", 4, 2, NULL, NULL},
        {"opt", "\"ffn_dim\": 96", 4, 1, "self_attn_layer_norm", NULL},
        {"opt", "\"ffn_dim\": 96, \"do_layer_norm_before\": false", 4, 1, NULL, "self_attn_layer_norm"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Read r;
        assert_int_equal(read_config(&r, cases[i].family, cases[i].fields, false, &err), OK);
        const Stage *first = &decoder_shape(&r.shape)->layer[1].stage[0];
        const Branch *last = &first->branch[first->branches - 1];
        assert_int_equal(decoder_shape(&r.shape)->layer[1].attention.K, cases[i].kv_heads);
        assert_int_equal(first->branches, cases[i].branches);
        assert_string_equal(last->pre ? last->pre : "", cases[i].pre ? cases[i].pre : "");
        assert_string_equal(last->post ? last->post : "", cases[i].post ? cases[i].post : "");
        close_config(&r);
    }
}

/* nanochat turns by minus the angle, and does so when the base has grown as well. */
static void a_rotation_that_is_the_other_way_round_stays_so(void **state)
{
    (void)state;
    Error err;
    Read r;
    assert_int_equal(read_config(&r, "nanochat", SCALED("dynamic", "\"x\": 0"), false, &err), OK);
    const RopeConfig *rope = &decoder_shape(&r.shape)->rope[0];
    Device *d;
    assert_int_equal(cpu_device_open(&(CpuOptions){.threads = 1}, &d, &err), OK);
    int32_t position = 1, length = 1000, half = rope->angles.dims / 2;
    float turned[64];
    assert_true(rope->angles.dims <= (int32_t)COUNT_OF(turned));
    Tensor angles = tensor_of(turned, &format_f32, 1, rope->angles.dims);
    op_rope_angles(d, angles, tensor_vector(&position, &format_i32, 1), tensor_vector(&length, &format_i32, 1),
                   tensor_of(rope->inv_freq, &format_f32, 1, half), rope->angles);
    for (int i = 0; i < half; i++)
        assert_true(turned[half + i] < 0); /* sines */
    device_close(d);
    close_config(&r);
}

/* V2 asks for them by topk_method, V3 has them always; where all of them are used there are none. */
static void groups_of_experts_are_where_the_family_has_them(void **state)
{
    (void)state;
    static const struct {
        const char *family, *fields;
        int32_t groups;
    } cases[] = {
        {"deepseek_v2", "\"n_group\": 4, \"topk_group\": 2", 0},
        {"deepseek_v2", "\"n_group\": 4, \"topk_group\": 2, \"topk_method\": \"group_limited_greedy\"", 4},
        {"deepseek_v3", "\"first_k_dense_replace\": 0", 8},
        {"deepseek_v3", "\"first_k_dense_replace\": 0, \"n_group\": 4, \"topk_group\": 4", 0},
        {"glm4_moe_lite", "", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Error err;
        Read r;
        char fields[256];
        snprintf(fields, sizeof fields, "\"n_routed_experts\": 16, \"num_experts_per_tok\": 4%s%s",
                 cases[i].fields[0] ? ", " : "", cases[i].fields);
        assert_int_equal(read_config(&r, cases[i].family, fields, true, &err), OK);
        const Branch *mlp = &decoder_shape(&r.shape)->layer[2].stage[1].branch[0];
        assert_ptr_equal(mlp->part, &part_moe);
        assert_int_equal(((const MoeShape *)mlp->shape)->router.groups, cases[i].groups);
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
        {"qwen2", WINDOW ", \"max_window_layers\": 1", true}, /* layer by layer */
        {"llama", SCALED("yarn", "\"truncate\": true"), true},
        {"llama", SCALED("yarn", "\"truncate\": false"), false},
        {"gemma3_text", TWO_ROPES("\"rope_type\": \"default\""), true},
        {"gemma3_text", TWO_ROPES("\"rope_type\": \"linear\", \"factor\": 8"), false}, /* its key is that of global layers */
        {"olmo3", TWO_ROPES("\"rope_type\": \"linear\", \"factor\": 8"), false},
        {"apertus", "\"hidden_act\": \"relu\"", false},
        {"gpt2", "\"activation_function\": \"gelu\"", true}, /* hidden_activation says it */
        {"gpt2", "\"activation_function\": \"relu\"", false},
        {"gpt2", "\"scale_attn_by_inverse_layer_idx\": true", false},
        {"bloom", "\"apply_residual_connection_post_layernorm\": true", false},
        {"mpt", "\"attn_config\": {\"clip_qkv\": 6}", true},
        {"mpt", "\"attn_config\": {\"softmax_scale\": 0.5}", false},
        {"falcon", "\"alibi\": true", false},
        {"falcon", "\"alibi\": true, \"parallel_attn\": false, \"bias\": true", true},
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
        cmocka_unit_test(silence_and_null_mean_what_they_mean_to_transformers),
        cmocka_unit_test(families_have_rotary_scalings_of_their_own),
        cmocka_unit_test(biases_are_where_the_family_says_when_its_config_does_not),
        cmocka_unit_test(switches_say_how_the_layers_of_older_families_are_built),
        cmocka_unit_test(a_rotation_that_is_the_other_way_round_stays_so),
        cmocka_unit_test(groups_of_experts_are_where_the_family_has_them),
        cmocka_unit_test(dynamic_rope_stretches_from_the_models_own_length),
        cmocka_unit_test(what_a_gguf_cannot_say_is_not_converted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

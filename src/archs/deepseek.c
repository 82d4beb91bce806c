/* deepseek.c -- DeepSeek-V2 and V3 and GLM-4.7-Flash: latent attention (model/mla.h) and many small experts, some of
 * them shared by all tokens (DeepSeek-AI 2024, 2025; Zhipu 2026).
 *
 * V2 scores experts by softmax and may choose from the best groups by their best expert; the others score by sigmoid,
 * choose with a bias that does not count in the sum, and judge groups by their two best.
 */
#include <string.h>

#include "model/mla.h"
#include "model/moe.h"

static const MoeNames names = {
    .router = "mlp.gate", .choice_bias = "mlp.gate.e_score_correction_bias",
    .gate = "mlp.experts.%e.gate_proj.weight", .up = "mlp.experts.%e.up_proj.weight",
    .down = "mlp.experts.%e.down_proj.weight", .shared = "mlp.shared_experts.",
};

/* How many of a group's experts judge it; 0: there are no groups, whatever n_group says. */
static Err read_method(const Keys *k, bool second, int32_t *group_top, Error *err)
{
    char method[64];
    TRY(keys_text_or(k, "topk_method", NULL, "", method, sizeof method, err));
    bool by_group = !strcmp(method, second ? "group_limited_greedy" : "noaux_tc");
    if (method[0] && !by_group && (!second || strcmp(method, "greedy")))
        return fail(err, UNSUPPORTED, "%s: topk_method '%s' is not one that family '%s' has", k->where, method, k->family);
    *group_top = !second ? 2 : by_group || keys_are_gguf(k);
    return OK;
}

/* V2 may have biases in its mlps and in the mlp that all tokens share. */
static Err read_mlp_bias(const Keys *k, ModelShape *s, bool *bias, Error *err)
{
    bool dense = store_find(k->store, "blk.0.ffn_up.bias") != NULL;
    TRY(decoder_read_bias(k, "mlp_bias", dense ? "blk.0.ffn_up.bias" : "blk.0.ffn_up_shexp.bias", false, bias, err));
    decoder_biases(s, false, false, *bias);
    return OK;
}

static Err read_experts(const Keys *k, Arena *arena, ModelShape *s, bool second, bool glm, Error *err)
{
    MoeShape *moe;
    bool sparse[LAYERS_MAX], any = false, bias = false;
    int32_t group_top;
    TRY(read_method(k, second, &group_top, err));
    if (second)
        TRY(read_mlp_bias(k, s, &bias, err));
    TRY(moe_read_layers(k, s, glm ? 1 : second ? 0 : 3, sparse, err));
    for (int l = 0; l < s->L; l++)
        any |= sparse[l];
    if (!any)
        return OK;
    MoeUsual usual = {.names = &names, .score = second ? SCORE_SOFTMAX : SCORE_SIGMOID, .normalises = !second,
                      .gguf_says_norm = true, .norm_eps = 1e-20f, .group_top = group_top, .shared = second ? 2 : 1,
                      .factor = glm ? 1.8f : second ? 1 : 2.5f, .groups = second || glm ? 0 : 8,
                      .groups_used = 4};
    TRY(moe_read(k, arena, s, &usual, &moe, err));
    moe->shared.gate_bias = moe->shared.up_bias = moe->shared.down_bias = bias;
    moe->choice_bias = !second;
    if (second) { /* transformers' V2 has no such step, whatever norm_topk_prob says */
        moe->router.norm = ROUTER_NORM_NONE;
        moe->router.norm_eps = 0;
    }
    moe_use(s, moe, sparse);
    return OK;
}

/* V2 and V3 share a name in GGUF; the later one has a bias of choice. */
static bool is_second(const Keys *k)
{
    if (!keys_are_gguf(k))
        return !strcmp(k->family, "deepseek_v2");
    int32_t gating;
    Error err;
    return keys_int_or(k, NULL, "expert_gating_func", 0, 100, 1, &gating, &err) != OK || gating < 2;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    MlaShape *mla;
    bool second = is_second(k), glm = !strcmp(k->family, "glm4_moe_lite"), bias;
    DecoderUsual usual = {.activation = SILU, .eps = glm ? 1e-5f : 1e-6f, .own_heads = true, .no_rope = true,
                          .context = glm ? 202752 : second ? 2048 : 4096};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(decoder_read_bias(k, "attention_bias", "blk.0.attn_kv_a_mqa.bias", false, &bias, err));
    TRY(mla_read(k, arena, s, &(MlaUsual){.P = glm ? 192 : 128, .R = 64, .V = glm ? 256 : 128, .C = 512, .A = glm ? 768 : 1536},
                 &mla, err));
    mla->bias = bias;
    return read_experts(k, arena, s, second, glm, err);
}

const Arch arch_deepseek = {
    .names = {"deepseek_v2", "deepseek_v3", "glm4_moe_lite", "deepseek2"},
    .gguf_names = {"deepseek2", "deepseek2", "deepseek2", "deepseek2"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .draft_layers = true,
    .ignores = {"rotary_emb.inv_freq"},
};

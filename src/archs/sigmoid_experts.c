/* sigmoid_experts.c -- attention of several kinds with DeepSeek-V3's way of choosing experts: scores are sigmoids, a
 * bias counts in the choice only, the chosen ones' scores are normed to a sum of 1 and multiplied by a factor.
 *
 *     dots.llm1     norms on heads, shared experts                          (rednote-hilab 2025)
 *     GLM-4.5       half of each head turns, norms on heads by a switch     (Zhipu 2025)
 *     Hunyuan 3     norms on heads, a shared expert                         (Tencent 2026)
 *     MiniMax-M2    norms on all of q and k, part of each head turns        (MiniMax 2025)
 */
#include <string.h>

#include "model/moe.h"

enum { WINDOW = 4096 };   /* dots.llm1's */

#define EXPERTS(where)                                                                                            \
    .gate = where "experts.%e.gate_proj.weight", .up = where "experts.%e.up_proj.weight",                         \
    .down = where "experts.%e.down_proj.weight"

static const MoeNames names_dots = {
    .router = "mlp.gate", .choice_bias = "mlp.gate.e_score_correction_bias", EXPERTS("mlp."), .shared = "mlp.shared_experts.",
};
static const MoeNames names_hunyuan = {
    .router = "mlp.router.gate", .choice_bias = "mlp.expert_bias", .choice_bias_gguf = "blk.%d.exp_probs_b", EXPERTS("mlp."),
    .shared = "mlp.shared_mlp.",
};
static const MoeNames names_minimax = {
    .router = "block_sparse_moe.gate", .choice_bias = "block_sparse_moe.e_score_correction_bias",
    .gate = "block_sparse_moe.experts.%e.w1.weight", .up = "block_sparse_moe.experts.%e.w3.weight",
    .down = "block_sparse_moe.experts.%e.w2.weight",
};

typedef struct Kin {
    const char *name, *name_gguf;
    DecoderUsual usual;
    MoeUsual experts;
    HeadNorm norm;
    bool norm_by_switch;            /* use_qk_norm */
    const char *pre_mlp_gguf;       /* where it is not ffn_norm */
    int32_t dense;                  /* so many layers come before those with experts, where the config does not say it */
    int32_t first_window;           /* from this layer on there are windows, if the config says so; 0: never */
} Kin;

static const Kin kins[] = {
    {"dots1", "dots1", {.activation = SILU},
     {.names = &names_dots, .score = SCORE_SIGMOID, .gguf_says_norm = true, .norm_eps = 1e-20f, .group_top = 2},
     HEAD_NORM_EACH, .first_window = 62},
    {"glm4_moe", "glm4moe", {.activation = SILU, .eps = 1e-5f, .rotary = 0.5f},
     {.names = &names_dots, .score = SCORE_SIGMOID, .normalises = true, .gguf_says_norm = true, .norm_eps = 1e-20f,
      .group_top = 2, .shared = 1},
     HEAD_NORM_EACH, true, "blk.%d.post_attention_norm", .dense = 1},
    {"hy_v3", "hy_v3", {.activation = SILU, .eps = 1e-5f, .head_width = 128, .theta = 11158840.0f},
     {.names = &names_hunyuan, .score = SCORE_SIGMOID, .normalises = true, .gguf_says_norm = true, .norm_eps = 1e-20f,
      .factor = 2.826f, .shared = 1},
     HEAD_NORM_EACH, .dense = 1},
    {"minimax_m2", "minimax-m2", {.activation = SILU, .head_width = 128, .rotary = 1, .theta = 5e6f},
     {.names = &names_minimax, .score = SCORE_SIGMOID, .normalises = true, .gguf_normalises = true}, HEAD_NORM_ALL, .dense = 0},
};

/* MiniMax's own configs say how many values of a head turn, not which part. */
static Err read_turning_part(const Keys *k, int32_t width, float *part, Error *err)
{
    int32_t turning;
    if (*part == 0 || !keys_have(k, "rotary_dim", NULL))
        return OK;
    TRY(keys_int(k, "rotary_dim", NULL, 2, 1 << 16, &turning, err));
    TRY(keys_int_or(k, "head_dim", NULL, 2, 1 << 16, width, &width, err));
    if (turning > width)
        return fail(err, BAD_FILE, "%s: rotary_dim %d is more than head_dim %d", k->where, turning, width);
    *part = (float)turning / (float)width;
    return OK;
}

static Err read_norm(const Keys *k, const Kin *kin, ModelShape *s, DecoderShape *m, Error *err)
{
    bool has = !kin->norm_by_switch || store_find(k->store, "blk.0.attn_q_norm.weight");
    if (kin->norm_by_switch)
        TRY(keys_bool_or(k, "use_qk_norm", NULL, has, &has, err));
    for (int l = 0; l < s->L; l++)
        m->layer[l].attention.head_norm = has ? kin->norm : HEAD_NORM_NONE;
    return OK;
}

/* GLM's o has no bias, whatever attention_bias says. */
static Err read_biases(const Keys *k, ModelShape *s, DecoderShape *m, Error *err)
{
    TRY(decoder_read_biases(k, s, err));
    for (int l = 0; l < s->L && !strncmp(k->family, "glm4", 4); l++)
        m->layer[l].attention.o_bias = false;
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    const Kin *kin = kins;
    DecoderShape *m;
    MoeShape *moe;
    bool sparse[LAYERS_MAX];
    while (strcmp(kin->name, k->family) != 0 && strcmp(kin->name_gguf, k->family) != 0)
        kin++;
    DecoderUsual usual = kin->usual;
    TRY(read_turning_part(k, usual.head_width, &usual.rotary, err));
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(read_biases(k, s, m, err));
    TRY(read_norm(k, kin, s, m, err));
    TRY(moe_read(k, arena, s, &kin->experts, &moe, err));
    TRY(moe_read_layers(k, s, kin->dense, sparse, err));
    moe->choice_bias = true;
    moe->shared.gate_bias = moe->shared.up_bias = moe->shared.down_bias = m->layer[0].mlp.up_bias;
    moe_use(s, moe, sparse);
    for (int l = 0; l < s->L && kin->pre_mlp_gguf; l++)
        m->layer[l].stage[1].branch[0].pre_gguf = kin->pre_mlp_gguf;
    return kin->first_window ? decoder_read_windows(k, s, true, kin->first_window, WINDOW, err) : OK;
}

const Arch arch_sigmoid_experts = {
    .names = {"dots1", "glm4_moe", "hy_v3", "minimax_m2", "glm4moe", "minimax-m2"},
    .gguf_names = {"dots1", "glm4moe", "hy_v3", "minimax-m2", "glm4moe", "minimax-m2"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .draft_layers = true,
    .ignores = {"rotary_emb.inv_freq"},
};

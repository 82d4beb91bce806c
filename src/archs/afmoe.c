/* afmoe.c -- Trinity (Arcee AI 2025): a gate on what attention gives, norms on heads and around both halves of a layer,
 * windows in three of four layers, which alone turn, and sigmoid-scored experts behind some dense layers. */
#include <math.h>

#include "model/moe.h"

enum { WINDOW_MAX = 1 << 28, PATTERN = 4, WINDOW = 1024 };

static const DecoderNames names = {
    .layer = "model.layers.%d.", .embed = "model.embed_tokens", .norm = "model.norm", .head = "lm_head",
    .pre_attention = "input_layernorm", .pre_mlp = "pre_mlp_layernorm", .attention = &attention_names,
    .mlp = "mlp.", .gate = "gate_proj", .up = "up_proj", .down = "down_proj",
};
static const MoeNames experts = {
    .router = "mlp.router.gate", .choice_bias = "mlp.expert_bias",
    .gate = "mlp.experts.%e.gate_proj.weight", .up = "mlp.experts.%e.up_proj.weight",
    .down = "mlp.experts.%e.down_proj.weight", .shared = "mlp.shared_experts.",
};

static Err read_experts(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    MoeShape *moe;
    bool sparse[LAYERS_MAX];
    MoeUsual usual = {.names = &experts, .score = SCORE_SIGMOID, .normalises = true, .gguf_says_norm = true,
                      .norm_eps = 1e-20f, .shared = 2};
    TRY(moe_read(k, arena, s, &usual, &moe, err));
    moe->choice_bias = true;
    TRY(moe_read_layers(k, s, 1, sparse, err));
    moe_use(s, moe, sparse);
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool mup, local[LAYERS_MAX];
    int32_t window, pattern;
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.names = &names, .activation = SILU, .eps = 1e-5f, .head_width = 128}, &m,
                     err));
    TRY(decoder_read_biases(k, s, err));
    TRY(keys_bool_or(k, "mup_enabled", NULL, keys_are_gguf(k), &mup, err));
    /* llama.cpp always scales; a file that does not says so by a key that others use for it */
    TRY(keys_float_or(k, NULL, "embedding_scale", 0, 1e6, mup ? sqrtf((float)s->D) : 1, &m->embed_factor, err));
    TRY(keys_int_or(k, "global_attn_every_n_layers", NULL, 1, LAYERS_MAX, PATTERN, &pattern, err));
    TRY(decoder_read_local(k, s, "sliding_attention", pattern, local, err));
    TRY(keys_int_or(k, "sliding_window", "attention.sliding_window", 1, WINDOW_MAX, WINDOW, &window, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->head_norm = HEAD_NORM_EACH;
        a->gate = GATE_APART;
        a->how.window = local[l] ? window : 0;
        a->rope = local[l] ? 0 : ROPE_NONE;
        decoder_norms_behind(&m->layer[l], "post_attention_layernorm", "post_mlp_layernorm");
    }
    return read_experts(k, arena, s, err);
}

const Arch arch_afmoe = {
    .names = {"afmoe"},
    .gguf_name = "afmoe",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

/* lfm2.c -- short convolutions between gates in most layers, attention in the others; the larger ones have
 * experts behind the first layers (Liquid AI 2025). */
#include <math.h>
#include <string.h>

#include "model/moe.h"
#include "model/short_conv.h"

enum { WIDTH_MAX = 1 << 20, TAPS_MAX = 1 << 8 };

static const AttentionNames attention = {
    .q = "self_attn.q_proj", .k = "self_attn.k_proj", .v = "self_attn.v_proj", .o = "self_attn.out_proj",
    .q_norm = "self_attn.q_layernorm", .k_norm = "self_attn.k_layernorm",
};

static const DecoderNames names = {
    .layer = "model.layers.%d.",
    .embed = "model.embed_tokens", .norm = "model.embedding_norm", .head = "lm_head",
    .norm_gguf = "token_embd_norm", /* llama.cpp's name for it, though it is the last norm */
    .pre_attention = "operator_norm", .pre_mlp = "ffn_norm",
    .attention = &attention,
    .mlp = "feed_forward.", .gate = "w1", .up = "w3", .down = "w2",
};

static const MoeNames expert_names = {
    .router = "feed_forward.gate",
    .choice_bias = "feed_forward.expert_bias",
    .gate = "feed_forward.experts.%e.w1.weight",
    .up = "feed_forward.experts.%e.w3.weight",
    .down = "feed_forward.experts.%e.w2.weight",
};

static Err read_kinds(const Keys *k, const ModelShape *s, LayerHas *has, Error *err)
{
    static const char *const kinds[] = {"conv", "full_attention"};
    bool listed[LAYERS_MAX], named = keys_have(k, "layer_types", NULL), counted = keys_have(k, "full_attn_idxs", NULL);
    int kind[LAYERS_MAX];
    if (keys_are_gguf(k))
        return decoder_read_kinds(k, s, has, err);
    TRY(keys_layers_listed(k, "full_attn_idxs", 0, listed, s->L, err));
    if (named)
        TRY(keys_layer_kinds(k, "layer_types", kinds, COUNT_OF(kinds), kind, s->L, err));
    for (int l = 0; l < s->L; l++)
        has[l] = (LayerHas){.attention = named ? kind[l] : !counted || listed[l], .mlp = true};
    decoder_record_kinds(k, s, has);
    return OK;
}

/* A config says a width before it is brought to 2/3, times a factor, and rounded up; a GGUF says the result. */
static Err read_width(const Keys *k, ModelShape *s, Error *err)
{
    bool adjusted;
    float times;
    int32_t unit;
    TRY(keys_int_or(k, "block_ff_dim", NULL, 1, WIDTH_MAX, s->F, &s->F, err));
    TRY(keys_bool_or(k, "block_auto_adjust_ff_dim", NULL, true, &adjusted, err));
    TRY(keys_float_or(k, "block_ffn_dim_multiplier", NULL, 1e-3, 100, 1, &times, err));
    TRY(keys_int_or(k, "block_multiple_of", NULL, 1, WIDTH_MAX, 256, &unit, err));
    if (!adjusted)
        return OK;
    int64_t width = (int64_t)((double)times * floor(2.0 * s->F / 3));
    width = (width + unit - 1) / unit * unit;
    if (width < 1 || width > WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: an mlp of %lld by its block_ keys; ridge takes 1 to %d", k->where, (long long)width,
                    WIDTH_MAX);
    s->F = (int32_t)width;
    return OK;
}

static Err read_experts(const Keys *k, Arena *arena, const ModelShape *s, Error *err)
{
    MoeShape *moe;
    bool sparse[LAYERS_MAX];
    MoeUsual usual = {.names = &expert_names, .score = SCORE_SIGMOID, .normalises = true, .gguf_normalises = true,
                      .norm_eps = 1e-6f};
    TRY(moe_read(k, arena, s, &usual, &moe, err));
    TRY(keys_bool_or(k, "use_expert_bias", NULL, true, &moe->choice_bias, err));
    if (!moe->choice_bias)
        TRY(keys_record_nothing(k, "use_expert_bias false", err));
    TRY(moe_read_layers(k, s, 2, sparse, err));
    moe_use(s, moe, sparse);
    return OK;
}

static Err read_conv(const Keys *k, const ModelShape *s, ShortConvShape *conv, Error *err)
{
    *conv = (ShortConvShape){.D = s->D, .prefix = "model.layers.%d.conv."};
    TRY(keys_int_or(k, "conv_L_cache", "shortconv.l_cache", 1, TAPS_MAX, 3, &conv->taps, err));
    TRY(keys_bool_or(k, "conv_bias", NULL, false, &conv->bias, err));
    return conv->bias ? keys_record_nothing(k, "conv_bias true", err) : OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    DecoderUsual usual = {.names = &names, .eps = 1e-5f, .activation = SILU, .mlp_times = 1, .theta = 1e6f, .mixed = true};
    LayerHas has[LAYERS_MAX];
    bool experts = !strcmp(k->family, "lfm2_moe") || !strcmp(k->family, "lfm2moe");
    ShortConvShape *conv = ARENA_NEW(arena, ShortConvShape);
    if (!conv)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    if (!experts && !keys_are_gguf(k))
        TRY(read_width(k, s, err));
    TRY(read_kinds(k, s, has, err));
    TRY(read_conv(k, s, conv, err));
    Branch scan = {.part = &part_short_conv, .shape = conv, .pre = "operator_norm", .pre_gguf = "blk.%d.attn_norm"};
    for (int l = 0; l < s->L; l++) {
        m->layer[l].mlp.F = s->F;
        m->layer[l].attention.head_norm = HEAD_NORM_EACH;
        if (!has[l].attention)
            decoder_stage(&m->layer[l], 0, 1, &scan);
    }
    return experts ? read_experts(k, arena, s, err) : OK;
}

const Arch arch_lfm2 = {
    .names = {"lfm2", "lfm2_moe", "lfm2moe"},
    .gguf_names = {"lfm2", "lfm2moe", "lfm2moe"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

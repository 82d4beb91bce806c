/* mpt.c -- MPT: ALiBi or learned positions, and in most models no bias anywhere (MosaicML 2023; Press et al. 2022).
 *
 * What transformers passes over, since the published models do without it, is done as in MosaicML's own code where
 * a checkpoint has it: another alibi_bias_max, learned positions, biases, norms of q and k. */
#include <string.h>

#include "model/decoder.h"

static const float BIAS_MAX = 8;

static const AttentionNames attention = {.qkv = "attn.Wqkv", .o = "attn.out_proj",
                                         .q_norm = "attn.q_ln", .k_norm = "attn.k_ln"};
static const DecoderNames names = {
    .layer = "transformer.blocks.%d.",
    .embed = "transformer.wte", .positions = "transformer.wpe", .norm = "transformer.norm_f", .head = "lm_head",
    .pre_attention = "norm_1", .pre_mlp = "norm_2",
    .attention = &attention,
    .mlp = "ffn.", .up = "up_proj", .down = "down_proj",
};

static Err only_text(const Keys *k, const char *hf, const char *one, const char *other, Error *err)
{
    char text[64];
    TRY(keys_text_or(k, hf, NULL, one, text, sizeof text, err));
    if (!strcmp(text, one) || !strcmp(text, other))
        return OK;
    return fail(err, UNSUPPORTED, "%s: %s is '%s', which ridge does not do for family '%s'; it does %s", k->where, hf, text,
                k->family, one);
}

static Err refuse_others(const Keys *k, Error *err)
{
    TRY(only_text(k, "attn_config.attn_type", "multihead_attention", "multihead_attention", err));
    TRY(only_text(k, "norm_type", "low_precision_layernorm", "layernorm", err));
    TRY(keys_only(k, "attn_config.prefix_lm", false, err));
    if (keys_have(k, "logit_scale", NULL))
        return fail(err, UNSUPPORTED, "%s: logit_scale is given, which ridge does not do for family '%s'", k->where, k->family);
    return OK;
}

static bool has(const Keys *k, const char *hf, const char *gguf)
{
    return store_find(k->store, keys_are_gguf(k) ? gguf : hf) != NULL;
}

/* A largest slope of 0 means no slopes, as a GGUF says it. */
static Err read_slopes(const Keys *k, Arena *arena, const ModelShape *s, const float **slopes, Error *err)
{
    bool alibi;
    float most;
    TRY(keys_bool_or(k, "attn_config.alibi", NULL, true, &alibi, err));
    TRY(keys_float_or(k, "attn_config.alibi_bias_max", NULL, 0, 1e6, BIAS_MAX, &most, err));
    TRY(keys_float_or(k, NULL, "attention.max_alibi_bias", 0, 1e6, alibi ? most : 0, &most, err));
    *slopes = NULL;
    if (most)
        return alibi_slopes(arena, s->N, most, slopes, err);
    if (!decoder_shape(s)->names.positions)
        return fail(err, UNSUPPORTED, "%s: attn_config: neither alibi nor a table of positions", k->where);
    return OK;
}

static Err read_attention(const Keys *k, Arena *arena, const ModelShape *s, Error *err)
{
    float scale, clip;
    const float *slopes;
    bool head_norms = has(k, "transformer.blocks.0.attn.q_ln.weight", "blk.0.attn_q_norm.weight");
    TRY(read_slopes(k, arena, s, &slopes, err));
    TRY(keys_float_or(k, "attn_config.clip_qkv", "attention.clamp_kqv", 0, 1e30, 0, &clip, err));
    TRY(keys_float_or(k, "attn_config.softmax_scale", NULL, 0, 1e6, 0, &scale, err));
    if (scale)
        TRY(keys_record_nothing(k, "attn_config.softmax_scale", err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &decoder_shape(s)->layer[l].attention;
        a->hf_layout = a->gguf_layout = QKV_FUSED;
        a->how.scale = scale ? scale : a->how.scale;
        a->slopes = slopes;
        a->clip = clip;
        a->head_norm = head_norms ? HEAD_NORM_ALL : HEAD_NORM_NONE;
        a->norm = decoder_shape(s)->norm;
    }
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    DecoderNames own = names;
    bool bias = has(k, "transformer.blocks.0.attn.Wqkv.bias", "blk.0.attn_qkv.bias");
    if (!has(k, "transformer.wpe.weight", "position_embd.weight"))
        own.positions = NULL;
    TRY(refuse_others(k, err));
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.names = &own, .norm = NORM_LAYER, .activation = GELU, .plain_mlp = true,
                                     .mlp_times = 4, .no_rope = true, .tied = true},
                     &m, err));
    m->norm.bias = has(k, "transformer.blocks.0.norm_1.bias", "blk.0.attn_norm.bias");
    decoder_biases(s, bias, bias, bias);
    return read_attention(k, arena, s, err);
}

const Arch arch_mpt = {
    .names = {"mpt"},
    .gguf_name = "mpt",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
};

/* gpt_2.c -- GPT-2 (Radford et al. 2019) and GPTBigCode (Ben Allal et al. 2023, SantaCoder; StarCoder), which is GPT-2 with
 * one key and value for all heads. GPT-2's matrices are stored as [in, out]. */
#include <math.h>
#include <string.h>

#include "model/decoder.h"

static const AttentionNames attention = {.qkv = "attn.c_attn", .o = "attn.c_proj"};
static const DecoderNames names = {
    .layer = "transformer.h.%d.",
    .embed = "transformer.wte", .positions = "transformer.wpe", .norm = "transformer.ln_f", .head = "lm_head",
    .pre_attention = "ln_1", .pre_mlp = "ln_2",
    .attention = &attention,
    .mlp = "mlp.", .up = "c_fc", .down = "c_proj",
};

/* Scores are divided by sqrt(H), and by the number of the layer, counted from 1, if the config wants it. */
static Err read_scales(const Keys *k, const ModelShape *s, Error *err)
{
    bool by_width, by_layer;
    TRY(keys_bool_or(k, "scale_attn_weights", NULL, true, &by_width, err));
    TRY(keys_bool_or(k, "scale_attn_by_inverse_layer_idx", NULL, false, &by_layer, err));
    if (!by_width || by_layer)
        TRY(keys_record_nothing(k, "scale_attn_weights, scale_attn_by_inverse_layer_idx", err));
    for (int l = 0; l < s->L; l++)
        decoder_shape(s)->layer[l].attention.how.scale =
            (by_width ? 1 / sqrtf((float)s->H) : 1) / (by_layer ? (float)(l + 1) : 1);
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool big_code = strcmp(k->family, "gpt2") != 0, one_key = false;
    if (big_code && !keys_are_gguf(k))
        TRY(keys_bool_or(k, "multi_query", NULL, true, &one_key, err));
    TRY(keys_only(k, "add_cross_attention", false, err));
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.names = &names, .norm = NORM_LAYER, .activation = GELU_TANH, .plain_mlp = true,
                                     .mlp_times = 4, .kv_heads = one_key, .no_rope = true, .tied = true},
                     &m, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->hf_layout = big_code ? QKV_PER_GROUP : QKV_FUSED;
        a->gguf_layout = QKV_FUSED;
        a->hf_transposed = m->layer[l].mlp.hf_transposed = !big_code;
    }
    decoder_biases(s, true, true, true);
    return read_scales(k, s, err);
}

const Arch arch_gpt_2 = {
    .names = {"gpt2", "gpt_bigcode", "starcoder"},
    .gguf_names = {"gpt2", "starcoder", "starcoder"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {".attn.bias", ".attn.masked_bias"}, /* masks */
};

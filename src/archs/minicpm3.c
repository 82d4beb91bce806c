/* minicpm3.c -- latent attention (model/mla.h) without experts, with factors of the embeddings, of what branches add
 * and of the logits (OpenBMB 2024; Hu et al. 2024, "MiniCPM"). */
#include <math.h>

#include "model/mla.h"

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    MlaShape *mla;
    float depth, base;
    bool bias, mlp_bias;
    DecoderUsual usual = {.activation = SILU, .eps = 1e-5f, .own_heads = true, .no_rope = true, .context = 1 << 15};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(decoder_read_bias(k, "attention_bias", "blk.0.attn_kv_a_mqa.bias", false, &bias, err));
    TRY(mla_read(k, arena, s, &(MlaUsual){.P = 64, .R = 32, .C = 256, .A = 768, .half_split = true, .gguf_whole = true}, &mla,
                 err));
    mla->bias = bias;
    TRY(decoder_read_bias(k, "mlp_bias", "blk.0.ffn_up.bias", false, &mlp_bias, err));
    decoder_biases(s, false, false, mlp_bias);
    TRY(keys_float_or(k, "scale_emb", "embedding_scale", 0, 1e6, 12, &m->embed_factor, err));
    TRY(keys_float_or(k, "scale_depth", NULL, 0, 1e6, 1.4f, &depth, err));
    TRY(keys_float_or(k, "dim_model_base", NULL, 1e-3, 1e9, 256, &base, err));
    /* llama.cpp knows the published model's numbers by heart; a file that has others says so */
    TRY(keys_float_or(k, NULL, "residual_scale", 0, 1e6, depth / sqrtf((float)s->L), &m->residual_factor, err));
    TRY(keys_float_or(k, NULL, "logit_scale", 0, 1e6, base / (float)s->D, &m->logit_factor, err));
    return OK;
}

const Arch arch_minicpm3 = {
    .names = {"minicpm3"},
    .gguf_name = "minicpm3",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_factors_long.weight", "rope_factors_short.weight"},
};

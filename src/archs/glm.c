/* glm.c -- GLM-4 (GLM Team 2024): half of each head turns, pairs side by side; gate and up are one matrix.
 * The later GLM-4-0414 has norms behind attention and mlp as well.
 */
#include <string.h>

#include "model/decoder.h"

static const DecoderNames names = {
    .layer = "model.layers.%d.", .embed = "model.embed_tokens", .norm = "model.norm", .head = "lm_head",
    .pre_attention = "input_layernorm", .pre_mlp = "post_attention_layernorm", .attention = &attention_names,
    .mlp = "mlp.", .up = "gate_up_proj", .down = "down_proj",
};

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool bias, sandwich = !strcmp(k->family, "glm4");
    DecoderUsual usual = {.names = &names, .activation = SILU, .eps = 1.5625e-7f, .head_width = 128, .rotary = 0.5f,
                          .context = 1 << 17};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(decoder_read_bias(k, "attention_bias", "blk.0.attn_q.bias", true, &bias, err));
    for (int l = 0; l < s->L; l++) {
        DecoderLayer *layer = &m->layer[l];
        AttentionShape *a = &layer->attention;
        a->q_bias = a->k_bias = a->v_bias = bias;
        a->rope_interleaved = true;
        layer->mlp.hf_layout = layer->mlp.gguf_layout = GATE_UP_FUSED;
        if (sandwich)
            decoder_norms_behind(layer, "post_self_attn_layernorm", "post_mlp_layernorm");
    }
    return OK;
}

const Arch arch_glm = {
    .names = {"glm", "glm4", "chatglm"},
    .gguf_names = {"chatglm", "glm4", "chatglm"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

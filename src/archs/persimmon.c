/* persimmon.c -- Persimmon (Elsen et al. 2023): squared ReLU, a layer norm on each head of q and k, half of each head
 * turns, biases everywhere. */
#include "model/decoder.h"

static const AttentionNames attention = {.qkv = "self_attn.query_key_value", .o = "self_attn.dense",
                                         .q_norm = "self_attn.q_layernorm", .k_norm = "self_attn.k_layernorm"};
static const DecoderNames names = {
    .layer = "model.layers.%d.",
    .embed = "model.embed_tokens", .norm = "model.final_layernorm", .head = "lm_head",
    .pre_attention = "input_layernorm", .pre_mlp = "post_attention_layernorm",
    .attention = &attention,
    .mlp = "mlp.", .up = "dense_h_to_4h", .down = "dense_4h_to_h",
};

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool head_norms;
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.names = &names, .norm = NORM_LAYER, .activation = RELU_SQUARED, .plain_mlp = true,
                                     .rotary = 0.5f},
                     &m, err));
    TRY(keys_bool_or(k, "qk_layernorm", NULL, true, &head_norms, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->hf_layout = QKV_PER_HEAD;
        a->head_norm = head_norms ? HEAD_NORM_EACH : HEAD_NORM_NONE;
        a->norm = m->norm;
    }
    decoder_biases(s, true, true, true);
    return OK;
}

const Arch arch_persimmon = {
    .names = {"persimmon"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

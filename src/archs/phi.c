/* phi.c -- Phi 1, 1.5 and 2: attention and mlp side by side behind one norm, half of each head turns, biases everywhere
 * (Gunasekar et al. 2023; Li et al. 2023). */
#include "model/decoder.h"

static const AttentionNames attention = {.q = "self_attn.q_proj", .k = "self_attn.k_proj", .v = "self_attn.v_proj",
                                         .o = "self_attn.dense", .q_norm = "self_attn.q_layernorm",
                                         .k_norm = "self_attn.k_layernorm"};
static const DecoderNames names = {
    .layer = "model.layers.%d.",
    .embed = "model.embed_tokens", .norm = "model.final_layernorm", .head = "lm_head",
    .pre_attention = "input_layernorm",
    .attention = &attention,
    .mlp = "mlp.", .up = "fc1", .down = "fc2",
};

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool head_norms;
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.names = &names, .norm = NORM_LAYER, .activation = GELU_TANH, .plain_mlp = true,
                                     .rotary = 0.5f},
                     &m, err));
    TRY(decoder_read_bias(k, "qk_layernorm", "blk.0.attn_q_norm.weight", false, &head_norms, err));
    bool fused = store_find(k->store, "blk.0.attn_qkv.weight"); /* as phi-2 was first published */
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->head_norm = head_norms ? HEAD_NORM_EACH : HEAD_NORM_NONE;
        a->norm = m->norm;
        a->gguf_layout = fused ? QKV_FUSED : QKV_APART;
        decoder_side_by_side(&m->layer[l], true);
    }
    decoder_biases(s, true, true, true);
    m->head_bias = true;
    return OK;
}

const Arch arch_phi = {
    .names = {"phi", "phi2"},
    .gguf_name = "phi2",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

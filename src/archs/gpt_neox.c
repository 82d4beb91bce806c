/* gpt_neox.c -- GPT-NeoX and Pythia: attention and mlp side by side, each behind a norm of its own; a quarter of each head
 * turns (Black et al. 2022; Biderman et al. 2023). */
#include "model/decoder.h"

static const AttentionNames attention = {.qkv = "attention.query_key_value", .o = "attention.dense"};
static const DecoderNames names = {
    .layer = "gpt_neox.layers.%d.",
    .embed = "gpt_neox.embed_in", .norm = "gpt_neox.final_layer_norm", .head = "embed_out",
    .pre_attention = "input_layernorm", .pre_mlp = "post_attention_layernorm",
    .attention = &attention,
    .mlp = "mlp.", .up = "dense_h_to_4h", .down = "dense_4h_to_h",
};

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool parallel, bias;
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.names = &names, .norm = NORM_LAYER, .activation = GELU, .plain_mlp = true,
                                     .rotary = 0.25f},
                     &m, err));
    TRY(keys_bool_or(k, "use_parallel_residual", "use_parallel_residual", true, &parallel, err));
    TRY(decoder_read_bias(k, "attention_bias", "blk.0.attn_qkv.bias", true, &bias, err));
    for (int l = 0; l < s->L; l++) {
        m->layer[l].attention.hf_layout = QKV_PER_HEAD;
        m->layer[l].attention.gguf_layout = QKV_FUSED;
        if (parallel)
            decoder_side_by_side(&m->layer[l], false);
    }
    decoder_biases(s, bias, bias, true);
    return OK;
}

const Arch arch_gpt_neox = {
    .names = {"gpt_neox", "gptneox"},
    .gguf_name = "gptneox",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq"},
};

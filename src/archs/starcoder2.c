/* starcoder2.c -- StarCoder2: layer norms, biases, a window in every layer and an mlp without a gate (Lozhkov et al. 2024). */
#include "model/decoder.h"

static const DecoderNames names = {
    .layer = "model.layers.%d.",
    .embed = "model.embed_tokens", .norm = "model.norm", .head = "lm_head",
    .pre_attention = "input_layernorm", .pre_mlp = "post_attention_layernorm",
    .attention = &attention_names,
    .mlp = "mlp.", .up = "c_fc", .down = "c_proj",
};

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool bias;
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.names = &names, .norm = NORM_LAYER, .activation = GELU_TANH, .plain_mlp = true,
                                     .tied = true},
                     &m, err));
    TRY(decoder_read_bias(k, "use_bias", "blk.0.attn_output.bias", true, &bias, err));
    decoder_biases(s, bias, bias, bias);
    return decoder_read_windows(k, s, true, 0, 0, err);
}

const Arch arch_starcoder2 = {
    .names = {"starcoder2"},
    .gguf_name = "starcoder2",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

/* nemotron.c -- Nemotron 3 and 4, Minitron: layer norms whose weight is stored around 0, squared ReLU without a gate, half
 * of each head turns (Parmar et al. 2024; Muralidharan et al. 2024). */
#include "model/decoder.h"

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool bias, mlp_bias;
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.norm = NORM_LAYER, .activation = RELU_SQUARED, .plain_mlp = true, .rotary = 0.5f}, &m,
                     err));
    TRY(decoder_read_bias(k, "attention_bias", "blk.0.attn_output.bias", false, &bias, err));
    TRY(decoder_read_bias(k, "mlp_bias", "blk.0.ffn_up.bias", false, &mlp_bias, err));
    m->norm.minus_one = true;
    decoder_biases(s, bias, bias, mlp_bias);
    return OK;
}

const Arch arch_nemotron = {
    .names = {"nemotron"},
    .gguf_name = "nemotron",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

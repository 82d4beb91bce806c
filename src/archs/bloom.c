/* bloom.c -- BLOOM: no positions but ALiBi's slopes, a norm of the embeddings (Le Scao et al. 2022; Press et al. 2022). */
#include "model/decoder.h"

static const float BIAS_MAX = 8;

static const AttentionNames attention = {.qkv = "self_attention.query_key_value", .o = "self_attention.dense"};
static const DecoderNames names = {
    .layer = "transformer.h.%d.",
    .embed = "transformer.word_embeddings", .embed_norm = "transformer.word_embeddings_layernorm",
    .norm = "transformer.ln_f", .head = "lm_head",
    .pre_attention = "input_layernorm", .pre_mlp = "post_attention_layernorm",
    .attention = &attention,
    .mlp = "mlp.", .up = "dense_h_to_4h", .down = "dense_4h_to_h",
};

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool normed_stream;
    const float *slopes;
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.names = &names, .norm = NORM_LAYER, .activation = GELU_TANH, .plain_mlp = true,
                                     .mlp_times = 4, .no_rope = true, .tied = true},
                     &m, err));
    TRY(keys_bool_or(k, "apply_residual_connection_post_layernorm", NULL, false, &normed_stream, err));
    if (normed_stream)
        TRY(keys_record_nothing(k, "apply_residual_connection_post_layernorm", err));
    TRY(alibi_slopes(arena, s->N, BIAS_MAX, &slopes, err));
    for (int l = 0; l < s->L; l++) {
        DecoderLayer *layer = &m->layer[l];
        layer->attention.hf_layout = QKV_PER_HEAD;
        layer->attention.gguf_layout = QKV_FUSED;
        layer->attention.slopes = slopes;
        for (int i = 0; i < layer->stages; i++)
            layer->stage[i].branch[0].on_stream = normed_stream;
    }
    decoder_biases(s, true, true, true);
    return OK;
}

const Arch arch_bloom = {
    .names = {"bloom"},
    .gguf_name = "bloom",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
};

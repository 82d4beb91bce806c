/* phi3.c -- Phi-3 and Phi-4-mini (Abdin et al. 2024): Llama's block with q, k and v in one matrix, gate and up in another. */
#include "model/decoder.h"

enum { ORIGINAL = 4096 }; /* transformers' default of max_position_embeddings, and of the original one */

static const DecoderNames names = {
    .layer = "model.layers.%d.", .embed = "model.embed_tokens", .norm = "model.norm", .head = "lm_head",
    .pre_attention = "input_layernorm", .pre_mlp = "post_attention_layernorm", .attention = &attention_names,
    .mlp = "mlp.", .up = "gate_up_proj", .down = "down_proj",
};

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.names = &names, .activation = SILU, .eps = 1e-5f, .rotary = 1,
                                     .rope_original = ORIGINAL, .context = ORIGINAL}, &m, err));
    for (int l = 0; l < s->L; l++) {
        DecoderLayer *layer = &m->layer[l];
        layer->attention.hf_layout = layer->attention.gguf_layout = QKV_FUSED;
        layer->mlp.hf_layout = layer->mlp.gguf_layout = GATE_UP_FUSED;
    }
    return decoder_read_windows(k, s, true, 0, 0, err);
}

const Arch arch_phi3 = {
    .names = {"phi3"},
    .gguf_name = "phi3",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_factors_long.weight", "rope_factors_short.weight"},
};

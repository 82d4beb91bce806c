/* granite.c -- Llama's block with four factors: of embeddings, of what branches add, of scores, and of
 * logits, which are divided by it (IBM 2024). */
#include "model/decoder.h"

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    float scale, divisor;
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.activation = SILU, .gguf_turned = true}, &m, err));
    TRY(keys_float_or(k, "embedding_multiplier", "embedding_scale", 0, 1e6, 1, &m->embed_factor, err));
    TRY(keys_float_or(k, "residual_multiplier", "residual_scale", 0, 1e6, 1, &m->residual_factor, err));
    TRY(keys_float_or(k, "attention_multiplier", "attention.scale", 0, 1e6, 1, &scale, err));
    TRY(keys_float_or(k, "logits_scaling", "logit_scale", 1e-6, 1e6, 1, &divisor, err));
    TRY(decoder_read_biases(k, s, err));
    m->logit_factor = 1 / divisor;
    for (int l = 0; l < s->L; l++)
        m->layer[l].attention.how.scale = scale;
    return OK;
}

const Arch arch_granite = {
    .names = {"granite"},
    .gguf_name = "granite",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

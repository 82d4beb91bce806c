/* mistral.c -- Llama's block with a sliding window in every layer (Jiang et al. 2023). */
#include "model/decoder.h"

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.activation = SILU, .gguf_turned = true}, &m, err));
    return decoder_read_windows(k, s, true, 0, err);
}

const Arch arch_mistral = {
    .names = {"mistral"},
    .gguf_name = "llama",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

/* llama.c -- Llama 1 to 3 and what looks like it (Touvron et al. 2023; Dubey et al. 2024). */
#include "model/decoder.h"

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.activation = SILU, .gguf_turned = true}, &m, err));
    TRY(decoder_read_biases(k, s, err));
    if (!keys_are_gguf(k)) /* transformers' Llama knows no window, whatever its config says */
        return OK;
    return decoder_read_windows(k, s, true, 0, err); /* Mistral goes by this name there */
}

const Arch arch_llama = {
    .names = {"llama"},
    .gguf_name = "llama",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

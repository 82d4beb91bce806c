/* mistral.c -- Llama's block with a sliding window in every layer (Jiang et al. 2023). */
#include "model/dense.h"

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    TRY(dense_read_shape(k, arena, s, err));
    dense_shape(s)->gguf_interleaves = true;
    return dense_read_windows(k, s, true, 0, err);
}

const Arch arch_mistral = {
    .names = {"mistral"},
    .gguf_name = "llama",
    .read_shape = read_shape,
    .kv_layout = dense_kv_layout,
    .declare = dense_declare,
    .forward = dense_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

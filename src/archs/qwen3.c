/* qwen3.c -- Llama's block with an RMS norm on each head of q and k, before rope (Yang et al. 2025). */
#include "model/dense.h"

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    TRY(dense_read_shape(k, arena, s, err));
    DenseShape *m = dense_shape(s);
    m->head_norms = true;
    TRY(keys_bool_or(k, "attention_bias", NULL, false, &m->qkv_bias, err));
    m->o_bias = m->qkv_bias;
    return dense_read_windows(k, s, false, err);
}

const Arch arch_qwen3 = {
    .names = {"qwen3"},
    .gguf_name = "qwen3",
    .read_shape = read_shape,
    .kv_layout = dense_kv_layout,
    .declare = dense_declare,
    .forward = dense_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

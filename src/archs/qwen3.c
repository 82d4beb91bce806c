/* qwen3.c -- Llama's block with an RMS norm on each head of q and k, before rope (Yang et al. 2025). */
#include "model/dense.h"

/* transformers' defaults of max_window_layers and head_dim */
enum { FIRST_WINDOW = 28, HEAD_WIDTH = 128 };

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    s->H = keys_are_gguf(k) ? 0 : HEAD_WIDTH; /* where the config says nothing; 0: D / N */
    TRY(dense_read_shape(k, arena, s, err));
    DenseShape *m = dense_shape(s);
    m->head_norms = true;
    TRY(keys_bool_or(k, "attention_bias", NULL, store_find(k->store, "blk.0.attn_q.bias") != NULL, &m->qkv_bias, err));
    TRY(keys_bool_or(k, "attention_bias", NULL, store_find(k->store, "blk.0.attn_output.bias") != NULL, &m->o_bias,
                     err));
    return dense_read_windows(k, s, false, FIRST_WINDOW, err);
}

const Arch arch_qwen3 = {
    .names = {"qwen3"},
    .gguf_name = "qwen3",
    .read_shape = read_shape,
    .kv_layout = dense_kv_layout,
    .declare = dense_declare,
    .forward = dense_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

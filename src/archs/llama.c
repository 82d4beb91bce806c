/* llama.c -- Llama 1 to 3 and what looks like it (Touvron et al. 2023; Dubey et al. 2024). */
#include "model/dense.h"

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    TRY(dense_read_shape(k, arena, s, err));
    DenseShape *m = dense_shape(s);
    TRY(keys_bool_or(k, "attention_bias", NULL, store_find(k->store, "blk.0.attn_q.bias") != NULL, &m->qkv_bias, err));
    TRY(keys_bool_or(k, "attention_bias", NULL, store_find(k->store, "blk.0.attn_output.bias") != NULL, &m->o_bias,
                     err));
    TRY(keys_bool_or(k, "mlp_bias", NULL, store_find(k->store, "blk.0.ffn_gate.bias") != NULL, &m->mlp_bias, err));
    m->gguf_interleaves = true;
    m->rope_interleaved = keys_are_gguf(k);
    if (!keys_are_gguf(k)) /* transformers' Llama knows no window, whatever its config says */
        return OK;
    return dense_read_windows(k, s, true, 0, err); /* Mistral goes by this name there */
}

const Arch arch_llama = {
    .names = {"llama"},
    .gguf_name = "llama",
    .read_shape = read_shape,
    .kv_layout = dense_kv_layout,
    .declare = dense_declare,
    .forward = dense_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

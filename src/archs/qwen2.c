/* qwen2.c -- Llama's block with a bias on q, k and v only (Yang et al. 2024). */
#include "model/dense.h"

enum { FIRST_WINDOW = 28 }; /* transformers' default of max_window_layers */

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    TRY(dense_read_shape(k, arena, s, err));
    dense_shape(s)->qkv_bias = true;
    return dense_read_windows(k, s, false, FIRST_WINDOW, err);
}

const Arch arch_qwen2 = {
    .names = {"qwen2"},
    .gguf_name = "qwen2",
    .read_shape = read_shape,
    .kv_layout = dense_kv_layout,
    .declare = dense_declare,
    .forward = dense_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

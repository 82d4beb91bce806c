/* qwen2.c -- Llama's block with a bias on q, k and v only (Yang et al. 2024). */
#include "model/decoder.h"

enum { FIRST_WINDOW = 28, WINDOW = 4096 }; /* transformers' defaults of max_window_layers and sliding_window */

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.activation = SILU, .context = 1 << 15}, &m, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->q_bias = a->k_bias = a->v_bias = true;
    }
    return decoder_read_windows(k, s, false, FIRST_WINDOW, WINDOW, err);
}

const Arch arch_qwen2 = {
    .names = {"qwen2"},
    .gguf_name = "qwen2",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

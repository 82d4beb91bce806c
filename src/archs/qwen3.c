/* qwen3.c -- Llama's block with an RMS norm on each head of q and k, before rope (Yang et al. 2025). */
#include "model/decoder.h"

/* transformers' defaults of max_window_layers, sliding_window and head_dim */
enum { FIRST_WINDOW = 28, WINDOW = 4096, HEAD_WIDTH = 128 };

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool qkv, o;
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.activation = SILU, .head_width = HEAD_WIDTH, .context = 1 << 15}, &m, err));
    TRY(decoder_read_bias(k, "attention_bias", "blk.0.attn_q.bias", false, &qkv, err));
    TRY(decoder_read_bias(k, "attention_bias", "blk.0.attn_output.bias", false, &o, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->head_norm = HEAD_NORM_EACH;
        a->q_bias = a->k_bias = a->v_bias = qkv;
        a->o_bias = o;
    }
    return decoder_read_windows(k, s, false, FIRST_WINDOW, WINDOW, err);
}

const Arch arch_qwen3 = {
    .names = {"qwen3"},
    .gguf_name = "qwen3",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

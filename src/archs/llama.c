/* llama.c -- Llama 1 to 3 and what looks like it (Touvron et al. 2023; Dubey et al. 2024). */
#include "model/decoder.h"

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool qkv, o, mlp;
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.activation = SILU}, &m, err));
    TRY(decoder_read_bias(k, "attention_bias", "blk.0.attn_q.bias", false, &qkv, err));
    TRY(decoder_read_bias(k, "attention_bias", "blk.0.attn_output.bias", false, &o, err));
    TRY(decoder_read_bias(k, "mlp_bias", "blk.0.ffn_gate.bias", false, &mlp, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->q_bias = a->k_bias = a->v_bias = qkv;
        a->o_bias = o;
        a->gguf_turned = true;
        a->rope_interleaved = keys_are_gguf(k);
        m->layer[l].mlp.gate_bias = m->layer[l].mlp.up_bias = m->layer[l].mlp.down_bias = mlp;
    }
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

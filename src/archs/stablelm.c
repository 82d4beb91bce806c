/* stablelm.c -- StableLM: Llama's block with layer norms, of which a quarter of each head turns (Bellagente et al. 2024).
 * The 12B model has attention and mlp side by side behind one norm, and a norm on each head of q and k, each with a weight
 * of its own. */
#include "model/decoder.h"

static const AttentionNames attention = {.q = "self_attn.q_proj", .k = "self_attn.k_proj", .v = "self_attn.v_proj",
                                         .o = "self_attn.o_proj", .q_norm = "self_attn.q_layernorm.norms.%e",
                                         .k_norm = "self_attn.k_layernorm.norms.%e"};
static const DecoderNames names = {
    .layer = "model.layers.%d.",
    .embed = "model.embed_tokens", .norm = "model.norm", .head = "lm_head",
    .pre_attention = "input_layernorm", .pre_mlp = "post_attention_layernorm",
    .attention = &attention,
    .mlp = "mlp.", .gate = "gate_proj", .up = "up_proj", .down = "down_proj",
};

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool bias, head_norms, parallel;
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.names = &names, .norm = NORM_LAYER, .activation = SILU, .rotary = 0.25f}, &m, err));
    TRY(decoder_read_bias(k, "use_qkv_bias", "blk.0.attn_q.bias", false, &bias, err));
    TRY(decoder_read_bias(k, "qk_layernorm", "blk.0.attn_q_norm.weight", false, &head_norms, err));
    TRY(keys_bool_or(k, "use_parallel_residual", NULL, keys_are_gguf(k) && !store_find(k->store, "blk.0.ffn_norm.weight"),
                     &parallel, err)); /* a GGUF's key is not to be trusted: some say so of models that are not */
    keys_record_bool(k, "use_parallel_residual", parallel);
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->head_norm = head_norms ? HEAD_NORM_APART : HEAD_NORM_NONE;
        a->norm = m->norm;
        if (parallel)
            decoder_side_by_side(&m->layer[l], true);
    }
    decoder_biases(s, bias, false, false);
    return OK;
}

const Arch arch_stablelm = {
    .names = {"stablelm", "stablelm_epoch"},
    .gguf_name = "stablelm",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

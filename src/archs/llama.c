/* llama.c -- Llama 1 to 3 and what looks like it (Touvron et al. 2023; Dubey et al. 2024), Mixtral with its experts
 * too (Jiang et al. 2024), which goes by the same name in a GGUF. */
#include <string.h>

#include "model/moe.h"

static const MoeNames mixtral_names = {
    .router = "block_sparse_moe.gate",
    .gate = "block_sparse_moe.experts.%e.w1.weight",
    .up = "block_sparse_moe.experts.%e.w3.weight",
    .down = "block_sparse_moe.experts.%e.w2.weight",
};

static Err read_experts(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    MoeShape *moe;
    TRY(moe_read(k, arena, s, &(MoeUsual){.names = &mixtral_names, .normalises = true, .gguf_normalises = true}, &moe, err));
    moe_use(s, moe, NULL);
    return OK;
}

/* A GGUF of a Llama without experts may say that it has none. */
static Err has_experts(const Keys *k, bool *out, Error *err)
{
    int32_t count = !strcmp(k->family, "mixtral");
    if (keys_have(k, NULL, "expert_count"))
        TRY(keys_int(k, NULL, "expert_count", 0, EXPERTS_MAX, &count, err));
    *out = count > 0;
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool mixtral = !strcmp(k->family, "mixtral");
    DecoderUsual usual = {.activation = SILU, .gguf_turned = true, .theta = mixtral ? 1e6f : 0, .eps = mixtral ? 1e-5f : 0};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    bool experts;
    TRY(has_experts(k, &experts, err));
    if (experts)
        TRY(read_experts(k, arena, s, err));
    else
        TRY(decoder_read_biases(k, s, err));
    if (!keys_are_gguf(k) && !mixtral) /* transformers' Llama knows no window, whatever its config says */
        return OK;
    return decoder_read_windows(k, s, true, 0, 0, err); /* Mistral goes by this name there */
}

const Arch arch_llama = {
    .names = {"llama", "mixtral"},
    .gguf_name = "llama",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

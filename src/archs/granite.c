/* granite.c -- Llama's block with four factors: of embeddings, of what branches add, of scores, and of
 * logits, which are divided by it (IBM 2024). Its larger kin have experts, and one that all tokens share. */
#include <string.h>

#include "model/moe.h"

static const MoeNames expert_names = {
    .router = "block_sparse_moe.router.layer",
    .gate = "block_sparse_moe.input_linear.weight",
    .up = "block_sparse_moe.input_linear.weight",
    .down = "block_sparse_moe.output_linear.weight",
    .shared = "shared_mlp.",
    .shared_up_proj = "input_linear",
    .shared_down_proj = "output_linear",
};

static Err read_experts(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    MoeShape *moe;
    MoeUsual usual = {.names = &expert_names, .score = SCORE_SOFTMAX_TOP, .shared_width_given = true};
    TRY(moe_read(k, arena, s, &usual, &moe, err));
    moe->gate_part = (WeightPart){2 * moe->F, 0, moe->F};
    moe->up_part = (WeightPart){2 * moe->F, moe->F, moe->F};
    moe->shared.hf_layout = GATE_UP_FUSED;
    moe_use(s, moe, NULL);
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    float scale, divisor;
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.activation = SILU, .gguf_turned = true}, &m, err));
    TRY(keys_float_or(k, "embedding_multiplier", "embedding_scale", 0, 1e6, 1, &m->embed_factor, err));
    TRY(keys_float_or(k, "residual_multiplier", "residual_scale", 0, 1e6, 1, &m->residual_factor, err));
    TRY(keys_float_or(k, "attention_multiplier", "attention.scale", 0, 1e6, 1, &scale, err));
    TRY(keys_float_or(k, "logits_scaling", "logit_scale", 1e-6, 1e6, 1, &divisor, err));
    TRY(decoder_read_biases(k, s, err));
    m->logit_factor = 1 / divisor;
    for (int l = 0; l < s->L; l++)
        m->layer[l].attention.how.scale = scale;
    return strncmp(k->family, "granitemoe", strlen("granitemoe")) ? OK : read_experts(k, arena, s, err);
}

const Arch arch_granite = {
    .names = {"granite", "granitemoe", "granitemoeshared"},
    .gguf_names = {"granite", "granitemoe", "granitemoe"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

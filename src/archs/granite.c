/* granite.c -- Llama's block with four factors: of embeddings, of what branches add, of scores, and of
 * logits, which are divided by it (IBM 2024). Its larger kin have experts, and one that all tokens share; its
 * hybrids have Mamba-2 in most layers. */
#include <string.h>

#include "model/mamba.h"
#include "model/mamba2.h"
#include "model/moe.h"

enum { WIDTH_MAX = 1 << 20 };

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

/* ---- hybrids ----
 *
 * Granite 4, and Bamba (IBM, Princeton, CMU and UIUC 2024), which a GGUF calls by the same name: most layers
 * are Mamba-2 instead of attention, and there need be no rotation. */

static Err read_kinds(const Keys *k, const ModelShape *s, LayerHas *has, Error *err)
{
    static const char *const names[] = {"linear_attention", "mamba", "full_attention", "attention"};
    bool listed[LAYERS_MAX], named = keys_have(k, "layer_types", NULL);
    int kind[LAYERS_MAX];
    if (keys_are_gguf(k))
        return decoder_read_kinds(k, s, has, err);
    TRY(keys_layers_listed(k, "attn_layer_indices", 0, listed, s->L, err));
    if (named)
        TRY(keys_layer_kinds(k, "layer_types", names, COUNT_OF(names), kind, s->L, err));
    for (int l = 0; l < s->L; l++)
        has[l] = (LayerHas){.attention = named ? kind[l] >= 2 : listed[l], .mlp = true};
    decoder_record_kinds(k, s, has);
    return OK;
}

static Err read_hybrid(const Keys *k, Arena *arena, ModelShape *s, DecoderShape *m, Error *err)
{
    LayerHas has[LAYERS_MAX];
    Mamba2Shape *mamba = ARENA_NEW(arena, Mamba2Shape);
    if (!mamba)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(read_kinds(k, s, has, err));
    /* norm_groups: as in archs/state_space.c */
    *mamba = (Mamba2Shape){.prefix = "model.layers.%d.mamba.", .norm = MAMBA2_GATE_NORM, .norm_groups = 1, .norm_eps = s->eps};
    TRY(mamba2_read(k, s, "hidden_act", mamba, err));
    Branch scan = {.part = &part_mamba2, .shape = mamba, .pre = m->names.pre_attention, .pre_gguf = "blk.%d.attn_norm"};
    for (int l = 0; l < s->L; l++)
        if (!has[l].attention)
            decoder_stage(&m->layer[l], 0, 1, &scan);
    return OK;
}

/* Without experts only the mlp is left that all tokens would share. */
static Err use_shared_mlp(const Keys *k, ModelShape *s, DecoderShape *m, Error *err)
{
    if (!keys_are_gguf(k))
        TRY(keys_int_or(k, "shared_intermediate_size", NULL, 1, WIDTH_MAX, 1024, &s->F, err));
    for (int l = 0; l < s->L; l++) {
        MlpShape *mlp = &m->layer[l].mlp;
        mlp->F = s->F;
        mlp->prefix = "model.layers.%d.shared_mlp.";
        mlp->hf_layout = GATE_UP_FUSED;
        mlp->up = expert_names.shared_up_proj;
        mlp->down = expert_names.shared_down_proj;
    }
    return OK;
}

static Err read_rope_switch(const Keys *k, bool bamba, bool *out, Error *err)
{
    char word[16];
    TRY(keys_text_or(k, "position_embedding_type", NULL, "", word, sizeof word, err));
    if (word[0] && strcmp(word, "rope") && strcmp(word, "nope"))
        return fail(err, UNSUPPORTED, "%s: position_embedding_type '%s' is not one that ridge knows", k->where, word);
    *out = bamba || !strcmp(word, "rope");
    if (keys_are_gguf(k)) /* the family's word for having rope at all */
        TRY(keys_bool_or(k, NULL, "rope.scaling.finetuned", true, out, err));
    keys_record_bool(k, "rope.scaling.finetuned", *out);
    return OK;
}

/* ---- all of them ---- */

static Err read_factors(const Keys *k, const ModelShape *s, DecoderShape *m, Error *err)
{
    float scale, divisor;
    TRY(keys_float_or(k, "embedding_multiplier", "embedding_scale", 0, 1e6, 1, &m->embed_factor, err));
    TRY(keys_float_or(k, "residual_multiplier", "residual_scale", 0, 1e6, 1, &m->residual_factor, err));
    TRY(keys_float_or(k, "attention_multiplier", "attention.scale", 0, 1e6, 1, &scale, err));
    TRY(keys_float_or(k, "logits_scaling", "logit_scale", 1e-6, 1e6, 1, &divisor, err));
    m->logit_factor = 1 / divisor;
    for (int l = 0; l < s->L; l++)
        m->layer[l].attention.how.scale = scale;
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    DecoderUsual usual = {.activation = SILU, .gguf_turned = true};
    bool bamba = !strcmp(k->family, "bamba"), rope = true;
    int32_t experts = 0;
    usual.mixed = bamba || !strcmp(k->family, "granitemoehybrid") || !strcmp(k->family, "granitehybrid");
    if (usual.mixed)
        TRY(read_rope_switch(k, bamba, &rope, err));
    usual.no_rope = !rope;
    if (bamba) {
        usual.names = &mamba_hybrid_names;
        usual.eps = 1e-5f;
        usual.rotary = 0.5f;
    }
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(decoder_read_biases(k, s, err));
    bool has_factors = keys_are_gguf(k) ? keys_have(k, NULL, "attention.scale") : !bamba; /* a GGUF calls both by one name */
    if (has_factors)
        TRY(read_factors(k, s, m, err));
    if (!bamba)
        TRY(keys_int_or(k, "num_local_experts", keys_are_gguf(k) ? "expert_count" : NULL, 0, EXPERTS_MAX, 0, &experts, err));
    if (usual.mixed && !bamba && !experts)
        TRY(use_shared_mlp(k, s, m, err));
    if (usual.mixed)
        TRY(read_hybrid(k, arena, s, m, err));
    return experts ? read_experts(k, arena, s, err) : OK;
}

const Arch arch_granite = {
    .names = {"granite", "granitemoe", "granitemoeshared", "granitemoehybrid", "granitehybrid", "bamba"},
    .gguf_names = {"granite", "granitemoe", "granitemoe", "granitehybrid", "granitehybrid", "granitehybrid"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

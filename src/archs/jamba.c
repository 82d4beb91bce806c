/* jamba.c -- Mamba in most layers, attention without rotation in one of eight, experts in every other (Lieber et
 * al. 2024). */
#include <stdio.h>

#include "model/mamba.h"
#include "model/moe.h"

static const MoeNames expert_names = {
    .router = "feed_forward.router",
    .gate = "feed_forward.experts.%e.gate_proj.weight",
    .up = "feed_forward.experts.%e.up_proj.weight",
    .down = "feed_forward.experts.%e.down_proj.weight",
};

/* The layers l with l % period = offset. */
static Err read_period(const Keys *k, const ModelShape *s, const char *period, const char *offset, int32_t every,
                       int32_t from, bool *out, Error *err)
{
    TRY(keys_int_or(k, period, NULL, 1, LAYERS_MAX, every, &every, err));
    TRY(keys_int_or(k, offset, NULL, 0, LAYERS_MAX, from, &from, err));
    for (int l = 0; l < s->L; l++)
        out[l] = l % every == from;
    return OK;
}

static Err read_attention(const Keys *k, const ModelShape *s, LayerHas *has, Error *err)
{
    bool attention[LAYERS_MAX];
    if (keys_are_gguf(k))
        return decoder_read_kinds(k, s, has, err);
    TRY(read_period(k, s, "attn_layer_period", "attn_layer_offset", 8, 4, attention, err));
    for (int l = 0; l < s->L; l++)
        has[l] = (LayerHas){.attention = attention[l], .mlp = true};
    decoder_record_kinds(k, s, has);
    return OK;
}

/* A GGUF says which layers have experts by the tensors that they have. */
static Err read_experts(const Keys *k, Arena *arena, const ModelShape *s, Error *err)
{
    bool sparse[LAYERS_MAX];
    char router[64];
    int32_t experts;
    MoeShape *moe;
    TRY(keys_int_or(k, "num_experts|num_local_experts", keys_are_gguf(k) ? "expert_count" : NULL, 0, EXPERTS_MAX,
                    keys_are_gguf(k) ? 0 : 16, &experts, err));
    if (experts <= 1)
        return OK;
    TRY(read_period(k, s, "expert_layer_period", "expert_layer_offset", 2, 1, sparse, err));
    for (int l = 0; l < s->L && keys_are_gguf(k); l++) {
        snprintf(router, sizeof router, "blk.%d.ffn_gate_inp.weight", l);
        sparse[l] = store_find(k->store, router) != NULL;
    }
    TRY(moe_read(k, arena, s, &(MoeUsual){.names = &expert_names}, &moe, err));
    moe_use(s, moe, sparse);
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    DecoderUsual usual = {.names = &mamba_hybrid_names, .activation = SILU, .no_rope = true, .mixed = true};
    LayerHas has[LAYERS_MAX];
    MambaShape *mamba = ARENA_NEW(arena, MambaShape);
    if (!mamba)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(read_attention(k, s, has, err));
    *mamba = (MambaShape){.prefix = "model.layers.%d.mamba.", .norm = MAMBA_NORM_GAIN, .norm_eps = s->eps};
    TRY(mamba_read(k, s, "hidden_act", mamba, err));
    Branch scan = {.part = &part_mamba, .shape = mamba, .pre = m->names.pre_attention, .pre_gguf = "blk.%d.attn_norm"};
    for (int l = 0; l < s->L; l++)
        if (!has[l].attention)
            decoder_stage(&m->layer[l], 0, 1, &scan);
    return read_experts(k, arena, s, err);
}

const Arch arch_jamba = {
    .names = {"jamba"},
    .gguf_name = "jamba",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
};

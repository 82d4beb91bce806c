/* granite_hybrid.c -- Bamba (IBM, Princeton, CMU and UIUC 2024): most layers are Mamba-2, some attention, each
 * followed by an mlp. */
#include <string.h>

#include "model/decoder.h"
#include "model/mamba2.h"

static const DecoderNames bamba_names = {
    .layer = "model.layers.%d.",
    .embed = "model.embed_tokens", .norm = "model.final_layernorm", .head = "lm_head",
    .pre_attention = "input_layernorm", .pre_mlp = "pre_ff_layernorm",
    .attention = &attention_names,
    .mlp = "feed_forward.", .gate = "gate_proj", .up = "up_proj", .down = "down_proj",
};

/* attn_layer_indices: [9, 18, 27]; all others are Mamba-2. */
static Err read_kinds(const Keys *k, const ModelShape *s, LayerHas *has, Error *err)
{
    if (keys_are_gguf(k))
        return decoder_read_kinds(k, s, has, err);
    const json_t *list = json_object_get(k->config, "attn_layer_indices");
    for (int l = 0; l < s->L; l++)
        has[l] = (LayerHas){.mlp = true};
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_int_t layer = json_integer_value(json_array_get(list, i));
        if (!json_is_integer(json_array_get(list, i)) || layer < 0 || layer >= s->L)
            return fail(err, BAD_FILE, "%s: attn_layer_indices[%zu] must be a layer: 0 to %d", k->where, i, s->L - 1);
        has[layer].attention = true;
    }
    decoder_record_kinds(k, s, has);
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    DecoderUsual usual = {.names = &bamba_names, .eps = 1e-5f, .activation = SILU, .rotary = 0.5f, .mixed = true,
                          .gguf_turned = true};
    LayerHas has[LAYERS_MAX];
    Mamba2Shape *mamba = ARENA_NEW(arena, Mamba2Shape);
    if (!mamba)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(decoder_read_biases(k, s, err));
    TRY(read_kinds(k, s, has, err));
    *mamba = (Mamba2Shape){.prefix = "model.layers.%d.mamba.", .norm = MAMBA2_GATE_NORM, .norm_groups = 1, .norm_eps = s->eps};
    TRY(mamba2_read(k, s, "hidden_act", mamba, err));
    keys_record_bool(k, "rope.scaling.finetuned", true); /* the family's word for having rope at all */
    Branch scan = {.part = &part_mamba2, .shape = mamba, .pre = "input_layernorm", .pre_gguf = "blk.%d.attn_norm"};
    for (int l = 0; l < s->L; l++)
        if (!has[l].attention)
            decoder_stage(&m->layer[l], 0, 1, &scan);
    return OK;
}

const Arch arch_granite_hybrid = {
    .names = {"bamba", "granitehybrid"},
    .gguf_name = "granitehybrid",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

/* nemotron_h.c -- one thing a layer: Mamba-2, attention without rotation, an mlp, or experts (NVIDIA 2025). */
#include <string.h>

#include "model/mamba2.h"
#include "model/moe.h"

static const AttentionNames attention = {
    .q = "mixer.q_proj", .k = "mixer.k_proj", .v = "mixer.v_proj", .o = "mixer.o_proj",
};

static const DecoderNames names = {
    .layer = "backbone.layers.%d.",
    .embed = "backbone.embeddings", .norm = "backbone.norm_f", .head = "lm_head",
    .pre_attention = "norm", .pre_mlp = "norm",
    .attention = &attention,
    .mlp = "mixer.", .up = "up_proj", .down = "down_proj",
};

static const MoeNames expert_names = {
    .router = "mixer.gate",
    .choice_bias = "mixer.gate.e_score_correction_bias",
    .up = "mixer.experts.%e.up_proj.weight",
    .down = "mixer.experts.%e.down_proj.weight",
    .shared = "mixer.shared_experts.",
};

typedef enum Kind { MAMBA, ATTENTION, MLP, EXPERTS } Kind;

/* By hybrid_override_pattern, a letter for each layer, or by layers_block_type, a word for each. */
static Err read_pattern(const Keys *k, Kind *out, int32_t *layers, Error *err)
{
    static const char letters[] = "M*-E";
    char pattern[LAYERS_MAX + 1];
    TRY(keys_text_or(k, "hybrid_override_pattern", NULL, NULL, pattern, sizeof pattern, err));
    *layers = (int32_t)strlen(pattern);
    if (*layers < 1)
        return fail(err, BAD_FILE, "%s: hybrid_override_pattern names no layer", k->where);
    for (int l = 0; l < *layers; l++) {
        const char *letter = strchr(letters, pattern[l]);
        if (!letter)
            return fail(err, UNSUPPORTED, "%s: hybrid_override_pattern has '%c' for layer %d; ridge knows %s", k->where,
                        pattern[l], l, letters);
        out[l] = (Kind)(letter - letters);
    }
    return OK;
}

static Err read_words(const Keys *k, Kind *out, int32_t *layers, Error *err)
{
    static const char *const words[] = {"linear_attention", "full_attention", "mlp", "moe", "mamba", "attention"};
    static const Kind means[] = {MAMBA, ATTENTION, MLP, EXPERTS, MAMBA, ATTENTION};
    int kind[LAYERS_MAX];
    size_t count = json_array_size(json_object_get(k->config, "layers_block_type"));
    if (count < 1 || count > LAYERS_MAX)
        return fail(err, BAD_FILE, "%s: layers_block_type names %zu layers; ridge takes 1 to %d", k->where, count, LAYERS_MAX);
    *layers = (int32_t)count;
    TRY(keys_layer_kinds(k, "layers_block_type", words, COUNT_OF(words), kind, *layers, err));
    for (int l = 0; l < *layers; l++)
        out[l] = means[kind[l]];
    return OK;
}

static Err read_gguf_kinds(const Keys *k, const ModelShape *s, bool experts, Kind *out, Error *err)
{
    LayerHas has[LAYERS_MAX];
    TRY(decoder_read_kinds(k, s, has, err));
    for (int l = 0; l < s->L; l++)
        out[l] = has[l].mlp ? experts ? EXPERTS : MLP : has[l].attention ? ATTENTION : MAMBA;
    return OK;
}

static Err record_kinds(const Keys *k, const ModelShape *s, const Kind *kind, Error *err)
{
    LayerHas has[LAYERS_MAX];
    for (int l = 0; l < s->L; l++) {
        has[l] = (LayerHas){.attention = kind[l] == ATTENTION, .mlp = kind[l] == MLP};
        if (kind[l] == EXPERTS)
            TRY(keys_record_nothing(k, "layers of experts", err));
    }
    decoder_record_kinds(k, s, has);
    return OK;
}

static Err read_experts(const Keys *k, Arena *arena, const ModelShape *s, Activation act, MoeShape **out, Error *err)
{
    MoeShape *m;
    MoeUsual usual = {.names = &expert_names, .score = SCORE_SIGMOID, .normalises = true, .gguf_says_norm = true,
                      .norm_eps = 1e-20f, .group_top = 2, .shared_width_given = true, .shared = 1};
    if (keys_have(k, "moe_latent_size", "moe_latent_size"))
        return fail(err, UNSUPPORTED, "%s: moe_latent_size: ridge knows no experts that read a latent", k->where);
    TRY(moe_read(k, arena, s, &usual, &m, err));
    m->plain = m->choice_bias = true;
    m->shared.gated = false;
    m->activation = m->shared.activation = act;
    *out = m;
    return OK;
}

/* The layer's only branch. */
static Branch branch_of(Kind kind, const DecoderLayer *layer, const Mamba2Shape *mamba, const MoeShape *experts)
{
    Branch all[] = {
        [MAMBA] = {.part = &part_mamba2, .shape = mamba},
        [ATTENTION] = {.part = &part_attention, .shape = &layer->attention},
        [MLP] = {.part = &part_mlp, .shape = &layer->mlp},
        [EXPERTS] = {.part = &part_moe, .shape = experts},
    };
    all[kind].pre = "norm";
    all[kind].pre_gguf = "blk.%d.attn_norm";
    return all[kind];
}

static Err set_layers(const Keys *k, Arena *arena, ModelShape *s, DecoderShape *m, const Kind *kind, Error *err)
{
    Activation act;
    MoeShape *experts = NULL;
    Mamba2Shape *mamba = ARENA_NEW(arena, Mamba2Shape);
    if (!mamba)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(activation_read(k, "mlp_hidden_act", RELU_SQUARED, &act, err));
    if (act != RELU_SQUARED)
        TRY(keys_record_nothing(k, "another mlp_hidden_act than relu2", err));
    *mamba = (Mamba2Shape){.prefix = "backbone.layers.%d.mixer.", .norm_eps = s->eps, .least_step = true};
    TRY(mamba2_read(k, s, "mamba_hidden_act", mamba, err));
    for (int l = 0; l < s->L; l++) {
        if (kind[l] == EXPERTS && !experts)
            TRY(read_experts(k, arena, s, act, &experts, err));
        m->layer[l].mlp.activation = act;
        m->layer[l].stages = 0;
        Branch branch = branch_of(kind[l], &m->layer[l], mamba, experts);
        decoder_stage(&m->layer[l], 0, 1, &branch);
    }
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    Kind kind[LAYERS_MAX];
    DecoderUsual usual = {.names = &names, .eps = 1e-5f, .activation = RELU_SQUARED, .plain_mlp = true, .no_rope = true,
                          .head_width = 128, .mixed = true};
    bool pattern = keys_have(k, "hybrid_override_pattern", NULL) && !keys_have(k, "layers_block_type", NULL);
    if (!keys_are_gguf(k))
        TRY((pattern ? read_pattern : read_words)(k, kind, &usual.layers, err));
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(decoder_read_biases(k, s, err));
    /* a GGUF of the family says the eps of its RMS norms under the name of that of layer norms, or under both */
    TRY(keys_float_or(k, NULL, "attention.layer_norm_epsilon", 0, 1, s->eps, &s->eps, err));
    m->norm.eps = s->eps;
    if (keys_are_gguf(k))
        TRY(read_gguf_kinds(k, s, !strcmp(k->family, "nemotron_h_moe"), kind, err));
    else
        TRY(record_kinds(k, s, kind, err));
    return set_layers(k, arena, s, m, kind, err);
}

const Arch arch_nemotron_h = {
    .names = {"nemotron_h", "nemotron_h_moe"},
    .gguf_names = {"nemotron_h", "nemotron_h_moe"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
};

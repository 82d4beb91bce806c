/* hyena.c -- StripedHyena (Poli et al. 2023, Together): Hyena's long convolutions in modal form (Massaroli et al. 2023,
 * "Laughing Hyena Distillery") in turns with attention, each followed by a gated mlp.
 *
 * Names and keys are those of togethercomputer/stripedhyena and its checkpoints: backbone.blocks.N.{pre_norm.scale,
 * post_norm.scale, projections, out_filter_dense, filter.{short_filter_weight, short_filter_bias, poles, residues, D},
 * mlp.l1 to l3} or, with attention, inner_mha_cls.{Wqkv, out_proj}. Filters that several channels share, and rotary
 * positions that are stretched, are refused.
 */
#include "model/decoder.h"
#include "model/long_conv.h"

enum { HEADS_MAX = 1 << 14, MODES_MAX = 1 << 12, TAPS_MAX = 1 << 10, ROUND = 64 };
static const int64_t STATE_WIDTH_MAX = 1 << 28;

static const AttentionNames attention = {.qkv = "inner_mha_cls.Wqkv", .o = "inner_mha_cls.out_proj"};
static const DecoderNames names = {
    .layer = "backbone.blocks.%d.",
    .embed = "backbone.embedding_layer", .norm = "backbone.norm", .head = "backbone.unembed",
    .pre_attention = "pre_norm", .pre_mlp = "post_norm",
    .attention = &attention,
    .mlp = "mlp.", .gate = "l1", .up = "l2", .down = "l3",
};

/* What the config could ask for, and the block does not do. */
static Err check_variant(const Keys *k, const ModelShape *s, Error *err)
{
    int32_t filters, groups;
    TRY(keys_int_or(k, "num_filters", NULL, 1, s->D, s->D, &filters, err));
    TRY(keys_int_or(k, "hyena_filter_groups", NULL, 1, s->D, 1, &groups, err));
    TRY(keys_only(k, "use_interpolated_rotary_pos_emb", false, err));
    if (filters != s->D || groups != 1)
        return fail(err, UNSUPPORTED, "%s: %d filters in %d groups for %d channels: ridge knows one filter for each channel",
                    k->where, filters, groups, s->D);
    return OK;
}

static Err read_filter(const Keys *k, const ModelShape *s, HyenaShape *m, Error *err)
{
    *m = (HyenaShape){.D = s->D, .heads = s->N, .prefix = "backbone.blocks.%d."};
    TRY(keys_int_or(k, "state_size", NULL, 1, MODES_MAX, 2, &m->modes, err));
    TRY(keys_int_or(k, "short_filter_length", NULL, 1, TAPS_MAX, 3, &m->taps, err));
    TRY(keys_bool_or(k, "short_filter_bias", NULL, true, &m->taps_bias, err));
    TRY(keys_bool_or(k, "column_split_hyena", NULL, true, &m->by_head, err));
    if (s->D % s->N || (int64_t)s->D * (3 * m->taps + 2 * m->modes) > STATE_WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: %d channels of %d modes and %d taps in %d heads are not something that ridge can hold",
                    k->where, s->D, m->modes, m->taps, s->N);
    return OK;
}

/* What decoder_read() has other names for. */
static Err read_usual(const Keys *k, DecoderUsual *u, Error *err)
{
    int32_t heads, groups;
    *u = (DecoderUsual){.names = &names, .activation = SILU, .own_activation = true};
    TRY(keys_float_or(k, "eps", NULL, 0, 1, 1e-5f, &u->eps, err));
    TRY(keys_float_or(k, "rotary_emb_base", NULL, 1, 1e12, 10000, &u->theta, err));
    TRY(keys_bool_or(k, "tie_embeddings", NULL, false, &u->tied, err));
    TRY(keys_int(k, "num_attention_heads", NULL, 1, HEADS_MAX, &heads, err));
    TRY(keys_int_or(k, "proj_groups", NULL, 1, heads, 1, &groups, err));
    u->kv_heads = heads / groups;
    return OK;
}

/* Where inner_mlp_size is not given: 8/3 D, rounded up. */
static Err read_mlp(const Keys *k, ModelShape *s, Activation *act, Error *err)
{
    int32_t usual = (int32_t)((int64_t)8 * s->D / 3 + ROUND - 1) / ROUND * ROUND;
    TRY(keys_int_or(k, "inner_mlp_size", NULL, 1, 1 << 20, usual, &s->F, err));
    return activation_read(k, "mlp_activation", SILU, act, err);
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    DecoderUsual usual;
    Activation act;
    bool attends[LAYERS_MAX], norm, qkv, o;
    HyenaShape *hyena = ARENA_NEW(arena, HyenaShape);
    if (!hyena)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(read_usual(k, &usual, err));
    usual.mlp_times = 1;
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(check_variant(k, s, err));
    TRY(read_mlp(k, s, &act, err));
    TRY(read_filter(k, s, hyena, err));
    TRY(keys_layers_listed(k, "attn_layer_idxs", 0, attends, s->L, err));
    TRY(keys_bool_or(k, "final_norm", NULL, true, &norm, err));
    TRY(keys_bool_or(k, "qkv_proj_bias", NULL, true, &qkv, err));
    TRY(keys_bool_or(k, "mha_out_proj_bias", NULL, true, &o, err));
    decoder_biases(s, qkv, o, false);
    m->norm.gain_name = ".scale";
    m->names.norm = norm ? m->names.norm : NULL;
    for (int l = 0; l < s->L; l++) {
        DecoderLayer *layer = &m->layer[l];
        layer->mlp.F = s->F;
        layer->mlp.activation = act;
        layer->attention.hf_layout = QKV_FUSED;
        if (!attends[l])
            layer->stage[0].branch[0].part = &part_hyena, layer->stage[0].branch[0].shape = hyena;
    }
    return OK;
}

const Arch arch_hyena = {
    .names = {"stripedhyena"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "filter.t"},
};

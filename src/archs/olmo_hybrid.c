/* olmo_hybrid.c -- OLMo Hybrid (OLMo Team 2026): three layers of the gated delta rule, whose keys may turn over what
 * they held, for each one of attention.
 *
 * The linear layers have norms before both parts; those of attention have norms behind both, and over all of q and of
 * k, as OLMo 2. Where the config gives no rotary base, nothing turns. GGUF has no name for the family.
 */
#include <stdio.h>

#include "model/decoder.h"
#include "model/delta.h"

enum { INTERVAL = 4 };   /* of layers with attention */

static const DeltaNames delta_names = {
    .input = {"q_proj", "k_proj", "v_proj", "g_proj", "b_proj", "a_proj"},
    .out = "o_proj", .conv = {"q_conv1d.weight", "k_conv1d.weight", "v_conv1d.weight"},
    .norm = "o_norm.weight", .dt_bias = "dt_bias", .A = "A_log",
};

static const StoreTensor *find(const Keys *k, const char *pattern, int layer)
{
    char name[WEIGHT_NAME_BYTES];
    snprintf(name, sizeof name, pattern, layer);
    return store_find(k->store, name);
}

/* The three tensors of a convolution hold its channels one after another. transformers cuts them into thirds when it
 * saves, whatever belongs to q, k and v. */
static void find_conv_rows(const Keys *k, int layer, DeltaShape *m)
{
    static const char *const names[DELTA_CONVS] = {"model.layers.%d.linear_attn.q_conv1d.weight",
                                                   "model.layers.%d.linear_attn.k_conv1d.weight",
                                                   "model.layers.%d.linear_attn.v_conv1d.weight"};
    int64_t rows[DELTA_CONVS], all = 0;
    for (int i = 0; i < DELTA_CONVS; i++) {
        const StoreTensor *t = find(k, names[i], layer);
        if (!t || t->dim[0] < 1 || t->dim[0] > delta_channels(m))
            return; /* the binder says what is wrong */
        all += rows[i] = t->dim[0];
    }
    for (int i = 0; i < DELTA_CONVS && all == delta_channels(m); i++)
        m->conv_rows[i] = (int32_t)rows[i];
}

static Err read_delta(const Keys *k, const ModelShape *s, DeltaShape *m, Error *err)
{
    *m = (DeltaShape){.heads = s->N, .key_heads = s->N, .taps = 4, .norm_eps = 1e-5f, .beta_factor = 2,
                      .conv = decoder_shape(s)->layer[0].mlp.activation, .gate = SILU,
                      .prefix = "model.layers.%d.linear_attn.", .hf = &delta_names};
    TRY(keys_int_or(k, "linear_num_key_heads", NULL, 1, s->D, s->N, &m->key_heads, err));
    TRY(keys_int_or(k, "linear_key_head_dim", NULL, 1, s->D, (int32_t)(0.75 * s->D / m->key_heads), &m->N, err));
    m->P = 2 * m->N;
    bool turns_over;
    TRY(keys_bool_or(k, "linear_allow_neg_eigval", NULL, true, &turns_over, err));
    m->beta_factor = turns_over ? 2 : 1;
    return delta_read(k, s, m, err);
}

/* Norms before both parts. */
static void linear_layer(DecoderLayer *layer, const DeltaShape *delta)
{
    decoder_stage(layer, 0, 1, &(Branch){.part = &part_delta, .shape = delta, .pre = "attention_layer_norm", .pre_gguf = ""});
    layer->stage[1].branch[0].pre = "feedforward_layer_norm";
}

/* Norms behind both; the first goes by the other layers' name in what transformers saves. */
static void attention_layer(const Keys *k, int l, DecoderLayer *layer, bool turns)
{
    bool renamed = !find(k, "model.layers.%d.post_attention_layernorm.weight", l) &&
                   find(k, "model.layers.%d.feedforward_layer_norm.weight", l);
    decoder_norms_behind(layer, renamed ? "feedforward_layer_norm" : "post_attention_layernorm", "post_feedforward_layernorm");
    layer->stage[0].branch[0].pre = layer->stage[1].branch[0].pre = NULL;
    layer->attention.head_norm = HEAD_NORM_ALL;
    layer->attention.rope = turns ? 0 : ROPE_NONE;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool linear[LAYERS_MAX], turns = keys_have(k, "rope_parameters.rope_theta|rope_theta", NULL);
    DeltaShape *delta = ARENA_NEW(arena, DeltaShape);
    if (!delta)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.activation = SILU, .no_rope = !turns}, &m, err));
    TRY(decoder_read_biases(k, s, err));
    TRY(read_delta(k, s, delta, err));
    TRY(linear_layers_read(k, s, INTERVAL, linear, err));
    if (s->L < INTERVAL && !keys_have(k, "layer_types", NULL))
        linear[s->L - 1] = false;
    for (int l = 0; l < s->L; l++) {
        if (linear[l]) {
            find_conv_rows(k, l, delta);
            linear_layer(&m->layer[l], delta);
        } else {
            attention_layer(k, l, &m->layer[l], turns);
        }
    }
    return OK;
}

const Arch arch_olmo_hybrid = {
    .names = {"olmo_hybrid"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

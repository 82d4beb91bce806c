/* kimi_linear.c -- Kimi Linear (Kimi Team 2025): three layers of the delta rule with a decay for each channel, for each one
 * of latent attention, which knows no positions; experts in all layers but the first ones.
 *
 * The decay and the gate of a linear layer come through matrices of low rank. Which layers have attention a config says
 * by names, as transformers does, or by numbers that begin with 1; a GGUF says it by key/value heads, layer by layer.
 */
#include "model/delta.h"
#include "model/mla.h"
#include "model/moe.h"

enum { HEADS = 32, HEAD_WIDTH = 128, TAPS = 4, INTERVAL = 4, HEADS_MAX = 1 << 14, WIDTH_MAX = 1 << 20, TAPS_MAX = 1 << 10 };

static const DeltaNames delta_names = {
    .input = {"q_proj", "k_proj", "v_proj", "g_b_proj", "b_proj", "f_b_proj"}, .low_a = "f_a_proj", .low_z = "g_a_proj",
    .out = "o_proj", .conv = {"q_conv1d.weight", "k_conv1d.weight", "v_conv1d.weight"},
    .norm = "o_norm.weight", .dt_bias = "dt_bias", .A = "A_log",
};
static const DeltaNames delta_gguf = {
    .input = {"blk.%d.attn_q", "blk.%d.attn_k", "blk.%d.attn_v", "blk.%d.ssm_g_b", "blk.%d.ssm_beta", "blk.%d.ssm_f_b"},
    .low_a = "blk.%d.ssm_f_a", .low_z = "blk.%d.ssm_g_a", .out = "blk.%d.attn_output",
    .conv = {"blk.%d.ssm_conv1d_q.weight", "blk.%d.ssm_conv1d_k.weight", "blk.%d.ssm_conv1d_v.weight"},
    .norm = "blk.%d.ssm_norm.weight", .dt_bias = "blk.%d.ssm_dt.bias", .A = "blk.%d.ssm_a",
};
static const MoeNames experts = {
    .router = "block_sparse_moe.gate", .choice_bias = "block_sparse_moe.gate.e_score_correction_bias",
    .gate = "block_sparse_moe.experts.%e.w1.weight", .up = "block_sparse_moe.experts.%e.w3.weight",
    .down = "block_sparse_moe.experts.%e.w2.weight", .shared = "block_sparse_moe.shared_experts.",
};

static Err read_delta(const Keys *k, const ModelShape *s, DeltaShape *m, Error *err)
{
    *m = (DeltaShape){.D = s->D, .per_channel = true, .norm_eps = s->eps, .beta_factor = 1,
                      .conv = decoder_shape(s)->layer[0].mlp.activation, .gate = SIGMOID,
                      .prefix = "model.layers.%d.self_attn.", .hf = &delta_names, .gguf = &delta_gguf};
    int32_t heads = keys_are_gguf(k) ? s->N : HEADS;
    TRY(keys_int_or(k, "linear_attn_config.num_heads|linear_num_heads", NULL, 1, HEADS_MAX, heads, &m->heads, err));
    TRY(keys_int_or(k, "linear_attn_config.head_dim|linear_head_dim", "kda.head_dim", 1, WIDTH_MAX, HEAD_WIDTH, &m->N, err));
    TRY(keys_int_or(k, "linear_attn_config.short_conv_kernel_size|linear_conv_kernel_dim", "ssm.conv_kernel", 1, TAPS_MAX,
                    TAPS, &m->taps, err));
    if (m->heads != s->N)
        TRY(keys_record_nothing(k, "linear layers with another number of heads than attention", err));
    m->key_heads = m->heads;
    m->P = m->rank = m->N;
    return delta_settle(k, m, err);
}

static Err read_kinds(const Keys *k, const ModelShape *s, LayerHas *has, Error *err)
{
    static const char *const names[] = {"linear_attention", "full_attention"};
    int kind[LAYERS_MAX];
    if (keys_are_gguf(k))
        return decoder_read_kinds(k, s, has, err);
    bool numbered = keys_have(k, "linear_attn_config.full_attn_layers", NULL), listed[LAYERS_MAX];
    bool named = keys_have(k, "layer_types", NULL);
    if (named)
        TRY(keys_layer_kinds(k, "layer_types", names, COUNT_OF(names), kind, s->L, err));
    TRY(keys_layers_listed(k, "linear_attn_config.full_attn_layers", 1, listed, s->L, err));
    int32_t heads[LAYERS_MAX];
    for (int l = 0; l < s->L; l++) {
        heads[l] = named ? kind[l] : numbered ? listed[l] : l > 0 && l % INTERVAL == 0;
        has[l] = (LayerHas){.attention = heads[l], .mlp = true};
    }
    keys_record_ints(k, "attention.head_count_kv", heads, s->L);
    return OK;
}

static Err read_experts(const Keys *k, Arena *arena, const ModelShape *s, Error *err)
{
    MoeShape *moe;
    bool sparse[LAYERS_MAX];
    MoeUsual usual = {.names = &experts, .score = SCORE_SIGMOID, .normalises = true, .gguf_normalises = true,
                      .norm_eps = 1e-20f, .group_top = 2, .shared = 1, .factor = 2.446f};
    TRY(moe_read_layers(k, s, 1, sparse, err));
    TRY(moe_read(k, arena, s, &usual, &moe, err));
    moe->choice_bias = true;
    moe_use(s, moe, sparse);
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    MlaShape *mla;
    LayerHas has[LAYERS_MAX];
    DecoderUsual usual = {.activation = SILU, .eps = 1e-5f, .own_heads = true, .no_rope = true};
    DeltaShape *delta = ARENA_NEW(arena, DeltaShape);
    if (!delta)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(mla_read(k, arena, s, &(MlaUsual){.P = 128, .R = 64, .V = 128, .C = 512, .no_rope = true, .mixed = true}, &mla, err));
    TRY(keys_bool_or(k, "attention_bias", NULL, false, &mla->bias, err));
    TRY(read_delta(k, s, delta, err));
    TRY(read_kinds(k, s, has, err));
    /* transformers calls the mlp of the first layers as the others' experts when it saves */
    bool renamed = store_find(k->store, "model.layers.0.block_sparse_moe.gate_proj.weight") != NULL;
    for (int l = 0; l < s->L; l++) {
        Branch *branch = &m->layer[l].stage[0].branch[0];
        if (renamed)
            m->layer[l].mlp.prefix = "model.layers.%d.block_sparse_moe.";
        if (!has[l].attention)
            branch->part = &part_delta, branch->shape = delta;
    }
    return read_experts(k, arena, s, err);
}

const Arch arch_kimi_linear = {
    .names = {"kimi_linear", "kimi-linear"},
    .gguf_names = {"kimi-linear", "kimi-linear"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

/* qwen3_5.c -- Qwen3-Next and Qwen3.5 (Qwen Team 2025, 2026): three layers of the gated delta rule for each one of
 * attention. The first has experts, and one more that all tokens use, by as much as a gate says.
 *
 * Attention has a gate beside each query, norms of heads, and turns a quarter of each head. Norms are stored as
 * gain - 1, but for the one behind the delta rule.
 */
#include <string.h>

#include "model/delta.h"
#include "model/moe.h"

enum { INTERVAL = 4 /* of layers with attention */, HEAD_WIDTH = 256, SECTIONS = 4 };

/* Qwen3-Next: all of a key head together; Qwen3.5: tensors of their own, and one for q, k and v. */
static const DeltaNames next_names = {
    .input = {"in_proj_qkvz", "in_proj_qkvz", "in_proj_qkvz", "in_proj_qkvz", "in_proj_ba", "in_proj_ba"},
    .by_head = {true, true, true, true, true, true},
    .out = "out_proj", .conv = {"conv1d.weight"}, .norm = "norm.weight", .dt_bias = "dt_bias", .A = "A_log",
};
static const DeltaNames next_gguf = {
    .input = {"blk.%d.attn_qkv", "blk.%d.attn_qkv", "blk.%d.attn_qkv", "blk.%d.attn_gate", "blk.%d.ssm_ba", "blk.%d.ssm_ba"},
    .by_head = {[DELTA_B] = true, [DELTA_A] = true},
    .out = "blk.%d.ssm_out", .conv = {"blk.%d.ssm_conv1d.weight"}, .norm = "blk.%d.ssm_norm.weight",
    .dt_bias = "blk.%d.ssm_dt.bias", .A = "blk.%d.ssm_a",
};
static const DeltaNames apart_names = {
    .input = {"in_proj_qkv", "in_proj_qkv", "in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a"},
    .out = "out_proj", .conv = {"conv1d.weight"}, .norm = "norm.weight", .dt_bias = "dt_bias", .A = "A_log",
};
static const DeltaNames apart_gguf = {
    .input = {"blk.%d.attn_qkv", "blk.%d.attn_qkv", "blk.%d.attn_qkv", "blk.%d.attn_gate", "blk.%d.ssm_beta",
              "blk.%d.ssm_alpha"},
    .out = "blk.%d.ssm_out", .conv = {"blk.%d.ssm_conv1d.weight"}, .norm = "blk.%d.ssm_norm.weight",
    .dt_bias = "blk.%d.ssm_dt.bias", .A = "blk.%d.ssm_a", .tiled = true,
};

static const MoeNames experts = {
    .router = "mlp.gate",
    .gate = "mlp.experts.%e.gate_proj.weight",
    .up = "mlp.experts.%e.up_proj.weight",
    .down = "mlp.experts.%e.down_proj.weight",
    .shared = "mlp.shared_expert.",
    .shared_gate = "mlp.shared_expert_gate",
};

static Err read_experts(const Keys *k, Arena *arena, const ModelShape *s, Error *err)
{
    MoeShape *moe;
    bool sparse[LAYERS_MAX];
    MoeUsual usual = {.names = &experts, .normalises = true, .gguf_normalises = true, .shared_width_given = true, .shared = 1};
    TRY(moe_read(k, arena, s, &usual, &moe, err));
    moe->shared_gate = true;
    TRY(moe_read_layers(k, s, 0, sparse, err));
    moe_use(s, moe, sparse);
    return OK;
}

static void use_delta(DecoderLayer *layer, const DeltaShape *delta)
{
    Branch *branch = &layer->stage[0].branch[0];
    branch->part = &part_delta;
    branch->shape = delta;
}

/* llama.cpp wants to know how many values of a head turn with which of a picture's directions. */
static Err record_sections(const Keys *k, Error *err)
{
    int32_t sections[SECTIONS] = {11, 11, 10, 0};
    Keys quiet = *k;
    quiet.record = NULL;
    if (keys_are_list(k, "rope_parameters.mrope_section", NULL))
        TRY(keys_ints_or(&quiet, "rope_parameters.mrope_section", NULL, 0, HEAD_WIDTH, 0, sections, SECTIONS - 1, err));
    keys_record_ints(k, "rope.dimension_sections", sections, SECTIONS);
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool linear[LAYERS_MAX], bias, next = !strcmp(k->family, "qwen3_next") || !strcmp(k->family, "qwen3next");
    DecoderUsual usual = {.activation = SILU, .head_width = HEAD_WIDTH, .rotary = 0.25f};
    DeltaShape *delta = ARENA_NEW(arena, DeltaShape);
    if (!delta)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    *delta = (DeltaShape){.heads = 32, .key_heads = 16, .N = 128, .P = 128, .taps = 4, .norm_eps = s->eps, .beta_factor = 1,
                          .conv = m->layer[0].mlp.activation, .gate = SILU, .prefix = "model.layers.%d.linear_attn.",
                          .hf = next ? &next_names : &apart_names, .gguf = next ? &next_gguf : &apart_gguf};
    TRY(delta_read(k, s, delta, err));
    TRY(linear_layers_read(k, s, INTERVAL, linear, err));
    TRY(keys_bool_or(k, "attention_bias", NULL, false, &bias, err));
    if (bias)
        TRY(keys_record_nothing(k, "attention_bias true", err));
    decoder_biases(s, bias, bias, false);
    m->norm.minus_one = true;
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->gate = GATE_WITH_Q;
        a->head_norm = HEAD_NORM_EACH;
        a->norm = m->norm;
        m->layer[l].stage[1].branch[0].pre_gguf = "blk.%d.post_attention_norm";
        if (linear[l])
            use_delta(&m->layer[l], delta);
    }
    return next ? read_experts(k, arena, s, err) : record_sections(k, err);
}

const Arch arch_qwen3_5 = {
    .names = {"qwen3_next", "qwen3_5_text", "qwen3next", "qwen35"},
    .gguf_names = {"qwen3next", "qwen35", "qwen3next", "qwen35"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .draft_layers = true,
    .ignores = {"rotary_emb.inv_freq"},
};

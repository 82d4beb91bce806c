/* gpt_oss.c -- attention with sinks and biases, local in every other layer; experts whose gated units are cut off
 * (OpenAI 2025). Its yarn scaling begins and ends between whole frequencies; a GGUF has no word for that, and means it. */
#include "model/moe.h"

enum { WINDOW_MAX = 1 << 28, WINDOW = 128, HEAD_WIDTH = 64, PATTERN = 2, THETA = 150000 };

static const MoeNames names = {
    .router = "mlp.router",
    .gate = "mlp.experts.gate_up_proj",
    .up = "mlp.experts.gate_up_proj",
    .down = "mlp.experts.down_proj",
    .gate_bias = "mlp.experts.gate_up_proj_bias",
    .up_bias = "mlp.experts.gate_up_proj_bias",
    .down_bias = "mlp.experts.down_proj_bias",
};

static Err read_attention(const Keys *k, ModelShape *s, DecoderShape *m, Error *err)
{
    int32_t window;
    bool local[LAYERS_MAX], bias;
    TRY(keys_int_or(k, "sliding_window", "attention.sliding_window", 1, WINDOW_MAX, WINDOW, &window, err));
    TRY(decoder_read_local(k, s, "sliding_attention", PATTERN, local, err));
    TRY(decoder_read_bias(k, "attention_bias", "blk.0.attn_q.bias", true, &bias, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->q_bias = a->k_bias = a->v_bias = a->o_bias = bias;
        a->sinks = true;
        a->how.window = local[l] ? window : 0;
        m->layer[l].stage[1].branch[0].pre_gguf = "blk.%d.post_attention_norm";
    }
    return OK;
}

/* A GGUF has no word for the limits. */
static Err read_limits(const Keys *k, LimitedGate *l, Error *err)
{
    const LimitedGate usual = {.limit = 7, .alpha = 1.702f, .shift = 1};
    *l = usual;
    TRY(keys_float_or(k, "swiglu_limit", NULL, 1e-3, 1e6, usual.limit, &l->limit, err));
    TRY(keys_float_or(k, "swiglu_alpha", NULL, 1e-3, 1e3, usual.alpha, &l->alpha, err));
    return l->limit == usual.limit && l->alpha == usual.alpha ? OK : keys_record_nothing(k, "other swiglu limits", err);
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    MoeShape *moe;
    DecoderUsual usual = {.eps = 1e-5f, .activation = SILU, .head_width = HEAD_WIDTH, .theta = THETA, .yarn_exact = true};
    if (!keys_are_gguf(k) && !keys_have(k, "rope_parameters.rope_type", NULL) && !keys_have(k, "rope_scaling.rope_type", NULL))
        return fail(err, UNSUPPORTED, "%s: rope_parameters says no rope_type; '%s' would mean a yarn scaling that must be said",
                    k->where, k->family);
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(read_attention(k, s, m, err));
    TRY(moe_read(k, arena, s, &(MoeUsual){.names = &names, .score = SCORE_SOFTMAX_TOP}, &moe, err));
    TRY(read_limits(k, &moe->limits, err));
    moe->router_bias = moe->expert_bias = true;
    /* As [E, in, out], but the blocks of the published checkpoints run along what a unit reads: [E, out, in]. */
    moe->transposed = moe->down_transposed = !store_find(k->store, "model.layers.0.mlp.experts.down_proj_blocks");
    moe->gate_part = (WeightPart){2, 0, 1};
    moe->up_part = (WeightPart){2, 1, 1};
    moe_use(s, moe, NULL);
    return OK;
}

const Arch arch_gpt_oss = {
    .names = {"gpt_oss", "gpt-oss"},
    .gguf_name = "gpt-oss",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
};

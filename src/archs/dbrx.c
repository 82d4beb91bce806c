/* dbrx.c -- layer norms without biases, q, k and v in one tensor and kept within [-clip_qkv, clip_qkv], experts in
 * three tensors whose rows are those of all experts (Databricks 2024). */
#include "model/moe.h"

static const AttentionNames attention = {
    .qkv = "norm_attn_norm.attn.Wqkv",
    .o = "norm_attn_norm.attn.out_proj",
};

static const DecoderNames names = {
    .layer = "transformer.blocks.%d.",
    .embed = "transformer.wte",
    .norm = "transformer.norm_f",
    .head = "lm_head",
    .pre_attention = "norm_attn_norm.norm_1",
    .pre_mlp = "norm_attn_norm.norm_2",
    .attention = &attention,
    .mlp = "ffn.",
};

static const MoeNames expert_names = {
    .router = "ffn.router.layer",
    .gate = "ffn.experts.mlp.w1",
    .up = "ffn.experts.mlp.v1",
    .down = "ffn.experts.mlp.w2",
};

/* The p of a p-norm: null is none, and 1 where nothing is said. */
static Err read_norm(const Keys *k, Router *r, Error *err)
{
    const char *key = "ffn_config.moe_normalize_expert_weights";
    const json_t *config = k->config ? json_object_get(k->config, "ffn_config") : NULL;
    float p;
    TRY(keys_float_or(k, key, NULL, 0, 100, 1, &p, err));
    r->norm = ROUTER_NORM_SUM;
    if (json_is_null(json_object_get(config, "moe_normalize_expert_weights")))
        r->norm = ROUTER_NORM_NONE;
    else if (p == 2)
        r->norm = ROUTER_NORM_L2;
    else if (p != 1)
        return fail(err, UNSUPPORTED, "%s: %s %g is a norm that ridge does not know; it knows 1 and 2", k->where, key, p);
    return r->norm == ROUTER_NORM_SUM ? OK : keys_record_nothing(k, "moe_normalize_expert_weights other than 1", err);
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    MoeShape *moe;
    float clip, theta;
    TRY(keys_float_or(k, "attn_config.rope_theta", NULL, 1, 1e12, 10000, &theta, err));
    DecoderUsual usual = {.names = &names, .norm = NORM_LAYER, .activation = SILU, .theta = theta};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    m->norm.bias = false;
    TRY(keys_float_or(k, "attn_config.clip_qkv", "attention.clamp_kqv", 0, 1e6, 0, &clip, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->clip = clip;
        a->hf_layout = a->gguf_layout = QKV_FUSED;
        m->layer[l].stage[1].branch[0].pre_gguf = "blk.%d.attn_output_norm";
    }
    TRY(moe_read(k, arena, s, &(MoeUsual){.names = &expert_names, .normalises = true, .gguf_normalises = true}, &moe, err));
    TRY(activation_read(k, "ffn_config.ffn_act_fn.name", SILU, &moe->activation, err));
    if (moe->activation != SILU)
        TRY(keys_record_nothing(k, "a ffn_act_fn other than silu", err));
    TRY(read_norm(k, &moe->router, err));
    moe->down_transposed = true;
    moe_use(s, moe, NULL);
    return OK;
}

const Arch arch_dbrx = {
    .names = {"dbrx"},
    .gguf_name = "dbrx",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
};

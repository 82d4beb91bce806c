/* hunyuan.c -- Hunyuan (Sun et al. 2024): keys and queries normed behind rope, and, in the large one, cross-layer
 * attention: a layer l with l % cla_share_factor != 0 has a query only and uses the keys and values of the last
 * layer that has them (Brandon et al. 2024).
 *
 * There each layer norms the shared keys with a weight of its own, which goes into the query: model/attention.h.
 */
#include <float.h>
#include <string.h>

#include "model/moe.h"

static const AttentionNames attention = {
    .q = "self_attn.q_proj", .k = "self_attn.k_proj", .v = "self_attn.v_proj", .qkv = "self_attn.qkv_proj",
    .o = "self_attn.o_proj", .q_norm = "self_attn.query_layernorm", .k_norm = "self_attn.key_layernorm",
};

#define NAMES(gate_name, up_name) {                                                                                   \
    .layer = "model.layers.%d.", .embed = "model.embed_tokens", .norm = "model.norm", .head = "lm_head",              \
    .pre_attention = "input_layernorm", .pre_mlp = "post_attention_layernorm", .attention = &attention, .mlp = "mlp.", \
    .gate = gate_name, .up = up_name, .down = "down_proj"}
static const DecoderNames names_apart = NAMES("gate_proj", "up_proj"), names_fused = NAMES(NULL, "gate_and_up_proj");

#define EXPERTS(gate_name, up_name) {                                                                                 \
    .router = "mlp.gate.wg", .gate = "mlp.experts.%e." gate_name ".weight", .up = "mlp.experts.%e." up_name ".weight", \
    .down = "mlp.experts.%e.down_proj.weight", .shared = "mlp.shared_mlp.", .shared_up_proj = up_name}
static const MoeNames experts_apart = EXPERTS("gate_proj", "up_proj"),
                      experts_fused = EXPERTS("gate_and_up_proj", "gate_and_up_proj");

/* Experts, and an mlp beside them. The large model uses one expert, with its part of the softmax over all; where several
 * are used, their parts are normed. */
static Err read_experts(const Keys *k, Arena *arena, bool large, ModelShape *s, Error *err)
{
    MoeShape *moe;
    bool fused = store_find(k->store, "model.layers.0.mlp.experts.0.gate_and_up_proj.weight") != NULL, mixed = true;
    MoeUsual usual = {.names = fused ? &experts_fused : &experts_apart, .normalises = true, .gguf_normalises = true,
                      .shared = 1};
    TRY(moe_read(k, arena, s, &usual, &moe, err));
    if (large) {
        moe->router.norm = moe->used > 1 ? ROUTER_NORM_SUM : ROUTER_NORM_NONE;
        moe->router.norm_min = FLT_EPSILON;
        TRY(keys_bool_or(k, "use_mixed_mlp_moe", NULL, false, &mixed, err));
    }
    moe->shared.F = mixed ? moe->shared.F : 0;
    if (fused) {
        moe->up_part = (WeightPart){2 * moe->F, 0, moe->F};
        moe->gate_part = (WeightPart){2 * moe->F, moe->F, moe->F};
        moe->shared.hf_layout = UP_GATE_FUSED;
    }
    if (moe->shared.F)
        keys_record_int(k, "expert_shared_feed_forward_length", moe->shared.F);
    moe_use(s, moe, NULL);
    return OK;
}

static Err share_keys(const Keys *k, ModelShape *s, DecoderShape *m, bool norms, Error *err)
{
    bool shared;
    int32_t every = 1;
    TRY(keys_bool_or(k, "use_cla", NULL, false, &shared, err));
    if (shared)
        TRY(keys_int_or(k, "cla_share_factor", NULL, 1, LAYERS_MAX, 1, &every, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->shares = l % every != 0;
        a->alias_of = l - l % every;
        a->k_norm_in_query = every > 1 && norms;
        if (a->shares)
            a->hf_layout = QKV_APART;
    }
    return OK;
}

static Err refuse_variants(const Keys *k, Error *err)
{
    bool xdrope, rope;
    char norm[32];
    TRY(keys_bool_or(k, "position_embedding_xdrope", NULL, false, &xdrope, err));
    TRY(keys_bool_or(k, "use_rotary_pos_emb", NULL, true, &rope, err));
    TRY(keys_text_or(k, "norm_type", NULL, "rms", norm, sizeof norm, err));
    if (xdrope || !rope || (strcmp(norm, "rms") && strcmp(norm, "hf_rms")))
        return fail(err, UNSUPPORTED,
                    "%s: family 'hunyuan' with norm_type '%s', position_embedding_xdrope %s, use_rotary_pos_emb %s; ridge "
                    "runs it with 'rms', false and true",
                    k->where, norm, xdrope ? "true" : "false", rope ? "true" : "false");
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool experts = !strcmp(k->family, "hunyuan_v1_moe") || !strcmp(k->family, "hunyuan-moe");
    bool large = !strcmp(k->family, "hunyuan"), norms = true;
    bool mlp_fused = store_find(k->store, "model.layers.0.mlp.gate_and_up_proj.weight") != NULL;
    bool qkv_fused = store_find(k->store, "model.layers.0.self_attn.qkv_proj.weight") != NULL;
    DecoderUsual usual = {.names = mlp_fused ? &names_fused : &names_apart, .activation = SILU, .eps = 1e-5f};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(decoder_read_biases(k, s, err));
    if (large) {
        int32_t count;
        TRY(keys_int_or(k, "num_experts", NULL, 1, EXPERTS_MAX, 1, &count, err));
        experts = count > 1;
        TRY(refuse_variants(k, err));
        TRY(keys_bool_or(k, "use_qk_norm", NULL, false, &norms, err));
    }
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->head_norm = norms ? HEAD_NORM_EACH : HEAD_NORM_NONE;
        a->norm_after_rope = true;
        a->hf_layout = qkv_fused ? QKV_PER_GROUP : QKV_APART;
        m->layer[l].mlp.hf_layout = mlp_fused ? UP_GATE_FUSED : GATE_UP_APART;
    }
    if (large)
        TRY(share_keys(k, s, m, norms, err));
    return experts ? read_experts(k, arena, large, s, err) : OK;
}

const Arch arch_hunyuan = {
    .names = {"hunyuan", "hunyuan_v1_dense", "hunyuan_v1_moe", "hunyuan-dense", "hunyuan-moe"},
    .gguf_names = {NULL, "hunyuan-dense", "hunyuan-moe", "hunyuan-dense", "hunyuan-moe"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

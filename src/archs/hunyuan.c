/* hunyuan.c -- Hunyuan (Sun et al. 2024): keys and queries normed behind rope, and, in the large one, cross-layer
 * attention: a layer l with l % cla_share_factor != 0 has a query only and uses the keys and values of the last
 * layer that has them (Brandon et al. 2024).
 *
 * There each layer norms the shared keys with a weight of its own, which goes into the query: model/attention.h.
 */
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

static const MoeNames experts_names = {
    .router = "mlp.gate.wg", .gate = "mlp.experts.%e.gate_proj.weight", .up = "mlp.experts.%e.up_proj.weight",
    .down = "mlp.experts.%e.down_proj.weight", .shared = "mlp.shared_mlp.",
};

/* A13B: experts, and an mlp beside them, as wide. */
static Err read_experts(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    MoeShape *moe;
    MoeUsual usual = {.names = &experts_names, .normalises = true, .gguf_normalises = true, .shared = 1};
    TRY(moe_read(k, arena, s, &usual, &moe, err));
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
    int32_t experts;
    bool xdrope, rope;
    char norm[32];
    TRY(keys_int_or(k, "num_experts", NULL, 1, 1 << 16, 1, &experts, err));
    TRY(keys_bool_or(k, "position_embedding_xdrope", NULL, false, &xdrope, err));
    TRY(keys_bool_or(k, "use_rotary_pos_emb", NULL, true, &rope, err));
    TRY(keys_text_or(k, "norm_type", NULL, "rms", norm, sizeof norm, err));
    if (experts > 1 || xdrope || !rope || (strcmp(norm, "rms") && strcmp(norm, "hf_rms")))
        return fail(err, UNSUPPORTED,
                    "%s: family 'hunyuan' with num_experts %d, norm_type '%s', position_embedding_xdrope %s, "
                    "use_rotary_pos_emb %s; ridge runs it with 1, 'rms', false and true",
                    k->where, experts, norm, xdrope ? "true" : "false", rope ? "true" : "false");
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool large = !strcmp(k->family, "hunyuan"), norms = true;
    bool mlp_fused = store_find(k->store, "model.layers.0.mlp.gate_and_up_proj.weight") != NULL;
    bool qkv_fused = store_find(k->store, "model.layers.0.self_attn.qkv_proj.weight") != NULL;
    DecoderUsual usual = {.names = mlp_fused ? &names_fused : &names_apart, .activation = SILU, .eps = 1e-5f};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(decoder_read_biases(k, s, err));
    if (large) {
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
    if (!strcmp(k->family, "hunyuan_v1_moe") || !strcmp(k->family, "hunyuan-moe"))
        return read_experts(k, arena, s, err);
    return large ? share_keys(k, s, m, norms, err) : OK;
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

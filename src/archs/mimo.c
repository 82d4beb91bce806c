/* mimo.c -- MiMo-V2-Flash (Xiaomi 2025): values narrower than keys, windows in most layers, which have sinks, more
 * key/value heads and a rotary base of their own; experts scored by sigmoid behind a dense layer. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/moe.h"

enum { WINDOW = 129, WINDOW_MAX = 1 << 28, PATTERN = 6, HEADS_MAX = 1 << 14, WIDTH_MAX = 1 << 20, KV_HEADS = 4 };
static const float THETA = 5e6f, LOCAL_THETA = 1e4f, TURNS = 0.334f, VALUES = 0.707f;

static const AttentionNames attention = {
    .q = "self_attn.q_proj", .k = "self_attn.k_proj", .v = "self_attn.v_proj", .qkv = "self_attn.qkv_proj",
    .o = "self_attn.o_proj", .sinks = "self_attn.attention_sink_bias",
};
static const DecoderNames names = {
    .layer = "model.layers.%d.", .embed = "model.embed_tokens", .norm = "model.norm", .head = "lm_head",
    .pre_attention = "input_layernorm", .pre_mlp = "post_attention_layernorm", .attention = &attention,
    .mlp = "mlp.", .gate = "gate_proj", .up = "up_proj", .down = "down_proj",
};
static const MoeNames experts = {
    .router = "mlp.gate", .choice_bias = "mlp.gate.e_score_correction_bias",
    .gate = "mlp.experts.%e.gate_proj.weight", .up = "mlp.experts.%e.up_proj.weight",
    .down = "mlp.experts.%e.down_proj.weight",
};

/* Without a list, all but the first layer and every sixth. Xiaomi's own configs have a list of 0 and 1. */
static Err read_local(const Keys *k, const ModelShape *s, bool *local, Error *err)
{
    int32_t here[LAYERS_MAX];
    if (keys_are_gguf(k) || keys_have(k, "layer_types", NULL))
        return decoder_read_local(k, s, "sliding_attention", 0, local, err);
    for (int l = 0; l < s->L; l++)
        here[l] = l > 0 && (l + 1) % PATTERN != 0;
    if (keys_have(k, "hybrid_layer_pattern", NULL))
        TRY(keys_ints_or(k, "hybrid_layer_pattern", NULL, 0, 1, 0, here, s->L, err));
    for (int l = 0; l < s->L; l++)
        local[l] = here[l];
    decoder_record_local(k, s, local);
    return OK;
}

/* Local layers have twice as many key/value heads where nothing else is said. */
static Err read_kv_heads(const Keys *k, ModelShape *s, const bool *local, int32_t *kv, Error *err)
{
    int32_t full, here;
    if (keys_are_gguf(k)) {
        TRY(keys_ints_or(k, NULL, "attention.head_count_kv", 1, HEADS_MAX, s->N, kv, s->L, err));
    } else {
        TRY(keys_int_or(k, "num_key_value_heads", NULL, 1, HEADS_MAX, KV_HEADS, &full, err));
        TRY(keys_int_or(k, "swa_num_key_value_heads", NULL, 1, 2 * HEADS_MAX, 2 * full, &here, err));
        for (int l = 0; l < s->L; l++)
            kv[l] = local[l] ? here : full;
        keys_record_ints(k, "attention.head_count_kv", kv, s->L);
    }
    s->K = 1;
    for (int l = 0; l < s->L; l++) {
        if (s->N % kv[l])
            return fail(err, BAD_FILE, "%s: num_key_value_heads: layer %d has %d, which %d query heads cannot share evenly",
                        k->where, l, kv[l], s->N);
        s->K = kv[l] > s->K ? kv[l] : s->K;
    }
    return OK;
}

static Err read_widths(const Keys *k, ModelShape *s, int32_t *values, Error *err)
{
    TRY(keys_int_or(k, "head_dim", "attention.key_length", 2, WIDTH_MAX, 192, &s->H, err));
    TRY(keys_int_or(k, "v_head_dim", "attention.value_length", 1, WIDTH_MAX, 128, values, err));
    if ((int64_t)s->N * s->H > WIDTH_MAX || (int64_t)s->N * *values > WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: %d heads of %d and %d are more than ridge's limit of %d", k->where, s->N, s->H, *values,
                    WIDTH_MAX);
    const struct { const char *key; int32_t is; } same[] = {
        {"swa_num_attention_heads", s->N}, {"swa_head_dim", s->H}, {"swa_v_head_dim", *values}};
    for (size_t i = 0; i < COUNT_OF(same); i++) {
        int32_t local;
        TRY(keys_int_or(k, same[i].key, NULL, 1, WIDTH_MAX, same[i].is, &local, err));
        if (local != same[i].is)
            return fail(err, UNSUPPORTED, "%s: %s is %d, but %d in other layers; ridge runs '%s' where they are the same",
                        k->where, same[i].key, local, same[i].is, k->family);
    }
    return OK;
}

/* How many values of a head turn. */
static Err read_turning(const Keys *k, const char *key, const char *gguf, const ModelShape *s, int32_t *dims, Error *err)
{
    float part;
    char path[128];
    snprintf(path, sizeof path, "%s|partial_rotary_factor", key);
    TRY(keys_float_or(k, path, NULL, 0, 1, TURNS, &part, err));
    *dims = keys_are_gguf(k) && *dims ? *dims : (int32_t)((float)s->H * part);
    return keys_int_or(k, NULL, gguf, 2, s->H, *dims, dims, err);
}

/* Two tables: of layers that see all, and of local ones, which a GGUF knows without a scaling. */
static Err read_ropes(const Keys *k, Arena *arena, ModelShape *s, DecoderShape *m, Error *err)
{
    Keys quiet = *k;
    bool nested = keys_have(k, "rope_parameters.full_attention", NULL);
    const char *full = nested ? "rope_parameters.full_attention" : "rope_parameters";
    const char *local = "rope_parameters.sliding_attention";
    int32_t dims = 0;
    float theta;
    char type[32];
    quiet.record = NULL;
    TRY(read_turning(k, "rope_parameters.full_attention.partial_rotary_factor", "rope.dimension_count", s, &dims, err));
    TRY(decoder_add_rope(k, full, dims, THETA, s, arena, m, err));
    TRY(read_turning(k, "rope_parameters.sliding_attention.partial_rotary_factor", "rope.dimension_count_swa", s, &dims, err));
    TRY(keys_float_or(k, "rope_parameters.sliding_attention.rope_theta|swa_rope_theta", "rope.freq_base_swa", 1, 1e12,
                      LOCAL_THETA, &theta, err));
    TRY(keys_text_or(k, "rope_parameters.sliding_attention.rope_type", NULL, "default", type, sizeof type, err));
    if (strcmp(type, "default") != 0)
        TRY(keys_record_nothing(k, "a scaled rope of local layers", err));
    if (nested)
        return decoder_add_rope(&quiet, local, dims, theta, s, arena, m, err);
    if (dims % 2)
        return fail(err, UNSUPPORTED, "%s: %d values of a head would turn; the number must be even", k->where, dims);
    return rope_config_plain(&m->rope[m->ropes++], dims, theta, arena, err);
}

static Err read_window(const Keys *k, int32_t *window, Error *err)
{
    Keys quiet = *k;
    quiet.record = NULL;
    TRY(keys_int_or(&quiet, "sliding_window", "attention.sliding_window", 1, WINDOW_MAX, WINDOW, window, err));
    if (keys_have(k, "sliding_window_size", NULL)) { /* counts without the token itself */
        TRY(keys_int(k, "sliding_window_size", NULL, 0, WINDOW_MAX, window, err));
        *window += 1;
    }
    keys_record_int(k, "attention.sliding_window", *window);
    return OK;
}

/* In a GGUF the weights say it. */
static Err read_sinks(const Keys *k, const ModelShape *s, const bool *local, bool *sinks, Error *err)
{
    bool here, there;
    char name[64];
    TRY(keys_bool_or(k, "add_swa_attention_sink_bias", NULL, true, &here, err));
    TRY(keys_bool_or(k, "add_full_attention_sink_bias", NULL, false, &there, err));
    for (int l = 0; l < s->L; l++) {
        snprintf(name, sizeof name, "blk.%d.attn_sinks.weight", l);
        sinks[l] = keys_are_gguf(k) ? store_find(k->store, name) != NULL : local[l] ? here : there;
    }
    return OK;
}

static Err read_attention(const Keys *k, ModelShape *s, DecoderShape *m, Error *err)
{
    bool local[LAYERS_MAX], sinks[LAYERS_MAX], bias;
    bool unsaid = k->config && !json_object_get(k->config, "attention_value_scale"); /* null would be 1 */
    bool fused = store_find(k->store, "blk.0.attn_qkv.weight") != NULL;
    int32_t kv[LAYERS_MAX], values, window;
    float factor;
    TRY(read_local(k, s, local, err));
    TRY(read_kv_heads(k, s, local, kv, err));
    TRY(read_widths(k, s, &values, err));
    TRY(read_window(k, &window, err));
    TRY(read_sinks(k, s, local, sinks, err));
    TRY(decoder_read_bias(k, "attention_bias", "blk.0.attn_q.bias", false, &bias, err));
    TRY(keys_float_or(k, "attention_value_scale", "attention.value_scale", 1e-6, 1e6, unsaid ? VALUES : 1, &factor, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->K = kv[l];
        a->H = s->H;
        a->V = values;
        a->how = (Attend){.scale = 1 / sqrtf((float)s->H), .window = local[l] ? window : 0};
        a->rope = local[l];
        a->q_bias = a->k_bias = a->v_bias = bias;
        a->value_factor = factor == 1 ? 0 : factor;
        a->sinks = sinks[l];
        a->gguf_layout = fused ? QKV_FUSED : QKV_APART;
    }
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    MoeShape *moe;
    bool sparse[LAYERS_MAX];
    DecoderUsual usual = {.names = &names, .activation = SILU, .eps = 1e-5f, .own_heads = true, .no_rope = true};
    MoeUsual usual_experts = {.names = &experts, .score = SCORE_SIGMOID, .normalises = true, .gguf_normalises = true,
                              .gguf_says_norm = true, .norm_eps = 1e-20f, .group_top = 2};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(read_attention(k, s, m, err));
    TRY(read_ropes(k, arena, s, m, err));
    TRY(moe_read_layers(k, s, 1, sparse, err));
    TRY(moe_read(k, arena, s, &usual_experts, &moe, err));
    moe->choice_bias = true;
    moe_use(s, moe, sparse);
    return OK;
}

const Arch arch_mimo = {
    .names = {"mimo_v2_flash", "mimo2"},
    .gguf_names = {"mimo2", "mimo2"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .draft_layers = true,
    .ignores = {"rotary_emb.inv_freq"},
};

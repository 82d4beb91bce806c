/* moe_shape.c -- reads what most configs say of their experts alike. */
#include <stdio.h>
#include <string.h>

#include "model/moe.h"

enum { WIDTH_MAX = 1 << 20, SHARED_MAX = 64 };

/* ---- the router ---- */

/* GGUF's numbers are those of expert_gating_func. */
static const struct {
    const char *name;
    int32_t gguf;
    RouterScore score;
} scores[] = {{"softmax", 1, SCORE_SOFTMAX}, {"sigmoid", 2, SCORE_SIGMOID}, {NULL, 3, SCORE_SOFTMAX_TOP}};

static Err unknown_score(const Keys *k, const char *key, const char *name, Error *err)
{
    return fail(err, UNSUPPORTED, "%s: %s '%s' is not how family '%s' scores its experts, as far as ridge knows", k->where,
                key, name, k->family);
}

static Err read_score(const Keys *k, const MoeUsual *usual, Error *err)
{
    const char *hf = "scoring_func|score_function|score_func|moe_router_activation_func";
    char name[32], key[128];
    int32_t number = 0;
    TRY(keys_text_or(k, hf, NULL, "", name, sizeof name, err));
    if (keys_are_gguf(k))
        TRY(keys_int_or(k, NULL, "expert_gating_func", 0, 100, 0, &number, err));
    for (size_t i = 0; i < COUNT_OF(scores); i++)
        if (scores[i].score == usual->score) {
            if (name[0] && (!scores[i].name || strcmp(name, scores[i].name)))
                return unknown_score(k, keys_name(k, hf, NULL, key), name, err);
            if (number && number != scores[i].gguf) {
                snprintf(name, sizeof name, "%d", number);
                return unknown_score(k, keys_name(k, NULL, "expert_gating_func", key), name, err);
            }
            keys_record_int(k, "expert_gating_func", scores[i].gguf);
            return OK;
        }
    return name[0] || number ? unknown_score(k, hf, name, err) : OK;
}

static Err read_norm(const Keys *k, const MoeUsual *usual, Router *r, Error *err)
{
    bool is_gguf = keys_are_gguf(k), normalises = is_gguf ? usual->gguf_normalises : usual->normalises;
    TRY(keys_bool_or(k, "norm_topk_prob|moe_renormalize|route_norm", usual->gguf_says_norm ? "expert_weights_norm" : NULL,
                     normalises, &normalises, err));
    if (!usual->gguf_says_norm && normalises != usual->gguf_normalises)
        TRY(keys_record_nothing(k, normalises ? "norm_topk_prob true" : "norm_topk_prob false", err));
    r->norm = normalises ? ROUTER_NORM_SUM : ROUTER_NORM_NONE;
    r->norm_eps = normalises ? usual->norm_eps : 0;
    return keys_float_or(k, "routed_scaling_factor|router_scaling_factor|route_scale", "expert_weights_scale", 0, 1e6,
                         usual->factor ? usual->factor : 1, &r->factor, err);
}

static Err read_groups(const Keys *k, const MoeShape *m, const MoeUsual *usual, Router *r, Error *err)
{
    if (!usual->group_top)
        return OK;
    bool usually = usual->groups && !keys_are_gguf(k);
    int32_t groups, used;
    Keys quiet = *k; /* llama.cpp stops at a file with groups that are all used */
    quiet.record = NULL;
    TRY(keys_int_or(&quiet, "n_group|num_expert_group", "expert_group_count", 0, EXPERTS_MAX, usually ? usual->groups : 1,
                    &groups, err));
    TRY(keys_int_or(&quiet, "topk_group", "expert_group_used_count", 0, EXPERTS_MAX, usually ? usual->groups_used : 1, &used,
                    err));
    if (groups <= 1)
        return OK;
    int32_t each = m->experts / groups;
    if (m->experts % groups || used < 1 || used > groups || each < usual->group_top)
        return fail(err, BAD_FILE, "%s: %d experts cannot be %d groups of which %d are used", k->where, m->experts, groups,
                    used);
    if (m->used > each * used)
        return fail(err, BAD_FILE, "%s: %d experts cannot be chosen from %d groups of %d", k->where, m->used, used, each);
    if (used == groups)
        return OK;
    r->groups = groups;
    r->groups_used = used;
    r->group_top = usual->group_top;
    keys_record_int(k, "expert_group_count", groups);
    keys_record_int(k, "expert_group_used_count", used);
    return OK;
}

/* ---- sizes ---- */

/* A number, or a list of it for each layer (Hunyuan): all must be the same. */
static Err read_same(const Keys *k, const char *hf, const char *gguf, int32_t min, int32_t max, int32_t otherwise,
                     const ModelShape *s, int32_t *out, Error *err)
{
    int32_t value[LAYERS_MAX];
    char key[128];
    if (!keys_are_list(k, hf, NULL))
        return keys_int_or(k, hf, gguf, min, max, otherwise, out, err);
    TRY(keys_ints_or(k, hf, gguf, min, max, otherwise, value, s->L, err));
    for (int l = 1; l < s->L; l++)
        if (value[l] != value[0])
            return fail(err, UNSUPPORTED, "%s: %s differs between layers, %d and %d; ridge runs it where all are the same",
                        k->where, keys_name(k, hf, gguf, key), value[0], value[l]);
    *out = value[0];
    return OK;
}


static Err read_sizes(const Keys *k, const ModelShape *s, MoeShape *m, Error *err)
{
    TRY(keys_int(k, "num_experts|num_local_experts|n_routed_experts|moe_num_experts|ffn_config.moe_num_experts",
                 "expert_count", 1, EXPERTS_MAX, &m->experts, err));
    const char *used = "num_experts_per_tok|num_experts_per_token|moe_topk|moe_k|top_k_experts|ffn_config.moe_top_k";
    if (keys_are_list(k, used, NULL))
        TRY(read_same(k, used, "expert_used_count", 1, EXPERTS_MAX, 1, s, &m->used, err));
    else
        TRY(keys_int(k, used, "expert_used_count", 1, EXPERTS_MAX, &m->used, err));
    if (m->used > m->experts)
        return fail(err, BAD_FILE, "%s: a token would use %d of %d experts", k->where, m->used, m->experts);
    return read_same(k, "moe_intermediate_size|expert_ffn_hidden_size|intermediate_size", "expert_feed_forward_length", 1,
                     WIDTH_MAX, s->F, s, &m->F, err);
}

static Err read_shared(const Keys *k, const ModelShape *s, const MoeUsual *usual, MoeShape *m, Error *err)
{
    int32_t n = usual->shared;
    if (usual->shared_width_given)
        return keys_int_or(k, "shared_expert_intermediate_size|shared_intermediate_size|moe_shared_expert_intermediate_size",
                           "expert_shared_feed_forward_length", 0, WIDTH_MAX, n * m->F, &m->shared.F, err);
    TRY(read_same(k, "n_shared_experts|num_shared_experts|moe_num_shared_experts|num_shared_expert", "expert_shared_count",
                  0, SHARED_MAX, n, s, &n, err));
    if ((int64_t)n * m->F > WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: %d shared experts of %d are more than ridge's limit of %d", k->where, n, m->F,
                    WIDTH_MAX);
    m->shared.F = n * m->F;
    return OK;
}

static bool is_fused(const Keys *k, const ModelShape *s)
{
    char name[64];
    for (int l = 0; l < s->L && keys_are_gguf(k); l++) {
        snprintf(name, sizeof name, "blk.%d.ffn_gate_up_exps.weight", l);
        if (store_find(k->store, name))
            return true;
    }
    return false;
}

static const char *join(Arena *arena, const char *a, const char *b)
{
    WeightName name = weight_name(a, b);
    return arena_copy_text(arena, name.text, strlen(name.text));
}

Err moe_read(const Keys *k, Arena *arena, const ModelShape *s, const MoeUsual *usual, MoeShape **out, Error *err)
{
    const DecoderShape *decoder = decoder_shape(s);
    const MoeNames *names = usual->names ? usual->names : &moe_names;
    MoeShape *m = *out = ARENA_NEW(arena, MoeShape);
    if (!m)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    *m = (MoeShape){.D = s->D, .names = names, .prefix = decoder->names.layer,
                    .activation = decoder->layer[0].mlp.activation, .router = {.score = usual->score},
                    .gguf_fused = is_fused(k, s)};
    TRY(read_sizes(k, s, m, err));
    TRY(read_score(k, usual, err));
    TRY(read_norm(k, usual, &m->router, err));
    TRY(read_groups(k, m, usual, &m->router, err));
    m->shared = (MlpShape){.D = s->D, .gated = true, .activation = m->activation, .gguf_suffix = "_shexp",
                           .gate = names->shared_gate_proj ? names->shared_gate_proj : "gate_proj",
                           .up = names->shared_up_proj ? names->shared_up_proj : "up_proj",
                           .down = names->shared_down_proj ? names->shared_down_proj : "down_proj"};
    if (names->shared) {
        TRY(read_shared(k, s, usual, m, err));
        m->shared.prefix = join(arena, m->prefix, names->shared);
        if (!m->shared.prefix)
            return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    }
    return OK;
}

/* ---- which layers ---- */

static Err read_only_dense(const Keys *k, const ModelShape *s, bool *sparse, Error *err)
{
    bool dense[LAYERS_MAX];
    TRY(keys_layers_listed(k, "mlp_only_layers", 0, dense, s->L, err));
    for (int l = 0; l < s->L; l++)
        sparse[l] &= !dense[l];
    return OK;
}

/* A list says it for each layer; the number that some give is 1. */
static Err read_frequency(const Keys *k, const ModelShape *s, bool *sparse, Error *err)
{
    int32_t here[LAYERS_MAX];
    bool list = keys_are_list(k, "moe_layer_freq", NULL);
    TRY(keys_ints_or(k, "moe_layer_freq", NULL, 0, LAYERS_MAX, 1, here, s->L, err));
    for (int l = 0; l < s->L; l++) {
        if (list)
            sparse[l] = here[l] != 0;
        else if (here[l] != 1)
            return fail(err, UNSUPPORTED, "%s: moe_layer_freq %d is not something that ridge knows of family '%s'", k->where,
                        here[l], k->family);
    }
    return OK;
}

/* Every so many-th layer between two. */
static Err read_steps(const Keys *k, const ModelShape *s, int32_t first, bool *sparse, Error *err)
{
    int32_t step, last;
    const char *interleave = "moe_layer_interval|interleave_moe_layer_step";
    TRY(keys_int_or(k, "first_k_dense_replace|num_dense_layers|moe_layer_start_index", NULL, 0, LAYERS_MAX, first, &first,
                    err));
    TRY(keys_int_or(k, "decoder_sparse_step|moe_layer_interval|interleave_moe_layer_step", NULL, 1, LAYERS_MAX, 1, &step,
                    err));
    TRY(keys_int_or(k, "moe_layer_end_index", NULL, -1, LAYERS_MAX, -1, &last, err));
    for (int l = 0; l < s->L; l++)
        sparse[l] = l >= first && (last < 0 || l <= last) && (l + 1) % step == 0;
    if (step > 1 || keys_have(k, interleave, NULL))
        keys_record_int(k, "interleave_moe_layer_step", step);
    return OK;
}

/* In a GGUF the weights say it. llama.cpp wants to know beforehand how many layers come before the first one. */
static void find_layers(const Keys *k, const ModelShape *s, bool *sparse)
{
    char name[64];
    for (int l = 0; l < s->L; l++) {
        snprintf(name, sizeof name, "blk.%d.ffn_gate_inp.weight", l);
        sparse[l] = store_find(k->store, name) != NULL;
    }
}

Err moe_read_layers(const Keys *k, const ModelShape *s, int32_t first, bool *sparse, Error *err)
{
    if (keys_are_gguf(k)) {
        find_layers(k, s, sparse);
        return OK;
    }
    TRY(read_steps(k, s, first, sparse, err));
    TRY(read_frequency(k, s, sparse, err));
    TRY(read_only_dense(k, s, sparse, err));
    if (keys_have(k, "moe_layers", NULL))
        TRY(keys_layers_listed(k, "moe_layers", 0, sparse, s->L, err));
    if (keys_have(k, "mlp_layer_types", NULL)) {
        static const char *const names[] = {"dense", "sparse"};
        int kind[LAYERS_MAX];
        TRY(keys_layer_kinds(k, "mlp_layer_types", names, COUNT_OF(names), kind, s->L, err));
        for (int l = 0; l < s->L; l++)
            sparse[l] = kind[l];
    }
    int32_t dense = 0;
    while (dense < s->L && !sparse[dense])
        dense++;
    if (dense)
        keys_record_int(k, "leading_dense_block_count", dense);
    return OK;
}

void moe_use(const ModelShape *s, const MoeShape *moe, const bool *sparse)
{
    for (int l = 0; l < s->L; l++) {
        DecoderLayer *layer = &decoder_shape(s)->layer[l];
        for (int i = 0; i < layer->stages && (!sparse || sparse[l]); i++)
            for (int b = 0; b < layer->stage[i].branches; b++)
                if (layer->stage[i].branch[b].part == &part_mlp) {
                    layer->stage[i].branch[b].part = &part_moe;
                    layer->stage[i].branch[b].shape = moe;
                }
    }
}

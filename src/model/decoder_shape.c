/* decoder_shape.c -- reads what most configs spell alike, and makes Llama's layers of it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/decoder.h"

enum { WIDTH_MAX = 1 << 20, HEADS_MAX = 1 << 14, VOCABULARY_MAX = 1 << 24, CONTEXT_MAX = 1 << 28,
       STATE_CONTEXT = 1 << 20 /* without attention there is no limit; this is what llama.cpp writes */ };

const DecoderNames decoder_names = {
    .layer = "model.layers.%d.",
    .embed = "model.embed_tokens", .norm = "model.norm", .head = "lm_head",
    .pre_attention = "input_layernorm", .pre_mlp = "post_attention_layernorm",
    .attention = &attention_names,
    .mlp = "mlp.", .gate = "gate_proj", .up = "up_proj", .down = "down_proj",
};

Err activation_read(const Keys *k, const char *hf, Activation otherwise, Activation *out, Error *err)
{
    static const struct {
        const char *name;
        Activation act;
    } known[] = {
        {"silu", SILU},
        {"swish", SILU},
        {"gelu", GELU},
        {"gelu_python", GELU},
        {"gelu_new", GELU_TANH},
        {"gelu_pytorch_tanh", GELU_TANH},
        {"gelu_fast", GELU_TANH},
        {"gelu_accurate", GELU_TANH},
        {"gelu_python_tanh", GELU_TANH},
        {"relu", RELU},
        {"relu2", RELU_SQUARED},
        {"sigmoid", SIGMOID},
        {"tanh", TANH},
        {"linear", IDENTITY},
    };
    char name[32], key[128];
    TRY(keys_text_or(k, hf, "hidden_activation", "", name, sizeof name, err));
    *out = otherwise;
    if (!name[0])
        return OK;
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (!strcmp(known[i].name, name)) {
            *out = known[i].act;
            return OK;
        }
    return fail(err, UNSUPPORTED, "%s: %s '%s' is an activation that ridge does not know", k->where,
                keys_name(k, hf, "hidden_activation", key), name);
}

/* Readers of GGUF take what the family usually has. The two forms of GELU are so near that they take one for the
 * other; the file says which it is. */
static Err record_activation(const Keys *k, Activation usual, Activation act, Error *err)
{
    if (act == usual)
        return OK;
    if ((act != GELU && act != GELU_TANH) || (usual != GELU && usual != GELU_TANH))
        return keys_record_nothing(k, "a hidden_act other than what the family usually has", err);
    keys_record_text(k, "hidden_activation", act == GELU ? "gelu" : "gelu_pytorch_tanh");
    return OK;
}

/* GGUF says the size of the vocabulary by the table itself. */
static Err read_vocabulary(const Keys *k, ModelShape *s, Error *err)
{
    if (!keys_are_gguf(k))
        return keys_int(k, "vocab_size", NULL, 1, VOCABULARY_MAX, &s->V, err);
    const StoreTensor *t = store_find(k->store, "token_embd.weight");
    if (!t || t->dims != 2 || t->dim[0] < 1 || t->dim[0] > VOCABULARY_MAX)
        return fail(err, BAD_FILE, "%s: tensor 'token_embd.weight' must be there and have two dimensions", k->where);
    s->V = (int32_t)t->dim[0];
    return OK;
}

/* A number for all layers, which a GGUF of a mixed family says layer by layer, with 0 where there is none. */
static Err read_largest(const Keys *k, const DecoderUsual *usual, const char *hf, const char *gguf, int32_t max,
                        int32_t otherwise, const ModelShape *s, int32_t *out, Error *err)
{
    if (!usual->mixed)
        return keys_int_or(k, hf, gguf, 1, max, otherwise, out, err);
    if (!keys_are_gguf(k))
        return keys_int_or(k, hf, NULL, 1, max, otherwise, out, err);
    int32_t value[LAYERS_MAX];
    TRY(keys_ints_or(k, hf, gguf, 0, max, otherwise, value, s->L, err));
    *out = 0;
    for (int l = 0; l < s->L; l++)
        *out = value[l] > *out ? value[l] : *out;
    *out = *out ? *out : otherwise;
    return OK;
}

Err decoder_read_kinds(const Keys *k, const ModelShape *s, LayerHas *out, Error *err)
{
    int32_t heads[LAYERS_MAX], width[LAYERS_MAX];
    TRY(keys_ints_or(k, NULL, "attention.head_count_kv", 0, HEADS_MAX, s->K, heads, s->L, err));
    TRY(keys_ints_or(k, NULL, "feed_forward_length", 0, WIDTH_MAX, s->F, width, s->L, err));
    for (int l = 0; l < s->L; l++)
        out[l] = (LayerHas){heads[l] > 0, width[l] > 0};
    return OK;
}

void decoder_record_kinds(const Keys *k, const ModelShape *s, const LayerHas *has)
{
    int32_t heads[LAYERS_MAX], width[LAYERS_MAX];
    for (int l = 0; l < s->L; l++) {
        heads[l] = has[l].attention ? s->K : 0;
        width[l] = has[l].mlp ? s->F : 0;
    }
    keys_record_ints(k, "attention.head_count_kv", heads, s->L);
    keys_record_ints(k, "feed_forward_length", width, s->L);
}

static Err read_heads(const Keys *k, const DecoderUsual *usual, ModelShape *s, Error *err)
{
    TRY(keys_int(k, "num_attention_heads|n_head|n_heads|num_heads|attention_heads", "attention.head_count", 1,
                 HEADS_MAX, &s->N, err));
    s->K = s->N;
    s->H = 1;
    if (usual->own_heads)
        return OK;
    TRY(read_largest(k, usual, "attn_config.kv_n_heads|num_key_value_heads|n_kv_heads",
                     "attention.head_count_kv", HEADS_MAX, usual->kv_heads ? usual->kv_heads : s->N, s, &s->K, err));
    if (s->N % s->K)
        return fail(err, BAD_FILE, "%s: %d query heads cannot share %d key/value heads evenly", k->where, s->N, s->K);
    bool given = keys_have(k, "head_dim", "attention.key_length");
    bool own = usual->head_width && !keys_are_gguf(k) && !keys_null(k, "head_dim");
    int32_t usual_width = own ? usual->head_width : s->D / s->N;
    if (!given && usual_width * s->N != s->D && !own)
        return fail(err, BAD_FILE,
                    "%s: hidden_size %d is not a multiple of num_attention_heads %d, and no head_dim is given",
                    k->where, s->D, s->N);
    TRY(keys_int_or(k, "head_dim", "attention.key_length", 1, WIDTH_MAX, usual_width, &s->H, err));
    int32_t value;
    TRY(keys_int_or(k, NULL, "attention.value_length", 1, WIDTH_MAX, s->H, &value, err));
    if (value != s->H)
        return fail(err, UNSUPPORTED, "%s: keys of %d and values of %d are not something that family '%s' has",
                    k->where, s->H, value, k->family);
    if ((int64_t)s->N * s->H > WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: %d heads of %d are more than ridge's limit of %d", k->where, s->N, s->H,
                    WIDTH_MAX);
    return OK;
}

/* A GGUF counts layers for guessing ahead (MTP), which lie behind the others, as layers. */
static Err leave_out_drafts(const Keys *k, ModelShape *s, Error *err)
{
    int32_t drafts = 0;
    if (keys_are_gguf(k))
        TRY(keys_int_or(k, NULL, "nextn_predict_layers", 0, s->L - 1, 0, &drafts, err));
    s->L -= drafts;
    return OK;
}

static Err read_sizes(const Keys *k, const DecoderUsual *usual, ModelShape *s, Error *err)
{
    TRY(keys_int(k, "hidden_size|n_embd|d_model|n_embed|embedding_dim", "embedding_length", 1, WIDTH_MAX, &s->D, err));
    const char *width = "intermediate_size_mlp|intermediate_size|n_inner|ffn_dim|ffn_hidden_size|d_inner|mlp_hidden_size|"
                        "ffn_config.ffn_hidden_size|inner_mlp_size";
    if (usual->layers)
        TRY(keys_int_or(k, NULL, "block_count", 1, LAYERS_MAX, usual->layers, &s->L, err));
    else
        TRY(keys_int(k, "num_hidden_layers|n_layer|n_layers|num_layers|num_blocks", "block_count", 1, LAYERS_MAX, &s->L, err));
    TRY(leave_out_drafts(k, s, err));
    if (usual->mlp_times || (usual->mixed && keys_have(k, width, "feed_forward_length")))
        TRY(read_largest(k, usual, width, "feed_forward_length", WIDTH_MAX, usual->mlp_times * s->D, s, &s->F, err));
    else if (!usual->no_attention && !usual->own_mlps)
        TRY(keys_int(k, width, "feed_forward_length", 1, WIDTH_MAX, &s->F, err));
    int32_t context = usual->no_attention ? STATE_CONTEXT : usual->context ? usual->context : 2048;
    TRY(keys_int_or(k, "max_position_embeddings|n_positions|max_seq_len|n_ctx|seq_length|max_sequence_length|"
                    "context_length|model_max_length|max_seqlen",
                    "context_length", 1, CONTEXT_MAX, context, &s->context, err));
    float eps = usual->eps ? usual->eps : usual->norm == NORM_RMS ? 1e-6f : 1e-5f;
    TRY(keys_float_or(k, "rms_norm_eps|layernorm_epsilon|layer_norm_eps|layer_norm_epsilon|norm_epsilon|norm_eps",
                      usual->norm == NORM_RMS ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon", 0, 1,
                      eps, &s->eps, err));
    TRY(read_vocabulary(k, s, err));
    if (!usual->no_attention)
        return read_heads(k, usual, s, err);
    keys_record_int(k, "feed_forward_length", 0); /* llama.cpp looks for them */
    keys_record_int(k, "attention.head_count", 0);
    return OK;
}

Err decoder_add_rope(const Keys *k, const char *group, int32_t dims, float theta, ModelShape *s, Arena *arena,
                     DecoderShape *m, Error *err)
{
    ASSERT(m->ropes < ROPES_MAX);
    if (dims % 2 || dims < 2)
        return fail(err, UNSUPPORTED, "%s: by head_dim and partial_rotary_factor %d values of a head turn; it must be even",
                    k->where, dims);
    TRY(rope_config_read(k, group, dims, theta, s->context, arena, &m->rope[m->ropes], err));
    s->length_matters |= m->rope[m->ropes++].angles.kind != ROPE_FIXED;
    return OK;
}

/* transformers' classes of some families have a scaling of their own, and forget rope_theta where they take it. */
static Err read_usual_rope(const Keys *k, const DecoderUsual *usual, Arena *arena, ModelShape *s, DecoderShape *m, Error *err)
{
    json_t *parameters = json_loads(usual->rope, 0, NULL), *config = json_pack("{s:o}", "rope_parameters", parameters);
    if (!config)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    Keys own = *k;
    own.config = config;
    Err result = decoder_add_rope(&own, "rope_parameters", s->H, usual->theta, s, arena, m, err);
    json_decref(config);
    return result;
}

static Err read_rope(const Keys *k, const DecoderUsual *usual, Arena *arena, ModelShape *s, DecoderShape *m, Error *err)
{
    if (usual->rope && !keys_are_gguf(k) && !keys_have(k, "rope_parameters|rope_scaling", NULL))
        return read_usual_rope(k, usual, arena, s, m, err);
    int32_t dims = s->H;
    if (usual->rotary > 0 && !keys_are_gguf(k)) {
        float part;
        TRY(keys_float_or(k, "rope_parameters.partial_rotary_factor|partial_rotary_factor|rotary_pct", NULL, 0, 1,
                          usual->rotary, &part, err));
        dims = (int32_t)((float)s->H * part);
    }
    TRY(keys_int_or(k, NULL, "rope.dimension_count", 2, s->H, dims, &dims, err));
    m->rope[0].exact = usual->yarn_exact;
    m->rope[0].original = usual->rope_original;
    return decoder_add_rope(k, "rope_parameters", dims, usual->theta, s, arena, m, err);
}

void decoder_biases(const ModelShape *s, bool qkv, bool o, bool mlp)
{
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &decoder_shape(s)->layer[l].attention;
        MlpShape *f = &decoder_shape(s)->layer[l].mlp;
        a->q_bias = a->k_bias = a->v_bias = qkv;
        a->o_bias = o;
        f->gate_bias = f->up_bias = f->down_bias = mlp;
    }
}

void decoder_side_by_side(DecoderLayer *layer, bool one_norm)
{
    Branch both[] = {layer->stage[0].branch[0], layer->stage[1].branch[0]};
    both[1].same_input = one_norm;
    both[1].pre = one_norm ? NULL : both[1].pre;
    layer->stages = 0;
    decoder_stage(layer, 0, 2, both);
}

void decoder_stage(DecoderLayer *layer, int stage, int branches, const Branch *branch)
{
    ASSERT(stage < STAGES_MAX && branches <= BRANCHES_MAX);
    layer->stage[stage] = (Stage){.branches = branches};
    for (int b = 0; b < branches; b++)
        layer->stage[stage].branch[b] = branch[b];
    layer->stages = stage >= layer->stages ? stage + 1 : layer->stages;
}

void decoder_norms_behind(DecoderLayer *layer, const char *attention, const char *mlp)
{
    layer->stage[0].branch[0].post = attention;
    layer->stage[0].branch[0].post_gguf = "blk.%d.post_attention_norm";
    layer->stage[1].branch[0].post = mlp;
    layer->stage[1].branch[0].post_gguf = "blk.%d.post_ffw_norm";
}

/* Llama's: attention, then mlp, each behind a norm. Without attention a family says what its stages are. */
static void usual_layer(const ModelShape *s, const DecoderShape *m, const DecoderUsual *usual, Activation act,
                        const char *mlp, DecoderLayer *layer)
{
    layer->attention = (AttentionShape){.D = s->D, .N = s->N, .K = s->K, .H = s->H, .V = s->H,
                                        .how = {.scale = 1.0f / sqrtf((float)s->H)},
                                        .rope = usual->no_rope ? ROPE_NONE : 0,
                                        .gguf_turned = usual->gguf_turned,
                                        .norm = {.eps = s->eps},
                                        .prefix = m->names.layer,
                                        .names = m->names.attention};
    layer->mlp = (MlpShape){.D = s->D, .F = s->F, .gated = !usual->plain_mlp, .activation = act, .prefix = mlp,
                            .gate = m->names.gate, .up = m->names.up, .down = m->names.down};
    if (usual->no_attention)
        return;
    decoder_stage(layer, 0, 1, &(Branch){.part = &part_attention, .shape = &layer->attention,
                                         .pre = m->names.pre_attention, .pre_gguf = "blk.%d.attn_norm"});
    decoder_stage(layer, 1, 1, &(Branch){.part = &part_mlp, .shape = &layer->mlp,
                                         .pre = m->names.pre_mlp, .pre_gguf = "blk.%d.ffn_norm"});
}

static const char *join(Arena *arena, const char *a, const char *b)
{
    WeightName name = weight_name(a, b);
    return arena_copy_text(arena, name.text, strlen(name.text));
}

/* Checkpoints that were saved without a head lack the first word of all names: "h.0.ln_1" for "transformer.h.0.ln_1". */
static const char *missing_word(const Keys *k, Arena *arena, const char *embed)
{
    const char *dot = strchr(embed, '.');
    bool missing = !keys_are_gguf(k) && dot && !store_find(k->store, weight_name(embed, ".weight").text) &&
                   store_find(k->store, weight_name(dot + 1, ".weight").text);
    return missing ? arena_copy_text(arena, embed, (size_t)(dot + 1 - embed)) : NULL;
}

Err decoder_read(const Keys *k, Arena *arena, ModelShape *s, const DecoderUsual *usual, DecoderShape **out, Error *err)
{
    TRY(read_sizes(k, usual, s, err));
    DecoderShape *m = s->own = ARENA_NEW(arena, DecoderShape);
    DecoderLayer *layers = m ? ARENA_ARRAY(arena, DecoderLayer, (size_t)s->L) : NULL;
    if (!layers)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    *m = (DecoderShape){.names = usual->names ? *usual->names : decoder_names,
                        .norm = {.kind = usual->norm, .bias = usual->norm == NORM_LAYER, .eps = s->eps},
                        .embed_factor = 1, .embed_width = s->D, .residual_factor = 1, .logit_factor = 1, .layer = layers};
    const char *mlp = join(arena, m->names.layer, m->names.mlp);
    m->hf_without = missing_word(k, arena, m->names.embed);
    if (!mlp)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);

    WeightName head = weight_name(m->names.head, ".weight");
    bool has_head = store_find(k->store, keys_are_gguf(k) ? "output.weight" : head.text);
    TRY(keys_bool_or(k, "tie_word_embeddings|weight_tying", NULL, !has_head || (usual->tied && !keys_are_gguf(k)), &s->tied,
                     err));
    if (m->names.positions)
        s->positions_max = s->context;
    Activation act = usual->activation;
    const char *words = "hidden_act|activation_function|hidden_activation|activation|activation_type";
    if (!usual->own_activation)
        TRY(activation_read(k, usual->activation_key ? usual->activation_key : words, act, &act, err));
    TRY(record_activation(k, usual->activation, act, err));
    if (!usual->no_rope && !usual->no_attention)
        TRY(read_rope(k, usual, arena, s, m, err));
    for (int l = 0; l < s->L; l++)
        usual_layer(s, m, usual, act, mlp, &layers[l]);
    *out = m;
    return OK;
}

Err decoder_read_bias(const Keys *k, const char *hf, const char *gguf_tensor, bool otherwise, bool *out, Error *err)
{
    if (keys_are_gguf(k))
        otherwise = store_find(k->store, gguf_tensor) != NULL;
    return keys_bool_or(k, hf, NULL, otherwise, out, err);
}

/* The tensor of the first layer that has one: not every layer need have attention. */
static WeightName first_held(const Keys *k, const ModelShape *s, const char *pattern)
{
    WeightName name;
    for (int l = 0; l < s->L; l++) {
        snprintf(name.text, sizeof name.text, pattern, l);
        if (store_find(k->store, name.text))
            return name;
    }
    return (WeightName){""};
}

Err decoder_read_biases(const Keys *k, ModelShape *s, Error *err)
{
    bool qkv, o, mlp;
    TRY(decoder_read_bias(k, "attention_bias", first_held(k, s, "blk.%d.attn_q.bias").text, false, &qkv, err));
    TRY(decoder_read_bias(k, "attention_bias", first_held(k, s, "blk.%d.attn_output.bias").text, false, &o, err));
    TRY(decoder_read_bias(k, "mlp_bias", first_held(k, s, "blk.%d.ffn_up.bias").text, false, &mlp, err));
    for (int l = 0; l < s->L; l++) {
        DecoderLayer *layer = &decoder_shape(s)->layer[l];
        layer->attention.q_bias = layer->attention.k_bias = layer->attention.v_bias = qkv;
        layer->attention.o_bias = o;
        layer->mlp.gate_bias = layer->mlp.up_bias = layer->mlp.down_bias = mlp;
    }
    return OK;
}

/* The two groups of transformers 5, or its older words: one base and scaling, and the base of the local layers. */
Err decoder_add_two_ropes(const Keys *k, int32_t dims, float theta, float local_theta, ModelShape *s, Arena *arena,
                          DecoderShape *m, Error *err)
{
    Keys quiet = *k; /* a GGUF has one name for the base of each, and the scaling is that of the first */
    quiet.record = NULL;
    bool nested = keys_have(k, "rope_parameters.full_attention", NULL);
    TRY(decoder_add_rope(k, nested ? "rope_parameters.full_attention" : "rope_parameters", dims, theta, s, arena, m, err));
    const char *local = "rope_parameters.sliding_attention.rope_theta|rope_local_base_freq";
    TRY(keys_float_or(k, local, "rope.freq_base_swa", 1, 1e12, local_theta, &local_theta, err));
    if (nested) {
        char type[32];
        TRY(keys_text_or(&quiet, "rope_parameters.sliding_attention.rope_type|rope_parameters.sliding_attention.type", NULL,
                         "default", type, sizeof type, err));
        if (strcmp(type, "default"))
            TRY(keys_record_nothing(k, "a rotary scaling of local layers", err));
        return decoder_add_rope(&quiet, "rope_parameters.sliding_attention", dims, local_theta, s, arena, m, err);
    }
    return rope_config_plain(&m->rope[m->ropes++], dims, local_theta, arena, err);
}

/* ---- windows ---- */

/* The key of both worlds: all layers but every so many-th; 0: all. In a GGUF it may be a list as well. */
static Err read_pattern(const Keys *k, const ModelShape *s, int32_t pattern, bool *local, Error *err)
{
    const char *gguf = "attention.sliding_window_pattern";
    int32_t value[LAYERS_MAX];
    if (keys_are_list(k, NULL, gguf)) {
        TRY(keys_ints_or(k, NULL, gguf, 0, 1, 0, value, s->L, err));
        for (int l = 0; l < s->L; l++)
            local[l] = value[l];
        return OK;
    }
    const char *hf = "sliding_window_pattern";
    bool given = keys_have(k, hf, gguf);
    Keys quiet = *k;
    quiet.record = NULL;
    TRY(keys_int_or(&quiet, hf, gguf, 0, LAYERS_MAX, pattern, &pattern, err));
    for (int l = 0; l < s->L; l++)
        local[l] = pattern ? (l + 1) % pattern != 0 : given;
    return OK;
}

void decoder_record_local(const Keys *k, const ModelShape *s, const bool *local)
{
    int32_t value[LAYERS_MAX], count = 0;
    for (int l = 0; l < s->L; l++)
        count += value[l] = local[l];
    if (count == 0 || count == s->L) /* the number of a pattern without or with all of them */
        keys_record_int(k, "attention.sliding_window_pattern", count == 0);
    else
        keys_record_ints(k, "attention.sliding_window_pattern", value, s->L);
}

Err decoder_read_local(const Keys *k, const ModelShape *s, const char *local_name, int32_t pattern, bool *local, Error *err)
{
    int kind[LAYERS_MAX];
    const char *names[] = {"full_attention", local_name};
    if (keys_have(k, "layer_types", NULL)) {
        TRY(keys_layer_kinds(k, "layer_types", names, COUNT_OF(names), kind, s->L, err));
        for (int l = 0; l < s->L; l++)
            local[l] = kind[l];
    } else {
        TRY(read_pattern(k, s, pattern, local, err));
    }
    decoder_record_local(k, s, local);
    return OK;
}

Err decoder_share_keys(const Keys *k, ModelShape *s, const bool *local, int32_t n, Error *err)
{
    int first = s->L - n;
    if (first < 0)
        return fail(err, BAD_FILE, "%s: num_kv_shared_layers is %d, and there are %d layers", k->where, n, s->L);
    for (int l = first; l < s->L; l++) {
        AttentionShape *a = &decoder_shape(s)->layer[l].attention;
        a->alias_of = first - 1;
        while (a->alias_of >= 0 && local[a->alias_of] != local[l])
            a->alias_of--;
        if (a->alias_of < 0)
            return fail(err, BAD_FILE,
                        "%s: num_kv_shared_layers: layer %d would share keys of a %s layer before layer %d; there is none",
                        k->where, l, local[l] ? "local" : "global", first);
        a->shares = a->spare_keys = true;
    }
    return OK;
}

/* A GGUF of these families has one window for all layers, unless it says which. */
void decoder_record_windows(const Keys *k, const ModelShape *s)
{
    bool local[LAYERS_MAX], all = true;
    int32_t window = 0;
    for (int l = 0; l < s->L; l++) {
        int32_t here = decoder_shape(s)->layer[l].attention.how.window;
        local[l] = here != 0;
        all &= local[l];
        window = here ? here : window;
    }
    if (window)
        keys_record_int(k, "attention.sliding_window", window);
    if (window && !all)
        decoder_record_local(k, s, local);
}

Err decoder_read_windows(const Keys *k, ModelShape *s, bool used_by_default, int32_t first, int32_t usual, Error *err)
{
    DecoderShape *m = decoder_shape(s);
    bool used, local[LAYERS_MAX];
    bool listed = keys_have(k, "layer_types", NULL) || keys_are_list(k, NULL, "attention.sliding_window_pattern");
    int32_t window;
    Keys quiet = *k;
    quiet.record = NULL;
    const char *gguf = keys_are_gguf(k) ? "attention.sliding_window" : NULL;
    usual = gguf || keys_null(k, "sliding_window") ? 0 : usual;
    TRY(keys_int_or(k, "sliding_window", gguf, 0, CONTEXT_MAX, usual, &window, err));
    TRY(keys_bool_or(k, "use_sliding_window", NULL, used_by_default, &used, err));
    TRY(keys_int_or(k, "max_window_layers", NULL, 0, 1 << 20, gguf ? 0 : first, &first, err));
    if (!used && !gguf)
        window = 0;
    if (listed)
        TRY(decoder_read_local(&quiet, s, "sliding_attention", 0, local, err));
    for (int l = 0; l < s->L; l++) {
        bool here = listed ? local[l] : l >= first;
        m->layer[l].attention.how.window = here ? window : 0;
        if (listed && here && !window)
            return fail(err, BAD_FILE, "%s: layer_types[%d] is sliding_attention, but sliding_window is not given or not used",
                        k->where, l);
    }
    if (!gguf)
        decoder_record_windows(k, s);
    return OK;
}

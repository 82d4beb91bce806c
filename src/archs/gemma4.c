/* gemma4.c -- Gemma 4 (Gemma Team 2026): local and global layers have heads of different widths, and where global ones
 * turn, only some of the pairs do. The values are normed; global ones may be the keys' projection.
 *
 *     x += norm(attention(norm(x)))
 *     x += norm(mlp(norm(x)))                                       or, with experts beside the mlp,
 *     x += norm(norm(mlp(norm(x))) + norm(experts(norm(x))))        all norms with gains of their own
 *     x += norm((act(x Wg) * e[layer]) Wu)                          where tokens have one: model/layer_inputs.h
 *     x *= s[layer]
 *
 * The last layers may have queries only, and then mlps of twice the width.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/layer_inputs.h"
#include "model/moe.h"

enum { WINDOW_MAX = 1 << 28, WINDOW = 512, PATTERN = 6, WIDTH_MAX = 1 << 20, HEADS_MAX = 1 << 14, LAYER_WIDTH = 256,
       LOCAL_HEAD = 256, GLOBAL_HEAD = 512, KV_HEADS = 4 };

static const MoeNames moe_names_here = {
    .router = "router.proj", .gain = "router.per_expert_scale",
    .gate = "experts.gate_up_proj", .up = "experts.gate_up_proj", .down = "experts.down_proj",
};

/* The mlp and the experts of a layer, side by side: a part that norms what it reads and what it adds. */
typedef struct MixtureShape {
    const MlpShape *mlp;
    const MoeShape *moe;
    NormShape norm;
} MixtureShape;

typedef struct MixtureWeights {
    Norm before_mlp, behind_mlp, before_moe, behind_moe;
    Tensor seen;                         /* gains of what the router reads, / sqrt(D) */
    void *mlp, *moe;
} MixtureWeights;

typedef struct Gemma4Shape {
    DecoderShape decoder;                /* first: ModelShape.own is this */
    LayerInputsShape inputs;
    bool scalars;                        /* a layer multiplies the stream by a number */
} Gemma4Shape;

typedef struct Gemma4Weights {
    DecoderWeights *decoder;
    LayerInputs inputs;
    LayerInput input[LAYERS_MAX];
    Tensor scalar[LAYERS_MAX];
} Gemma4Weights;

/* Of one kind of layers. */
typedef struct Heads { int32_t width, kv; } Heads;

static const Gemma4Shape *gemma4(const ModelShape *s) { return s->own; }

/* ---- mlp and experts ---- */

static void *mixture_declare(const void *shape, WeightList *list, int l)
{
    const MixtureShape *m = shape;
    MixtureWeights *w = part_weights(list, sizeof *w);
    int32_t D = m->moe->D;
    const struct { Norm *norm; const char *hf, *gguf; } norms[] = {
        {&w->before_mlp, "model.layers.%d.pre_feedforward_layernorm", "blk.%d.ffn_norm"},
        {&w->behind_mlp, "model.layers.%d.post_feedforward_layernorm_1", "blk.%d.post_ffw_norm_1"},
        {&w->before_moe, "model.layers.%d.pre_feedforward_layernorm_2", "blk.%d.pre_ffw_norm_2"},
        {&w->behind_moe, "model.layers.%d.post_feedforward_layernorm_2", "blk.%d.post_ffw_norm_2"},
    };
    for (size_t i = 0; i < COUNT_OF(norms); i++)
        norm_declare(&m->norm, list, norms[i].norm, norms[i].hf, norms[i].gguf, l, D);
    WeightDecl *seen = weight_vector(list, &w->seen, "model.layers.%d.router.scale", "blk.%d.ffn_gate_inp.scale", l, D);
    seen->hf.scale = seen->gguf.scale = 1 / sqrtf((float)D);
    w->mlp = part_mlp.declare(m->mlp, list, l);
    w->moe = part_moe.declare(m->moe, list, l);
    return w;
}

static void mixture_forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const MixtureShape *m = shape;
    const MixtureWeights *w = weights;
    Tensor in = like(d, x), out = like(d, x), seen = like(d, x);
    norm_run(&m->norm, d, in, x, &w->before_mlp);
    op_fill(d, out, 0);
    part_mlp.forward(m->mlp, w->mlp, d, p, layer, out, in);
    norm_run(&m->norm, d, out, out, &w->behind_mlp);
    op_add(d, y, out);

    device_label(d, part_moe.label, layer);
    norm_run(&m->norm, d, in, x, &w->before_moe);
    op_rms_norm(d, seen, x, w->seen, m->norm.eps);
    op_fill(d, out, 0);
    moe_add(m->moe, w->moe, d, out, in, seen);
    norm_run(&m->norm, d, out, out, &w->behind_moe);
    op_add(d, y, out);
}

static const Part part_mixture = {.label = "mlp", .declare = mixture_declare, .forward = mixture_forward};

static Err read_experts(const Keys *k, Arena *arena, ModelShape *s, DecoderShape *m, Error *err)
{
    MoeShape *moe;
    bool used;
    TRY(keys_bool_or(k, "enable_moe_block", NULL, keys_have(k, NULL, "expert_count"), &used, err));
    if (!used)
        return OK;
    TRY(moe_read(k, arena, s,
                 &(MoeUsual){.names = &moe_names_here, .score = SCORE_SOFTMAX, .normalises = true, .gguf_normalises = true},
                 &moe, err));
    moe->gain = true;
    moe->gate_part = (WeightPart){2 * moe->F, 0, moe->F};
    moe->up_part = (WeightPart){2 * moe->F, moe->F, moe->F};
    MixtureShape *mixture = ARENA_ARRAY(arena, MixtureShape, (size_t)s->L);
    if (!mixture)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    for (int l = 0; l < s->L; l++) {
        Branch *mlp = &m->layer[l].stage[1].branch[0];
        mixture[l] = (MixtureShape){.mlp = &m->layer[l].mlp, .moe = moe, .norm = m->norm};
        mlp->part = &part_mixture;
        mlp->shape = &mixture[l];
        mlp->pre = NULL;
    }
    return OK;
}

/* ---- heads ---- */

/* per_layer_config: {"5": {"head_dim": 512}}. Without it two keys say what global layers have. */
static Err read_overrides(const Keys *k, const bool *local, const ModelShape *s, Heads *heads, bool shared_projection,
                          Error *err)
{
    const json_t *all = json_object_get(k->config, "per_layer_config"), *one, *value;
    const char *layer, *name;
    char key[64];
    if (!all) {
        Heads global = {.kv = heads[0].kv};
        TRY(keys_int_or(k, "global_head_dim", NULL, 2, WIDTH_MAX, GLOBAL_HEAD, &global.width, err));
        if (shared_projection)
            TRY(keys_int_or(k, "num_global_key_value_heads", NULL, 1, HEADS_MAX, global.kv, &global.kv, err));
        for (int l = 0; l < s->L; l++)
            heads[l] = local[l] ? heads[l] : global;
        return OK;
    }
    json_object_foreach((json_t *)all, layer, one)
        json_object_foreach((json_t *)one, name, value)
            if (strcmp(name, "head_dim") && strcmp(name, "num_key_value_heads"))
                return fail(err, UNSUPPORTED, "%s: per_layer_config.%s.%s: ridge knows head_dim and num_key_value_heads",
                            k->where, layer, name);
    for (int l = 0; l < s->L; l++) {
        snprintf(key, sizeof key, "per_layer_config.%d.head_dim", l);
        TRY(keys_int_or(k, key, NULL, 2, WIDTH_MAX, heads[l].width, &heads[l].width, err));
        snprintf(key, sizeof key, "per_layer_config.%d.num_key_value_heads", l);
        TRY(keys_int_or(k, key, NULL, 1, HEADS_MAX, heads[l].kv, &heads[l].kv, err));
    }
    return OK;
}

static Err read_gguf_heads(const Keys *k, const bool *local, const ModelShape *s, Heads *heads, Error *err)
{
    Heads kind[2];
    int32_t values[2], kv[LAYERS_MAX];
    TRY(keys_int(k, NULL, "attention.key_length", 2, WIDTH_MAX, &kind[0].width, err));
    TRY(keys_int_or(k, NULL, "attention.key_length_swa", 2, WIDTH_MAX, kind[0].width, &kind[1].width, err));
    TRY(keys_int_or(k, NULL, "attention.value_length", 2, WIDTH_MAX, kind[0].width, &values[0], err));
    TRY(keys_int_or(k, NULL, "attention.value_length_swa", 2, WIDTH_MAX, kind[1].width, &values[1], err));
    for (int i = 0; i < 2; i++)
        if (values[i] != kind[i].width)
            return fail(err, UNSUPPORTED, "%s: keys of %d and values of %d are not something that family '%s' has", k->where,
                        kind[i].width, values[i], k->family);
    TRY(keys_ints_or(k, NULL, "attention.head_count_kv", 1, HEADS_MAX, s->N, kv, s->L, err));
    for (int l = 0; l < s->L; l++)
        heads[l] = (Heads){kind[local[l]].width, kv[l]};
    return OK;
}

static void record_heads(const Keys *k, const ModelShape *s, const Heads *kind, const Heads *heads)
{
    int32_t kv[LAYERS_MAX];
    for (int l = 0; l < s->L; l++)
        kv[l] = heads[l].kv;
    keys_record_int(k, "attention.key_length", kind[0].width);
    keys_record_int(k, "attention.value_length", kind[0].width);
    keys_record_int(k, "attention.key_length_swa", kind[1].width);
    keys_record_int(k, "attention.value_length_swa", kind[1].width);
    keys_record_ints(k, "attention.head_count_kv", kv, s->L);
}

/* kind[0]: of global layers, kind[1]: of local ones. Layers of a kind are alike: they may share keys and values. */
static Err check_heads(const Keys *k, const ModelShape *s, const bool *local, const Heads *heads, Heads *kind, Error *err)
{
    for (int l = s->L - 1; l >= 0; l--)
        kind[local[l]] = heads[l];
    for (int l = 0; l < s->L; l++) {
        Heads usual = kind[local[l]];
        if (heads[l].width != usual.width || heads[l].kv != usual.kv)
            return fail(err, UNSUPPORTED,
                        "%s: by its layer_types layer %d is %s, and has %d key/value heads with head_dim %d, but another such "
                        "layer has %d with %d",
                        k->where, l, local[l] ? "local" : "global", heads[l].kv, heads[l].width, usual.kv, usual.width);
        if (s->N % heads[l].kv)
            return fail(err, BAD_FILE, "%s: %d query heads cannot share %d key/value heads evenly", k->where, s->N,
                        heads[l].kv);
        if ((int64_t)s->N * heads[l].width > WIDTH_MAX)
            return fail(err, BAD_FILE, "%s: %d heads of %d are more than ridge's limit of %d", k->where, s->N,
                        heads[l].width, WIDTH_MAX);
    }
    return OK;
}

static Err read_heads(const Keys *k, const ModelShape *s, const bool *local, bool shared_projection, Heads *heads, Heads *kind,
                      Error *err)
{
    if (keys_are_gguf(k)) {
        TRY(read_gguf_heads(k, local, s, heads, err));
    } else {
        TRY(keys_int_or(k, "head_dim", NULL, 2, WIDTH_MAX, LOCAL_HEAD, &heads[0].width, err));
        TRY(keys_int_or(k, "num_key_value_heads", NULL, 1, HEADS_MAX, KV_HEADS, &heads[0].kv, err));
        for (int l = 1; l < s->L; l++)
            heads[l] = heads[0];
        TRY(read_overrides(k, local, s, heads, shared_projection, err));
    }
    kind[0] = kind[1] = heads[0];
    TRY(check_heads(k, s, local, heads, kind, err));
    if (!keys_are_gguf(k))
        record_heads(k, s, kind, heads);
    return OK;
}

/* ---- the rest of the shape ---- */

static Err read_ropes(const Keys *k, Arena *arena, ModelShape *s, DecoderShape *m, const Heads *kind, Error *err)
{
    const char *group = "rope_parameters.full_attention";
    int32_t dims[2];
    float theta;
    char type[32];
    if (!keys_are_gguf(k) && !keys_have(k, "rope_parameters.full_attention.rope_type", NULL))
        return fail(err, UNSUPPORTED, "%s: says no %s.rope_type; '%s' would mean a rotation that must be said", k->where, group,
                    k->family);
    TRY(keys_text_or(k, "rope_parameters.sliding_attention.rope_type", NULL, "default", type, sizeof type, err));
    if (strcmp(type, "default"))
        return fail(err, UNSUPPORTED, "%s: rope_parameters.sliding_attention.rope_type '%s'; ridge knows default there",
                    k->where, type);
    TRY(keys_int_or(k, NULL, "rope.dimension_count", 2, kind[0].width, kind[0].width, &dims[0], err));
    TRY(keys_int_or(k, NULL, "rope.dimension_count_swa", 2, kind[1].width, kind[1].width, &dims[1], err));
    m->rope[0].proportional = true;
    TRY(decoder_add_rope(k, group, dims[0], 1e6f, s, arena, m, err));
    TRY(keys_float_or(k, "rope_parameters.sliding_attention.rope_theta", "rope.freq_base_swa", 1, 1e12, 1e4f, &theta, err));
    if (dims[1] % 2)
        return fail(err, UNSUPPORTED, "%s: %d values of a head would turn; the number must be even", k->where, dims[1]);
    return rope_config_plain(&m->rope[m->ropes++], dims[1], theta, arena, err);
}

/* A GGUF of such a model has no values' projection in its global layers. */
static bool shares_projection(const Keys *k, int layer, bool is_global, bool config_says)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.attn_v.weight", layer);
    return keys_are_gguf(k) ? !store_find(k->store, name) : is_global && config_says;
}

static Err read_attention(const Keys *k, Arena *arena, ModelShape *s, DecoderShape *m, int32_t *shared, Error *err)
{
    bool local[LAYERS_MAX], one_projection;
    int32_t window;
    Heads heads[LAYERS_MAX], kind[2];
    TRY(decoder_read_local(k, s, "sliding_attention", PATTERN, local, err));
    if (local[s->L - 1])
        return fail(err, UNSUPPORTED, "%s: the last layer of family '%s' must be a full_attention one", k->where, k->family);
    TRY(keys_int_or(k, "sliding_window", "attention.sliding_window", 1, WINDOW_MAX, WINDOW, &window, err));
    TRY(keys_bool_or(k, "attention_k_eq_v", NULL, false, &one_projection, err));
    TRY(decoder_read_biases(k, s, err));
    TRY(read_heads(k, s, local, one_projection, heads, kind, err));
    TRY(read_ropes(k, arena, s, m, kind, err));
    s->H = kind[0].width;
    s->K = kind[0].kv;
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->H = a->V = heads[l].width;
        a->K = heads[l].kv;
        a->how.scale = 1;
        a->how.window = local[l] ? window : 0;
        a->rope = local[l];
        a->head_norm = HEAD_NORM_EACH;
        a->norm = m->norm;
        a->v_norm = true;
        a->v_is_k = shares_projection(k, l, !local[l], one_projection);
    }
    TRY(keys_int_or(k, "num_kv_shared_layers", "attention.shared_kv_layers", 0, s->L - 1, 0, shared, err));
    return decoder_share_keys(k, s, local, *shared, err);
}

static Err read_mlps(const Keys *k, ModelShape *s, DecoderShape *m, int32_t shared, Error *err)
{
    int32_t width[LAYERS_MAX];
    bool wide;
    const char *gguf = keys_are_gguf(k) ? "feed_forward_length" : NULL;
    TRY(keys_bool_or(k, "use_double_wide_mlp", NULL, false, &wide, err));
    TRY(keys_ints_or(k, gguf ? NULL : "intermediate_size", gguf, 1, WIDTH_MAX, 9216, width, s->L, err));
    for (int l = 0; l < s->L; l++) {
        width[l] *= wide && l >= s->L - shared ? 2 : 1;
        m->layer[l].mlp.F = width[l];
        s->F = width[l] > s->F ? width[l] : s->F;
    }
    if (!gguf)
        keys_record_ints(k, "feed_forward_length", width, s->L);
    return OK;
}

static Err read_inputs(const Keys *k, const ModelShape *s, Gemma4Shape *g, Error *err)
{
    g->inputs = (LayerInputsShape){.activation = g->decoder.layer[0].mlp.activation, .norm = g->decoder.norm};
    TRY(layer_inputs_read(k, s, keys_are_gguf(k) ? 0 : LAYER_WIDTH, &g->inputs, err));
    if (g->inputs.short_table && g->inputs.P)
        return fail(err, UNSUPPORTED, "%s: embeddings for each layer of %d tokens, but the vocabulary has %d", k->where,
                    g->inputs.tokens, s->V);
    g->scalars = store_find(k->store, keys_are_gguf(k) ? "blk.0.layer_output_scale.weight" : "model.layers.0.layer_scalar");
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    int32_t shared;
    char both_ways[32];
    DecoderUsual usual = {.activation = GELU_TANH, .no_rope = true, .own_heads = true, .own_mlps = true};
    Gemma4Shape *g = ARENA_NEW(arena, Gemma4Shape);
    if (!g)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(keys_text_or(k, "use_bidirectional_attention", NULL, "vision", both_ways, sizeof both_ways, err));
    if (strcmp(both_ways, "vision")) /* that of images; text is read as ever */
        return fail(err, UNSUPPORTED, "%s: use_bidirectional_attention '%s' is not for models that make text", k->where,
                    both_ways);
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    g->decoder = *m;
    s->own = m = &g->decoder;
    m->embed_factor = sqrtf((float)s->D);
    TRY(keys_float_or(k, "final_logit_softcapping", "final_logit_softcapping", 0, 1e6, 0, &m->logit_cap, err));
    TRY(read_attention(k, arena, s, m, &shared, err));
    TRY(read_mlps(k, s, m, shared, err));
    TRY(read_inputs(k, s, g, err));
    for (int l = 0; l < s->L; l++) {
        decoder_norms_behind(&m->layer[l], "post_attention_layernorm", "post_feedforward_layernorm");
        m->layer[l].stage[1].branch[0].pre = "pre_feedforward_layernorm";
    }
    return read_experts(k, arena, s, m, err);
}

/* ---- weights, forward ---- */

static void *declare(const ModelShape *s, WeightList *list)
{
    const Gemma4Shape *g = gemma4(s);
    Gemma4Weights *w = ARENA_NEW(list->arena, Gemma4Weights);
    if (!w) {
        list->failed = true;
        return NULL;
    }
    w->decoder = decoder_declare(s, list);
    if (g->inputs.P)
        layer_inputs_declare(&g->inputs, list, &w->inputs);
    for (int l = 0; l < s->L; l++) {
        if (g->inputs.P)
            layer_input_declare(&g->inputs, list, &w->input[l], l);
        if (g->scalars)
            weight_vector(list, &w->scalar[l], "model.layers.%d.layer_scalar", "blk.%d.layer_output_scale.weight", l, 1);
    }
    return w;
}

static void forward(const Model *model, Device *d, const Step *step, Tensor logits)
{
    const ModelShape *s = &model->shape;
    const Gemma4Shape *g = gemma4(s);
    const Gemma4Weights *w = model->weights;
    Pass pass;
    Tensor x = decoder_begin(s, w->decoder, d, step, &pass), e = NONE;
    if (g->inputs.P)
        e = layer_inputs_begin(&g->inputs, &w->inputs, d, step->tokens, x);
    for (int l = 0; l < s->L; l++) {
        size_t mark = device_mark(d);
        decoder_stage_run(s, w->decoder, d, &pass, l, 0, x);
        decoder_stage_run(s, w->decoder, d, &pass, l, 1, x);
        if (g->inputs.P)
            op_add(d, x, layer_input_read(&g->inputs, &w->input[l], d, e, l, x));
        if (g->scalars)
            op_gate(d, x, w->scalar[l], x, IDENTITY);
        device_release(d, mark);
    }
    decoder_end(s, w->decoder, d, step, x, logits);
}

const Arch arch_gemma4 = {
    .names = {"gemma4_text", "gemma4"},
    .gguf_name = "gemma4",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = declare,
    .forward = forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

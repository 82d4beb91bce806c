/* gemma3n.c -- Gemma 3n (Gemma Team 2025): the stream is A rows wide, of which each layer computes one and predicts
 * the others from it (Baykal et al. 2023, "Alternating Updates for Efficient Transformers").
 *
 *     x[0] = embed(tokens); x[j] = x[0] Wj, as large as x[0]                                     [rows, A, D]
 *     for each layer:
 *         p[j] = x[j] + sum_i c[j][i] x[i]                            c = tanh(route(x[a])) Wp
 *         h    = p[a]
 *         h   += norm(attention(n)) + n + norm(n Wl Wr)               n = norm(h); the last two: Laurel
 *         h    = h / sqrt(2);   h += norm(mlp(norm(h)))
 *         x[j] = p[j] + (1 + c[j]) (h - p[a])                         c = tanh(route(h)) Wc
 *         x[j] += norm((act(x[a] g Wg) * e[layer]) Wu)                j > 0: see model/layer_inputs.h
 *     x = mean of x[0] and x[j] Uj, as large as x[0]
 *
 * The last layers have no keys and values of their own; the mlps of the first are sparse.
 */
#include <math.h>
#include <string.h>

#include "model/decoder.h"
#include "model/layer_inputs.h"

enum { WINDOW_MAX = 1 << 28, WINDOW = 512, HEAD_WIDTH = 256, PATTERN = 5, WIDTH_MAX = 1 << 20, RANK_MAX = 1 << 16,
       STREAMS_MAX = 64, STREAMS = 4, RANK = 64, LAYER_WIDTH = 256, SHARED = 15,
       GGUF_LAYERS_WITH_KEYS = 20, SPARSE_LAYERS = 10 /* where nothing is said */ };
static const float LEAST_SQUARE = 1e-5f, SPARSITY = 0.95f;

typedef struct LaurelShape { int32_t D, rank; NormShape norm; } LaurelShape;
typedef struct LaurelWeights { Tensor left, right; Norm norm; } LaurelWeights;

typedef struct Gemma3nShape {
    DecoderShape decoder;                /* first: ModelShape.own is this */
    LayerInputsShape inputs;
    LaurelShape laurel;
    int32_t A, active;                   /* streams, and which of them layers compute */
    bool scales_output;                  /* what reads a layer's input is scaled first */
} Gemma3nShape;

typedef struct AltUp { Norm norm; Tensor route, predict, correct, scale; } AltUp;

typedef struct Gemma3nWeights {
    DecoderWeights *decoder;
    LayerInputs inputs;
    Tensor spread, gather;               /* [A - 1, D, D] */
    AltUp altup[LAYERS_MAX];
    LayerInput input[LAYERS_MAX];
} Gemma3nWeights;

static const Gemma3nShape *gemma3n(const ModelShape *s) { return s->own; }

/* ---- Laurel: y += x + norm(x left right) ---- */

static void *laurel_declare(const void *shape, WeightList *list, int layer)
{
    const LaurelShape *m = shape;
    LaurelWeights *w = part_weights(list, sizeof *w);
    weight_matrix(list, &w->left, "model.layers.%d.laurel.linear_left.weight", "blk.%d.laurel_l.weight", layer, m->rank, m->D)
        ->use = USE_EXACT_MATRIX;
    weight_matrix(list, &w->right, "model.layers.%d.laurel.linear_right.weight", "blk.%d.laurel_r.weight", layer, m->D, m->rank)
        ->use = USE_EXACT_MATRIX;
    norm_declare(&m->norm, list, &w->norm, "model.layers.%d.laurel.post_laurel_norm", "blk.%d.laurel_post_norm", layer, m->D);
    return w;
}

static void laurel_forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    (void)p, (void)layer;
    const LaurelShape *m = shape;
    const LaurelWeights *w = weights;
    Tensor low = device_f32(d, x.dim[0], m->rank), out = like(d, x);
    op_linear(d, low, x, w->left, NONE);
    op_linear(d, out, low, w->right, NONE);
    norm_run(&m->norm, d, out, out, &w->norm);
    op_add(d, y, x);
    op_add(d, y, out);
}

static const Part part_laurel = {.label = "laurel", .declare = laurel_declare, .forward = laurel_forward};

/* ---- shape ---- */

/* The point of the normal distribution below which `part` of it lies (Newton's method on the error function). */
static float deviations_of(double part)
{
    double x = 0;
    for (int i = 0; i < 60; i++)
        x -= (0.5 * erfc(-x / sqrt(2)) - part) * sqrt(2 * M_PI) * exp(fmin(x * x / 2, 30));
    return (float)x;
}

/* A config says which part of the gates is cut off, a GGUF how many deviations that is; -infinity: none. */
static Err read_sparsity(const Keys *k, const ModelShape *s, DecoderShape *m, Error *err)
{
    const char *hf = "activation_sparsity_pattern", *gguf = "activation_sparsity_scale";
    float value[LAYERS_MAX];
    if (keys_are_gguf(k) && keys_have(k, NULL, gguf)) {
        TRY(keys_floats_or(k, NULL, gguf, -INFINITY, 100, 0, value, s->L, err));
    } else {
        for (int l = 0; l < s->L; l++)
            value[l] = l < SPARSE_LAYERS && s->L > SPARSE_LAYERS ? SPARSITY : 0;
        if (keys_have(k, hf, NULL))
            TRY(keys_floats_or(k, hf, NULL, 0, 0.999999, 0, value, s->L, err));
        for (int l = 0; l < s->L; l++)
            value[l] = value[l] > 0 ? deviations_of(value[l]) : -INFINITY;
        keys_record_floats(k, gguf, value, s->L);
    }
    for (int l = 0; l < s->L; l++) {
        m->layer[l].mlp.sparse = value[l] > -INFINITY;
        m->layer[l].mlp.deviations = m->layer[l].mlp.sparse ? value[l] : 0;
    }
    return OK;
}

static Err read_mlps(const Keys *k, ModelShape *s, DecoderShape *m, Error *err)
{
    int32_t width[LAYERS_MAX];
    TRY(keys_ints_or(k, "intermediate_size", "feed_forward_length", 1, WIDTH_MAX, 16384, width, s->L, err));
    for (int l = 0; l < s->L; l++) {
        m->layer[l].mlp.F = width[l];
        s->F = width[l] > s->F ? width[l] : s->F;
    }
    return read_sparsity(k, s, m, err);
}

static Err read_attention(const Keys *k, ModelShape *s, DecoderShape *m, Error *err)
{
    bool local[LAYERS_MAX];
    int32_t window, shared = SHARED;
    TRY(decoder_read_local(k, s, "sliding_attention", PATTERN, local, err));
    TRY(keys_int_or(k, "sliding_window", "attention.sliding_window", 1, WINDOW_MAX, WINDOW, &window, err));
    TRY(decoder_read_biases(k, s, err));
    if (keys_are_gguf(k)) /* llama.cpp does not read the key */
        shared = s->L > GGUF_LAYERS_WITH_KEYS ? s->L - GGUF_LAYERS_WITH_KEYS : 0;
    TRY(keys_int_or(k, "num_kv_shared_layers", "attention.shared_kv_layers", 0, s->L - 1, shared, &shared, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->how.scale = 1;
        a->how.window = local[l] ? window : 0;
        a->rope = local[l];
        a->head_norm = HEAD_NORM_EACH;
        a->norm = m->norm;
        a->v_norm = true;
    }
    return decoder_share_keys(k, s, local, shared, err);
}

static void build_layers(const ModelShape *s, const Gemma3nShape *g)
{
    for (int l = 0; l < s->L; l++) {
        DecoderLayer *layer = &g->decoder.layer[l];
        decoder_norms_behind(layer, "post_attention_layernorm", "post_feedforward_layernorm");
        layer->stage[1].branch[0].pre = "pre_feedforward_layernorm";
        Branch both[] = {layer->stage[0].branch[0], {.part = &part_laurel, .shape = &g->laurel, .same_input = true}};
        decoder_stage(layer, 0, 2, both);
    }
}

/* The rank: a GGUF says it by the tensor. */
static Err read_laurel(const Keys *k, const ModelShape *s, Gemma3nShape *g, Error *err)
{
    g->laurel = (LaurelShape){.D = s->D, .norm = g->decoder.norm};
    if (!keys_are_gguf(k))
        return keys_int_or(k, "laurel_rank", NULL, 1, RANK_MAX, RANK, &g->laurel.rank, err);
    const StoreTensor *t = store_find(k->store, "blk.0.laurel_l.weight");
    if (!t || t->dims != 2 || t->dim[0] < 1 || t->dim[0] > RANK_MAX)
        return fail(err, BAD_FILE, "%s: tensor 'blk.0.laurel_l.weight' must be there and have two dimensions", k->where);
    g->laurel.rank = (int32_t)t->dim[0];
    return OK;
}

static Err read_altup(const Keys *k, Gemma3nShape *g, Error *err)
{
    TRY(keys_int_or(k, "altup_num_inputs", "altup.num_inputs", 2, STREAMS_MAX, STREAMS, &g->A, err));
    TRY(keys_int_or(k, "altup_active_idx", "altup.active_idx", 0, g->A - 1, 0, &g->active, err));
    TRY(keys_bool_or(k, "altup_correct_scale", NULL, true, &g->scales_output, err));
    return g->scales_output ? OK : keys_record_nothing(k, "altup_correct_scale false", err);
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    DecoderUsual usual = {.activation = GELU_TANH, .head_width = HEAD_WIDTH, .no_rope = true, .own_mlps = true};
    Gemma3nShape *g = ARENA_NEW(arena, Gemma3nShape);
    if (!g)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    g->decoder = *m;
    s->own = m = &g->decoder;
    m->embed_factor = sqrtf((float)s->D);
    TRY(decoder_add_two_ropes(k, s->H, 1e6f, 1e4f, s, arena, m, err));
    TRY(keys_float_or(k, "final_logit_softcapping", "final_logit_softcapping", 0, 1e6, 30, &m->logit_cap, err));
    TRY(read_attention(k, s, m, err));
    TRY(read_mlps(k, s, m, err));
    TRY(read_altup(k, g, err));
    TRY(read_laurel(k, s, g, err));
    g->inputs = (LayerInputsShape){.activation = m->layer[0].mlp.activation, .norm = m->norm};
    TRY(layer_inputs_read(k, s, LAYER_WIDTH, &g->inputs, err));
    if (!g->inputs.P)
        return fail(err, UNSUPPORTED, "%s: hidden_size_per_layer_input 0: family '%s' always has such inputs", k->where,
                    k->family);
    build_layers(s, g);
    return OK;
}

/* ---- weights ---- */

static void declare_altup(const Gemma3nShape *g, WeightList *list, AltUp *w, int32_t D, int l)
{
    int32_t A = g->A;
    norm_declare(&g->decoder.norm, list, &w->norm, "model.layers.%d.altup.router_norm", "blk.%d.altup_router_norm", l, D);
    weight_matrix(list, &w->route, "model.layers.%d.altup.modality_router.weight", "blk.%d.altup_router.weight", l, A, D)
        ->use = USE_EXACT_MATRIX;
    weight_matrix(list, &w->predict, "model.layers.%d.altup.prediction_coefs.weight", "blk.%d.altup_predict_coef.weight", l,
                  A * A, A)
        ->use = USE_EXACT_MATRIX;
    weight_matrix(list, &w->correct, "model.layers.%d.altup.correction_coefs.weight", "blk.%d.altup_correct_coef.weight", l, A,
                  A)
        ->use = USE_EXACT_MATRIX;
    weight_vector(list, g->scales_output ? &w->scale : NULL, "model.layers.%d.altup.correct_output_scale",
                  "blk.%d.altup_correct_scale.weight", l, D)
        ->optional = !g->scales_output;
}

static void *declare(const ModelShape *s, WeightList *list)
{
    const Gemma3nShape *g = gemma3n(s);
    Gemma3nWeights *w = ARENA_NEW(list->arena, Gemma3nWeights);
    if (!w) {
        list->failed = true;
        return NULL;
    }
    w->decoder = decoder_declare(s, list);
    layer_inputs_declare(&g->inputs, list, &w->inputs);
    weight_experts(list, &w->spread, "model.altup_projections.%e.weight", "altup_proj.weight", 0, g->A - 1, s->D, s->D);
    weight_experts(list, &w->gather, "model.altup_unembed_projections.%e.weight", "altup_unembd_proj.weight", 0, g->A - 1, s->D,
                   s->D);
    for (int l = 0; l < s->L; l++) {
        declare_altup(g, list, &w->altup[l], s->D, l);
        layer_input_declare(&g->inputs, list, &w->input[l], l);
    }
    return w;
}

/* ---- forward ---- */

static Tensor stream(Tensor x, int32_t j) { return tensor_columns(x, j * x.dim[2], x.dim[2]); }
static Tensor streams_behind(Tensor x)   /* all but the first */
{
    int32_t others = x.dim[1] - 1, D = x.dim[2];
    return tensor_heads(tensor_columns(x, D, others * D), others);
}

/* tanh(norm(h) Wr / D)    [rows, A] */
static Tensor route(const Gemma3nShape *g, const AltUp *w, Device *d, Tensor h)
{
    Tensor n = like(d, h), out = device_f32(d, h.dim[0], g->A);
    norm_run(&g->decoder.norm, d, n, h, &w->norm);
    op_scale(d, n, n, 1 / (float)n.dim[1]);
    op_linear(d, out, n, w->route, NONE);
    op_activate(d, out, out, TANH);
    return out;
}

/* p[j] = x[j] + sum_i c[j][i] x[i] */
static void predict(const Gemma3nShape *g, const AltUp *w, Device *d, Tensor p, Tensor x)
{
    Tensor c = device_f32(d, x.dim[0], g->A * g->A);
    op_linear(d, c, route(g, w, d, stream(x, g->active)), w->predict, NONE);
    op_scale(d, tensor_flat(p), tensor_flat(x), 1);
    for (int32_t j = 0; j < g->A; j++)
        op_combine(d, stream(p, j), x, tensor_columns(c, j * g->A, g->A));
}

/* p[j] += (1 + c[j]) (h - p[a]); h becomes that difference */
static void correct(const Gemma3nShape *g, const AltUp *w, Device *d, Tensor p, Tensor h)
{
    Tensor c = device_f32(d, h.dim[0], g->A);
    op_fill(d, c, 1);
    op_linear_add(d, c, route(g, w, d, h), w->correct, NONE);
    op_add_scaled(d, h, stream(p, g->active), -1);
    for (int32_t j = 0; j < g->A; j++)
        op_combine(d, stream(p, j), tensor_heads(h, 1), tensor_columns(c, j, 1));
}

/* From x, of the layer before, to p; both [rows, A, D]. */
static void layer(const ModelShape *s, const Gemma3nWeights *w, Device *d, const Pass *pass, int l, Tensor e, Tensor p,
                  Tensor x)
{
    const Gemma3nShape *g = gemma3n(s);
    Tensor h = device_f32(d, x.dim[0], s->D);
    device_label(d, "altup", l);
    predict(g, &w->altup[l], d, p, x);
    op_scale(d, h, stream(p, g->active), 1);
    decoder_stage_run(s, w->decoder, d, pass, l, 0, h);
    op_scale(d, h, h, sqrtf(0.5f));
    decoder_stage_run(s, w->decoder, d, pass, l, 1, h);
    device_label(d, "altup", l);
    correct(g, &w->altup[l], d, p, h);

    op_scale(d, h, stream(p, g->active), 1);
    if (g->scales_output)
        op_gate(d, h, w->altup[l].scale, h, IDENTITY);
    Tensor more = layer_input_read(&g->inputs, &w->input[l], d, e, l, h);
    for (int32_t j = 1; j < g->A; j++)
        op_add(d, stream(p, j), more);
}

static void forward(const Model *model, Device *d, const Step *step, Tensor logits)
{
    const ModelShape *s = &model->shape;
    const Gemma3nShape *g = gemma3n(s);
    const Gemma3nWeights *w = model->weights;
    Pass pass;
    Tensor first = decoder_begin(s, w->decoder, d, step, &pass);
    Tensor e = layer_inputs_begin(&g->inputs, &w->inputs, d, step->tokens, first);
    Tensor x = heads(d, first, g->A, s->D), p = heads(d, first, g->A, s->D);

    device_label(d, "altup", -1);
    op_scale(d, stream(x, 0), first, 1);
    op_expert_linear(d, streams_behind(x), first, w->spread, NONE, NONE);
    op_match_rms(d, streams_behind(x), streams_behind(x), first, LEAST_SQUARE);
    for (int l = 0; l < s->L; l++) {
        size_t mark = device_mark(d);
        layer(s, w, d, &pass, l, e, p, x);
        device_release(d, mark);
        Tensor last = x;
        x = p, p = last;
    }

    device_label(d, "altup", -1);
    Tensor others = heads(d, first, g->A - 1, s->D);
    op_expert_linear(d, others, streams_behind(x), w->gather, NONE, NONE);
    op_match_rms(d, others, others, stream(x, 0), LEAST_SQUARE);
    op_scale(d, first, stream(x, 0), 1);
    op_combine(d, first, others, NONE);
    op_scale(d, first, first, 1 / (float)g->A);
    decoder_end(s, w->decoder, d, step, first, logits);
}

const Arch arch_gemma3n = {
    .names = {"gemma3n_text", "gemma3n"},
    .gguf_name = "gemma3n",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = declare,
    .forward = forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

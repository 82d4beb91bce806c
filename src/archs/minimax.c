/* minimax.c -- MiniMax-01 (MiniMax 2025): lightning attention (Qin et al. 2024) in most layers, softmax attention in
 * the others, experts in all.
 *
 *     q, k, v = silu(x Wqkv)                                 [rows, heads, H] each
 *     S       = e^-slope S + k v^T;  o = S^T q               decay_scan; slopes follow from the head and the layer
 *     y       = (norm(o) * sigmoid(x Wg)) Wo                 the norm over all heads
 *
 *     x = norm(x);  x = alpha x + beta attention(x)          what is added to is the normed stream
 *     x = norm(x);  x = alpha x + beta experts(x)
 */
#include <math.h>

#include "model/delta.h"
#include "model/moe.h"

enum { GGUF_INTERVAL = 8 };
static const float NORM_EPS = 1e-6f;     /* of lightning attention's norm, whatever the config says */

typedef struct LightningShape {
    int32_t D, heads, H;
    Activation activation;
    const float *decay;                  /* [heads] */
} LightningShape;

typedef struct LightningWeights {
    Linear q, k, v, gate, out;
    Tensor norm, decay;
} LightningWeights;

static int32_t state_width(const LightningShape *m) { return m->heads * m->H * m->H; }

static void keep(const void *shape, KvLayer *out)
{
    *out = (KvLayer){.kind = KV_STATE, .state_width = state_width(shape)};
}

static void declare_linear(WeightList *list, Linear *w, const char *hf, const char *gguf, WeightPart part, int layer,
                           int32_t out, int32_t in)
{
    LinearName name = {.hf_before = "model.layers.%d.self_attn.", .hf = hf, .gguf = gguf, .hf_part = part, .gguf_part = part};
    linear_declare(list, w, name, layer, out, in, false);
}

static void *declare(const void *shape, WeightList *list, int layer)
{
    const LightningShape *m = shape;
    LightningWeights *w = part_weights(list, sizeof *w);
    int32_t width = m->heads * m->H;
    Linear *const qkv[] = {&w->q, &w->k, &w->v};
    for (int i = 0; i < 3; i++)
        declare_linear(list, qkv[i], "qkv_proj", "blk.%d.attn_qkv", (WeightPart){3 * m->H, i * m->H, m->H}, layer, width, m->D);
    declare_linear(list, &w->gate, "output_gate", "blk.%d.attn_gate", (WeightPart){0}, layer, width, m->D);
    declare_linear(list, &w->out, "out_proj", "blk.%d.attn_output", (WeightPart){0}, layer, m->D, width);
    weight_vector(list, &w->norm, "model.layers.%d.self_attn.norm.weight", "blk.%d.attn_norm_2.weight", layer, width);
    weight_constant(list, &w->decay, "", m->decay, 0, m->heads);
    return w;
}

static void forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const LightningShape *m = shape;
    const LightningWeights *w = weights;
    int32_t width = m->heads * m->H;
    Tensor qkv = device_f32(d, x.dim[0], 3 * width), gate = device_f32(d, x.dim[0], width), o = heads(d, x, m->heads, m->H);
    Tensor q = tensor_columns(qkv, 0, width), k = tensor_columns(qkv, width, width), v = tensor_columns(qkv, 2 * width, width);

    op_linear3(d, q, k, v, x, w->q.w, w->k.w, w->v.w, NONE, NONE, NONE);
    op_activate(d, qkv, qkv, m->activation);
    op_decay_scan(d, o, tensor_heads(q, m->heads), tensor_heads(k, m->heads), tensor_heads(v, m->heads), w->decay,
                  kv_state(kv_view(p->step, layer), 0, state_width(m)));
    op_rms_norm(d, tensor_flat(o), tensor_flat(o), w->norm, NORM_EPS);
    op_linear(d, gate, x, w->gate.w, NONE);
    op_gate(d, gate, gate, tensor_flat(o), SIGMOID);
    op_linear_add(d, y, gate, w->out.w, NONE);
}

static const Part part_lightning = {.label = "lightning", .keep = keep, .declare = declare, .forward = forward};

/* ---- config ---- */

static const MoeNames moe = {
    .router = "block_sparse_moe.gate",
    .gate = "block_sparse_moe.experts.%e.w1.weight",
    .up = "block_sparse_moe.experts.%e.w3.weight",
    .down = "block_sparse_moe.experts.%e.w2.weight",
};

typedef struct Factors { float alpha, beta; } Factors;

static Err read_factors(const Keys *k, const char *alpha, const char *beta, Factors *f, Error *err)
{
    Keys quiet = *k; /* a GGUF has one alpha for all */
    quiet.record = NULL;
    TRY(keys_float_or(&quiet, alpha, "residual_scale", 1e-6, 1e6, 1, &f->alpha, err));
    return keys_float_or(k, beta, NULL, -1e6, 1e6, 1, &f->beta, err);
}

static Err read_all_factors(const Keys *k, Factors *full, Factors *linear, Factors *mlp, Error *err)
{
    TRY(read_factors(k, "full_attn_alpha_factor|layernorm_full_attention_alpha",
                     "full_attn_beta_factor|layernorm_full_attention_beta", full, err));
    TRY(read_factors(k, "linear_attn_alpha_factor|layernorm_linear_attention_alpha",
                     "linear_attn_beta_factor|layernorm_linear_attention_beta", linear, err));
    TRY(read_factors(k, "mlp_alpha_factor|layernorm_mlp_alpha", "mlp_beta_factor|layernorm_mlp_beta", mlp, err));
    bool same = full->alpha == linear->alpha && full->alpha == mlp->alpha && full->beta == 1 && linear->beta == 1 &&
                mlp->beta == 1;
    keys_record_float(k, "residual_scale", full->alpha);
    return same ? OK : keys_record_nothing(k, "residual factors that differ, or a beta other than 1", err);
}

/* attn_type_list: 0 is linear. */
static Err read_kinds(const Keys *k, const ModelShape *s, bool *linear, Error *err)
{
    int32_t softmax[LAYERS_MAX];
    if (keys_are_gguf(k) || keys_have(k, "layer_types", NULL))
        return linear_layers_read(k, s, GGUF_INTERVAL, linear, err);
    for (int l = 0; l < s->L; l++)
        softmax[l] = (l + 1) % 2;
    if (keys_have(k, "attn_type_list", NULL))
        TRY(keys_ints_or(k, "attn_type_list", NULL, 0, 1, 0, softmax, s->L, err));
    for (int l = 0; l < s->L; l++)
        linear[l] = !softmax[l];
    int32_t recurrent[LAYERS_MAX];
    for (int l = 0; l < s->L; l++)
        recurrent[l] = linear[l];
    keys_record_ints(k, "attention.recurrent_layers", recurrent, s->L);
    return OK;
}

/* Heads forget more slowly the later they stand, and layers the later they come. */
static Err find_decay(const Keys *k, Arena *arena, const ModelShape *s, int l, const float **out, Error *err)
{
    float *decay = ARENA_ARRAY(arena, float, (size_t)s->N);
    if (!decay)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    double depth = 1 - l / (s->L - 1 + 1e-5) + 1e-5;
    for (int32_t h = 0; h < s->N; h++)
        decay[h] = (float)exp(-depth * exp2(-8.0 * (h + 1) / s->N));
    *out = decay;
    return OK;
}

static void place(Branch *branch, Factors f)
{
    branch->on_stream = true;
    branch->keeps = f.alpha;
    branch->adds = f.beta;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    MoeShape *experts;
    Factors full, linear, mlp;
    bool is_linear[LAYERS_MAX];
    int32_t dims;
    DecoderUsual usual = {.activation = SILU, .eps = 1e-5f, .theta = 1e6f, .no_rope = true};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(keys_int_or(k, "rotary_dim", "rope.dimension_count", 2, s->H, s->H, &dims, err));
    TRY(decoder_add_rope(k, "rope_parameters", dims, usual.theta, s, arena, m, err));
    TRY(moe_read(k, arena, s, &(MoeUsual){.names = &moe, .normalises = true, .gguf_normalises = true}, &experts, err));
    moe_use(s, experts, NULL);
    TRY(read_all_factors(k, &full, &linear, &mlp, err));
    TRY(read_kinds(k, s, is_linear, err));
    LightningShape *lightning = ARENA_ARRAY(arena, LightningShape, (size_t)s->L);
    if (!lightning)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    for (int l = 0; l < s->L; l++) {
        Branch *attention = &m->layer[l].stage[0].branch[0];
        m->layer[l].attention.rope = 0;
        place(attention, is_linear[l] ? linear : full);
        place(&m->layer[l].stage[1].branch[0], mlp);
        lightning[l] = (LightningShape){.D = s->D, .heads = s->N, .H = s->H, .activation = m->layer[l].mlp.activation};
        TRY(find_decay(k, arena, s, l, &lightning[l].decay, err));
        if (is_linear[l])
            attention->part = &part_lightning, attention->shape = &lightning[l];
    }
    return OK;
}

const Arch arch_minimax = {
    .names = {"minimax", "minimax-01", "minimax_text_01"},
    .gguf_names = {"minimax-01", "minimax-01", "minimax-01"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "slope_rate", "query_decay", "key_decay", "diagonal_decay"},
};

/* jetmoe.c -- JetMoE (Shen et al. 2024): experts in the mlp, and experts of attention (Zhang et al. 2022), each with the
 * query and output projections of K heads. A row uses k of them over keys and values that all share:
 *
 *     ids, weights = route(x Wr)                                          k of E
 *     q[i]         = rope(x Wq[ids[i]])                                   [K, H] for each i
 *     y           += sum_i weights[i] attend(q[i], past k, past v) Wo[ids[i]] + bias
 *
 * The norm behind the last layer has the config's eps, all others 1e-6.
 */
#include <math.h>

#include "model/moe.h"

enum { HEADS_MAX = 1 << 14, WIDTH_MAX = 1 << 20, KV_HEADS = 16, HEAD_WIDTH = 128 };

typedef struct MixtureShape {
    int32_t D, K, H, experts, used;
    Router router;
    Attend how;
    const char *prefix;
} MixtureShape;

typedef struct MixtureWeights { Tensor router, q, k, v, o, bias; } MixtureWeights;

static void keep(const void *shape, KvLayer *out)
{
    const MixtureShape *m = shape;
    *out = (KvLayer){.kind = KV_FULL, .heads = m->K, .key_width = m->H, .value_width = m->H};
}

static void *declare(const void *shape, WeightList *list, int layer)
{
    const MixtureShape *m = shape;
    MixtureWeights *w = part_weights(list, sizeof *w);
    int32_t width = m->K * m->H;
    WeightName experts = weight_name(m->prefix, "self_attention.experts.");
    WeightName kv = weight_name(m->prefix, "self_attention.kv_proj.weight");
    weight_matrix(list, &w->router, weight_name(experts.text, "router.layer.weight").text, "", layer, m->experts, m->D)->use =
        USE_EXACT_MATRIX;
    weight_experts(list, &w->q, weight_name(experts.text, "input_linear.weight").text, "", layer, m->experts, width, m->D)
        ->read_share = (float)m->used / (float)m->experts;
    weight_experts(list, &w->o, weight_name(experts.text, "output_linear.weight").text, "", layer, m->experts, m->D, width)
        ->read_share = (float)m->used / (float)m->experts;
    weight_matrix(list, &w->k, kv.text, "", layer, width, m->D)->hf.part = (WeightPart){2 * width, 0, width};
    weight_matrix(list, &w->v, kv.text, "", layer, width, m->D)->hf.part = (WeightPart){2 * width, width, width};
    weight_vector(list, &w->bias, weight_name(experts.text, "bias").text, "", layer, m->D);
    return w;
}

/* The heads of a row's i-th expert. */
static Tensor heads_of(const MixtureShape *m, Tensor x, int i)
{
    return tensor_heads(tensor_columns(x, i * m->K * m->H, m->K * m->H), m->K);
}

static void forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const MixtureShape *m = shape;
    const MixtureWeights *w = weights;
    int32_t rows = x.dim[0];
    Tensor scores = device_f32(d, rows, m->experts), share = device_f32(d, rows, m->used);
    Tensor ids = device_tensor(d, &format_i32, rows, m->used);
    Tensor q = heads(d, x, m->used, m->K * m->H), out = heads(d, x, m->used, m->D);
    Tensor k = heads(d, x, m->K, m->H), v = heads(d, x, m->K, m->H);

    op_linear(d, scores, x, w->router, NONE);
    op_route(d, ids, share, scores, NONE, NONE, m->router);
    op_expert_linear(d, q, x, w->q, NONE, ids);
    op_linear(d, tensor_flat(k), x, w->k, NONE);
    op_linear(d, tensor_flat(v), x, w->v, NONE);
    op_rope(d, tensor_heads(q, m->used * m->K), p->angles[0], false);
    op_rope(d, k, p->angles[0], false);
    op_cache_write(d, kv_view(p->step, layer), k, v);
    for (int i = 0; i < m->used; i++)
        op_attend(d, heads_of(m, q, i), heads_of(m, q, i), kv_view(p->step, layer), NONE, NONE, m->how);
    op_expert_linear(d, out, q, w->o, NONE, ids);
    op_combine(d, y, out, share);
    op_add(d, y, w->bias);
}

static const Part part_mixture = {.label = "attn", .keep = keep, .declare = declare, .forward = forward};

/* ---- the config ---- */

static const MoeNames experts = {
    .router = "mlp.router.layer", .gate = "mlp.input_linear.weight", .up = "mlp.input_linear.weight",
    .down = "mlp.output_linear.weight", .out_bias = "mlp.bias",
};

static Err read_heads(const Keys *k, ModelShape *s, int32_t used, Error *err)
{
    TRY(keys_int_or(k, "num_key_value_heads", NULL, 1, HEADS_MAX, KV_HEADS, &s->K, err));
    TRY(keys_int_or(k, "kv_channels|head_dim", NULL, 2, WIDTH_MAX, HEAD_WIDTH, &s->H, err));
    if ((int64_t)s->K * used != s->N)
        return fail(err, BAD_FILE, "%s: num_attention_heads is %d, but %d experts of %d heads each are used", k->where, s->N,
                    used, s->K);
    if ((int64_t)s->N * s->H > WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: %d heads of %d are more than ridge's limit of %d", k->where, s->N, s->H, WIDTH_MAX);
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    MoeShape *moe;
    MixtureShape *mixture = ARENA_NEW(arena, MixtureShape);
    DecoderUsual usual = {.activation = SILU, .own_heads = true, .no_rope = true, .tied = true};
    if (!mixture)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(moe_read(k, arena, s, &(MoeUsual){.names = &experts, .score = SCORE_SOFTMAX_TOP}, &moe, err));
    TRY(read_heads(k, s, moe->used, err));
    TRY(decoder_add_rope(k, "rope_parameters", s->H, 0, s, arena, m, err));
    moe->gate_part = (WeightPart){2 * moe->F, 0, moe->F};
    moe->up_part = (WeightPart){2 * moe->F, moe->F, moe->F};
    moe->out_bias = true;
    m->last_eps = m->norm.eps;
    m->norm.eps = 1e-6f;
    *mixture = (MixtureShape){.D = s->D, .K = s->K, .H = s->H, .experts = moe->experts, .used = moe->used,
                              .router = moe->router, .how = {.scale = 1 / sqrtf((float)s->H)}, .prefix = m->names.layer};
    for (int l = 0; l < s->L; l++) {
        m->layer[l].stage[0].branch[0].part = &part_mixture;
        m->layer[l].stage[0].branch[0].shape = mixture;
    }
    moe_use(s, moe, NULL);
    return OK;
}

const Arch arch_jetmoe = {
    .names = {"jetmoe"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

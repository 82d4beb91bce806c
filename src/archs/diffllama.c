/* diffllama.c -- differential attention (Ye et al. 2024): what two softmaxes agree on is subtracted.
 *
 *     heads i and i + N/2 are a pair:   y = (softmax(q_i k_i) - lambda softmax(q_j k_j)) [v1 | v2]        [rows, N/2, 2 H]
 *     lambda = exp(q1.k1) - exp(q2.k2) + init,  init = 0.8 - 0.6 exp(-0.3 layer)
 *     out    = (1 - init) rms_norm(y) Wo
 *
 * The values' heads are split as well: v1 is the first half of them, v2 the second, and each half serves both
 * halves of the keys' heads. So a half of the queries meets its half of the keys and either half of the values.
 */
#include <math.h>
#include <stdio.h>

#include "model/decoder.h"

typedef struct DiffShape {
    AttentionShape usual;
    float lambda, init;
} DiffShape;

static void keep(const void *shape, KvLayer *out) { part_attention.keep(&((const DiffShape *)shape)->usual, out); }

static void *declare(const void *shape, WeightList *list, int layer)
{
    return part_attention.declare(&((const DiffShape *)shape)->usual, list, layer);
}

/* Half `h` of the heads of [rows, heads, width], or of a pool of the cache [blocks, heads, tokens, width]. */
static Tensor half(Tensor x, int h)
{
    x.dim[1] /= 2;
    x.data = (uint8_t *)x.data + (size_t)h * format_row_bytes(x.format, tensor_width(x));
    return x;
}

/* The softmaxes of the first heads minus lambda those of the second, over one half of the values: into
 * half `v` of each pair's row. */
static void differ(const DiffShape *s, Device *d, const KvView *kv, Tensor pairs, Tensor q, int v)
{
    const AttentionShape *a = &s->usual;
    Tensor part[2];
    for (int h = 0; h < 2; h++) {
        KvView view = *kv;
        view.k = half(kv->k, h);
        view.v = half(kv->v, v);
        part[h] = heads(d, q, a->N / 2, a->H);
        op_attend(d, part[h], half(q, h), &view, NONE, NONE, a->how);
    }
    op_add_scaled(d, tensor_flat(part[0]), tensor_flat(part[1]), -s->lambda);
    Tensor from = tensor_of(part[0].data, &format_f32, q.dim[0] * a->N / 2, a->H);
    op_scale(d, tensor_columns(pairs, v * a->H, a->H), from, 1);
}

static void forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const DiffShape *s = shape;
    const AttentionShape *a = &s->usual;
    const AttentionWeights *w = weights;
    const KvView *kv = kv_view(p->step, layer);
    Tensor q = heads(d, x, a->N, a->H), k = heads(d, x, a->K, a->H), v = heads(d, x, a->K, a->H);
    op_linear3(d, tensor_flat(q), tensor_flat(k), tensor_flat(v), x, w->q.w, w->k.w, w->v.w, w->q.bias, w->k.bias, w->v.bias);
    op_rope(d, q, p->angles[0], false);
    op_rope(d, k, p->angles[0], false);
    op_cache_write(d, kv, k, v);
    Tensor pairs = device_f32(d, x.dim[0] * a->N / 2, 2 * a->H);
    differ(s, d, kv, pairs, q, 0);
    differ(s, d, kv, pairs, q, 1);
    op_rms_norm(d, pairs, pairs, NONE, a->norm.eps);
    op_scale(d, pairs, pairs, 1 - s->init);
    op_linear_add(d, y, tensor_of(pairs.data, &format_f32, x.dim[0], a->N * a->H), w->o.w, w->o.bias);
}

static const Part part_difference = {.label = "attn", .keep = keep, .declare = declare, .forward = forward};

static Err read_lambda(const Keys *k, int layer, int32_t H, Arena *arena, DiffShape *out, Error *err)
{
    static const char *const names[] = {"lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"};
    float *v = ARENA_ARRAY(arena, float, 4 * (size_t)H);
    double dot[2] = {0, 0};
    char name[96];
    if (!v)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "model.layers.%d.self_attn.%s", layer, names[i]);
        TRY(keys_tensor_floats(k, name, v + i * H, H, err));
    }
    for (int i = 0; i < 2; i++)
        for (int32_t j = 0; j < H; j++)
            dot[i] += (double)v[2 * i * H + j] * v[(2 * i + 1) * H + j];
    out->init = (float)(0.8 - 0.6 * exp(-0.3 * layer));
    out->lambda = (float)(exp(dot[0]) - exp(dot[1]) + out->init);
    if (!isfinite(out->lambda))
        return fail(err, BAD_FILE, "%s: the lambda vectors of layer %d give %g", k->where, layer, out->lambda);
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.activation = SILU, .eps = 1e-5f}, &m, err));
    TRY(decoder_read_biases(k, s, err));
    DiffShape *diff = ARENA_ARRAY(arena, DiffShape, (size_t)s->L);
    if (!diff)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    if (s->K % 2)
        return fail(err, BAD_FILE, "%s: num_key_value_heads %d must be even, so that values can be halved", k->where, s->K);
    for (int l = 0; l < s->L; l++) {
        diff[l].usual = m->layer[l].attention;
        TRY(read_lambda(k, l, s->H, arena, &diff[l], err));
        m->layer[l].stage[0].branch[0].part = &part_difference;
        m->layer[l].stage[0].branch[0].shape = &diff[l];
    }
    return OK;
}

const Arch arch_diffllama = {
    .names = {"diffllama"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"},
};

#include "model/attention.h"

#include <math.h>

const AttentionNames attention_names = {
    .q = "self_attn.q_proj", .k = "self_attn.k_proj", .v = "self_attn.v_proj", .qkv = "self_attn.qkv_proj",
    .o = "self_attn.o_proj", .q_norm = "self_attn.q_norm", .k_norm = "self_attn.k_norm",
    .gate = "self_attn.gate_proj", .sinks = "self_attn.sinks",
};

static void keep(const void *shape, KvLayer *out)
{
    const AttentionShape *a = shape;
    *out = (KvLayer){.kind = a->shares       ? KV_ALIAS
                             : a->how.window ? KV_WINDOW
                             : a->how.chunk  ? KV_CHUNK
                                             : KV_FULL,
                     .heads = a->K,
                     .key_width = a->H,
                     .value_width = a->V,
                     .window = a->how.window ? a->how.window : a->how.chunk,
                     .alias_of = a->alias_of};
}

/* ---- weights ---- */

typedef enum Third { THE_Q, THE_K, THE_V } Third;

static WeightPart part_of(const AttentionShape *a, QkvLayout layout, Third t)
{
    int32_t q = a->N * a->H, k = a->K * a->H, v = a->K * a->V, group = a->N / a->K * a->H;
    const WeightPart fused[] = {{q + k + v, 0, q}, {q + k + v, q, k}, {q + k + v, q + k, v}};
    const WeightPart per_group[] = {
        {group + a->H + a->V, 0, group}, {group + a->H + a->V, group, a->H}, {group + a->H + a->V, group + a->H, a->V}};
    const WeightPart given[] = {a->q_part, a->k_part, a->v_part};
    switch (layout) {
    case QKV_FUSED:
        return fused[t];
    case QKV_PER_HEAD:
    case QKV_PER_GROUP:
        return per_group[t];
    case QKV_GIVEN:
        return given[t];
    case QKV_APART:
        break;
    }
    return t == THE_Q && a->gate == GATE_WITH_Q ? (WeightPart){2 * a->H, 0, a->H} : (WeightPart){0};
}

static LinearName name_of(const AttentionShape *a, Third t)
{
    const char *apart[] = {a->names->q, a->names->k, a->names->v};
    const char *gguf[] = {"blk.%d.attn_q", "blk.%d.attn_k", "blk.%d.attn_v"};
    return (LinearName){.hf_before = a->prefix,
                        .hf = a->hf_layout == QKV_APART ? apart[t] : a->names->qkv,
                        .gguf = a->gguf_layout == QKV_APART ? gguf[t] : "blk.%d.attn_qkv",
                        .hf_part = part_of(a, a->hf_layout, t),
                        .gguf_part = part_of(a, a->gguf_layout, t),
                        .hf_transposed = a->hf_transposed,
                        .gguf_turned_heads = !a->gguf_turned || t == THE_V ? 0 : t == THE_Q ? a->N : a->K};
}

static void declare_norms(const AttentionShape *a, WeightList *list, AttentionWeights *w, int layer)
{
    bool each = a->head_norm == HEAD_NORM_EACH;
    WeightName q = weight_name(a->prefix, a->names->q_norm), k = weight_name(a->prefix, a->names->k_norm);
    if (a->head_norm == HEAD_NORM_APART) {
        weight_experts(list, &w->q_norm.gain, weight_name(q.text, ".weight").text, "blk.%d.attn_q_norm.weight", layer, a->N, 0,
                       a->H);
        weight_experts(list, &w->k_norm.gain, weight_name(k.text, ".weight").text, "blk.%d.attn_k_norm.weight", layer, a->K, 0,
                       a->H);
        return;
    }
    norm_declare(&a->norm, list, &w->q_norm, q.text, "blk.%d.attn_q_norm", layer, each ? a->H : a->N * a->H);
    if (!a->shares || a->k_norm_in_query)
        norm_declare(&a->norm, list, &w->k_norm, k.text, "blk.%d.attn_k_norm", layer, each ? a->H : a->K * a->H);
}

static void declare_spare(const AttentionShape *a, WeightList *list, int layer)
{
    WeightName k = weight_name(a->prefix, a->names->k), v = weight_name(a->prefix, a->names->v);
    WeightName norm = weight_name(a->prefix, a->names->k_norm);
    weight_matrix(list, NULL, weight_name(k.text, ".weight").text, "blk.%d.attn_k.weight", layer, a->K * a->H, a->D)
        ->optional = true;
    weight_matrix(list, NULL, weight_name(v.text, ".weight").text, "blk.%d.attn_v.weight", layer, a->K * a->V, a->D)
        ->optional = true;
    weight_vector(list, NULL, weight_name(norm.text, ".weight").text, "blk.%d.attn_k_norm.weight", layer, a->H)
        ->optional = true;
}

static void *declare(const void *shape, WeightList *list, int layer)
{
    const AttentionShape *a = shape;
    AttentionWeights *w = part_weights(list, sizeof *w);
    linear_declare(list, &w->q, name_of(a, THE_Q), layer, a->N * a->H, a->D, a->q_bias);
    if (!a->shares)
        linear_declare(list, &w->k, name_of(a, THE_K), layer, a->K * a->H, a->D, a->k_bias);
    if (a->spare_keys)
        declare_spare(a, list, layer);
    if (!a->shares && !a->v_is_k)
        linear_declare(list, &w->v, name_of(a, THE_V), layer, a->K * a->V, a->D, a->v_bias);
    linear_declare(list, &w->o,
                   (LinearName){a->prefix, a->names->o, "blk.%d.attn_output", .hf_transposed = a->hf_transposed}, layer,
                   a->out ? a->out : a->D, a->N * a->V, a->o_bias);
    LinearName gate = {a->prefix, a->names->gate, "blk.%d.attn_gate", .hf_transposed = a->hf_transposed};
    if (a->gate == GATE_WITH_Q) {
        gate = name_of(a, THE_Q);
        gate.hf_part = gate.gguf_part = (WeightPart){2 * a->H, a->H, a->H};
    }
    if (a->gate)
        linear_declare(list, &w->gate, gate, layer, a->N * a->V, a->D, a->q_bias && a->gate == GATE_WITH_Q);
    if (a->head_norm)
        declare_norms(a, list, w, layer);
    if (a->sinks)
        weight_vector(list, &w->sinks, weight_name(a->prefix, a->names->sinks).text, "blk.%d.attn_sinks.weight", layer,
                      a->N);
    if (a->slopes)
        weight_constant(list, &w->slopes, "", a->slopes, 0, a->N);
    return w;
}

/* ---- forward ---- */

static void norm_heads(const AttentionShape *a, Device *d, Tensor x, const Norm *w)
{
    bool apart = a->head_norm == HEAD_NORM_APART;
    Tensor flat = tensor_flat(x), gains = tensor_vector(w->gain.data, w->gain.format, flat.dim[1]);
    x = a->head_norm == HEAD_NORM_ALL ? flat : x;
    norm_run(&a->norm, d, x, x, apart ? &(Norm){0} : w);
    if (apart)
        op_gate(d, flat, gains, flat, IDENTITY);
}

static void clip(const AttentionShape *a, Device *d, Tensor x)
{
    if (a->clip)
        op_clamp(d, tensor_flat(x), tensor_flat(x), -a->clip, a->clip);
}

/* Norms, clips and turns q or k: the one that `is_key` says. */
static void place(const AttentionShape *a, const AttentionWeights *w, Device *d, const Pass *p, Tensor x, bool is_key)
{
    Norm norm = is_key ? w->k_norm : w->q_norm;
    if (is_key && a->k_norm_in_query)
        norm = (Norm){0};
    if (a->head_norm && !a->norm_after_rope)
        norm_heads(a, d, x, &norm);
    clip(a, d, x);
    if (a->rope != ROPE_NONE)
        op_rope(d, x, p->angles[a->rope], a->rope_interleaved);
    if (a->head_norm && a->norm_after_rope)
        norm_heads(a, d, x, &norm);
}

static void project(const AttentionShape *a, const AttentionWeights *w, Device *d, Tensor q, Tensor k, Tensor v, Tensor x)
{
    if (a->shares) {
        op_linear(d, tensor_flat(q), x, w->q.w, w->q.bias);
    } else if (a->v_is_k) {
        op_linear(d, tensor_flat(q), x, w->q.w, w->q.bias);
        op_linear(d, tensor_flat(k), x, w->k.w, w->k.bias);
        op_scale(d, tensor_flat(v), tensor_flat(k), 1);
    } else {
        op_linear3(d, tensor_flat(q), tensor_flat(k), tensor_flat(v), x, w->q.w, w->k.w, w->v.w, w->q.bias, w->k.bias,
                   w->v.bias);
    }
    low_rank_add(d, tensor_flat(q), x, &w->q_low);
    low_rank_add(d, tensor_flat(k), x, &w->k_low);
    low_rank_add(d, tensor_flat(v), x, &w->v_low);
}

static void write_past(const AttentionShape *a, const AttentionWeights *w, Device *d, const Pass *p, int layer, Tensor k,
                       Tensor v)
{
    clip(a, d, v);
    place(a, w, d, p, k, true);
    if (a->v_norm)
        op_rms_norm(d, v, v, NONE, a->norm.eps);
    if (a->value_factor)
        op_scale(d, tensor_flat(v), tensor_flat(v), a->value_factor);
    op_cache_write(d, kv_view(p->step, layer), k, v);
}

/* [rows, heads, width] seen as [rows heads, width] */
static Tensor head_rows(Tensor x)
{
    return tensor_of(x.data, x.format, x.dim[0] * x.dim[1], x.dim[2]);
}

static void forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const AttentionShape *a = shape;
    const AttentionWeights *w = weights;
    Tensor q = heads(d, x, a->N, a->H), k = heads(d, x, a->K, a->H), v = heads(d, x, a->K, a->V);
    Tensor out = heads(d, x, a->N, a->V);

    project(a, w, d, q, k, v, x);
    place(a, w, d, p, q, false);
    if (a->k_norm_in_query)
        op_gate(d, head_rows(q), w->k_norm.gain, head_rows(q), IDENTITY);
    if (a->q_growth)
        op_position_scale(d, tensor_flat(q), p->step->positions,
                          (PositionScale){a->q_growth, a->q_floor, a->q_offset});
    if (!a->shares)
        write_past(a, w, d, p, layer, k, v);
    op_attend(d, out, q, kv_view(p->step, layer), w->sinks, w->slopes, a->how);
    if (a->gate) {
        Tensor gate = device_f32(d, x.dim[0], a->N * a->V);
        op_linear(d, gate, x, w->gate.w, w->gate.bias);
        op_gate(d, tensor_flat(out), gate, tensor_flat(out), SIGMOID);
    }
    op_linear_add(d, y, tensor_flat(out), w->o.w, w->o.bias);
}

const Part part_attention = {.label = "attn", .keep = keep, .declare = declare, .forward = forward};

Err alibi_slopes(Arena *arena, int32_t n, float bias_max, const float **out, Error *err)
{
    float *slopes = ARENA_ARRAY(arena, float, (size_t)n);
    if (!slopes)
        return fail(err, NO_MEMORY, "no memory for the slopes of %d heads", n);
    int32_t power = 1; /* the largest power of two that is not more than n */
    while (2 * power <= n)
        power *= 2;
    for (int32_t i = 0; i < power; i++)
        slopes[i] = exp2f(-bias_max * (float)(i + 1) / (float)power);
    for (int32_t i = power; i < n; i++) /* the others stand between those, two apart */
        slopes[i] = exp2f(-bias_max * (float)(2 * (i - power) + 1) / (float)(2 * power));
    *out = slopes;
    return OK;
}

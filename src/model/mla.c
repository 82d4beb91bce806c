#include "model/mla.h"

#include <math.h>

/* ---- what is kept, weights ---- */

static void keep(const void *shape, KvLayer *out)
{
    const MlaShape *m = shape;
    *out = (KvLayer){.kind = KV_FULL, .heads = 1, .key_width = m->C + m->R, .value_width = 0};
}

/* Of one head after the other: `take` of P + R rows of the query. */
static LinearName query_name(const MlaShape *m, int32_t first, int32_t take)
{
    WeightPart part = {m->P + m->R, first, take};
    return (LinearName){.hf_before = m->prefix, .hf = m->A ? "q_b_proj" : "q_proj",
                        .gguf = m->A ? "blk.%d.attn_q_b" : "blk.%d.attn_q", .hf_part = part, .gguf_part = part};
}

static void declare_expansion(const MlaShape *m, WeightList *list, MlaWeights *w, int layer)
{
    const char *name = weight_name(m->prefix, "kv_b_proj.weight").text;
    WeightDecl *k = weight_experts(list, &w->up_k, name, m->gguf_whole ? "blk.%d.attn_kv_b.weight" : "blk.%d.attn_k_b.weight",
                                   layer, m->N, m->C, m->P);
    k->hf.transposed = true;
    k->hf.width_part = (WeightPart){m->P + m->V, 0, m->P};
    if (m->gguf_whole) {
        k->gguf.transposed = true;
        k->gguf.width_part = k->hf.width_part;
    }
    WeightDecl *v = weight_experts(list, &w->up_v, weight_name(m->prefix, "kv_b_proj.weight").text,
                                   m->gguf_whole ? "blk.%d.attn_kv_b.weight" : "blk.%d.attn_v_b.weight", layer, m->N, m->V,
                                   m->C);
    v->hf.part = (WeightPart){m->P + m->V, m->P, m->V};
    if (!m->gguf_whole)
        return;
    v->gguf.part = v->hf.part;
    k->gguf.dim[0] = v->gguf.dim[0] = m->N * (m->P + m->V); /* no dimension of heads, as in checkpoints */
    k->gguf.dim[1] = v->gguf.dim[1] = m->C;
}

static void *declare(const void *shape, WeightList *list, int layer)
{
    const MlaShape *m = shape;
    MlaWeights *w = part_weights(list, sizeof *w);
    NormShape norm = {.eps = m->eps};
    int32_t from = m->A ? m->A : m->D;
    if (m->A) {
        linear_declare(list, &w->a, (LinearName){.hf_before = m->prefix, .hf = "q_a_proj", .gguf = "blk.%d.attn_q_a"}, layer,
                       m->A, m->D, m->bias);
        norm_declare(&norm, list, &w->a_norm, weight_name(m->prefix, "q_a_layernorm").text, "blk.%d.attn_q_a_norm", layer,
                     m->A);
    }
    linear_declare(list, &w->q, query_name(m, 0, m->P), layer, m->N * m->P, from, false);
    linear_declare(list, &w->q_turned, query_name(m, m->P, m->R), layer, m->N * m->R, from, false);
    linear_declare(list, &w->latent,
                   (LinearName){.hf_before = m->prefix, .hf = "kv_a_proj_with_mqa", .gguf = "blk.%d.attn_kv_a_mqa"}, layer,
                   m->C + m->R, m->D, m->bias);
    norm_declare(&norm, list, &w->latent_norm, weight_name(m->prefix, "kv_a_layernorm").text, "blk.%d.attn_kv_a_norm", layer,
                 m->C);
    declare_expansion(m, list, w, layer);
    linear_declare(list, &w->o, (LinearName){.hf_before = m->prefix, .hf = "o_proj", .gguf = "blk.%d.attn_output"}, layer,
                   m->D, m->N * m->V, m->bias);
    return w;
}

/* ---- forward ---- */

/* Columns [from, from + width) of each head of to = x, times factor. */
static void put_columns(Device *d, Tensor to, int32_t from, Tensor x, float factor)
{
    int32_t rows = x.dim[0] * x.dim[1], width = to.dim[2];
    Tensor all = tensor_of(to.data, to.format, rows, width);
    op_scale(d, tensor_columns(all, from, x.dim[2]), tensor_of(x.data, x.format, rows, x.dim[2]), factor);
}

/* q' = [q Uk | rope(q)]      [rows, N, C + R] */
static Tensor query(const MlaShape *m, const MlaWeights *w, Device *d, const Pass *p, Tensor x)
{
    Tensor flat = heads(d, x, m->N, m->P), turned = heads(d, x, m->N, m->R), latent = heads(d, x, m->N, m->C);
    Tensor q = heads(d, x, m->N, m->C + m->R);
    if (m->A) {
        Tensor a = device_f32(d, x.dim[0], m->A);
        op_linear(d, a, x, w->a.w, w->a.bias);
        op_rms_norm(d, a, a, w->a_norm.gain, m->eps);
        x = a;
    }
    op_linear(d, tensor_flat(flat), x, w->q.w, NONE);
    op_linear(d, tensor_flat(turned), x, w->q_turned.w, NONE);
    if (m->rope != ROPE_NONE)
        op_rope(d, turned, p->angles[m->rope], m->rope_interleaved);
    op_expert_linear(d, latent, flat, w->up_k, NONE, NONE);
    put_columns(d, q, 0, latent, m->q_factor);
    put_columns(d, q, m->C, turned, m->q_factor);
    return q;
}

/* [c | r]      [rows, 1, C + R] */
static Tensor latent(const MlaShape *m, const MlaWeights *w, Device *d, const Pass *p, Tensor x)
{
    Tensor kept = heads(d, x, 1, m->C + m->R), c = tensor_columns(kept, 0, m->C);
    op_linear(d, tensor_flat(kept), x, w->latent.w, w->latent.bias);
    op_rms_norm(d, c, c, w->latent_norm.gain, m->eps);
    if (m->c_factor != 1)
        op_scale(d, c, c, m->c_factor);
    if (m->rope != ROPE_NONE)
        op_rope(d, tensor_heads(tensor_columns(kept, m->C, m->R), 1), p->angles[m->rope], m->rope_interleaved);
    return kept;
}

static void forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const MlaShape *m = shape;
    const MlaWeights *w = weights;
    Tensor q = query(m, w, d, p, x), seen = heads(d, x, m->N, m->C), out = heads(d, x, m->N, m->V);
    op_cache_write(d, kv_view(p->step, layer), latent(m, w, d, p, x), NONE);
    op_attend(d, seen, q, kv_view(p->step, layer), NONE, NONE, m->how);
    op_expert_linear(d, out, seen, w->up_v, NONE, NONE);
    op_linear_add(d, y, tensor_flat(out), w->o.w, w->o.bias);
}

const Part part_mla = {.label = "attn", .keep = keep, .declare = declare, .forward = forward};

/* ---- what configs say ---- */

enum { WIDTH_MAX = 1 << 16 };

/* A GGUF says these as the cache sees them: one kv head, with keys as wide as latent and turned values. */
static Err read_widths_gguf(const Keys *k, const MlaUsual *usual, MlaShape *m, Error *err)
{
    int32_t key;
    TRY(keys_int(k, NULL, "attention.kv_lora_rank", 1, WIDTH_MAX, &m->C, err));
    TRY(keys_int_or(k, NULL, "attention.q_lora_rank", 0, WIDTH_MAX, 0, &m->A, err));
    TRY(keys_int(k, NULL, "rope.dimension_count", 1, WIDTH_MAX, &m->R, err));
    TRY(keys_int(k, NULL, usual->gguf_whole ? "attention.key_length" : "attention.key_length_mla", 1, WIDTH_MAX, &key, err));
    if (key <= m->R)
        return fail(err, BAD_FILE, "%s: keys of %d of which %d turn leave nothing for the latent", k->where, key, m->R);
    m->P = key - m->R;
    if (usual->gguf_whole)
        return keys_int_or(k, NULL, "attention.value_length", 1, WIDTH_MAX, m->D / m->N, &m->V, err);
    return keys_int(k, NULL, "attention.value_length_mla", 1, WIDTH_MAX, &m->V, err);
}

static Err read_widths(const Keys *k, const MlaUsual *usual, MlaShape *m, Error *err)
{
    if (keys_are_gguf(k))
        return read_widths_gguf(k, usual, m, err);
    TRY(keys_int_or(k, "kv_lora_rank", "attention.kv_lora_rank", 1, WIDTH_MAX, usual->C, &m->C, err));
    TRY(keys_int_or(k, "q_lora_rank", NULL, 1, WIDTH_MAX, keys_null(k, "q_lora_rank") ? 0 : usual->A, &m->A, err));
    TRY(keys_int_or(k, "qk_rope_head_dim", NULL, 1, WIDTH_MAX, usual->R, &m->R, err));
    TRY(keys_int_or(k, "qk_nope_head_dim", NULL, 1, WIDTH_MAX, usual->P, &m->P, err));
    TRY(keys_int_or(k, "v_head_dim", NULL, 1, WIDTH_MAX, usual->V ? usual->V : m->D / m->N, &m->V, err));
    keys_record_int(k, "attention.q_lora_rank", m->A); /* 0: llama.cpp wants to hear it */
    keys_record_int(k, "rope.dimension_count", m->R);
    if (!usual->mixed)
        keys_record_int(k, "attention.head_count_kv", usual->gguf_whole ? m->N : 1);
    keys_record_int(k, "attention.key_length", usual->gguf_whole ? m->P + m->R : m->C + m->R);
    keys_record_int(k, "attention.value_length", usual->gguf_whole ? m->V : m->C);
    if (!usual->gguf_whole) {
        keys_record_int(k, "attention.key_length_mla", m->P + m->R);
        keys_record_int(k, "attention.value_length_mla", m->V);
    }
    return OK;
}

/* YaRN sharpens the scores as well, if mscale_all_dim is given: by its square. GGUF gives a tenth of it. */
static Err read_scale(const Keys *k, MlaShape *m, Error *err)
{
    float all = 0, factor = 1;
    m->how.scale = 1.0f / sqrtf((float)(m->P + m->R));
    if (keys_are_gguf(k)) {
        TRY(keys_float_or(k, NULL, "rope.scaling.yarn_log_multiplier", 0, 1e3, 0, &all, err));
        all *= 10;
    } else {
        TRY(keys_float_or(k, "rope_parameters.mscale_all_dim|rope_scaling.mscale_all_dim", NULL, 0, 1e3, 0, &all, err));
        if (all != 0)
            keys_record_float(k, "rope.scaling.yarn_log_multiplier", 0.1f * all);
    }
    Keys quiet = *k;
    quiet.record = NULL;
    TRY(keys_float_or(&quiet, "rope_parameters.factor|rope_scaling.factor", "rope.scaling.factor", 1e-6, 1e6, 1, &factor, err));
    if (all != 0 && factor > 1) {
        float sharper = 0.1f * all * logf(factor) + 1;
        m->how.scale *= sharper * sharper;
    }
    return OK;
}

Err mla_read(const Keys *k, Arena *arena, ModelShape *s, const MlaUsual *usual, MlaShape **out, Error *err)
{
    DecoderShape *decoder = decoder_shape(s);
    MlaShape *m = *out = ARENA_NEW(arena, MlaShape);
    if (!m)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    *m = (MlaShape){.D = s->D, .N = s->N, .rope = ROPE_NONE, .rope_interleaved = !usual->half_split, .eps = 1e-6f,
                    .q_factor = 1, .c_factor = 1, .gguf_whole = usual->gguf_whole,
                    .prefix = "model.layers.%d.self_attn."};
    TRY(read_widths(k, usual, m, err));
    if ((int64_t)m->N * (m->P + m->R + m->V + m->C) > 1 << 24)
        return fail(err, BAD_FILE, "%s: %d heads of %d, %d and %d over a latent of %d are more than ridge can hold", k->where,
                    m->N, m->P, m->R, m->V, m->C);
    TRY(read_scale(k, m, err));
    if (!usual->no_rope) {
        bool interleaved;
        TRY(keys_bool_or(k, "rope_interleave", NULL, m->rope_interleaved, &interleaved, err));
        if (interleaved != m->rope_interleaved)
            TRY(keys_record_nothing(k, "rope_interleave other than the family's usual", err));
        m->rope_interleaved = interleaved;
        m->rope = decoder->ropes;
        decoder->rope[m->rope].tempered = true;
        TRY(decoder_add_rope(k, "rope_parameters", m->R, usual->theta, s, arena, decoder, err));
    }
    s->K = 1;
    s->H = m->P + m->R;
    for (int l = 0; l < s->L; l++) {
        decoder->layer[l].stage[0].branch[0].part = &part_mla;
        decoder->layer[l].stage[0].branch[0].shape = m;
    }
    return OK;
}

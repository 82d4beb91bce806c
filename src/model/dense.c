#include "model/dense.h"

#include <math.h>
#include <string.h>

#include "core/ops.h"

DenseShape *dense_shape(const ModelShape *s) { return s->own; }

static void attention(const DenseShape *m, const DenseLayer *w, const ModelShape *s, Device *d, const Step *step, int l,
                      Tensor angles, Tensor x)
{
    Tensor h = like(d, x), y = heads(d, x, s->N, s->H);
    Tensor q = heads(d, x, s->N, s->H), k = heads(d, x, s->K, s->H), v = heads(d, x, s->K, s->H);

    op_rms_norm(d, h, x, w->attn_norm, s->eps);
    op_linear3(d, tensor_flat(q), tensor_flat(k), tensor_flat(v), h, w->q, w->k, w->v, w->q_bias, w->k_bias, w->v_bias);
    if (m->head_norms) {
        op_rms_norm(d, q, q, w->q_norm, s->eps);
        op_rms_norm(d, k, k, w->k_norm, s->eps);
    }
    op_rope(d, q, angles, m->rope_interleaved);
    op_rope(d, k, angles, m->rope_interleaved);
    op_cache_write(d, kv_view(step, l), k, v);
    op_attend(d, y, q, kv_view(step, l), NONE, NONE, (Attend){.scale = m->scale, .window = m->window[l]});
    op_linear_add(d, x, tensor_flat(y), w->o, w->o_bias);
}

static void mlp(const DenseShape *m, const DenseLayer *w, const ModelShape *s, Device *d, Tensor x)
{
    Tensor h = like(d, x);
    op_rms_norm(d, h, x, w->mlp_norm, s->eps);
    op_gated_mlp_add(d, x, h, w->gate, w->up, w->down, w->gate_bias, w->up_bias, w->down_bias, m->activation);
}

void dense_forward(const Model *model, Device *d, const Step *step, Tensor logits)
{
    const ModelShape *s = &model->shape;
    const DenseShape *m = dense_shape(s);
    const DenseWeights *w = model->weights;

    Tensor x = device_f32(d, step->rows, s->D), angles = device_f32(d, step->rows, m->rope.angles.dims);
    device_label(d, "embed", -1);
    op_embed(d, x, w->embed, step->tokens, 1);
    op_rope_angles(d, angles, step->positions, step->lengths, w->inv_freq, m->rope.angles);
    for (int l = 0; l < s->L; l++) {
        size_t mark = device_mark(d);
        device_label(d, "attn", l);
        attention(m, &w->layer[l], s, d, step, l, angles, x);
        device_release(d, mark);
        device_label(d, "mlp", l);
        mlp(m, &w->layer[l], s, d, x);
        device_release(d, mark);
    }
    device_label(d, "head", -1);
    Tensor last = device_f32(d, step->outs, s->D);
    op_take_rows(d, last, x, step->out_rows);
    op_rms_norm(d, last, last, w->norm, s->eps);
    op_linear(d, logits, last, w->head, NONE);
}

void dense_kv_layout(const ModelShape *s, KvLayout *kv)
{
    const DenseShape *m = dense_shape(s);
    kv->layers = s->L;
    for (int l = 0; l < s->L; l++)
        kv->layer[l] = (KvLayer){.kind = m->window[l] ? KV_WINDOW : KV_FULL,
                                 .window = m->window[l],
                                 .heads = s->K,
                                 .key_width = s->H,
                                 .value_width = s->H};
}

static void declare_attention(const DenseShape *m, const ModelShape *s, WeightList *list, DenseLayer *w, int l)
{
    int32_t q = s->N * s->H, kv = s->K * s->H;
    weight_vector(list, &w->attn_norm, "model.layers.%d.input_layernorm.weight", "blk.%d.attn_norm.weight", l, s->D);
    int32_t q_turned = m->gguf_interleaves ? s->N : 0, k_turned = m->gguf_interleaves ? s->K : 0;
    weight_matrix(list, &w->q, "model.layers.%d.self_attn.q_proj.weight", "blk.%d.attn_q.weight", l, q, s->D)
        ->gguf.turned_heads = q_turned;
    weight_matrix(list, &w->k, "model.layers.%d.self_attn.k_proj.weight", "blk.%d.attn_k.weight", l, kv, s->D)
        ->gguf.turned_heads = k_turned;
    weight_matrix(list, &w->v, "model.layers.%d.self_attn.v_proj.weight", "blk.%d.attn_v.weight", l, kv, s->D);
    weight_matrix(list, &w->o, "model.layers.%d.self_attn.o_proj.weight", "blk.%d.attn_output.weight", l, s->D, q);
    if (m->qkv_bias) {
        weight_vector(list, &w->q_bias, "model.layers.%d.self_attn.q_proj.bias", "blk.%d.attn_q.bias", l, q)
            ->gguf.turned_heads = q_turned;
        weight_vector(list, &w->k_bias, "model.layers.%d.self_attn.k_proj.bias", "blk.%d.attn_k.bias", l, kv)
            ->gguf.turned_heads = k_turned;
        weight_vector(list, &w->v_bias, "model.layers.%d.self_attn.v_proj.bias", "blk.%d.attn_v.bias", l, kv);
    }
    if (m->o_bias)
        weight_vector(list, &w->o_bias, "model.layers.%d.self_attn.o_proj.bias", "blk.%d.attn_output.bias", l, s->D);
    if (m->head_norms) {
        weight_vector(list, &w->q_norm, "model.layers.%d.self_attn.q_norm.weight", "blk.%d.attn_q_norm.weight", l,
                      s->H);
        weight_vector(list, &w->k_norm, "model.layers.%d.self_attn.k_norm.weight", "blk.%d.attn_k_norm.weight", l,
                      s->H);
    }
}

static void declare_mlp(const DenseShape *m, const ModelShape *s, WeightList *list, DenseLayer *w, int l)
{
    weight_vector(list, &w->mlp_norm, "model.layers.%d.post_attention_layernorm.weight", "blk.%d.ffn_norm.weight", l,
                  s->D);
    weight_matrix(list, &w->gate, "model.layers.%d.mlp.gate_proj.weight", "blk.%d.ffn_gate.weight", l, s->F, s->D);
    weight_matrix(list, &w->up, "model.layers.%d.mlp.up_proj.weight", "blk.%d.ffn_up.weight", l, s->F, s->D);
    weight_matrix(list, &w->down, "model.layers.%d.mlp.down_proj.weight", "blk.%d.ffn_down.weight", l, s->D, s->F);
    if (m->mlp_bias) {
        weight_vector(list, &w->gate_bias, "model.layers.%d.mlp.gate_proj.bias", "blk.%d.ffn_gate.bias", l, s->F);
        weight_vector(list, &w->up_bias, "model.layers.%d.mlp.up_proj.bias", "blk.%d.ffn_up.bias", l, s->F);
        weight_vector(list, &w->down_bias, "model.layers.%d.mlp.down_proj.bias", "blk.%d.ffn_down.bias", l, s->D);
    }
}

void *dense_declare(const ModelShape *s, WeightList *list)
{
    const DenseShape *m = dense_shape(s);
    DenseWeights *w = ARENA_NEW(list->arena, DenseWeights);
    DenseLayer *layers = w ? ARENA_ARRAY(list->arena, DenseLayer, (size_t)s->L) : NULL;
    if (!layers) {
        list->failed = true;
        return w;
    }
    w->layer = layers;
    weight_matrix(list, &w->embed, "model.embed_tokens.weight", "token_embd.weight", 0, s->V, s->D)->use =
        s->tied ? USE_TABLE_AND_MATRIX : USE_TABLE;
    for (int l = 0; l < s->L; l++) {
        declare_attention(m, s, list, &w->layer[l], l);
        declare_mlp(m, s, list, &w->layer[l], l);
    }
    weight_vector(list, &w->norm, "model.norm.weight", "output_norm.weight", 0, s->D);
    if (s->tied)
        weight_same(list, &w->head, &w->embed);
    else
        weight_matrix(list, &w->head, "lm_head.weight", "output.weight", 0, s->V, s->D);
    weight_constant(list, &w->inv_freq, "", m->rope.inv_freq, m->rope.tables, m->rope.angles.dims / 2);
    if (m->rope.divisors)
        weight_constant(list, NULL, "rope_freqs.weight", m->rope.divisors, 0, m->rope.angles.dims / 2);
    return w;
}

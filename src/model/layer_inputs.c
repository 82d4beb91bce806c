#include "model/layer_inputs.h"

#include <math.h>

enum { WIDTH_MAX = 1 << 16, TOKENS_MAX = 1 << 24, DEFAULT_TOKENS = 262144 };

/* A GGUF says by the table itself how many tokens it has. */
static Err read_tokens(const Keys *k, LayerInputsShape *m, Error *err)
{
    if (!keys_are_gguf(k))
        return keys_int_or(k, "vocab_size_per_layer_input", NULL, 1, TOKENS_MAX, DEFAULT_TOKENS, &m->tokens, err);
    const StoreTensor *t = store_find(k->store, "per_layer_token_embd.weight");
    if (!t || t->dims != 2 || t->dim[0] < 1 || t->dim[0] > TOKENS_MAX)
        return fail(err, BAD_FILE, "%s: tensor 'per_layer_token_embd.weight' must be there and have two dimensions", k->where);
    m->tokens = (int32_t)t->dim[0];
    return OK;
}

Err layer_inputs_read(const Keys *k, const ModelShape *s, int32_t otherwise, LayerInputsShape *m, Error *err)
{
    m->D = s->D;
    m->L = s->L;
    TRY(keys_int_or(k, "hidden_size_per_layer_input", "embedding_length_per_layer_input", 0, WIDTH_MAX, otherwise, &m->P, err));
    if (!m->P)
        return OK;
    if ((int64_t)m->P * m->L > INT32_MAX / 2)
        return fail(err, BAD_FILE, "%s: embeddings of %d for each of %d layers are more than ridge can hold", k->where, m->P,
                    m->L);
    TRY(read_tokens(k, m, err));
    m->short_table = m->tokens < s->V;
    return OK;
}

void layer_inputs_declare(const LayerInputsShape *m, WeightList *list, LayerInputs *w)
{
    weight_matrix(list, &w->table, "model.embed_tokens_per_layer.weight", "per_layer_token_embd.weight", 0, m->tokens,
                  m->L * m->P)
        ->use = USE_TABLE;
    weight_matrix(list, &w->project, "model.per_layer_model_projection.weight", "per_layer_model_proj.weight", 0, m->L * m->P,
                  m->D);
    norm_declare(&m->norm, list, &w->norm, "model.per_layer_projection_norm", "per_layer_proj_norm", 0, m->P);
}

void layer_input_declare(const LayerInputsShape *m, WeightList *list, LayerInput *w, int layer)
{
    weight_matrix(list, &w->gate, "model.layers.%d.per_layer_input_gate.weight", "blk.%d.inp_gate.weight", layer, m->P, m->D);
    weight_matrix(list, &w->up, "model.layers.%d.per_layer_projection.weight", "blk.%d.proj.weight", layer, m->D, m->P);
    norm_declare(&m->norm, list, &w->norm, "model.layers.%d.post_per_layer_input_norm", "blk.%d.post_norm", layer, m->D);
}

Tensor layer_inputs_begin(const LayerInputsShape *m, const LayerInputs *w, Device *d, Tensor tokens, Tensor x)
{
    Tensor e = device_f32(d, x.dim[0], m->L * m->P), each = tensor_heads(e, m->L);
    size_t mark = device_mark(d);
    Tensor own = like(d, e);
    device_label(d, "layer inputs", -1);
    op_linear(d, e, x, w->project, NONE);
    op_scale(d, e, e, 1 / sqrtf((float)m->D));
    norm_run(&m->norm, d, each, each, &w->norm);
    (m->short_table ? op_embed_short : op_embed)(d, own, w->table, tokens, sqrtf((float)m->P));
    op_add(d, e, own);
    op_scale(d, e, e, sqrtf(0.5f));
    device_release(d, mark);
    return e;
}

Tensor layer_input_read(const LayerInputsShape *m, const LayerInput *w, Device *d, Tensor e, int layer, Tensor h)
{
    Tensor out = device_f32(d, h.dim[0], m->D), gate = device_f32(d, h.dim[0], m->P);
    device_label(d, "layer input", layer);
    op_linear(d, gate, h, w->gate, NONE);
    op_gate(d, gate, gate, tensor_columns(e, layer * m->P, m->P), m->activation);
    op_linear(d, out, gate, w->up, NONE);
    norm_run(&m->norm, d, out, out, &w->norm);
    return out;
}

#include "devices/hash/hash_model.h"

#include "core/ops.h"

Err hash_model_init(HashModel *m, Device *d, Error *err)
{
    ASSERT(m->layers <= HASH_LAYERS_MAX);
    for (int32_t i = 0; i <= m->layers; i++) {
        float number = (float)i;
        void *data;
        TRY(d->calls->take(d, sizeof number, &data, err));
        d->calls->write(d, data, &number, sizeof number);
        m->weight[i] = tensor_vector(data, &format_f32, 1);
        m->weight[i].dim[0] = 1;
    }
    return OK;
}

static void attention(const HashModel *m, Device *d, const Step *step, int32_t l, Tensor x)
{
    const HashLayer *layer = &m->layer[l];
    Tensor y = like(d, x), k = heads(d, x, 1, 1), v = heads(d, x, 1, 1);
    if (layer->alias_of < 0) {
        op_linear(d, tensor_flat(k), x, m->weight[l], NONE);
        op_scale(d, tensor_flat(v), tensor_flat(k), 1);
        op_cache_write(d, kv_view(step, l), k, v);
    }
    op_attend(d, tensor_heads(y, 1), tensor_heads(x, 1), kv_view(step, l), NONE, NONE,
              (Attend){.window = layer->window, .chunk = layer->chunk});
    op_add(d, x, y);
}

/* In two halves, as a convolution and a scan share the state of a layer. */
static void state(const HashModel *m, Device *d, const Step *step, int32_t l, Tensor x)
{
    int32_t width = m->layer[l].state_width, half = width / 2;
    Tensor y = like(d, x);
    op_conv(d, y, x, m->weight[l], NONE, kv_state(kv_view(step, l), 0, half), IDENTITY);
    op_add(d, x, y);
    op_conv(d, y, x, m->weight[l], NONE, kv_state(kv_view(step, l), half, width - half), IDENTITY);
    op_add(d, x, y);
}

void hash_model_forward(const void *model, Device *d, const Step *step, Tensor logits)
{
    const HashModel *m = model;
    Tensor x = device_f32(d, step->rows, 1);
    op_embed(d, x, m->weight[0], step->tokens, 1);
    for (int32_t l = 0; l < m->layers; l++) {
        size_t mark = device_mark(d);
        if (!m->layer[l].blind)
            attention(m, d, step, l, x);
        if (m->layer[l].state_width > 0)
            state(m, d, step, l, x);
        device_release(d, mark);
    }
    if (step->hiddens > 0)
        op_take_rows(d, step->hidden, x, step->hidden_rows);
    Tensor last = device_f32(d, step->outs, 1);
    op_take_rows(d, last, x, step->out_rows);
    op_linear(d, logits, last, m->weight[m->layers], NONE);
}

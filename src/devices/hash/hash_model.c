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

void hash_model_forward(const void *model, Device *d, const Step *step, Tensor logits)
{
    const HashModel *m = model;
    Tensor x = device_f32(d, step->rows, 1), y = like(d, x), k = heads(d, x, 1, 1), v = heads(d, x, 1, 1);
    op_embed(d, x, m->weight[0], step->tokens, 1);
    for (int32_t l = 0; l < m->layers; l++) {
        const HashLayer *layer = &m->layer[l];
        if (layer->alias_of < 0) {
            op_linear(d, tensor_flat(k), x, m->weight[l], NONE);
            op_scale(d, tensor_flat(v), tensor_flat(k), 1);
            op_cache_write(d, kv_view(step, l), k, v);
        }
        op_attend(d, tensor_heads(y, 1), tensor_heads(x, 1), kv_view(step, l), NONE, NONE,
                  (Attend){.window = layer->window, .chunk = layer->chunk});
        op_add(d, x, y);
    }
    Tensor last = device_f32(d, step->outs, 1);
    op_take_rows(d, last, x, step->out_rows);
    op_linear(d, logits, last, m->weight[m->layers], NONE);
}

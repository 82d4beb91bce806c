#include "model/mlp.h"

static WeightPart half(GateUp layout, bool second, int32_t F)
{
    if (layout == GATE_UP_APART)
        return (WeightPart){0};
    return (WeightPart){.stride = 2 * F, .first = second ? F : 0, .take = F};
}

static const char *name_of(GateUp layout, const char *own, const char *fused)
{
    return layout == GATE_UP_APART ? own : fused;
}

static void *declare(const void *shape, WeightList *list, int layer)
{
    const MlpShape *m = shape;
    MlpWeights *w = part_weights(list, sizeof *w);
    const char *suffix = m->gguf_suffix ? m->gguf_suffix : "";
    WeightName gate = weight_name("blk.%d.ffn_gate", suffix), up = weight_name("blk.%d.ffn_up", suffix),
               down = weight_name("blk.%d.ffn_down", suffix);
    if (m->gated)
        linear_declare(list, &w->gate,
                       (LinearName){.hf_before = m->prefix,
                                    .hf = name_of(m->hf_layout, m->gate, m->up),
                                    .gguf = name_of(m->gguf_layout, gate.text, up.text),
                                    .hf_part = half(m->hf_layout, m->hf_layout == UP_GATE_FUSED, m->F),
                                    .gguf_part = half(m->gguf_layout, m->gguf_layout == UP_GATE_FUSED, m->F),
                                    .hf_transposed = m->hf_transposed},
                       layer, m->F, m->D, m->gate_bias);
    linear_declare(list, &w->up,
                   (LinearName){.hf_before = m->prefix, .hf = m->up, .gguf = up.text,
                                .hf_part = half(m->hf_layout, m->hf_layout == GATE_UP_FUSED, m->F),
                                .gguf_part = half(m->gguf_layout, m->gguf_layout == GATE_UP_FUSED, m->F),
                                .hf_transposed = m->hf_transposed},
                   layer, m->F, m->D, m->up_bias);
    linear_declare(list, &w->down,
                   (LinearName){m->prefix, m->down, down.text, .hf_transposed = m->hf_transposed},
                   layer, m->D, m->F, m->down_bias);
    return w;
}

static void add_sparse(const MlpShape *m, const MlpWeights *w, Device *d, Tensor y, Tensor x)
{
    Tensor gate = device_f32(d, x.dim[0], m->F), up = like(d, gate);
    op_linear(d, gate, x, w->gate.w, w->gate.bias);
    op_linear(d, up, x, w->up.w, w->up.bias);
    op_keep_above(d, gate, gate, m->deviations);
    op_gate(d, gate, gate, up, m->activation);
    op_linear_add(d, y, gate, w->down.w, w->down.bias);
}

static void forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    (void)p, (void)layer;
    const MlpShape *m = shape;
    const MlpWeights *w = weights;
    if (m->sparse) {
        add_sparse(m, w, d, y, x);
        return;
    }
    if (m->gated) {
        op_gated_mlp_add(d, y, x, w->gate.w, w->up.w, w->down.w, w->gate.bias, w->up.bias, w->down.bias, m->activation);
        return;
    }
    Tensor h = device_f32(d, x.dim[0], m->F);
    op_linear(d, h, x, w->up.w, w->up.bias);
    if (m->xielu)
        op_xielu(d, h, h, *m->xielu);
    else
        op_activate(d, h, h, m->activation);
    op_linear_add(d, y, h, w->down.w, w->down.bias);
}

const Part part_mlp = {.label = "mlp", .declare = declare, .forward = forward};

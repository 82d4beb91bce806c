#include "model/short_conv.h"

static int32_t tail_width(const ShortConvShape *m) { return (m->taps - 1) * m->D; }

static void keep(const void *shape, KvLayer *out)
{
    *out = (KvLayer){.kind = KV_STATE, .state_width = tail_width(shape)};
}

static void *declare(const void *shape, WeightList *list, int layer)
{
    const ShortConvShape *m = shape;
    ShortConvWeights *w = part_weights(list, sizeof *w);
    LinearName in = {.hf_before = m->prefix, .hf = "in_proj", .gguf = "blk.%d.shortconv.in_proj"};
    LinearName conv = {.hf_before = m->prefix, .hf = "conv", .gguf = "blk.%d.shortconv.conv"};
    LinearName out = {.hf_before = m->prefix, .hf = "out_proj", .gguf = "blk.%d.shortconv.out_proj"};
    linear_declare(list, &w->in, in, layer, 3 * m->D, m->D, m->bias);
    linear_declare(list, &w->conv, conv, layer, m->D, m->taps, m->bias)->use = USE_VECTOR;
    linear_declare(list, &w->out, out, layer, m->D, m->D, m->bias);
    return w;
}

static void forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const ShortConvShape *m = shape;
    const ShortConvWeights *w = weights;
    Tensor in = device_f32(d, x.dim[0], 3 * m->D);
    Tensor B = tensor_columns(in, 0, m->D), C = tensor_columns(in, m->D, m->D), u = tensor_columns(in, 2 * m->D, m->D);

    op_linear(d, in, x, w->in.w, w->in.bias);
    op_gate(d, u, B, u, IDENTITY);
    op_conv(d, u, u, w->conv.w, w->conv.bias, kv_state(kv_view(p->step, layer), 0, tail_width(m)), IDENTITY);
    op_gate(d, u, C, u, IDENTITY);
    op_linear_add(d, y, u, w->out.w, w->out.bias);
}

const Part part_short_conv = {.label = "conv", .keep = keep, .declare = declare, .forward = forward};

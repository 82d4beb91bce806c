#include "model/moe.h"

const MoeNames moe_names = {
    .router = "mlp.gate",
    .choice_bias = "mlp.gate.e_score_correction_bias",
    .gate = "mlp.experts.%e.gate_proj.weight",
    .up = "mlp.experts.%e.up_proj.weight",
    .down = "mlp.experts.%e.down_proj.weight",
    .shared = "mlp.shared_experts.",
    .shared_gate = "mlp.shared_expert_gate",
};

/* ---- weights ---- */

typedef struct ExpertName { const char *hf, *gguf; } ExpertName;

static WeightDecl *declare_experts(const MoeShape *m, WeightList *list, Tensor *slot, ExpertName n, int layer,
                                   int32_t rows, int32_t width)
{
    WeightDecl *decl = weight_experts(list, slot, weight_name(m->prefix, n.hf).text, n.gguf, layer, m->experts, rows, width);
    decl->read_share = (float)m->used / (float)(m->experts + m->idle);
    return decl;
}

/* gate or up, or its bias (width 0): the rows of `hf` in a checkpoint, a half of it in a GGUF where they are one. */
static void declare_half(const MoeShape *m, WeightList *list, Tensor *slot, ExpertName n, int layer, int32_t width,
                         WeightPart hf, bool second)
{
    WeightDecl *decl = width ? declare_experts(m, list, slot, n, layer, m->F, width)
                             : declare_experts(m, list, slot, n, layer, 0, m->F);
    decl->hf.part = hf;
    decl->hf.transposed = width && m->transposed;
    if (m->gguf_fused && !m->plain)
        decl->gguf.part = (WeightPart){.stride = 2 * m->F, .first = second ? m->F : 0, .take = m->F};
}

static void declare_biases(const MoeShape *m, WeightList *list, MoeWeights *w, int layer)
{
    const char *gate = m->gguf_fused ? "blk.%d.ffn_gate_up_exps.bias" : "blk.%d.ffn_gate_exps.bias";
    const char *up = m->gguf_fused ? "blk.%d.ffn_gate_up_exps.bias" : "blk.%d.ffn_up_exps.bias";
    declare_half(m, list, &w->up_bias, (ExpertName){m->names->up_bias, up}, layer, 0, m->up_part, true);
    if (!m->plain)
        declare_half(m, list, &w->gate_bias, (ExpertName){m->names->gate_bias, gate}, layer, 0, m->gate_part, false);
    declare_experts(m, list, &w->down_bias, (ExpertName){m->names->down_bias, "blk.%d.ffn_down_exps.bias"}, layer, 0, m->D);
}

static void declare_router(const MoeShape *m, WeightList *list, MoeWeights *w, int layer)
{
    int32_t n = m->experts + m->idle;
    linear_declare(list, &w->router,
                   (LinearName){.hf_before = m->prefix, .hf = m->names->router, .gguf = "blk.%d.ffn_gate_inp"}, layer, n,
                   m->D, m->router_bias)
        ->use = USE_EXACT_MATRIX;
    if (m->choice_bias)
        weight_vector(list, &w->choice_bias, weight_name(m->prefix, m->names->choice_bias).text,
                      m->names->choice_bias_gguf ? m->names->choice_bias_gguf : "blk.%d.exp_probs_b.bias", layer, n);
    if (m->gain)
        weight_vector(list, &w->gain, weight_name(m->prefix, m->names->gain).text, "blk.%d.ffn_down_exps.scale",
                      layer, n);
}

static void *declare(const void *shape, WeightList *list, int layer)
{
    const MoeShape *m = shape;
    MoeWeights *w = part_weights(list, sizeof *w);
    const char *gate = m->gguf_fused ? "blk.%d.ffn_gate_up_exps.weight" : "blk.%d.ffn_gate_exps.weight";
    const char *up = m->gguf_fused ? "blk.%d.ffn_gate_up_exps.weight" : "blk.%d.ffn_up_exps.weight";
    declare_router(m, list, w, layer);
    if (!m->plain)
        declare_half(m, list, &w->gate, (ExpertName){m->names->gate, gate}, layer, m->D, m->gate_part, false);
    declare_half(m, list, &w->up, (ExpertName){m->names->up, up}, layer, m->D, m->up_part, true);
    declare_experts(m, list, &w->down, (ExpertName){m->names->down, "blk.%d.ffn_down_exps.weight"}, layer, m->D, m->F)
        ->hf.transposed = m->down_transposed;
    if (m->expert_bias)
        declare_biases(m, list, w, layer);
    if (m->out_bias)
        weight_vector(list, &w->out_bias, weight_name(m->prefix, m->names->out_bias).text, "", layer, m->D);
    if (m->shared.F)
        w->shared = part_mlp.declare(&m->shared, list, layer);
    if (m->shared_gate)
        linear_declare(list, &w->shared_gate,
                       (LinearName){.hf_before = m->prefix, .hf = m->names->shared_gate,
                                    .gguf = "blk.%d.ffn_gate_inp_shexp"},
                       layer, 1, m->D, false)
            ->use = USE_EXACT_MATRIX;
    return w;
}

/* ---- forward ---- */

/* x [rows, heads, width] *= factors [rows, heads] */
static void weigh(Device *d, Tensor x, Tensor factors) { op_gate(d, x, factors, x, IDENTITY); }

/* h = act(gate(x)) * up(x) of each row and expert; what an expert reads is weighed first, if it is: that is as
 * good as weighing what its matrices give. */
static void hidden(const MoeShape *m, const MoeWeights *w, Device *d, Tensor h, Tensor x, Tensor ids, Tensor weights)
{
    Tensor up = m->plain ? h : heads(d, x, m->used, m->F);
    op_expert_linear(d, up, x, w->up, w->up_bias, ids);
    if (m->weighs_input)
        weigh(d, up, weights);
    if (m->plain) {
        op_activate(d, tensor_flat(h), tensor_flat(h), m->activation);
        return;
    }
    op_expert_linear(d, h, x, w->gate, w->gate_bias, ids);
    if (m->weighs_input)
        weigh(d, h, weights);
    if (m->limits.alpha != 0)
        op_limited_gate(d, tensor_flat(h), tensor_flat(h), tensor_flat(up), m->limits);
    else
        op_gate(d, tensor_flat(h), tensor_flat(h), tensor_flat(up), m->activation);
}

void moe_add(const MoeShape *m, const MoeWeights *w, Device *d, Tensor y, Tensor x, Tensor seen)
{
    int32_t rows = x.dim[0];
    Tensor scores = device_f32(d, rows, m->experts + m->idle), weights = device_f32(d, rows, m->used),
           ids = device_tensor(d, &format_i32, rows, m->used);
    op_linear(d, scores, seen, w->router.w, w->router.bias);
    op_route(d, ids, weights, scores, w->choice_bias, w->gain, m->router);
    Tensor h = heads(d, x, m->used, m->F), out = heads(d, x, m->used, m->D);
    hidden(m, w, d, h, x, ids, weights);
    op_expert_linear(d, out, h, w->down, w->down_bias, ids);
    if (m->weighs_input)
        weights = NONE;
    if (m->idle)
        op_combine_or_self(d, y, out, weights, ids, x, m->experts);
    else
        op_combine(d, y, out, weights);
    if (m->out_bias)
        op_add(d, y, w->out_bias);
}

static void add_shared(const MoeShape *m, const MoeWeights *w, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    if (!m->shared_gate) {
        part_mlp.forward(&m->shared, w->shared, d, p, layer, y, x);
        return;
    }
    Tensor part = like(d, x), gate = device_f32(d, x.dim[0], 1);
    op_fill(d, part, 0);
    part_mlp.forward(&m->shared, w->shared, d, p, layer, part, x);
    op_linear(d, gate, x, w->shared_gate.w, NONE);
    op_gate(d, part, gate, part, SIGMOID);
    op_add(d, y, part);
}

static void forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const MoeShape *m = shape;
    const MoeWeights *w = weights;
    size_t mark = device_mark(d);
    moe_add(m, w, d, y, x, x);
    device_release(d, mark);
    if (m->shared.F)
        add_shared(m, w, d, p, layer, y, x);
    device_release(d, mark);
}

const Part part_moe = {.label = "experts", .declare = declare, .forward = forward};

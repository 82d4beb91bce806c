#include "model/long_conv.h"

static LinearName name_of(const char *prefix, const char *name)
{
    return (LinearName){.hf_before = prefix, .hf = name, .gguf = ""};
}

/* Numbers of each channel, kept as F32. */
static WeightDecl *declare_rows(WeightList *list, Tensor *slot, const char *prefix, const char *name, int layer, int32_t rows,
                                int32_t width)
{
    WeightDecl *decl = weight_matrix(list, slot, weight_name(prefix, name).text, "", layer, rows, width);
    decl->use = USE_VECTOR;
    return decl;
}

/* Complex numbers of each channel: a checkpoint has a last dimension of 2 for them. */
static void declare_modes(WeightList *list, Tensor *slot, const char *prefix, const char *name, int layer, int32_t channels,
                          int32_t modes)
{
    declare_rows(list, slot, prefix, name, layer, channels * modes, 2);
}

static Tensor by_channel(Tensor pairs, int32_t modes)
{
    return tensor_is_none(pairs) ? NONE : tensor_of(pairs.data, pairs.format, pairs.dim[0] / modes, 2 * modes);
}

/* ---- a diagonal state space ---- */

typedef struct DiagonalWeights { Tensor dt, a_real, a_imag, c, b; } DiagonalWeights;

static int32_t diagonal_width(const DiagonalShape *m) { return 2 * m->D * m->modes; }

static void diagonal_declare(const DiagonalShape *m, WeightList *list, DiagonalWeights *w, int layer)
{
    WeightDecl *dt = weight_vector(list, &w->dt, weight_name(m->prefix, "log_dt").text, "", layer, m->D);
    dt->hf.map = MAP_MINUS_EXP; /* of which the opposite is meant */
    dt->hf.scale = -1;
    declare_rows(list, &w->a_real, m->prefix, m->a_real, layer, m->spaces, m->modes)->hf.map = MAP_MINUS_EXP;
    declare_rows(list, &w->a_imag, m->prefix, "A_imag", layer, m->spaces, m->modes);
    declare_modes(list, &w->c, m->prefix, "C", layer, m->D, m->modes);
    if (m->input)
        declare_modes(list, &w->b, m->prefix, "B", layer, m->spaces, m->modes);
}

/* y = K * x + skip x; y may be x. */
static void diagonal_run(const DiagonalShape *m, const DiagonalWeights *w, Device *d, Tensor y, Tensor x, Tensor skip,
                         StateView state)
{
    Tensor lambda = device_f32(d, m->D, 2 * m->modes), c = device_f32(d, m->D, 2 * m->modes);
    op_discretise(d, lambda, c, w->dt, w->a_real, w->a_imag, by_channel(w->c, m->modes), by_channel(w->b, m->modes), m->how);
    op_complex_scan(d, y, x, lambda, c, skip, state);
}

/* ---- S4D ---- */

typedef struct S4dWeights { DiagonalWeights space; Tensor skip; Linear value, gate; } S4dWeights;

static void s4d_keep(const void *shape, KvLayer *out)
{
    *out = (KvLayer){.kind = KV_STATE, .state_width = diagonal_width(&((const S4dShape *)shape)->space)};
}

static void *s4d_declare(const void *shape, WeightList *list, int layer)
{
    const S4dShape *m = shape;
    S4dWeights *w = part_weights(list, sizeof *w);
    int32_t D = m->space.D;
    LinearName value = name_of(m->prefix, "output_linear.0"), gate = value;
    diagonal_declare(&m->space, list, &w->space, layer);
    weight_vector(list, &w->skip, weight_name(m->prefix, "D").text, "", layer, D);
    value.hf_part = (WeightPart){2 * D, 0, D};
    gate.hf_part = (WeightPart){2 * D, D, D};
    linear_declare(list, &w->value, value, layer, D, D, true);
    linear_declare(list, &w->gate, gate, layer, D, D, true);
    return w;
}

static void s4d_forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const S4dShape *m = shape;
    const S4dWeights *w = weights;
    Tensor u = like(d, x), value = like(d, x), gate = like(d, x);
    diagonal_run(&m->space, &w->space, d, u, x, w->skip, kv_state(kv_view(p->step, layer), 0, diagonal_width(&m->space)));
    op_activate(d, u, u, m->activation);
    op_linear(d, value, u, w->value.w, w->value.bias);
    op_linear(d, gate, u, w->gate.w, w->gate.bias);
    op_gate(d, value, gate, value, SIGMOID);
    op_add(d, y, value);
}

const Part part_s4d = {.label = "s4d", .keep = s4d_keep, .declare = s4d_declare, .forward = s4d_forward};

/* ---- H3 ---- */

typedef struct H3Weights {
    DiagonalWeights space;
    Linear q, k, v, out;
    Tensor shift_b, shift_c, shift_skip, skip;
} H3Weights;

static int32_t shift_width(const H3Shape *m) { return m->space.D * m->places; }

static void h3_keep(const void *shape, KvLayer *out)
{
    const H3Shape *m = shape;
    *out = (KvLayer){.kind = KV_STATE, .state_width = shift_width(m) + diagonal_width(&m->space)};
}

static void *h3_declare(const void *shape, WeightList *list, int layer)
{
    const H3Shape *m = shape;
    H3Weights *w = part_weights(list, sizeof *w);
    int32_t D = m->space.D;
    linear_declare(list, &w->q, name_of(m->prefix, "q_proj"), layer, D, D, true);
    linear_declare(list, &w->k, name_of(m->prefix, "k_proj"), layer, D, D, true);
    linear_declare(list, &w->v, name_of(m->prefix, "v_proj"), layer, D, D, true);
    linear_declare(list, &w->out, name_of(m->prefix, "output_linear"), layer, D, D, true);
    declare_rows(list, &w->shift_b, m->prefix, "ssm_k_kernel.kernel.B", layer, D, m->places);
    declare_rows(list, &w->shift_c, m->prefix, "ssm_k_kernel.kernel.C", layer, D, m->places);
    weight_vector(list, &w->shift_skip, weight_name(m->prefix, "ssm_k_D").text, "", layer, D);
    weight_vector(list, &w->skip, weight_name(m->prefix, "D").text, "", layer, D);
    diagonal_declare(&m->space, list, &w->space, layer);
    return w;
}

static void h3_forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const H3Shape *m = shape;
    const H3Weights *w = weights;
    const KvView *kv = kv_view(p->step, layer);
    Tensor q = like(d, x), k = like(d, x), v = like(d, x);
    op_linear3(d, q, k, v, x, w->q.w, w->k.w, w->v.w, w->q.bias, w->k.bias, w->v.bias);
    op_shift_scan(d, k, k, w->shift_b, w->shift_c, w->shift_skip, kv_state(kv, 0, shift_width(m)));
    op_gate(d, v, k, v, IDENTITY);
    diagonal_run(&m->space, &w->space, d, v, v, w->skip, kv_state(kv, shift_width(m), diagonal_width(&m->space)));
    op_gate(d, v, q, v, IDENTITY);
    op_linear_add(d, y, v, w->out.w, w->out.bias);
}

const Part part_h3 = {.label = "h3", .keep = h3_keep, .declare = h3_declare, .forward = h3_forward};

/* ---- Hyena ---- */

enum { THE_Q, THE_K, THE_V, THIRDS };

typedef struct HyenaWeights {
    Linear in[THIRDS], out;
    Tensor taps[THIRDS], taps_bias[THIRDS], poles, residues, skip;
} HyenaWeights;

static int32_t tail_width(const HyenaShape *m) { return (m->taps - 1) * m->D; }     /* of q, of k, of v */
static int32_t modes_width(const HyenaShape *m) { return 2 * m->D * m->modes; }

static void hyena_keep(const void *shape, KvLayer *out)
{
    const HyenaShape *m = shape;
    *out = (KvLayer){.kind = KV_STATE, .state_width = THIRDS * tail_width(m) + modes_width(m)};
}

static void *hyena_declare(const void *shape, WeightList *list, int layer)
{
    const HyenaShape *m = shape;
    HyenaWeights *w = part_weights(list, sizeof *w);
    int32_t each = m->by_head ? m->D / m->heads : m->D;
    for (int i = 0; i < THIRDS; i++) {
        LinearName in = name_of(m->prefix, "projections");
        in.hf_part = (WeightPart){THIRDS * each, i * each, each};
        linear_declare(list, &w->in[i], in, layer, m->D, m->D, true);
        declare_rows(list, &w->taps[i], m->prefix, "filter.short_filter_weight", layer, m->D, m->taps)->hf.part = in.hf_part;
        if (m->taps_bias)
            weight_vector(list, &w->taps_bias[i], weight_name(m->prefix, "filter.short_filter_bias").text, "", layer, m->D)
                ->hf.part = in.hf_part;
    }
    declare_modes(list, &w->poles, m->prefix, "filter.poles", layer, m->D, m->modes);
    declare_modes(list, &w->residues, m->prefix, "filter.residues", layer, m->D, m->modes);
    weight_vector(list, &w->skip, weight_name(m->prefix, "filter.D").text, "", layer, m->D);
    linear_declare(list, &w->out, name_of(m->prefix, "out_filter_dense"), layer, m->D, m->D, true);
    return w;
}

static void hyena_forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const HyenaShape *m = shape;
    const HyenaWeights *w = weights;
    const KvView *kv = kv_view(p->step, layer);
    Tensor u[THIRDS] = {like(d, x), like(d, x), like(d, x)}, v = u[THE_V];
    op_linear3(d, u[THE_Q], u[THE_K], v, x, w->in[THE_Q].w, w->in[THE_K].w, w->in[THE_V].w, w->in[THE_Q].bias,
               w->in[THE_K].bias, w->in[THE_V].bias);
    for (int i = 0; i < THIRDS; i++)
        op_conv(d, u[i], u[i], w->taps[i], w->taps_bias[i], kv_state(kv, i * tail_width(m), tail_width(m)), IDENTITY);
    op_gate(d, v, u[THE_K], v, IDENTITY);
    op_complex_scan(d, v, v, by_channel(w->poles, m->modes), by_channel(w->residues, m->modes), w->skip,
                    kv_state(kv, THIRDS * tail_width(m), modes_width(m)));
    op_gate(d, v, u[THE_Q], v, IDENTITY);
    op_linear_add(d, y, v, w->out.w, w->out.bias);
}

const Part part_hyena = {.label = "hyena", .keep = hyena_keep, .declare = hyena_declare, .forward = hyena_forward};

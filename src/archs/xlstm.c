/* xlstm.c -- xLSTM of matrix memories (Beck et al. 2024, "xLSTM"; 2025, "xLSTM 7B").
 *
 *     q, k, v, o = x Wq / sqrt N, x Wk, x Wv, x Wo           [rows, heads, N] twice, [rows, heads, P] twice
 *     i, f       = cap tanh((x W + b) / cap)                 [rows, heads]: the gates of mlstm_scan
 *     x         += (norm(mlstm(q, k, v, i, f)) * sigmoid(o)) Wout
 *     x         += an mlp with a SiLU gate
 *
 * The norm behind the scan is a layer norm of each head. A state of fixed size is all that is kept of a sequence.
 * GGUF has no name for the family.
 */
#include <math.h>
#include <string.h>

#include "model/decoder.h"

enum { HEADS_MAX = 1 << 12, ROUND_MAX = 1 << 16, CONTEXT = 8192, STATE_WIDTH_MAX = 1 << 28 };

typedef struct XlstmShape {
    int32_t D, heads, N, P;
    float gate_cap, eps;         /* eps: of the scan's divisor */
    NormShape norm;              /* of heads */
    bool bias, fused;            /* fused: q, k, v and o are one tensor, i and f another */
} XlstmShape;

typedef struct XlstmWeights {
    Linear q, k, v, o, input, forget, out;
    Norm norm;
} XlstmWeights;

static int32_t state_width(const XlstmShape *m) { return m->heads * (m->N * m->P + m->N + 1); }

static void keep(const void *shape, KvLayer *out)
{
    *out = (KvLayer){.kind = KV_STATE, .state_width = state_width(shape)};
}

/* ---- weights ---- */

/* Rows from `first` on of the fused tensor, or a tensor of its own. */
static void declare_rows(const XlstmShape *m, WeightList *list, Linear *w, const char *own, const char *fused, int layer,
                         int32_t rows, int32_t first, int32_t all, bool bias)
{
    LinearName name = {.hf_before = "backbone.blocks.%d.mlstm_layer.", .hf = m->fused ? fused : own, .gguf = ""};
    if (m->fused)
        name.hf_part = (WeightPart){all, first, rows};
    linear_declare(list, w, name, layer, rows, m->D, bias);
}

static void *declare(const void *shape, WeightList *list, int layer)
{
    const XlstmShape *m = shape;
    XlstmWeights *w = part_weights(list, sizeof *w);
    int32_t qk = m->heads * m->N, v = m->heads * m->P, all = 2 * (qk + v);
    declare_rows(m, list, &w->q, "q", "qkv_opreact", layer, qk, 0, all, m->bias);
    declare_rows(m, list, &w->k, "k", "qkv_opreact", layer, qk, qk, all, m->bias);
    declare_rows(m, list, &w->v, "v", "qkv_opreact", layer, v, 2 * qk, all, m->bias);
    declare_rows(m, list, &w->o, "ogate_preact", "qkv_opreact", layer, v, 2 * qk + v, all, m->bias);
    declare_rows(m, list, &w->input, "igate_preact", "ifgate_preact", layer, m->heads, 0, 2 * m->heads, true);
    declare_rows(m, list, &w->forget, "fgate_preact", "ifgate_preact", layer, m->heads, m->heads, 2 * m->heads, true);
    norm_declare(&m->norm, list, &w->norm, "backbone.blocks.%d.mlstm_layer.multihead_norm", "", layer, v);
    LinearName out = {.hf_before = "backbone.blocks.%d.mlstm_layer.", .hf = "out_proj", .gguf = ""};
    linear_declare(list, &w->out, out, layer, m->D, v, m->bias);
    return w;
}

/* ---- forward ---- */

static Tensor gate(const XlstmShape *m, const Linear *w, Device *d, Tensor x)
{
    Tensor y = device_f32(d, x.dim[0], m->heads);
    op_linear(d, y, x, w->w, w->bias);
    if (m->gate_cap == 0)
        return y;
    op_scale(d, y, y, 1 / m->gate_cap);
    op_activate(d, y, y, TANH);
    op_scale(d, y, y, m->gate_cap);
    return y;
}

static void norm_heads(const XlstmShape *m, const Norm *w, Device *d, Tensor x)
{
    op_layer_norm(d, x, x, NONE, NONE, m->norm.eps);
    op_gate(d, tensor_flat(x), w->gain, tensor_flat(x), IDENTITY);
    if (m->norm.bias)
        op_add(d, tensor_flat(x), w->bias);
}

static void forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const XlstmShape *m = shape;
    const XlstmWeights *w = weights;
    Tensor q = heads(d, x, m->heads, m->N), k = heads(d, x, m->heads, m->N), v = heads(d, x, m->heads, m->P);
    Tensor o = device_f32(d, x.dim[0], m->heads * m->P), input = gate(m, &w->input, d, x), forget = gate(m, &w->forget, d, x);

    op_linear3(d, tensor_flat(q), tensor_flat(k), tensor_flat(v), x, w->q.w, w->k.w, w->v.w, w->q.bias, w->k.bias, w->v.bias);
    op_linear(d, o, x, w->o.w, w->o.bias);
    op_scale(d, tensor_flat(q), tensor_flat(q), 1 / sqrtf((float)m->N));
    op_mlstm_scan(d, v, q, k, v, input, forget, kv_state(kv_view(p->step, layer), 0, state_width(m)), m->eps);
    norm_heads(m, &w->norm, d, v);
    op_gate(d, o, o, tensor_flat(v), SIGMOID);
    op_linear_add(d, y, o, w->out.w, w->out.bias);
}

static const Part part_mlstm = {.label = "mlstm", .keep = keep, .declare = declare, .forward = forward};

/* ---- config ---- */

static const DecoderNames names = {
    .layer = "backbone.blocks.%d.", .embed = "backbone.embeddings", .norm = "backbone.out_norm", .head = "lm_head",
    .mlp = "ffn.", .gate = "proj_up_gate", .up = "proj_up", .down = "proj_down",
};

/* A width that is given as a part of D, and shared by the heads. */
static Err read_head_width(const Keys *k, const char *key, float otherwise, const XlstmShape *m, int32_t *out, Error *err)
{
    float factor;
    TRY(keys_float_or(k, key, NULL, 0, 16, otherwise, &factor, err));
    int32_t width = (int32_t)((double)m->D * factor);
    if (width < m->heads || width % m->heads)
        return fail(err, BAD_FILE, "%s: %s makes %d values, which %d heads cannot share evenly", k->where, key, width,
                    m->heads);
    *out = width / m->heads;
    return OK;
}

static Err read_memory(const Keys *k, const ModelShape *s, XlstmShape *m, Error *err)
{
    char mode[16];
    m->D = s->D;
    TRY(keys_int_or(k, "num_heads", NULL, 1, HEADS_MAX, 8, &m->heads, err));
    TRY(read_head_width(k, "qk_dim_factor", 0.5f, m, &m->N, err));
    TRY(read_head_width(k, "v_dim_factor", 1, m, &m->P, err));
    TRY(keys_float_or(k, "gate_soft_cap", NULL, 0, 1e6, 15, &m->gate_cap, err));
    TRY(keys_float_or(k, "eps", NULL, 0, 1, 1e-6f, &m->eps, err));
    TRY(keys_bool_or(k, "use_bias", NULL, false, &m->bias, err));
    TRY(keys_text_or(k, "weight_mode", NULL, "single", mode, sizeof mode, err));
    m->fused = !strcmp(mode, "fused");
    if (!m->fused && strcmp(mode, "single"))
        return fail(err, UNSUPPORTED, "%s: weight_mode '%s' is one that ridge does not know; it knows single and fused",
                    k->where, mode);
    m->norm = (NormShape){.kind = NORM_LAYER, .bias = m->bias, .eps = s->eps};
    if ((int64_t)m->heads * m->P * (m->N + 1) + (int64_t)m->heads * (m->N + 1) > STATE_WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: %d heads of %d by %d are a larger state than ridge's limit of %d numbers", k->where,
                    m->heads, m->N, m->P, STATE_WIDTH_MAX);
    return OK;
}

static Err read_mlp(const Keys *k, ModelShape *s, Error *err)
{
    float factor;
    int32_t multiple;
    TRY(keys_float_or(k, "ffn_proj_factor", NULL, 0, 64, 2.667f, &factor, err));
    TRY(keys_int_or(k, "ffn_round_up_to_multiple_of", NULL, 1, ROUND_MAX, 64, &multiple, err));
    double width = (double)s->D * factor;
    s->F = (int32_t)floor((width + multiple - 1) / multiple) * multiple;
    if (s->F < 1)
        return fail(err, BAD_FILE, "%s: ffn_proj_factor %g leaves the mlp no width", k->where, (double)factor);
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool out_norm;
    XlstmShape *memory = ARENA_NEW(arena, XlstmShape);
    if (!memory)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    s->eps = 1e-6f;
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.names = &names, .no_attention = true}, &m, err));
    TRY(read_memory(k, s, memory, err));
    TRY(read_mlp(k, s, err));
    TRY(keys_float_or(k, "output_logit_soft_cap", NULL, 0, 1e6, 30, &m->logit_cap, err));
    m->norm.bias = memory->bias;
    TRY(keys_bool_or(k, "add_out_norm", NULL, true, &out_norm, err));
    if (!out_norm)
        return fail(err, UNSUPPORTED, "%s: add_out_norm false is a variant of family '%s' that ridge does not know",
                    k->where, k->family);
    s->context = CONTEXT;
    for (int l = 0; l < s->L; l++) {
        MlpShape *mlp = &m->layer[l].mlp;
        mlp->F = s->F;
        mlp->gate_bias = mlp->up_bias = mlp->down_bias = memory->bias;
        if (memory->fused)
            mlp->hf_layout = GATE_UP_FUSED, mlp->up = "proj_up_gate_z";
        decoder_stage(&m->layer[l], 0, 1,
                      &(Branch){.part = &part_mlstm, .shape = memory, .pre = "norm_mlstm", .pre_gguf = ""});
        decoder_stage(&m->layer[l], 1, 1, &(Branch){.part = &part_mlp, .shape = mlp, .pre = "norm_ffn", .pre_gguf = ""});
    }
    return OK;
}

const Arch arch_xlstm = {
    .names = {"xlstm"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
};

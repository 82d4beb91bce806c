#include "model/mamba.h"

#include <stdio.h>

#include "base/checked.h"
#include "model/decoder.h"

enum { WIDTH_MAX = 1 << 20, STATES_MAX = 1 << 12, TAPS_MAX = 1 << 10, STATE_WIDTH_MAX = 1 << 28 };

const DecoderNames mamba_hybrid_names = {
    .layer = "model.layers.%d.",
    .embed = "model.embed_tokens", .norm = "model.final_layernorm", .head = "lm_head",
    .pre_attention = "input_layernorm", .pre_mlp = "pre_ff_layernorm",
    .attention = &attention_names,
    .mlp = "feed_forward.", .gate = "gate_proj", .up = "up_proj", .down = "down_proj",
};

static int64_t tail_width(const MambaShape *m) { return (int64_t)(m->taps - 1) * m->width; }
static int64_t state_width(const MambaShape *m) { return tail_width(m) + (int64_t)m->states * m->width; }

static void keep(const void *shape, KvLayer *out)
{
    *out = (KvLayer){.kind = KV_STATE, .state_width = (int32_t)state_width(shape)};
}

/* ---- weights ---- */

/* Rows of head h where those of all heads lie in one tensor. */
static WeightPart head_part(const MambaShape *m, int h, int32_t rows)
{
    return m->heads == 1 ? (WeightPart){0} : (WeightPart){m->heads * rows, h * rows, rows};
}

static WeightName own_name(const MambaShape *m, const char *plain, const char *of_heads)
{
    return weight_name(m->prefix, m->head_names ? of_heads : plain);
}

static void declare_heads(const MambaShape *m, WeightList *list, MambaWeights *w, int layer)
{
    int32_t width = m->width / m->heads, low = m->rank + 2 * m->states;
    for (int h = 0; h < m->heads; h++) {
        WeightPart of_x = head_part(m, h, low), of_dt = head_part(m, h, width);
        WeightDecl *x = weight_matrix(list, &w->x[h].w, own_name(m, "x_proj.weight", "x_proj_weight").text,
                                      "blk.%d.ssm_x.weight", layer, low, width);
        x->hf.part = x->gguf.part = of_x;
        x->use = USE_EXACT_MATRIX; /* small, and what the steps rest on: llama.cpp quantises neither */
        WeightDecl *dt = weight_matrix(list, &w->dt[h].w, own_name(m, "dt_proj.weight", "dt_proj_weight").text,
                                       "blk.%d.ssm_dt.weight", layer, width, m->rank);
        dt->hf.part = dt->gguf.part = of_dt;
        dt->use = USE_EXACT_MATRIX;
        WeightDecl *bias = weight_vector(list, &w->dt[h].bias, own_name(m, "dt_proj.bias", "dt_proj_bias").text,
                                         "blk.%d.ssm_dt.bias", layer, width);
        bias->hf.part = bias->gguf.part = of_dt;
    }
}

static void declare_norms(const MambaShape *m, WeightList *list, MambaWeights *w, int layer)
{
    weight_vector(list, &w->dt_norm, weight_name(m->prefix, "dt_layernorm.weight").text, "blk.%d.ssm_dt_norm.weight",
                  layer, m->rank);
    weight_vector(list, &w->b_norm, weight_name(m->prefix, "b_layernorm.weight").text, "blk.%d.ssm_b_norm.weight",
                  layer, m->states);
    weight_vector(list, &w->c_norm, weight_name(m->prefix, "c_layernorm.weight").text, "blk.%d.ssm_c_norm.weight",
                  layer, m->states);
}

static void *declare(const void *shape, WeightList *list, int layer)
{
    const MambaShape *m = shape;
    MambaWeights *w = part_weights(list, sizeof *w);
    LinearName in_name = {.hf_before = m->prefix, .hf = "in_proj", .gguf = "blk.%d.ssm_in"};
    if (m->in_interleaved)
        in_name.hf_groups = (WeightGroups){.groups = 2, .heads = m->width, .width = 1};
    LinearName out_name = {.hf_before = m->prefix, .hf = "out_proj", .gguf = "blk.%d.ssm_out"};
    linear_declare(list, &w->in, in_name, layer, 2 * m->width, m->D, m->proj_bias);
    weight_matrix(list, &w->conv, weight_name(m->prefix, "conv1d.weight").text, "blk.%d.ssm_conv1d.weight", layer,
                  m->width, m->taps)
        ->use = USE_VECTOR;
    if (m->conv_bias)
        weight_vector(list, &w->conv_bias, weight_name(m->prefix, "conv1d.bias").text, "blk.%d.ssm_conv1d.bias", layer,
                      m->width);
    declare_heads(m, list, w, layer);
    if (m->norm == MAMBA_NORM_GAIN)
        declare_norms(m, list, w, layer);
    WeightDecl *A = weight_matrix(list, &w->A, weight_name(m->prefix, "A_log").text, "blk.%d.ssm_a", layer, m->width,
                                  m->states);
    A->use = USE_VECTOR;
    A->hf.map = MAP_MINUS_EXP;
    weight_vector(list, &w->D, weight_name(m->prefix, "D").text, "blk.%d.ssm_d", layer, m->width);
    linear_declare(list, &w->out, out_name, layer, m->D, m->width, m->proj_bias);
    return w;
}

/* ---- forward ---- */

static void norm(const MambaShape *m, Device *d, Tensor x, Tensor gain)
{
    if (m->norm != MAMBA_NORM_NONE)
        op_rms_norm(d, x, x, gain, m->norm_eps);
}

/* The columns of head h: u goes in, y comes out, in the same place. */
static void scan_head(const MambaShape *m, const MambaWeights *w, Device *d, const KvView *kv, int h, Tensor u)
{
    int32_t width = m->width / m->heads;
    int64_t state = tail_width(m) + (int64_t)h * m->states * width;
    Tensor mine = tensor_columns(u, h * width, width), step = device_f32(d, u.dim[0], width);
    Tensor low = device_f32(d, u.dim[0], m->rank + 2 * m->states);
    Tensor dt = tensor_columns(low, 0, m->rank), B = tensor_columns(low, m->rank, m->states),
           C = tensor_columns(low, m->rank + m->states, m->states);

    op_linear(d, low, mine, w->x[h].w, NONE);
    norm(m, d, dt, w->dt_norm);
    norm(m, d, B, w->b_norm);
    norm(m, d, C, w->c_norm);
    op_linear(d, step, dt, w->dt[h].w, w->dt[h].bias);
    op_activate(d, step, step, SOFTPLUS);
    op_selective_scan(d, mine, mine, step, B, C, tensor_rows(w->A, h * width, width), tensor_columns(w->D, h * width, width),
                      kv_state(kv, (int32_t)state, m->states * width));
}

static void forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const MambaShape *m = shape;
    const MambaWeights *w = weights;
    const KvView *kv = kv_view(p->step, layer);
    Tensor in = device_f32(d, x.dim[0], 2 * m->width);
    Tensor u = tensor_columns(in, 0, m->width), z = tensor_columns(in, m->width, m->width);

    op_linear(d, in, x, w->in.w, w->in.bias);
    op_conv(d, u, u, w->conv, w->conv_bias, kv_state(kv, 0, (int32_t)tail_width(m)), m->activation);
    for (int h = 0; h < m->heads; h++) {
        size_t mark = device_mark(d);
        scan_head(m, w, d, kv, h, u);
        device_release(d, mark);
    }
    op_gate(d, u, z, u, SILU);
    op_linear_add(d, y, u, w->out.w, w->out.bias);
}

const Part part_mamba = {.label = "mamba", .keep = keep, .declare = declare, .forward = forward};

/* ---- config ---- */

static Err read_width(const Keys *k, MambaShape *m, Error *err)
{
    if (keys_are_gguf(k))
        return keys_int(k, NULL, "ssm.inner_size", 1, WIDTH_MAX, &m->width, err);
    int32_t times;
    TRY(keys_int_or(k, "expand|mamba_expand", NULL, 1, WIDTH_MAX / m->D, 2, &times, err));
    m->width = m->width ? m->width : times * m->D;
    keys_record_int(k, "ssm.inner_size", m->width);
    return OK;
}

Err mamba_read(const Keys *k, const ModelShape *s, const char *activation, MambaShape *m, Error *err)
{
    m->D = s->D;
    m->heads = m->heads ? m->heads : 1;
    TRY(read_width(k, m, err));
    TRY(keys_int_or(k, "state_size|mamba_d_state", "ssm.state_size", 1, STATES_MAX, 16, &m->states, err));
    TRY(keys_int_or(k, "conv_kernel|mamba_d_conv", "ssm.conv_kernel", 1, TAPS_MAX, 4, &m->taps, err));
    TRY(keys_int_or_auto(k, "time_step_rank|mamba_dt_rank", "ssm.time_step_rank", 1, WIDTH_MAX,
                         (int32_t)ceil_div(s->D, 16), &m->rank, err));
    TRY(keys_bool_or(k, "use_conv_bias|mamba_conv_bias", NULL, true, &m->conv_bias, err));
    TRY(keys_bool_or(k, "use_bias|mamba_proj_bias", NULL, false, &m->proj_bias, err));
    TRY(activation_read(k, activation, SILU, &m->activation, err));
    if (!m->conv_bias || m->proj_bias || m->activation != SILU)
        TRY(keys_record_nothing(k, "a Mamba layer with other biases, or another activation, than usual", err));
    if (m->heads > MAMBA_HEADS_MAX || m->width % m->heads)
        return fail(err, BAD_FILE, "%s: %d heads cannot share a width of %d evenly; ridge takes at most %d", k->where,
                    m->heads, m->width, MAMBA_HEADS_MAX);
    if (state_width(m) > STATE_WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: a state of %lld numbers per layer is more than ridge's limit of %d", k->where,
                    (long long)state_width(m), STATE_WIDTH_MAX);
    return OK;
}

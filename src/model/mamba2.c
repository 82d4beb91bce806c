#include "model/mamba2.h"

#include <math.h>
#include <stdio.h>

#include "model/decoder.h"

enum { WIDTH_MAX = 1 << 20, TAPS_MAX = 1 << 10, STATE_WIDTH_MAX = 1 << 28 };

static int32_t inner_width(const Mamba2Shape *m) { return m->heads * m->P; }
static int32_t conv_width(const Mamba2Shape *m) { return inner_width(m) + 2 * m->groups * m->states; }
static int64_t tail_width(const Mamba2Shape *m) { return (int64_t)(m->taps - 1) * conv_width(m); }
static int64_t scan_width(const Mamba2Shape *m) { return (int64_t)inner_width(m) * m->states; }

static void keep(const void *shape, KvLayer *out)
{
    *out = (KvLayer){.kind = KV_STATE, .state_width = (int32_t)(tail_width(shape) + scan_width(shape))};
}

/* ---- weights ---- */

/* A number for each head; llama.cpp wants it as a matrix of one column. */
static WeightDecl *head_vector(const Mamba2Shape *m, WeightList *list, Tensor *slot, const char *hf, const char *gguf,
                               int layer)
{
    WeightDecl *decl = weight_vector(list, slot, weight_name(m->prefix, hf).text, gguf, layer, m->heads);
    decl->gguf.dim[0] = m->heads;
    decl->gguf.dim[1] = 1;
    return decl;
}

static void *declare(const void *shape, WeightList *list, int layer)
{
    const Mamba2Shape *m = shape;
    Mamba2Weights *w = part_weights(list, sizeof *w);
    int32_t width = inner_width(m), conv = conv_width(m);
    LinearName in_name = {.hf_before = m->prefix, .hf = "in_proj", .gguf = "blk.%d.ssm_in"};
    LinearName out_name = {.hf_before = m->prefix, .hf = "out_proj", .gguf = "blk.%d.ssm_out"};
    linear_declare(list, &w->in, in_name, layer, width + conv + m->heads, m->D, m->in_bias);
    weight_matrix(list, &w->conv, weight_name(m->prefix, "conv1d.weight").text, "blk.%d.ssm_conv1d.weight", layer, conv,
                  m->taps)
        ->use = USE_VECTOR;
    if (m->conv_bias)
        weight_vector(list, &w->conv_bias, weight_name(m->prefix, "conv1d.bias").text, "blk.%d.ssm_conv1d.bias", layer,
                      conv);
    weight_vector(list, &w->dt_bias, weight_name(m->prefix, "dt_bias").text, "blk.%d.ssm_dt.bias", layer, m->heads);
    head_vector(m, list, &w->A, "A_log", "blk.%d.ssm_a", layer)->hf.map = MAP_MINUS_EXP;
    head_vector(m, list, &w->D, "D", "blk.%d.ssm_d", layer);
    if (m->norm != MAMBA2_GATE_ONLY) {
        WeightDecl *norm = weight_vector(list, &w->norm, weight_name(m->prefix, "norm.weight").text,
                                         "blk.%d.ssm_norm.weight", layer, width);
        norm->gguf.dim[0] = m->norm_groups;
        norm->gguf.dim[1] = width / m->norm_groups;
    }
    linear_declare(list, &w->out, out_name, layer, m->D, width, m->out_bias);
    return w;
}

/* ---- forward ---- */

/* y = scan(u) + D u.   u, y: [rows, heads, P]; B, C: [rows, groups, N]; dt: [rows, heads], before the bias */
static void scan(const Mamba2Shape *m, const Mamba2Weights *w, Device *d, StateView state, Tensor y, Tensor u, Tensor B,
                 Tensor C, Tensor dt)
{
    Tensor decay = like(d, dt), v = heads(d, u, m->heads, m->P);
    op_add(d, dt, w->dt_bias);
    op_activate(d, dt, dt, SOFTPLUS);
    if (m->dt_min > 0 || m->dt_max < INFINITY)
        op_clamp(d, dt, dt, m->dt_min, m->dt_max);
    op_gate(d, decay, w->A, dt, IDENTITY);
    op_activate(d, decay, decay, EXP);
    op_gate(d, v, dt, u, IDENTITY);
    op_decay_scan(d, y, C, B, v, decay, state);
    op_gate(d, v, w->D, u, IDENTITY);
    op_add(d, y, v);
}

static void gate_and_norm(const Mamba2Shape *m, const Mamba2Weights *w, Device *d, Tensor y, Tensor z)
{
    Tensor groups = tensor_heads(y, m->norm_groups);
    if (m->norm == MAMBA2_NORM_GATE)
        op_rms_norm(d, groups, groups, w->norm, m->norm_eps);
    op_gate(d, y, z, y, SILU);
    if (m->norm == MAMBA2_GATE_NORM)
        op_rms_norm(d, groups, groups, w->norm, m->norm_eps);
}

static void forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const Mamba2Shape *m = shape;
    const Mamba2Weights *w = weights;
    const KvView *kv = kv_view(p->step, layer);
    int32_t width = inner_width(m), conv = conv_width(m), shared = m->groups * m->states;
    Tensor in = device_f32(d, x.dim[0], width + conv + m->heads), scanned = heads(d, x, m->heads, m->P);
    Tensor z = tensor_columns(in, 0, width), uBC = tensor_columns(in, width, conv);
    Tensor dt = tensor_columns(in, width + conv, m->heads), u = tensor_columns(uBC, 0, width);
    Tensor B = tensor_columns(uBC, width, shared), C = tensor_columns(uBC, width + shared, shared);

    op_linear(d, in, x, w->in.w, w->in.bias);
    op_conv(d, uBC, uBC, w->conv, w->conv_bias, kv_state(kv, 0, (int32_t)tail_width(m)), m->activation);
    scan(m, w, d, kv_state(kv, (int32_t)tail_width(m), (int32_t)scan_width(m)), scanned, tensor_heads(u, m->heads),
         tensor_heads(B, m->groups), tensor_heads(C, m->groups), dt);
    gate_and_norm(m, w, d, tensor_flat(scanned), z);
    op_linear_add(d, y, tensor_flat(scanned), w->out.w, w->out.bias);
}

const Part part_mamba2 = {.label = "mamba2", .keep = keep, .declare = declare, .forward = forward};

/* ---- config ---- */

/* Heads of P values: P may be left to follow from the width, which a GGUF gives instead. */
static Err read_heads(const Keys *k, const ModelShape *s, Mamba2Shape *m, Error *err)
{
    int32_t width, times;
    TRY(keys_int(k, "mamba_n_heads|mamba_num_heads|n_mamba_heads|num_heads", "ssm.time_step_rank", 1, WIDTH_MAX, &m->heads,
                 err));
    TRY(keys_int_or(k, "mamba_expand|expand", NULL, 1, WIDTH_MAX / s->D, 2, &times, err));
    if (keys_are_gguf(k))
        TRY(keys_int(k, NULL, "ssm.inner_size", 1, WIDTH_MAX, &width, err));
    else
        TRY(keys_int_or(k, "mamba_d_ssm", NULL, 1, WIDTH_MAX, times * s->D, &width, err));
    TRY(keys_int_or_auto(k, "mamba_d_head|mamba_head_dim|mamba_headdim|head_dim", NULL, 1, WIDTH_MAX / m->heads,
                         width / m->heads, &m->P, err));
    bool width_is_said = keys_have(k, "mamba_d_ssm", "ssm.inner_size") || m->P == width / m->heads;
    if (width_is_said && width != inner_width(m))
        return fail(err, BAD_FILE, "%s: %d heads of %d are not %d values, which the state space should have by hidden_size",
                    k->where, m->heads, m->P, width);
    keys_record_int(k, "ssm.inner_size", inner_width(m));
    return OK;
}

/* GGUF has no word for them: the key is ridge's own, and only where there is a limit. */
static Err read_limits(const Keys *k, Mamba2Shape *m, Error *err)
{
    const char *gguf = "ssm.time_step_limit";
    float limits[2] = {0, INFINITY};
    if (m->least_step && !keys_are_gguf(k))
        TRY(keys_float_or(k, "time_step_min", NULL, 0, 1e6, 1e-3f, &limits[0], err));
    else if (keys_have(k, "time_step_limit", gguf))
        TRY(keys_floats_or(k, "time_step_limit", keys_are_gguf(k) ? gguf : NULL, 0, INFINITY, 0, limits, 2, err));
    m->dt_min = limits[0];
    m->dt_max = limits[1];
    if (m->dt_min > m->dt_max)
        return fail(err, BAD_FILE, "%s: time_step_limit goes from %g down to %g", k->where, (double)m->dt_min,
                    (double)m->dt_max);
    if (m->dt_min > 0 || m->dt_max < INFINITY)
        keys_record_floats(k, gguf, limits, 2);
    return OK;
}

static Err read_norm_groups(const Keys *k, const ModelShape *s, Mamba2Shape *m, Error *err)
{
    const StoreTensor *norm = NULL;
    char name[64];
    for (int l = 0; l < s->L && !norm && keys_are_gguf(k); l++) {
        snprintf(name, sizeof name, "blk.%d.ssm_norm.weight", l);
        norm = store_find(k->store, name);
    }
    if (norm && norm->dims == 2 && norm->dim[0] > 0 && norm->dim[0] <= m->groups)
        m->norm_groups = (int32_t)norm->dim[0];
    if (inner_width(m) % m->norm_groups)
        return fail(err, BAD_FILE, "%s: %d groups cannot divide a width of %d", k->where, m->norm_groups, inner_width(m));
    return OK;
}

Err mamba2_read(const Keys *k, const ModelShape *s, const char *activation, Mamba2Shape *m, Error *err)
{
    m->D = s->D;
    TRY(read_heads(k, s, m, err));
    TRY(read_limits(k, m, err));
    TRY(keys_int_or(k, "mamba_n_groups|mamba_ngroups|n_groups", "ssm.group_count", 1, WIDTH_MAX, 1, &m->groups, err));
    TRY(keys_int(k, "mamba_d_state|ssm_state_size|state_size", "ssm.state_size", 1, WIDTH_MAX, &m->states, err));
    TRY(keys_int_or(k, "mamba_d_conv|conv_kernel", "ssm.conv_kernel", 1, TAPS_MAX, 4, &m->taps, err));
    TRY(keys_bool_or(k, "mamba_conv_bias|use_conv_bias", NULL, true, &m->conv_bias, err));
    TRY(keys_bool_or(k, "use_bias|mamba_proj_bias|add_bias_linear", NULL, false, &m->in_bias, err));
    m->out_bias = m->in_bias;
    TRY(activation_read(k, activation, SILU, &m->activation, err));
    if (!m->conv_bias || m->in_bias || m->activation != SILU)
        TRY(keys_record_nothing(k, "a Mamba-2 layer with other biases, or another activation, than usual", err));
    if (m->heads % m->groups)
        return fail(err, BAD_FILE, "%s: %d groups cannot share %d heads evenly", k->where, m->groups, m->heads);
    m->norm_groups = m->norm_groups ? m->norm_groups : m->groups;
    TRY(read_norm_groups(k, s, m, err));
    if ((int64_t)m->groups * m->states > WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: %d groups of %d states are more than ridge's limit of %d", k->where, m->groups,
                    m->states, WIDTH_MAX);
    if (tail_width(m) + scan_width(m) > STATE_WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: a state of %lld numbers per layer is more than ridge's limit of %d", k->where,
                    (long long)(tail_width(m) + scan_width(m)), STATE_WIDTH_MAX);
    return OK;
}

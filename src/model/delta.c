#include "model/delta.h"

#include <math.h>
#include <string.h>

enum { WIDTH_MAX = 1 << 20, HEADS_MAX = 1 << 14, TAPS_MAX = 1 << 10 };
static const int64_t STATE_WIDTH_MAX = 1 << 28;
static const float UNIT_EPS = 1e-6f;     /* added to |q|^2 and |k|^2; no config says it */

static int64_t keys_width(const DeltaShape *m) { return (int64_t)m->key_heads * m->N; }
static int64_t values_width(const DeltaShape *m) { return (int64_t)m->heads * m->P; }
static int64_t matrix_width(const DeltaShape *m) { return (int64_t)m->heads * m->N * m->P; }
int64_t delta_channels(const DeltaShape *m) { return 2 * keys_width(m) + values_width(m); }
static int64_t tail_width(const DeltaShape *m) { return (m->taps - 1) * delta_channels(m); }

static void keep(const void *shape, KvLayer *out)
{
    *out = (KvLayer){.kind = KV_STATE, .state_width = (int32_t)(tail_width(shape) + matrix_width(shape))};
}

/* ---- weights ---- */

static int32_t input_rows(const DeltaShape *m, DeltaInput i)
{
    const int64_t rows[DELTA_INPUTS] = {
        keys_width(m), keys_width(m), values_width(m), values_width(m), m->heads, m->per_channel ? m->heads * m->N : m->heads};
    return (int32_t)rows[i];
}

/* Where the rows of an input are in the tensor that has its name. */
static WeightPart part_of(const DeltaShape *m, const DeltaNames *names, DeltaInput which)
{
    WeightPart part = {0};
    int32_t share = names->by_head[which] ? m->key_heads : 1;
    for (int i = 0; i < DELTA_INPUTS; i++) {
        if (strcmp(names->input[i], names->input[which]))
            continue;
        if (i < (int)which)
            part.first += input_rows(m, (DeltaInput)i) / share;
        part.stride += input_rows(m, (DeltaInput)i) / share;
    }
    part.take = input_rows(m, which) / share;
    return part.stride == part.take ? (WeightPart){0} : part;
}

/* Of what there is one, or `width`, for each head. */
static void tile(const DeltaShape *m, WeightDecl *decl, int32_t width, bool columns)
{
    if (m->gguf && m->gguf->tiled)
        decl->gguf.groups = (WeightGroups){m->key_heads, m->heads / m->key_heads, width, columns};
}

static void declare_inputs(const DeltaShape *m, WeightList *list, DeltaWeights *w, int layer)
{
    for (int i = 0; i < DELTA_INPUTS; i++) {
        bool low = m->rank && (i == DELTA_A || i == DELTA_Z);
        LinearName name = {.hf_before = m->prefix, .hf = m->hf->input[i], .gguf = m->gguf ? m->gguf->input[i] : "",
                           .hf_part = part_of(m, m->hf, (DeltaInput)i)};
        if (m->gguf)
            name.gguf_part = part_of(m, m->gguf, (DeltaInput)i);
        WeightDecl *decl = linear_declare(list, &w->input[i], name, layer, input_rows(m, (DeltaInput)i),
                                          low ? m->rank : m->D, false);
        if (i >= DELTA_V)
            tile(m, decl, input_rows(m, (DeltaInput)i) / m->heads, false);
    }
    if (!m->rank)
        return;
    LinearName low_a = {.hf_before = m->prefix, .hf = m->hf->low_a, .gguf = m->gguf ? m->gguf->low_a : ""};
    LinearName low_z = {.hf_before = m->prefix, .hf = m->hf->low_z, .gguf = m->gguf ? m->gguf->low_z : ""};
    linear_declare(list, &w->low_a, low_a, layer, m->rank, m->D, false);
    linear_declare(list, &w->low_z, low_z, layer, m->rank, m->D, false);
}

/* Of one convolution for all channels a tiled file moves those of v: they are a weight of their own. */
static void declare_convs(const DeltaShape *m, WeightList *list, DeltaWeights *w, int layer)
{
    for (int i = 0; i < DELTA_CONVS && m->conv_rows[i]; i++) {
        bool one = m->hf->conv[1] == NULL;
        WeightDecl *decl = weight_matrix(list, &w->conv[i], weight_name(m->prefix, m->hf->conv[one ? 0 : i]).text,
                                         m->gguf ? m->gguf->conv[one ? 0 : i] : "", layer, m->conv_rows[i], m->taps);
        decl->use = USE_VECTOR;
        if (!one) {
            memcpy(decl->gguf.dim, (int32_t[3]){m->conv_rows[i], 1, m->taps}, sizeof decl->gguf.dim);
            continue;
        }
        WeightPart part = {(int32_t)delta_channels(m), i ? m->conv_rows[0] : 0, m->conv_rows[i]};
        decl->hf.part = decl->gguf.part = part;
        if (i > 0)
            tile(m, decl, m->P, false);
    }
}

static void *declare(const void *shape, WeightList *list, int layer)
{
    const DeltaShape *m = shape;
    const DeltaNames *hf = m->hf, *gguf = m->gguf;
    DeltaWeights *w = part_weights(list, sizeof *w);
    int32_t decays = input_rows(m, DELTA_A);
    declare_inputs(m, list, w, layer);
    declare_convs(m, list, w, layer);
    WeightDecl *bias = weight_vector(list, &w->dt_bias, weight_name(m->prefix, hf->dt_bias).text, gguf ? gguf->dt_bias : "",
                                     layer, decays);
    tile(m, bias, decays / m->heads, false);
    WeightDecl *A = weight_vector(list, &w->A, weight_name(m->prefix, hf->A).text, gguf ? gguf->A : "", layer, m->heads);
    A->hf.map = MAP_MINUS_EXP;
    if (m->per_channel)
        A->gguf.dim[0] = m->heads, A->gguf.dim[1] = 1;
    tile(m, A, 1, false);
    weight_vector(list, &w->norm, weight_name(m->prefix, hf->norm).text, gguf ? gguf->norm : "", layer, m->P);
    LinearName out = {.hf_before = m->prefix, .hf = hf->out, .gguf = gguf ? gguf->out : ""};
    tile(m, linear_declare(list, &w->out, out, layer, m->D, (int32_t)values_width(m), false), m->P, true);
    return w;
}

/* ---- forward ---- */

static void convolve(const DeltaShape *m, const DeltaWeights *w, Device *d, const KvView *kv, Tensor qkv)
{
    for (int32_t i = 0, first = 0; i < DELTA_CONVS && m->conv_rows[i]; first += m->conv_rows[i++]) {
        Tensor channels = tensor_columns(qkv, first, m->conv_rows[i]);
        StateView tail = kv_state(kv, (m->taps - 1) * first, (m->taps - 1) * m->conv_rows[i]);
        op_conv(d, channels, channels, w->conv[i], NONE, tail, m->conv);
    }
}

/* x W, W of one matrix or two. */
static Tensor project(const DeltaShape *m, Device *d, Tensor x, const Linear *low, const Linear *w, int32_t rows)
{
    Tensor y = device_f32(d, x.dim[0], rows);
    if (m->rank) {
        Tensor between = device_f32(d, x.dim[0], m->rank);
        op_linear(d, between, x, low->w, low->bias);
        x = between;
    }
    op_linear(d, y, x, w->w, w->bias);
    return y;
}

static Tensor find_decay(const DeltaShape *m, const DeltaWeights *w, Device *d, Tensor x)
{
    Tensor decay = project(m, d, x, &w->low_a, &w->input[DELTA_A], input_rows(m, DELTA_A));
    op_add(d, decay, w->dt_bias);
    op_activate(d, decay, decay, SOFTPLUS);
    op_gate(d, decay, w->A, decay, IDENTITY);
    op_activate(d, decay, decay, EXP);
    return decay;
}

static Tensor find_beta(const DeltaShape *m, const DeltaWeights *w, Device *d, Tensor x)
{
    Tensor beta = device_f32(d, x.dim[0], m->heads);
    op_linear(d, beta, x, w->input[DELTA_B].w, NONE);
    op_activate(d, beta, beta, SIGMOID);
    if (m->beta_factor != 1)
        op_scale(d, beta, beta, m->beta_factor);
    return beta;
}

/* x = length x / |x|, head by head: the root of a sum is that of N means. */
static void to_length(const DeltaShape *m, Device *d, Tensor x, float length)
{
    Tensor each = tensor_heads(x, m->key_heads);
    op_rms_norm(d, each, each, NONE, UNIT_EPS / (float)m->N);
    op_scale(d, x, x, length / sqrtf((float)m->N));
}

static void forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const DeltaShape *m = shape;
    const DeltaWeights *w = weights;
    const KvView *kv = kv_view(p->step, layer);
    int32_t keys = (int32_t)keys_width(m), values = (int32_t)values_width(m);
    Tensor qkv = device_f32(d, x.dim[0], 2 * keys + values);
    Tensor q = tensor_columns(qkv, 0, keys), k = tensor_columns(qkv, keys, keys), v = tensor_columns(qkv, 2 * keys, values);

    op_linear3(d, q, k, v, x, w->input[DELTA_Q].w, w->input[DELTA_K].w, w->input[DELTA_V].w, NONE, NONE, NONE);
    convolve(m, w, d, kv, qkv);
    to_length(m, d, q, 1 / sqrtf((float)m->N));
    to_length(m, d, k, 1);
    Tensor decay = find_decay(m, w, d, x), beta = find_beta(m, w, d, x), values_of = tensor_heads(v, m->heads);
    op_delta_scan(d, values_of, tensor_heads(q, m->key_heads), tensor_heads(k, m->key_heads), values_of, decay, beta,
                  kv_state(kv, (int32_t)tail_width(m), (int32_t)matrix_width(m)));
    op_rms_norm(d, values_of, values_of, w->norm, m->norm_eps);
    Tensor z = project(m, d, x, &w->low_z, &w->input[DELTA_Z], values);
    op_gate(d, z, z, v, m->gate);
    op_linear_add(d, y, z, w->out.w, w->out.bias);
}

const Part part_delta = {.label = "delta", .keep = keep, .declare = declare, .forward = forward};

/* ---- config ---- */

static Err read_value_width(const Keys *k, DeltaShape *m, Error *err)
{
    if (!keys_are_gguf(k)) {
        TRY(keys_int_or(k, "linear_value_head_dim", NULL, 1, WIDTH_MAX / m->heads, m->P, &m->P, err));
        keys_record_int(k, "ssm.inner_size", m->P * m->heads);
        return OK;
    }
    int32_t width;
    TRY(keys_int(k, NULL, "ssm.inner_size", 1, WIDTH_MAX, &width, err));
    if (width % m->heads)
        return fail(err, BAD_FILE, "%s: %d heads cannot share %d values evenly", k->where, m->heads, width);
    m->P = width / m->heads;
    return OK;
}

Err delta_settle(const Keys *k, DeltaShape *m, Error *err)
{
    if (m->heads % m->key_heads)
        return fail(err, BAD_FILE, "%s: linear_num_key_heads: %d value heads cannot share %d key heads evenly", k->where,
                    m->heads, m->key_heads);
    if (keys_width(m) > WIDTH_MAX || values_width(m) > WIDTH_MAX || tail_width(m) + matrix_width(m) > STATE_WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: %d heads with states of %d by %d are more than ridge's limit of %lld numbers per layer",
                    k->where, m->heads, m->N, m->P, (long long)STATE_WIDTH_MAX);
    int32_t keys = (int32_t)keys_width(m), values = (int32_t)values_width(m);
    bool one = m->hf->conv[1] == NULL;
    m->conv_rows[0] = one ? 2 * keys : keys;
    m->conv_rows[1] = one ? values : keys;
    m->conv_rows[2] = one ? 0 : values;
    return OK;
}

Err delta_read(const Keys *k, const ModelShape *s, DeltaShape *m, Error *err)
{
    m->D = s->D;
    TRY(keys_int_or(k, "linear_num_value_heads", "ssm.time_step_rank", 1, HEADS_MAX, m->heads, &m->heads, err));
    TRY(keys_int_or(k, "linear_num_key_heads", "ssm.group_count", 1, HEADS_MAX, m->key_heads, &m->key_heads, err));
    TRY(keys_int_or(k, "linear_key_head_dim", "ssm.state_size", 1, WIDTH_MAX, m->N, &m->N, err));
    TRY(keys_int_or(k, "linear_conv_kernel_dim", "ssm.conv_kernel", 1, TAPS_MAX, m->taps, &m->taps, err));
    TRY(read_value_width(k, m, err));
    return delta_settle(k, m, err);
}

Err linear_layers_read(const Keys *k, const ModelShape *s, int32_t interval, bool *linear, Error *err)
{
    static const char *const kinds[] = {"full_attention", "linear_attention"};
    int kind[LAYERS_MAX];
    int32_t value[LAYERS_MAX];
    Keys quiet = *k;
    quiet.record = NULL;
    TRY(keys_int_or(&quiet, "full_attention_interval", "full_attention_interval", 1, LAYERS_MAX, interval, &interval, err));
    for (int l = 0; l < s->L; l++)
        value[l] = (l + 1) % interval != 0;
    if (keys_are_list(k, NULL, "attention.recurrent_layers")) { /* those for guessing ahead are in the list as well */
        int32_t drafts;
        TRY(keys_int_or(&quiet, NULL, "nextn_predict_layers", 0, LAYERS_MAX - s->L, 0, &drafts, err));
        TRY(keys_ints_or(&quiet, NULL, "attention.recurrent_layers", 0, 1, 0, value, s->L + drafts, err));
    }
    if (keys_have(k, "layer_types", NULL)) {
        TRY(keys_layer_kinds(k, "layer_types", kinds, COUNT_OF(kinds), kind, s->L, err));
        for (int l = 0; l < s->L; l++)
            value[l] = kind[l];
    }
    for (int l = 0; l < s->L; l++)
        linear[l] = value[l];
    keys_record_ints(k, "attention.recurrent_layers", value, s->L);
    return OK;
}

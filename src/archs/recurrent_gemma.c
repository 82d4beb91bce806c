/* recurrent_gemma.c -- Griffin (De et al. 2024) as RecurrentGemma (Botev et al. 2024): two recurrent layers for each
 * one of local attention.
 *
 *     u      = conv(x Wx + b)                                [rows, W]
 *     a      = exp(-8 softplus(p) sigmoid(u Wr))             RG-LRU: Wr and Wi are block-diagonal, a block for each head
 *     h      = a h + sqrt(1 - a^2) (sigmoid(u Wi) * u)       linear_scan; the first row of a sequence weighs 1
 *     x     += (gelu(x Wy + b) * h) Wout + b
 *
 * Gemma's norms (stored as gain - 1) and scaled embeddings; half of each head turns. What a recurrent layer keeps of
 * a sequence: the last taps - 1 rows before the convolution, and h. GGUF has no name for the family.
 */
#include <math.h>
#include <string.h>

#include "model/decoder.h"

enum { WIDTH_MAX = 1 << 20, TAPS_MAX = 1 << 10, WINDOW_MAX = 1 << 28, WINDOW = 2048 };
static const float DECAY = -8;           /* a = e^-8p where the gate is open */

typedef struct GriffinShape {
    int32_t D, width, heads, taps;
    Activation activation;
} GriffinShape;

typedef struct GriffinWeights {
    Linear x, y, out, input, recurrent;
    Tensor conv, conv_bias, decay;
} GriffinWeights;

static int32_t tail_width(const GriffinShape *m) { return (m->taps - 1) * m->width; }

static void keep(const void *shape, KvLayer *out)
{
    *out = (KvLayer){.kind = KV_STATE, .state_width = tail_width(shape) + ((const GriffinShape *)shape)->width};
}

/* ---- weights ---- */

/* A matrix for each head, stored as [heads, in, out]. */
static void declare_gate(const GriffinShape *m, WeightList *list, Linear *w, const char *weight, const char *bias, int layer)
{
    int32_t block = m->width / m->heads;
    weight_experts(list, &w->w, weight, "", layer, m->heads, block, block)->hf.transposed = true;
    weight_experts(list, &w->bias, bias, "", layer, m->heads, 0, block);
}

#define BLOCK "model.layers.%d.temporal_block."

static void declare_linear(WeightList *list, Linear *w, const char *name, int layer, int32_t out, int32_t in)
{
    linear_declare(list, w, (LinearName){.hf_before = BLOCK, .hf = name, .gguf = ""}, layer, out, in, true);
}

static void *declare(const void *shape, WeightList *list, int layer)
{
    const GriffinShape *m = shape;
    GriffinWeights *w = part_weights(list, sizeof *w);
    declare_linear(list, &w->x, "linear_x", layer, m->width, m->D);
    declare_linear(list, &w->y, "linear_y", layer, m->width, m->D);
    declare_linear(list, &w->out, "linear_out", layer, m->D, m->width);
    weight_matrix(list, &w->conv, BLOCK "conv_1d.weight", "", layer, m->width, m->taps)->use = USE_VECTOR;
    weight_vector(list, &w->conv_bias, BLOCK "conv_1d.bias", "", layer, m->width);
    declare_gate(m, list, &w->input, BLOCK "rg_lru.input_gate_weight", BLOCK "rg_lru.input_gate_bias", layer);
    declare_gate(m, list, &w->recurrent, BLOCK "rg_lru.recurrent_gate_weight", BLOCK "rg_lru.recurrent_gate_bias", layer);
    weight_vector(list, &w->decay, BLOCK "rg_lru.recurrent_param", "", layer, m->width);
    return w;
}

/* ---- forward ---- */

static Tensor by_head(const GriffinShape *m, const Linear *w, Device *d, Tensor u)
{
    Tensor y = heads(d, u, m->heads, m->width / m->heads);
    op_expert_linear(d, y, tensor_heads(u, m->heads), w->w, w->bias, NONE);
    return tensor_flat(y);
}

/* a = exp(-8 softplus(p) sigmoid(u Wr)) */
static Tensor find_decay(const GriffinShape *m, const GriffinWeights *w, Device *d, Tensor u)
{
    Tensor a = by_head(m, &w->recurrent, d, u), rate = device_f32(d, 1, m->width);
    op_activate(d, rate, w->decay, SOFTPLUS);
    op_activate(d, a, a, SIGMOID);
    op_gate(d, a, rate, a, IDENTITY);
    op_scale(d, a, a, DECAY);
    op_activate(d, a, a, EXP);
    return a;
}

static void forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const GriffinShape *m = shape;
    const GriffinWeights *w = weights;
    const KvView *kv = kv_view(p->step, layer);
    Tensor u = device_f32(d, x.dim[0], m->width), gate = device_f32(d, x.dim[0], m->width);
    op_linear(d, u, x, w->x.w, w->x.bias);
    op_linear(d, gate, x, w->y.w, w->y.bias);
    op_conv(d, u, u, w->conv, w->conv_bias, kv_state(kv, 0, tail_width(m)), IDENTITY);
    Tensor a = find_decay(m, w, d, u);
    op_gate(d, u, by_head(m, &w->input, d, u), u, SIGMOID);
    op_linear_scan(d, u, a, u, kv_state(kv, tail_width(m), m->width), true);
    op_gate(d, u, gate, u, m->activation);
    op_linear_add(d, y, u, w->out.w, w->out.bias);
}

static const Part part_griffin = {.label = "griffin", .keep = keep, .declare = declare, .forward = forward};

/* ---- config ---- */

static const AttentionNames attention = {
    .q = "temporal_block.q_proj", .k = "temporal_block.k_proj", .v = "temporal_block.v_proj", .o = "temporal_block.o_proj"};
static const DecoderNames names = {
    .layer = "model.layers.%d.",
    .embed = "model.embed_tokens", .norm = "model.final_norm", .head = "lm_head",
    .pre_attention = "temporal_pre_norm", .pre_mlp = "channel_pre_norm",
    .attention = &attention,
    .mlp = "mlp_block.", .gate = "gate_proj", .up = "up_proj", .down = "down_proj",
};

/* block_types, over and over. */
static Err read_kinds(const Keys *k, const ModelShape *s, bool *recurrent, Error *err)
{
    const json_t *types = k->config ? json_object_get(k->config, "block_types") : NULL;
    size_t n = json_array_size(types);
    if (types && !json_is_null(types) && !n)
        return fail(err, BAD_FILE, "%s: block_types must be a list of recurrent and attention", k->where);
    for (int l = 0; l < s->L; l++) {
        const char *kind = n ? json_string_value(json_array_get(types, (size_t)l % n)) : l % 3 == 2 ? "attention" : "recurrent";
        if (!kind || (strcmp(kind, "attention") && strcmp(kind, "recurrent")))
            return fail(err, UNSUPPORTED, "%s: block_types[%zu] is '%s'; it must be recurrent or attention", k->where,
                        (size_t)l % n, kind ? kind : "not a text");
        recurrent[l] = !strcmp(kind, "recurrent");
    }
    return OK;
}

static Err read_recurrence(const Keys *k, const ModelShape *s, Activation act, GriffinShape *m, Error *err)
{
    *m = (GriffinShape){.D = s->D, .heads = s->N, .activation = act};
    TRY(keys_int_or(k, "lru_width", NULL, 1, WIDTH_MAX, s->D, &m->width, err));
    TRY(keys_int_or(k, "conv1d_width", NULL, 1, TAPS_MAX, 4, &m->taps, err));
    if (m->width % m->heads)
        return fail(err, BAD_FILE, "%s: lru_width %d cannot be cut into %d blocks", k->where, m->width, m->heads);
    return OK;
}

static float to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    memcpy(&x, &bits, sizeof bits);
    return x;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool bias, recurrent[LAYERS_MAX];
    int32_t window;
    GriffinShape *griffin = ARENA_NEW(arena, GriffinShape);
    if (!griffin)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    DecoderUsual usual = {.names = &names, .activation = GELU_TANH, .rotary = 0.5f, .tied = true};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    if (s->F % 2)
        return fail(err, BAD_FILE, "%s: intermediate_size %d must be even: the mlp is half as wide", k->where, s->F);
    s->F /= 2;
    TRY(keys_int_or(k, "attention_window_size", NULL, 1, WINDOW_MAX, WINDOW, &window, err));
    TRY(keys_float_or(k, "logits_soft_cap", NULL, 0, 1e6, 30, &m->logit_cap, err));
    TRY(keys_bool_or(k, "attention_bias", NULL, false, &bias, err));
    TRY(read_recurrence(k, s, m->layer[0].mlp.activation, griffin, err));
    TRY(read_kinds(k, s, recurrent, err));
    m->norm.minus_one = true;
    m->embed_factor = to_bf16(sqrtf((float)s->D));
    decoder_biases(s, bias, true, true);
    for (int l = 0; l < s->L; l++) {
        m->layer[l].mlp.F = s->F;
        m->layer[l].attention.how.window = window;
        if (recurrent[l])
            decoder_stage(&m->layer[l], 0, 1, &(Branch){.part = &part_griffin, .shape = griffin,
                                                        .pre = names.pre_attention, .pre_gguf = ""});
    }
    return OK;
}

const Arch arch_recurrent_gemma = {
    .names = {"recurrent_gemma"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

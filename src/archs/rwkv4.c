/* rwkv4.c -- RWKV-4 (Peng et al. 2023, "RWKV: Reinventing RNNs for the Transformer Era").
 *
 *     before = the row before x, zeros before the first                       conv with the taps 1, 0
 *     u_i    = before + mix_i (x - before)                                    i: k, v, r
 *
 *     time      x += (sigmoid(u_r R) * wkv(u_k K, u_v V)) O                    a mean over the past: wkv_scan
 *     channels  x += sigmoid(u_r R) * (relu(u_k K)^2 V)
 *
 * each behind a layer norm; the embeddings have one of their own. What is kept of a sequence: the last row of
 * both, and the three numbers of wkv_scan for each channel.
 *
 * `rescale_every` halves the residual stream behind every so many-th layer, and what later layers add as often, so that
 * it fits into 16 bits; only the eps of the norms sees it. GGUF knows the family from its sixth version on only.
 */
#include <math.h>

#include "model/decoder.h"

enum { WIDTH_MAX = 1 << 20, TIMES = 4, MIXES_MAX = 3, RESCALE_EVERY = 6 };

typedef struct RwkvShape {
    int32_t D, width;            /* width: of the time mixing, of the channels */
    int32_t state;               /* the first of its columns in the state of the layer */
    const float *taps;           /* [D, 2]: 1, 0 */
} RwkvShape;

typedef struct RwkvWeights {
    Tensor taps, mix[MIXES_MAX], decay, first;
    Tensor k, v, r, o;
} RwkvWeights;

enum { MIX_K, MIX_R, MIX_V };

static void keep_time(const void *shape, KvLayer *out)
{
    const RwkvShape *m = shape;
    *out = (KvLayer){.kind = KV_STATE, .state_width = m->D + 3 * m->width};
}

static void keep_channels(const void *shape, KvLayer *out)
{
    *out = (KvLayer){.kind = KV_STATE, .state_width = ((const RwkvShape *)shape)->D};
}

/* ---- weights ---- */

static void declare_mixes(const RwkvShape *m, WeightList *list, RwkvWeights *w, const char *before, int mixes, int layer)
{
    static const char *const names[] = {[MIX_K] = "time_mix_key", [MIX_R] = "time_mix_receptance",
                                        [MIX_V] = "time_mix_value"};
    weight_constant(list, &w->taps, "", m->taps, m->D, 2);
    for (int i = 0; i < mixes; i++)
        weight_vector(list, &w->mix[i], weight_name(before, names[i]).text, "", layer, m->D);
}

static void *declare_time(const void *shape, WeightList *list, int layer)
{
    const RwkvShape *m = shape;
    RwkvWeights *w = part_weights(list, sizeof *w);
    declare_mixes(m, list, w, "rwkv.blocks.%d.attention.", 3, layer);
    weight_vector(list, &w->decay, "rwkv.blocks.%d.attention.time_decay", "", layer, m->width)->hf.map = MAP_MINUS_EXP;
    weight_vector(list, &w->first, "rwkv.blocks.%d.attention.time_first", "", layer, m->width);
    weight_matrix(list, &w->k, "rwkv.blocks.%d.attention.key.weight", "", layer, m->width, m->D);
    weight_matrix(list, &w->v, "rwkv.blocks.%d.attention.value.weight", "", layer, m->width, m->D);
    weight_matrix(list, &w->r, "rwkv.blocks.%d.attention.receptance.weight", "", layer, m->width, m->D);
    weight_matrix(list, &w->o, "rwkv.blocks.%d.attention.output.weight", "", layer, m->D, m->width);
    return w;
}

static void *declare_channels(const void *shape, WeightList *list, int layer)
{
    const RwkvShape *m = shape;
    RwkvWeights *w = part_weights(list, sizeof *w);
    declare_mixes(m, list, w, "rwkv.blocks.%d.feed_forward.", 2, layer);
    weight_matrix(list, &w->k, "rwkv.blocks.%d.feed_forward.key.weight", "", layer, m->width, m->D);
    weight_matrix(list, &w->v, "rwkv.blocks.%d.feed_forward.value.weight", "", layer, m->D, m->width);
    weight_matrix(list, &w->r, "rwkv.blocks.%d.feed_forward.receptance.weight", "", layer, m->D, m->D);
    return w;
}

/* ---- forward ---- */

/* What a row is, what the one before it was. */
typedef struct Shift { Tensor before, step; } Shift;

static Shift shift(const RwkvShape *m, const RwkvWeights *w, Device *d, const KvView *kv, Tensor x)
{
    Shift s = {like(d, x), like(d, x)};
    op_conv(d, s.before, x, w->taps, NONE, kv_state(kv, m->state, m->D), IDENTITY);
    op_scale(d, s.step, x, 1);
    op_add_scaled(d, s.step, s.before, -1);
    return s;
}

/* (before + mix (x - before)) W */
static Tensor project(Device *d, Shift s, Tensor mix, Tensor weight)
{
    Tensor u = like(d, s.step), y = device_f32(d, u.dim[0], weight.dim[0]);
    op_gate(d, u, mix, s.step, IDENTITY);
    op_add(d, u, s.before);
    op_linear(d, y, u, weight, NONE);
    return y;
}

static void mix_time(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const RwkvShape *m = shape;
    const RwkvWeights *w = weights;
    const KvView *kv = kv_view(p->step, layer);
    Shift s = shift(m, w, d, kv, x);
    Tensor k = project(d, s, w->mix[MIX_K], w->k), v = project(d, s, w->mix[MIX_V], w->v);
    Tensor r = project(d, s, w->mix[MIX_R], w->r);
    op_wkv_scan(d, v, k, v, w->decay, w->first, kv_state(kv, m->state + m->D, 3 * m->width));
    op_gate(d, v, r, v, SIGMOID);
    op_linear_add(d, y, v, w->o, NONE);
}

static void mix_channels(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const RwkvShape *m = shape;
    const RwkvWeights *w = weights;
    Shift s = shift(m, w, d, kv_view(p->step, layer), x);
    Tensor k = project(d, s, w->mix[MIX_K], w->k), r = project(d, s, w->mix[MIX_R], w->r), value = like(d, x);
    op_activate(d, k, k, RELU_SQUARED);
    op_linear(d, value, k, w->v, NONE);
    op_gate(d, value, r, value, SIGMOID);
    op_add(d, y, value);
}

static const Part part_time = {.label = "time", .keep = keep_time, .declare = declare_time, .forward = mix_time};
static const Part part_channels = {
    .label = "channels", .keep = keep_channels, .declare = declare_channels, .forward = mix_channels};

/* ---- config ---- */

static const DecoderNames names = {
    .layer = "rwkv.blocks.%d.", .embed = "rwkv.embeddings", .embed_norm = "rwkv.blocks.0.pre_ln",
    .norm = "rwkv.ln_out", .head = "head", .mlp = "",
};

static const float *no_shift(Arena *arena, int32_t D)
{
    float *taps = ARENA_ARRAY(arena, float, 2 * (size_t)D);
    for (int32_t i = 0; taps && i < D; i++)
        taps[2 * i] = 1;
    return taps;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    DecoderUsual usual = {.names = &names, .norm = NORM_LAYER, .no_attention = true};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    int32_t width;
    TRY(keys_int_or(k, "intermediate_size", NULL, 1, WIDTH_MAX, TIMES * s->D, &s->F, err));
    TRY(keys_int_or(k, "attention_hidden_size", NULL, 1, WIDTH_MAX, s->D, &width, err));
    RwkvShape *shape = ARENA_ARRAY(arena, RwkvShape, 2);
    const float *taps = no_shift(arena, s->D);
    if (!shape || !taps)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    shape[0] = (RwkvShape){.D = s->D, .width = width, .taps = taps};
    shape[1] = (RwkvShape){.D = s->D, .width = s->F, .taps = taps, .state = s->D + 3 * width};
    int32_t every;
    TRY(keys_int_or(k, "rescale_every", NULL, 0, LAYERS_MAX, RESCALE_EVERY, &every, err));
    for (int l = 0; l < s->L; l++) {
        float adds = every ? exp2f(-(float)(l / every)) : 1, keeps = every && (l + 1) % every == 0 ? 0.5f : 1;
        Branch time = {.part = &part_time, .shape = &shape[0], .pre = "ln1", .pre_gguf = ""};
        Branch channels = {.part = &part_channels, .shape = &shape[1], .pre = "ln2", .pre_gguf = ""};
        if (every) {
            time.keeps = 1, time.adds = adds;
            channels.keeps = keeps, channels.adds = keeps * adds;
        }
        decoder_stage(&m->layer[l], 0, 1, &time);
        decoder_stage(&m->layer[l], 1, 1, &channels);
    }
    return OK;
}

const Arch arch_rwkv4 = {
    .names = {"rwkv"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
};

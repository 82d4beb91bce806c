/* based.c -- Based (Arora et al. 2024): layers of linear attention in the second-order series of the exponential, and
 * layers of attention over a small window.
 *
 *     linear    x += taylor(x Wq / sqrt F, x Wk, x Wv) Wout      F features a head, no positions: taylor_scan
 *     sliding   x += attention over `sliding_window` rows, whole heads turn
 *     then      x += an mlp with a SiLU gate, whose tensor holds the values first
 *
 * RMS norms before each. What a linear layer keeps of a sequence is a state of fixed size, however long the past.
 * GGUF has no name for the family.
 */
#include <math.h>
#include <string.h>

#include "model/decoder.h"

enum { WIDTH_MAX = 1 << 20, WINDOW_MAX = 1 << 28, WINDOW = 64, FEATURES = 16, ORDER = 2 };
static const int64_t STATE_WIDTH_MAX = 1 << 28;

typedef struct TaylorShape {
    int32_t D, heads, F, P;
    float eps;                   /* of the sum of weights */
} TaylorShape;

typedef struct TaylorWeights { Linear q, k, v, out; } TaylorWeights;

static int64_t state_width(const TaylorShape *m)
{
    int64_t features = 1 + m->F + (int64_t)m->F * (m->F + 1) / 2;
    return m->heads * features * (m->P + 1);
}

static void keep(const void *shape, KvLayer *out)
{
    *out = (KvLayer){.kind = KV_STATE, .state_width = (int32_t)state_width(shape)};
}

static void declare_linear(WeightList *list, Linear *w, const char *name, int layer, int32_t out, int32_t in)
{
    linear_declare(list, w, (LinearName){.hf_before = "transformer.layers.%d.mixer.", .hf = name, .gguf = ""}, layer, out, in,
                   false);
}

static void *declare(const void *shape, WeightList *list, int layer)
{
    const TaylorShape *m = shape;
    TaylorWeights *w = part_weights(list, sizeof *w);
    declare_linear(list, &w->q, "proj_q", layer, m->heads * m->F, m->D);
    declare_linear(list, &w->k, "proj_k", layer, m->heads * m->F, m->D);
    declare_linear(list, &w->v, "proj_v", layer, m->heads * m->P, m->D);
    declare_linear(list, &w->out, "out_proj", layer, m->D, m->heads * m->P);
    return w;
}

static void forward(const void *shape, const void *weights, Device *d, const Pass *p, int layer, Tensor y, Tensor x)
{
    const TaylorShape *m = shape;
    const TaylorWeights *w = weights;
    Tensor q = heads(d, x, m->heads, m->F), k = heads(d, x, m->heads, m->F), v = heads(d, x, m->heads, m->P);
    op_linear3(d, tensor_flat(q), tensor_flat(k), tensor_flat(v), x, w->q.w, w->k.w, w->v.w, NONE, NONE, NONE);
    op_scale(d, tensor_flat(q), tensor_flat(q), 1 / sqrtf((float)m->F));
    op_taylor_scan(d, v, q, k, v, kv_state(kv_view(p->step, layer), 0, (int32_t)state_width(m)), m->eps);
    op_linear_add(d, y, tensor_flat(v), w->out.w, NONE);
}

static const Part part_taylor = {.label = "taylor", .keep = keep, .declare = declare, .forward = forward};

/* ---- config ---- */

static const AttentionNames attention = {.qkv = "mixer.Wqkv", .o = "mixer.out_proj"};
static const DecoderNames names = {
    .layer = "transformer.layers.%d.",
    .embed = "transformer.embeddings.word_embeddings", .norm = "transformer.ln_f", .head = "lm_head",
    .pre_attention = "norm1", .pre_mlp = "norm2",
    .attention = &attention,
    .mlp = "mlp.", .up = "fc1", .down = "fc2",
};

static Err read_taylor(const Keys *k, const ModelShape *s, TaylorShape *m, Error *err)
{
    char map[32];
    int32_t order;
    *m = (TaylorShape){.D = s->D, .heads = s->N, .P = s->H};
    TRY(keys_text_or(k, "feature_map", NULL, "taylor_exp", map, sizeof map, err));
    TRY(keys_int_or(k, "feature_map_order", NULL, 0, 16, ORDER, &order, err));
    if (strcmp(map, "taylor_exp") || order != ORDER)
        return fail(err, UNSUPPORTED, "%s: feature_map '%s' of order %d is one that ridge does not know; it knows taylor_exp "
                    "of order %d", k->where, map, order, ORDER);
    TRY(keys_int_or(k, "feature_dim", NULL, 1, WIDTH_MAX, FEATURES, &m->F, err));
    TRY(keys_float_or(k, "linear_attention_eps", NULL, 0, 1, 1e-12f, &m->eps, err));
    if ((int64_t)m->F * m->F > STATE_WIDTH_MAX || state_width(m) > STATE_WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: %d heads with %d features make a larger state than ridge's limit of %lld numbers",
                    k->where, m->heads, m->F, (long long)STATE_WIDTH_MAX);
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    static const char *const kinds[] = {"linear_attention", "sliding_attention"};
    DecoderShape *m;
    int kind[LAYERS_MAX];
    int32_t window;
    TaylorShape *taylor = ARENA_NEW(arena, TaylorShape);
    if (!taylor)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.names = &names, .activation = SILU, .eps = 1e-5f}, &m, err));
    TRY(read_taylor(k, s, taylor, err));
    TRY(keys_int_or(k, "sliding_window", NULL, 1, WINDOW_MAX, WINDOW, &window, err));
    TRY(keys_layer_kinds(k, "layer_types", kinds, COUNT_OF(kinds), kind, s->L, err));
    for (int l = 0; l < s->L; l++) {
        m->layer[l].mlp.hf_layout = UP_GATE_FUSED;
        m->layer[l].attention.hf_layout = QKV_FUSED;
        m->layer[l].attention.how.window = window;
        if (kind[l] == 0)
            decoder_stage(&m->layer[l], 0, 1,
                          &(Branch){.part = &part_taylor, .shape = taylor, .pre = names.pre_attention, .pre_gguf = ""});
    }
    return OK;
}

const Arch arch_based = {
    .names = {"based"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

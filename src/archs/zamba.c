/* zamba.c -- Mamba, or Mamba-2, in every layer; before some of them a block of attention and mlp, whose weights all
 * of its uses share (Glorioso et al. 2024, "Zamba" and "The Zamba2 Suite").
 *
 *     e = x = embed(tokens)
 *     for each layer:
 *         t  = linear(mlp(norm(attention(norm([x, e])))))           only where the layer is a hybrid
 *         x += mamba(norm(x + t))
 *
 * Zamba has one shared block; Zamba2 takes several in turns, and gives each use of one low-rank adapters of its own.
 */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "model/mamba.h"
#include "model/mamba2.h"

enum { RANK_MAX = 1 << 16, BLOCKS_MAX = 1 << 8 };

static const char plain[] = "model.layers.%d.mamba.", hybrid[] = "model.layers.%d.mamba_decoder.mamba.";

typedef struct ZambaShape {
    DecoderShape decoder;                /* first: ModelShape.own is this */
    bool second;                         /* Zamba2 */
    MambaShape mamba[2];                 /* of plain layers, of hybrids */
    Mamba2Shape mamba2[2];
    const char *shared;                  /* "model.layers.%d.shared_transf." */
    AttentionShape attention;
    MlpShape mlp;
    int32_t blocks, rank;                /* shared blocks; rank of adapters, 0: none */
    bool attention_adapters;
    int32_t use[LAYERS_MAX];             /* which use of a shared block a layer makes; -1: none */
    int32_t owner[LAYERS_MAX];           /* of that block's weights: the first layer that uses it */
} ZambaShape;

typedef struct ZambaLayer {
    Norm norm;
    void *scan;                          /* of part_mamba, or of part_mamba2 */
    Norm attention_norm, mlp_norm;       /* of hybrids, like all that follows */
    AttentionWeights *attention;
    MlpWeights *mlp;
    Tensor adapter, adapter_gate, adapter_up;
    Linear out;
} ZambaLayer;

typedef struct ZambaWeights {
    DecoderWeights ends;
    ZambaLayer *layer;
} ZambaWeights;

static const ZambaShape *zamba_shape(const ModelShape *s) { return s->own; }
static const Part *scan_part(const ZambaShape *z) { return z->second ? &part_mamba2 : &part_mamba; }
static const void *scan_shape(const ZambaShape *z, int l)
{
    bool is_hybrid = z->use[l] >= 0;
    return z->second ? (const void *)&z->mamba2[is_hybrid] : &z->mamba[is_hybrid];
}

/* ---- shape ---- */

/* Without a list: two plain layers, a hybrid, then the rest by a period. */
static Err read_layers(const Keys *k, const ModelShape *s, ZambaShape *z, Error *err)
{
    static const char *const words[] = {"linear_attention", "mamba", "mamba2", "hybrid"};
    int kind[LAYERS_MAX];
    int32_t period, offset, uses = 0, first[BLOCKS_MAX];
    TRY(keys_int_or(k, "attn_layer_period", NULL, 1, LAYERS_MAX, 6, &period, err));
    TRY(keys_int_or(k, "attn_layer_offset", NULL, 0, LAYERS_MAX, 4, &offset, err));
    if (z->second || keys_have(k, "layers_block_type", NULL))
        TRY(keys_layer_kinds(k, "layers_block_type", words, COUNT_OF(words), kind, s->L, err));
    else
        for (int l = 0; l < s->L; l++)
            kind[l] = l == 2 || (l > 2 && (l - 3) % period == offset) ? 3 : 0;
    for (int l = 0; l < s->L; l++) {
        z->use[l] = kind[l] == 3 ? uses++ : -1;
        if (z->use[l] >= 0 && z->use[l] < z->blocks)
            first[z->use[l]] = l;
        z->owner[l] = z->use[l] >= 0 ? first[z->use[l] % z->blocks] : -1;
    }
    return OK;
}

static Err read_attention(const Keys *k, Arena *arena, ModelShape *s, ZambaShape *z, Error *err)
{
    int32_t wide = 2 * s->D, width;
    bool rope = false;
    TRY(keys_int_or(k, "attention_hidden_size", NULL, 1, INT32_MAX, wide, &width, err));
    if (width != wide)
        return fail(err, BAD_FILE, "%s: attention_hidden_size is %d, but x and the embedding together have %d", k->where, width,
                    wide);
    TRY(keys_int_or(k, "attention_head_dim", NULL, 1, wide, wide / s->N, &s->H, err));
    if (z->second)
        TRY(keys_bool_or(k, "use_mem_rope", NULL, false, &rope, err));
    if (rope)
        TRY(decoder_add_rope(k, "rope_parameters", s->H, 0, s, arena, &z->decoder, err));
    z->attention = (AttentionShape){.D = wide, .N = s->N, .K = s->K, .H = s->H, .V = s->H, .out = s->D,
                                    .how = {.scale = 1.0f / sqrtf((float)s->H / 2)},
                                    .rope = rope ? 0 : ROPE_NONE,
                                    .prefix = z->shared,
                                    .names = &attention_names};
    return OK;
}

static Err read_adapters(const Keys *k, ZambaShape *z, Error *err)
{
    bool long_context;
    TRY(keys_bool_or(k, "use_long_context", NULL, false, &long_context, err));
    if (long_context)
        return fail(err, UNSUPPORTED, "%s: use_long_context: ridge does not know the rotation that it means", k->where);
    TRY(keys_int_or(k, "num_mem_blocks", NULL, 1, BLOCKS_MAX, 1, &z->blocks, err));
    TRY(keys_int_or(k, "adapter_rank", NULL, 1, RANK_MAX, 128, &z->rank, err));
    return keys_bool_or(k, "use_shared_attention_adapter", NULL, false, &z->attention_adapters, err);
}

static Err read_scans(const Keys *k, const ModelShape *s, ZambaShape *z, Error *err)
{
    if (z->second) {
        z->mamba2[0] = (Mamba2Shape){.prefix = plain, .norm_eps = 1e-5f, .least_step = true};
        TRY(mamba2_read(k, s, "hidden_mamba_act", &z->mamba2[0], err));
        z->mamba2[0].conv_bias = true;
        z->mamba2[1] = z->mamba2[0];
        z->mamba2[1].prefix = hybrid;
        return OK;
    }
    z->mamba[0] = (MambaShape){.prefix = plain, .in_interleaved = true, .head_names = true};
    TRY(keys_int_or(k, "n_mamba_heads", NULL, 1, MAMBA_HEADS_MAX, 2, &z->mamba[0].heads, err));
    TRY(mamba_read(k, s, "hidden_mamba_act", &z->mamba[0], err));
    z->mamba[1] = z->mamba[0];
    z->mamba[1].prefix = hybrid;
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    DecoderUsual usual = {.names = &mamba_hybrid_names, .eps = 1e-5f, .activation = GELU, .mlp_times = 4, .no_rope = true};
    ZambaShape *z = ARENA_NEW(arena, ZambaShape);
    if (!z)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    z->decoder = *m;
    s->own = z;
    z->second = !strcmp(k->family, "zamba2");
    z->shared = z->second ? "model.layers.%d.shared_transformer." : "model.layers.%d.shared_transf.";
    z->blocks = 1;
    if (z->second)
        TRY(read_adapters(k, z, err));
    TRY(read_layers(k, s, z, err));
    TRY(read_attention(k, arena, s, z, err));
    TRY(read_scans(k, s, z, err));
    z->mlp = m->layer[0].mlp;
    z->mlp.prefix = "model.layers.%d.shared_transf.feed_forward.";
    if (z->second) {
        z->mlp.prefix = "model.layers.%d.shared_transformer.feed_forward.";
        z->mlp.hf_layout = GATE_UP_FUSED;
        z->mlp.up = "gate_up_proj";
        TRY(keys_bool_or(k, "add_bias_linear", NULL, false, &z->mlp.up_bias, err));
        z->mlp.gate_bias = z->mlp.down_bias = z->mlp.up_bias;
    }
    return OK;
}

static void kv_layout(const ModelShape *s, KvLayout *kv)
{
    const ZambaShape *z = zamba_shape(s);
    kv->layers = s->L;
    for (int l = 0; l < s->L; l++) {
        KvLayer scan;
        scan_part(z)->keep(scan_shape(z, l), &scan);
        kv->layer[l] = scan;
        if (z->use[l] >= 0)
            part_attention.keep(&z->attention, &kv->layer[l]);
        kv->layer[l].state_width = scan.state_width;
    }
}

/* ---- weights ---- */

/* Structs of tensors, of which each becomes the other's. */
static void share(WeightList *list, void *to, const void *from, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(Tensor); i++)
        weight_same(list, (Tensor *)to + i, (const Tensor *)from + i);
}

static void declare_low_rank(const ZambaShape *z, WeightList *list, LowRank *w, char letter, int use, int layer, int32_t out)
{
    char name[WEIGHT_NAME_BYTES];
    snprintf(name, sizeof name, "%sself_attn.linear_%c_adapter_list.%d.0.weight", z->shared, letter, use);
    weight_matrix(list, &w->down, name, "", layer, z->rank, z->attention.D);
    snprintf(name, sizeof name, "%sself_attn.linear_%c_adapter_list.%d.1.weight", z->shared, letter, use);
    weight_matrix(list, &w->up, name, "", layer, out, z->rank);
}

/* Those of a use lie with the block that it is a use of. */
static void declare_adapters(const ZambaShape *z, WeightList *list, ZambaLayer *w, int use, int layer)
{
    char name[WEIGHT_NAME_BYTES];
    int32_t F = z->mlp.F, q = z->attention.N * z->attention.H, kv = z->attention.K * z->attention.H;
    snprintf(name, sizeof name, "%sgate_up_proj_adapter_list.%d.0.weight", z->mlp.prefix, use);
    weight_matrix(list, &w->adapter, name, "", layer, z->rank, z->mlp.D);
    snprintf(name, sizeof name, "%sgate_up_proj_adapter_list.%d.1.weight", z->mlp.prefix, use);
    weight_matrix(list, &w->adapter_gate, name, "", layer, F, z->rank)->hf.part = (WeightPart){2 * F, 0, F};
    weight_matrix(list, &w->adapter_up, name, "", layer, F, z->rank)->hf.part = (WeightPart){2 * F, F, F};
    if (!z->attention_adapters)
        return;
    declare_low_rank(z, list, &w->attention->q_low, 'q', use, layer, q);
    declare_low_rank(z, list, &w->attention->k_low, 'k', use, layer, kv);
    declare_low_rank(z, list, &w->attention->v_low, 'v', use, layer, kv);
}

static void declare_shared(const ZambaShape *z, const ModelShape *s, WeightList *list, ZambaLayer *layers, int l)
{
    ZambaLayer *w = &layers[l], *owner = &layers[z->owner[l]];
    const NormShape *norm = &z->decoder.norm;
    if (w == owner) {
        norm_declare(norm, list, &w->attention_norm, weight_name(z->shared, "input_layernorm").text, "", l, 2 * s->D);
        norm_declare(norm, list, &w->mlp_norm, weight_name(z->shared, "pre_ff_layernorm").text, "", l, s->D);
        w->attention = part_attention.declare(&z->attention, list, l);
        w->mlp = part_mlp.declare(&z->mlp, list, l);
    } else {
        w->attention = part_weights(list, sizeof *w->attention);
        w->mlp = part_weights(list, sizeof *w->mlp);
        share(list, &w->attention_norm, &owner->attention_norm, sizeof(Norm));
        share(list, &w->mlp_norm, &owner->mlp_norm, sizeof(Norm));
        share(list, w->attention, owner->attention, offsetof(AttentionWeights, q_low));
        share(list, w->mlp, owner->mlp, sizeof *w->mlp);
    }
    if (z->rank)
        declare_adapters(z, list, w, z->use[l], z->owner[l]);
    LinearName out = {.hf_before = "model.layers.%d.", .hf = "linear", .gguf = ""};
    linear_declare(list, &w->out, out, l, s->D, s->D, false);
}

static void *declare(const ModelShape *s, WeightList *list)
{
    const ZambaShape *z = zamba_shape(s);
    ZambaWeights *w = part_weights(list, sizeof *w);
    ZambaLayer *layers = ARENA_ARRAY(list->arena, ZambaLayer, (size_t)s->L);
    if (!layers) {
        list->failed = true;
        return w;
    }
    w->layer = layers;
    decoder_declare_ends(s, list, &w->ends);
    for (int l = 0; l < s->L; l++) {
        const char *norm = z->use[l] < 0 ? "model.layers.%d.input_layernorm" : "model.layers.%d.mamba_decoder.input_layernorm";
        norm_declare(&z->decoder.norm, list, &layers[l].norm, norm, "", l, s->D);
        layers[l].scan = scan_part(z)->declare(scan_shape(z, l), list, l);
        if (z->use[l] >= 0)
            declare_shared(z, s, list, layers, l);
    }
    return w;
}

/* ---- forward ---- */

/* y += mlp(x), with the adapters of this use */
static void mlp(const ZambaShape *z, const ZambaLayer *w, Device *d, const Pass *p, int l, Tensor y, Tensor x)
{
    if (!z->rank) {
        part_mlp.forward(&z->mlp, w->mlp, d, p, l, y, x);
        return;
    }
    Tensor gate = device_f32(d, x.dim[0], z->mlp.F), up = like(d, gate), low = device_f32(d, x.dim[0], z->rank);
    op_linear(d, low, x, w->adapter, NONE);
    op_linear(d, gate, x, w->mlp->gate.w, w->mlp->gate.bias);
    op_linear_add(d, gate, low, w->adapter_gate, NONE);
    op_linear(d, up, x, w->mlp->up.w, w->mlp->up.bias);
    op_linear_add(d, up, low, w->adapter_up, NONE);
    op_gate(d, gate, gate, up, z->mlp.activation);
    op_linear_add(d, y, gate, w->mlp->down.w, w->mlp->down.bias);
}

/* t += linear(mlp(norm(attention(norm([x, e]))))) */
static void shared_block(const ZambaShape *z, const ZambaLayer *w, Device *d, const Pass *p, int l, Tensor t, Tensor x,
                         Tensor e)
{
    int32_t D = x.dim[1];
    Tensor both = device_f32(d, x.dim[0], 2 * D), a = like(d, x), h = like(d, x);
    device_label(d, "attn", l);
    op_scale(d, tensor_columns(both, 0, D), x, 1);
    op_scale(d, tensor_columns(both, D, D), e, 1);
    norm_run(&z->decoder.norm, d, both, both, &w->attention_norm);
    op_fill(d, a, 0);
    part_attention.forward(&z->attention, w->attention, d, p, l, a, both);
    device_label(d, "mlp", l);
    norm_run(&z->decoder.norm, d, a, a, &w->mlp_norm);
    op_fill(d, h, 0);
    mlp(z, w, d, p, l, h, a);
    op_linear_add(d, t, h, w->out.w, w->out.bias);
}

static void layer(const ZambaShape *z, const ZambaLayer *w, Device *d, const Pass *p, int l, Tensor x, Tensor e)
{
    Tensor h = like(d, x);
    op_scale(d, h, x, 1);
    if (z->use[l] >= 0)
        shared_block(z, w, d, p, l, h, x, e);
    device_label(d, scan_part(z)->label, l);
    norm_run(&z->decoder.norm, d, h, h, &w->norm);
    scan_part(z)->forward(scan_shape(z, l), w->scan, d, p, l, x, h);
}

static void forward(const Model *model, Device *d, const Step *step, Tensor logits)
{
    const ModelShape *s = &model->shape;
    const ZambaShape *z = zamba_shape(s);
    const ZambaWeights *w = model->weights;
    Pass pass;
    Tensor x = decoder_begin(s, &w->ends, d, step, &pass), e = like(d, x);
    op_scale(d, e, x, 1);
    for (int l = 0; l < s->L; l++) {
        size_t mark = device_mark(d);
        layer(z, &w->layer[l], d, &pass, l, x, e);
        device_release(d, mark);
    }
    decoder_end(s, &w->ends, d, step, x, logits);
}

const Arch arch_zamba = {
    .names = {"zamba", "zamba2"},
    .read_shape = read_shape,
    .kv_layout = kv_layout,
    .declare = declare,
    .forward = forward,
    .ignores = {"rotary_emb.inv_freq"},
};

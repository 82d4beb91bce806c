/* longcat_flash.c -- two blocks of latent attention and mlp a layer, and experts on a shortcut past the second, so that
 * their exchange between machines hides behind it; some experts compute nothing (Meituan 2025).
 *
 *     x += mla0(norm(x));   h = norm(x);   x += mlp0(h)
 *     x += mla1(norm(x));                  x += mlp1(norm(x)) + experts(h)
 *
 * For the cache, and below, each half is a layer.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/mla.h"
#include "model/moe.h"

typedef struct LongcatWeights {
    DecoderWeights *halves;
    void *experts[LAYERS_MAX / 2];
} LongcatWeights;

static const DecoderNames decoder = {
    .layer = "model.layers.", .embed = "model.embed_tokens", .norm = "model.norm", .head = "lm_head",
    .attention = &attention_names, .mlp = "", .gate = "gate_proj", .up = "up_proj", .down = "down_proj",
};
static const MoeNames moe = {
    .router = "mlp.router.classifier", .choice_bias = "mlp.router.e_score_correction_bias",
    .gate = "mlp.experts.%e.gate_proj.weight", .up = "mlp.experts.%e.up_proj.weight",
    .down = "mlp.experts.%e.down_proj.weight",
};

/* In this family the experts are no branch: their shape is beside the halves'. */
typedef struct LongcatShape {
    DecoderShape usual;
    MoeShape *experts;
} LongcatShape;

static const LongcatShape *longcat(const ModelShape *s) { return s->own; }

static const char *name_of_half(Arena *arena, int l, const char *pattern)
{
    char text[WEIGHT_NAME_BYTES];
    snprintf(text, sizeof text, pattern, l / 2, l % 2);
    return arena_copy_text(arena, text, strlen(text));
}

static Err name_halves(const Keys *k, Arena *arena, ModelShape *s, const MlaShape *mla, Error *err)
{
    MlaShape *own = ARENA_ARRAY(arena, MlaShape, (size_t)s->L);
    for (int l = 0; l < s->L && own; l++) {
        DecoderLayer *half = &decoder_shape(s)->layer[l];
        Branch *attention = &half->stage[0].branch[0], *mlp = &half->stage[1].branch[0];
        own[l] = *mla;
        attention->shape = &own[l];
        attention->pre = name_of_half(arena, l, "%d.input_layernorm.%d");
        mlp->pre = name_of_half(arena, l, "%d.post_attention_layernorm.%d");
        own[l].prefix = name_of_half(arena, l, "model.layers.%d.self_attn.%d.");
        half->mlp.prefix = name_of_half(arena, l, "model.layers.%d.mlps.%d.");
        if (!attention->pre || !mlp->pre || !own[l].prefix || !half->mlp.prefix)
            own = NULL;
    }
    return own ? OK : fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
}

static Err read_experts(const Keys *k, Arena *arena, ModelShape *s, MoeShape **out, Error *err)
{
    char kind[32];
    MoeUsual usual = {.names = &moe, .score = SCORE_SOFTMAX, .factor = 6};
    TRY(keys_text_or(k, "zero_expert_type", NULL, "identity", kind, sizeof kind, err));
    if (strcmp(kind, "identity"))
        return fail(err, UNSUPPORTED, "%s: zero_expert_type '%s'; ridge knows identity", k->where, kind);
    TRY(moe_read(k, arena, s, &usual, out, err));
    TRY(keys_int_or(k, "zero_expert_num", NULL, 0, EXPERTS_MAX - (*out)->experts, 0, &(*out)->idle, err));
    TRY(keys_bool_or(k, "router_bias", NULL, false, &(*out)->router_bias, err));
    (*out)->choice_bias = true;
    (*out)->prefix = "model.layers.%d.";
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    MlaShape *mla;
    int32_t layers;
    TRY(keys_int(k, "num_layers", NULL, 1, LAYERS_MAX / 2, &layers, err));
    DecoderUsual usual = {.names = &decoder, .activation = SILU, .eps = 1e-5f, .own_heads = true, .no_rope = true,
                          .layers = 2 * layers, .context = 1 << 17};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(mla_read(k, arena, s, &(MlaUsual){.P = 128, .R = 64, .V = 128, .C = 512, .A = 1536, .theta = 1e7f}, &mla, err));
    TRY(keys_bool_or(k, "attention_bias", NULL, false, &mla->bias, err));
    mla->q_factor = mla->A ? sqrtf((float)s->D / (float)mla->A) : 1;
    mla->c_factor = sqrtf((float)s->D / (float)mla->C);
    TRY(name_halves(k, arena, s, mla, err));
    LongcatShape *own = ARENA_NEW(arena, LongcatShape);
    if (!own)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    own->usual = *m;
    s->own = own;
    return read_experts(k, arena, s, &own->experts, err);
}

/* transformers writes matrices for experts that compute nothing as well; nobody reads them. */
static void declare_idle(const MoeShape *m, WeightList *list, int layer)
{
    static const char *const ends[] = {"gate_proj", "up_proj"};
    char name[WEIGHT_NAME_BYTES];
    for (int32_t e = m->experts; e < m->experts + m->idle; e++)
        for (size_t i = 0; i < COUNT_OF(ends); i++) {
            snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%d.%s.weight", layer, e, ends[i]);
            weight_matrix(list, NULL, name, "", layer, m->F, m->D)->optional = true;
        }
}

static void *declare(const ModelShape *s, WeightList *list)
{
    LongcatWeights *w = part_weights(list, sizeof *w);
    w->halves = decoder_declare(s, list);
    for (int l = 0; l < s->L; l += 2) {
        w->experts[l / 2] = part_moe.declare(longcat(s)->experts, list, l / 2);
        declare_idle(longcat(s)->experts, list, l / 2);
    }
    return w;
}

static void forward(const Model *model, Device *d, const Step *step, Tensor logits)
{
    const ModelShape *s = &model->shape;
    const LongcatWeights *w = model->weights;
    Pass pass;
    Tensor x = decoder_begin(s, w->halves, d, step, &pass);
    for (int l = 0; l < s->L; l += 2) {
        size_t mark = device_mark(d);
        Tensor h = like(d, x), shortcut = like(d, x);
        decoder_stage_run(s, w->halves, d, &pass, l, 0, x);
        norm_run(&decoder_shape(s)->norm, d, h, x, &w->halves->layer[l][1][0].pre);
        op_fill(d, shortcut, 0);
        device_label(d, part_moe.label, l);
        part_moe.forward(longcat(s)->experts, w->experts[l / 2], d, &pass, l, shortcut, h);
        decoder_stage_run(s, w->halves, d, &pass, l, 1, x);
        decoder_stage_run(s, w->halves, d, &pass, l + 1, 0, x);
        decoder_stage_run(s, w->halves, d, &pass, l + 1, 1, x);
        op_add(d, x, shortcut);
        device_release(d, mark);
    }
    decoder_end(s, w->halves, d, step, x, logits);
}

const Arch arch_longcat_flash = {
    .names = {"longcat_flash"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = declare,
    .forward = forward,
    .ignores = {"rotary_emb.inv_freq"},
};

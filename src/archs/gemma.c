/* gemma.c -- Gemma, Gemma 2, Gemma 3 and VaultGemma (Gemma Team 2024, 2024, 2025).
 *
 * Llama's block with embeddings scaled by sqrt(D) and norms stored as gain - 1. Gemma 2 adds norms behind
 * attention and mlp, soft caps, and a window in every other layer; Gemma 3 has norms on q and k instead of
 * caps, a window in five of six layers, and a rotary base of its own for those.
 */
#include <math.h>
#include <string.h>

#include "model/decoder.h"

enum { WINDOW_MAX = 1 << 28, HEAD_WIDTH = 256 };

/* What the members of the family differ in. */
typedef struct Variant {
    const char *name, *name_gguf;
    bool norms_behind, head_norms;
    const char *pre_mlp;
    int32_t pattern;                    /* every so many-th layer sees all; 0: all layers do */
    float attention_cap, logit_cap;     /* where the config says nothing; 0: none */
} Variant;

static const Variant variants[] = {
    {"gemma", "gemma", .pre_mlp = "post_attention_layernorm"},
    {"gemma2", "gemma2", true, false, "pre_feedforward_layernorm", 2, 50, 30},
    {"gemma3_text", "gemma3", true, true, "pre_feedforward_layernorm", 6, 0, 0},
    {"vaultgemma", "", false, false, "pre_feedforward_layernorm", 2, 50, 30},
};

static const Variant *variant_of(const Keys *k)
{
    size_t i = 0;
    while (i + 1 < COUNT_OF(variants) && strcmp(variants[i].name, k->family) && strcmp(variants[i].name_gguf, k->family))
        i++;
    return &variants[i];
}

static Err read_windows(const Keys *k, const Variant *v, ModelShape *s, DecoderShape *m, Error *err)
{
    bool local[LAYERS_MAX];
    int32_t window;
    TRY(decoder_read_local(k, s, "sliding_attention", v->pattern, local, err));
    TRY(keys_int_or(k, "sliding_window", "attention.sliding_window", 1, WINDOW_MAX, 4096, &window, err));
    for (int l = 0; l < s->L; l++) {
        m->layer[l].attention.how.window = local[l] ? window : 0;
        m->layer[l].attention.rope = v->head_norms && local[l];
    }
    return OK;
}

/* null is none, silence is the usual one. */
static Err read_cap(const Keys *k, const char *key, float usual, float *out, Error *err)
{
    return keys_float_or(k, key, key, 0, 1e6, keys_null(k, key) ? 0 : usual, out, err);
}

/* The first Gemma's configs say "gelu" and mean its other form; if they say more, they say it by a second word. */
static const char *activation_key(const Keys *k, const Variant *v)
{
    const char *word = k->config && !v->pattern ? json_string_value(json_object_get(k->config, "hidden_act")) : NULL;
    return word && strcmp(word, "gelu") ? "hidden_act" : "hidden_activation";
}

static Err read_attention(const Keys *k, const Variant *v, ModelShape *s, DecoderShape *m, Error *err)
{
    float scalar = (float)s->H, cap = v->attention_cap;
    TRY(decoder_read_biases(k, s, err));
    if (v->pattern) {
        TRY(keys_float_or(k, "query_pre_attn_scalar", NULL, 1e-3, 1e6, keys_are_gguf(k) ? scalar : 256, &scalar, err));
        TRY(read_cap(k, "attn_logit_softcapping", cap, &cap, err));
        TRY(read_cap(k, "final_logit_softcapping", v->logit_cap, &m->logit_cap, err));
        cap = v->head_norms ? 0 : cap; /* Gemma 3's config has the word, its code does not */
    }
    /* llama.cpp knows this number by the size of the model */
    float scale = 1.0f / sqrtf(scalar);
    TRY(keys_float_or(k, NULL, "attention.scale", 0, 1e6, scale, &scale, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->how.scale = scale;
        a->how.softcap = cap;
        a->head_norm = v->head_norms ? HEAD_NORM_EACH : HEAD_NORM_NONE;
        a->norm = m->norm;
        a->rope = 0;
    }
    return OK;
}

static void place_norms(const Variant *v, ModelShape *s, DecoderShape *m)
{
    for (int l = 0; l < s->L; l++) {
        m->layer[l].stage[1].branch[0].pre = v->pre_mlp;
        if (v->norms_behind)
            decoder_norms_behind(&m->layer[l], "post_attention_layernorm", "post_feedforward_layernorm");
    }
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    const Variant *v = variant_of(k);
    DecoderShape *m;
    DecoderUsual usual = {.activation = GELU_TANH, .activation_key = activation_key(k, v), .head_width = HEAD_WIDTH,
                          .no_rope = v->head_norms, .context = v->head_norms ? 1 << 17 : 1 << 13};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    m->embed_factor = sqrtf((float)s->D);
    m->norm.minus_one = true;
    if (v->head_norms)
        TRY(decoder_add_two_ropes(k, s->H, 1e6f, 1e4f, s, arena, m, err));
    TRY(read_attention(k, v, s, m, err));
    place_norms(v, s, m);
    bool both_ways;
    TRY(keys_bool_or(k, "use_bidirectional_attention", NULL, false, &both_ways, err));
    if (both_ways)
        return fail(err, UNSUPPORTED, "%s: use_bidirectional_attention is for models that make embeddings, not text", k->where);
    return v->pattern ? read_windows(k, v, s, m, err) : OK;
}

const Arch arch_gemma = {
    .names = {"gemma", "gemma2", "gemma3_text", "vaultgemma", "gemma3"},
    .gguf_names = {"gemma", "gemma2", "gemma3", NULL, "gemma3"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

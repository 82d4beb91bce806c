/* dense_shape.c -- reads the shape of the families that are made of the dense block. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/dense.h"

enum { WIDTH_MAX = 1 << 20, HEADS_MAX = 1 << 14, VOCABULARY_MAX = 1 << 24, CONTEXT_MAX = 1 << 28 };

Err activation_read(const Keys *k, const char *hf, Activation otherwise, Activation *out, Error *err)
{
    static const struct {
        const char *name;
        Activation act;
    } known[] = {
        {"silu", SILU},
        {"swish", SILU},
        {"gelu", GELU},
        {"gelu_python", GELU},
        {"gelu_new", GELU_TANH},
        {"gelu_pytorch_tanh", GELU_TANH},
        {"gelu_fast", GELU_TANH},
        {"gelu_accurate", GELU_TANH},
        {"gelu_python_tanh", GELU_TANH},
        {"relu", RELU},
        {"relu2", RELU_SQUARED},
        {"sigmoid", SIGMOID},
        {"tanh", TANH},
    };
    char name[32];
    TRY(keys_text_or(k, hf, NULL, "", name, sizeof name, err));
    *out = otherwise;
    if (!name[0])
        return OK;
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (!strcmp(known[i].name, name)) {
            *out = known[i].act;
            return OK;
        }
    return fail(err, UNSUPPORTED, "%s: %s '%s' is an activation that ridge does not know", k->where, hf, name);
}

/* GGUF says the size of the vocabulary by the table itself. */
static Err read_vocabulary(const Keys *k, ModelShape *s, Error *err)
{
    if (!keys_are_gguf(k))
        return keys_int(k, "vocab_size", NULL, 1, VOCABULARY_MAX, &s->V, err);
    const StoreTensor *t = store_find(k->store, "token_embd.weight");
    if (!t || t->dims != 2 || t->dim[0] < 1 || t->dim[0] > VOCABULARY_MAX)
        return fail(err, BAD_FILE, "%s: tensor 'token_embd.weight' must be there and have two dimensions", k->where);
    s->V = (int32_t)t->dim[0];
    return OK;
}

static Err read_heads(const Keys *k, ModelShape *s, Error *err)
{
    TRY(keys_int(k, "num_attention_heads", "attention.head_count", 1, HEADS_MAX, &s->N, err));
    TRY(keys_int_or(k, "num_key_value_heads", "attention.head_count_kv", 1, HEADS_MAX, s->N, &s->K, err));
    if (s->N % s->K)
        return fail(err, BAD_FILE, "%s: %d query heads cannot share %d key/value heads evenly", k->where, s->N, s->K);
    bool given = keys_have(k, "head_dim", "attention.key_length");
    int32_t usual = s->H ? s->H : s->D / s->N;
    if (!given && !s->H && s->D % s->N)
        return fail(err, BAD_FILE,
                    "%s: hidden_size %d is not a multiple of num_attention_heads %d, and no head_dim is given",
                    k->where, s->D, s->N);
    TRY(keys_int_or(k, "head_dim", "attention.key_length", 1, WIDTH_MAX, usual, &s->H, err));
    int32_t value;
    TRY(keys_int_or(k, NULL, "attention.value_length", 1, WIDTH_MAX, s->H, &value, err));
    if (value != s->H)
        return fail(err, UNSUPPORTED, "%s: keys of %d and values of %d are not something that family '%s' has",
                    k->where, s->H, value, k->family);
    if ((int64_t)s->N * s->H > WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: %d heads of %d are more than ridge's limit of %d", k->where, s->N, s->H,
                    WIDTH_MAX);
    return OK;
}

Err dense_read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DenseShape *m = s->own = ARENA_NEW(arena, DenseShape);
    if (!m)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(keys_int(k, "hidden_size", "embedding_length", 1, WIDTH_MAX, &s->D, err));
    TRY(keys_int(k, "intermediate_size", "feed_forward_length", 1, WIDTH_MAX, &s->F, err));
    TRY(keys_int(k, "num_hidden_layers", "block_count", 1, LAYERS_MAX, &s->L, err));
    TRY(keys_int_or(k, "max_position_embeddings", "context_length", 1, CONTEXT_MAX, 2048, &s->context, err));
    TRY(keys_float_or(k, "rms_norm_eps", "attention.layer_norm_rms_epsilon", 0, 1, 1e-6f, &s->eps, err));
    TRY(read_vocabulary(k, s, err));
    TRY(read_heads(k, s, err));

    const char *head = keys_are_gguf(k) ? "output.weight" : "lm_head.weight";
    TRY(keys_bool_or(k, "tie_word_embeddings", NULL, !store_find(k->store, head), &s->tied, err));
    TRY(activation_read(k, "hidden_act", SILU, &m->activation, err));
    if (m->activation != SILU)
        TRY(keys_record_nothing(k, "a hidden_act other than silu", err));
    int32_t dims; /* transformers turns whole heads in these families, whatever partial_rotary_factor says */
    TRY(keys_int_or(k, NULL, "rope.dimension_count", 2, s->H, s->H, &dims, err));
    if (dims % 2)
        return fail(err, UNSUPPORTED, "%s: %d values of a head would turn; the number must be even", k->where, dims);
    TRY(rope_config_read(k, "rope_parameters", dims, s->context, arena, &m->rope, err));
    s->length_matters = m->rope.angles.kind != ROPE_FIXED;
    m->scale = 1.0f / sqrtf((float)s->H);
    return OK;
}

/* layer_types, where it is given, says it layer by layer; else all layers from max_window_layers on. */
static Err window_of_layer(const Keys *k, int l, int32_t window, int32_t first, int32_t *out, Error *err)
{
    const json_t *types = k->config ? json_object_get(k->config, "layer_types") : NULL;
    if (!json_is_array(types)) {
        *out = l >= first ? window : 0;
        return OK;
    }
    const char *type = json_string_value(json_array_get(types, (size_t)l));
    if (!type || (strcmp(type, "full_attention") && strcmp(type, "sliding_attention")))
        return fail(err, type ? UNSUPPORTED : BAD_FILE,
                    "%s: layer_types[%d] is '%s'; family '%s' knows full_attention and "
                    "sliding_attention",
                    k->where, l, type ? type : "(missing)", k->family);
    *out = type[0] == 's' ? window : 0;
    if (type[0] == 's' && !window)
        return fail(err, BAD_FILE, "%s: layer_types[%d] is sliding_attention, but sliding_window is not given",
                    k->where, l);
    return OK;
}

/* A GGUF of these families has one window for all layers. */
static Err record_windows(const Keys *k, const ModelShape *s, Error *err)
{
    int32_t window = 0, bare = -1;
    for (int l = 0; l < s->L; l++) {
        if (dense_shape(s)->window[l])
            window = dense_shape(s)->window[l];
        else if (bare < 0)
            bare = l;
    }
    if (!window)
        return OK;
    char what[64];
    snprintf(what, sizeof what, "layer %d has no sliding window, but others have", bare);
    if (bare >= 0)
        return keys_record_nothing(k, what, err);
    keys_record_int(k, "attention.sliding_window", window);
    return OK;
}

Err dense_read_windows(const Keys *k, ModelShape *s, bool used_by_default, int32_t first, Error *err)
{
    DenseShape *m = dense_shape(s);
    int32_t window;
    bool used;
    const char *gguf = keys_are_gguf(k) ? "attention.sliding_window" : NULL;
    TRY(keys_int_or(k, "sliding_window", gguf, 0, CONTEXT_MAX, 0, &window, err));
    TRY(keys_bool_or(k, "use_sliding_window", NULL, used_by_default, &used, err));
    TRY(keys_int_or(k, "max_window_layers", NULL, 0, 1 << 20, gguf ? 0 : first, &first, err));
    if (!used && !gguf)
        window = 0;
    for (int l = 0; l < s->L; l++)
        TRY(window_of_layer(k, l, window, first, &m->window[l], err));
    return gguf ? OK : record_windows(k, s, err);
}

/* gpt_neo.c -- GPT-2's block with separate q, k and v, unscaled scores and every other layer local (Black et al. 2021). */
#include "model/decoder.h"

enum { WINDOW = 256 }; /* transformers' default */

static const AttentionNames attention = {.q = "attn.attention.q_proj", .k = "attn.attention.k_proj",
                                         .v = "attn.attention.v_proj", .o = "attn.attention.out_proj"};
static const DecoderNames names = {
    .layer = "transformer.h.%d.",
    .embed = "transformer.wte", .positions = "transformer.wpe", .norm = "transformer.ln_f", .head = "lm_head",
    .pre_attention = "ln_1", .pre_mlp = "ln_2",
    .attention = &attention,
    .mlp = "mlp.", .up = "c_fc", .down = "c_proj",
};

/* attention_types: [[["global", "local"], 12]] says that those two come 12 times. A list as attention_layers is. */
static json_t *expand_types(const json_t *types)
{
    json_t *kinds = json_array();
    for (size_t i = 0; i < json_array_size(types); i++) {
        const json_t *item = json_array_get(types, i);
        json_int_t times = json_integer_value(json_array_get(item, 1));
        for (json_int_t t = 0; t < times && t <= LAYERS_MAX; t++)
            json_array_extend(kinds, json_array_get(item, 0));
    }
    return kinds;
}

static Err read_kinds(const Keys *k, const ModelShape *s, int *local, Error *err)
{
    static const char *const kinds[] = {"global", "local"};
    for (int l = 0; l < s->L; l++)
        local[l] = l % 2;
    if (keys_have(k, "attention_layers", NULL))
        return keys_layer_kinds(k, "attention_layers", kinds, COUNT_OF(kinds), local, s->L, err);
    if (!keys_have(k, "attention_types", NULL))
        return OK;
    Keys expanded = *k;
    json_t *config = json_pack("{s:o}", "attention_types", expand_types(json_object_get(k->config, "attention_types")));
    expanded.config = config;
    Err result = config ? keys_layer_kinds(&expanded, "attention_types", kinds, COUNT_OF(kinds), local, s->L, err)
                        : fail(err, NO_MEMORY, "%s: no memory for attention_types", k->where);
    json_decref(config);
    return result;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    int local[LAYERS_MAX];
    int32_t window;
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.names = &names, .norm = NORM_LAYER, .activation = GELU_TANH, .plain_mlp = true,
                                     .mlp_times = 4, .no_rope = true, .tied = true},
                     &m, err));
    TRY(keys_int_or(k, "window_size", NULL, 1, INT32_MAX, WINDOW, &window, err));
    TRY(read_kinds(k, s, local, err));
    for (int l = 0; l < s->L; l++)
        m->layer[l].attention.how = (Attend){.scale = 1, .window = local[l] ? window : 0};
    decoder_biases(s, false, true, true);
    return OK;
}

const Arch arch_gpt_neo = {
    .names = {"gpt_neo"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {".attn.attention.bias", ".attn.attention.masked_bias"}, /* masks */
};

/* exaone4.c -- norms behind attention and mlp, and on each head; where there are windows, only the layers that have one
 * turn (LG AI Research 2025). K-EXAONE has experts, and norms before (2026). */
#include <string.h>

#include "model/moe.h"

enum { WINDOW_MAX = 1 << 28, PATTERN = 4, WINDOW = 4096 };

/* "LLLG": the layers in turn, local or global. */
static Err read_letters(const Keys *k, const ModelShape *s, bool *local, bool *found, Error *err)
{
    const json_t *text = k->config ? json_object_get(k->config, "sliding_window_pattern") : NULL;
    size_t letters = json_string_length(text);
    *found = json_is_string(text) && !keys_have(k, "layer_types", NULL);
    for (int l = 0; l < s->L && *found; l++) {
        char c = letters ? json_string_value(text)[(size_t)l % letters] : 0;
        if (c != 'L' && c != 'G')
            return fail(err, UNSUPPORTED, "%s: sliding_window_pattern '%s' must be made of L and G", k->where,
                        json_string_value(text));
        local[l] = c == 'L';
    }
    return OK;
}

static const MoeNames names = {
    .router = "mlp.gate", .choice_bias = "mlp.e_score_correction_bias",
    .gate = "mlp.experts.%e.gate_proj.weight", .up = "mlp.experts.%e.up_proj.weight",
    .down = "mlp.experts.%e.down_proj.weight", .shared = "mlp.shared_experts.",
};

static Err read_experts(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    MoeShape *moe;
    bool sparse[LAYERS_MAX];
    MoeUsual usual = {.names = &names, .score = SCORE_SIGMOID, .normalises = true, .gguf_says_norm = true,
                      .norm_eps = 1e-20f, .factor = 2.5f, .group_top = 2, .shared = 1};
    TRY(moe_read(k, arena, s, &usual, &moe, err));
    TRY(moe_read_layers(k, s, 1, sparse, err));
    moe->choice_bias = true;
    keys_record_int(k, "expert_shared_feed_forward_length", moe->shared.F);
    moe_use(s, moe, sparse);
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool experts = strncmp(k->family, "exaone4", strlen("exaone4")) != 0, local[LAYERS_MAX], letters;
    bool windows = keys_are_gguf(k) ? keys_have(k, NULL, "attention.sliding_window") : !keys_null(k, "sliding_window");
    int32_t window = 0;
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.activation = SILU, .eps = 1e-5f}, &m, err));
    TRY(read_letters(k, s, local, &letters, err));
    if (letters)
        decoder_record_local(k, s, local);
    else
        TRY(decoder_read_local(k, s, "sliding_attention", PATTERN, local, err));
    if (windows)
        TRY(keys_int_or(k, "sliding_window", "attention.sliding_window", 1, WINDOW_MAX, WINDOW, &window, err));
    for (int l = 0; l < s->L; l++) {
        DecoderLayer *layer = &m->layer[l];
        layer->attention.head_norm = HEAD_NORM_EACH;
        layer->attention.rope = windows && !local[l] ? ROPE_NONE : 0;
        layer->attention.how.window = local[l] ? window : 0;
        if (experts)
            continue;
        decoder_norms_behind(layer, "post_attention_layernorm", "post_feedforward_layernorm");
        layer->stage[0].branch[0].pre = layer->stage[1].branch[0].pre = NULL;
    }
    return experts ? read_experts(k, arena, s, err) : OK;
}

const Arch arch_exaone4 = {
    .names = {"exaone4", "exaone_moe", "exaone-moe"},
    .gguf_names = {"exaone4", "exaone-moe", "exaone-moe"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .draft_layers = true,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

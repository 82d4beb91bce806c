/* exaone4.c -- norms behind attention and mlp, and on each head; where there are windows, only the layers that have one
 * turn (LG AI Research 2025). */
#include "model/decoder.h"

enum { WINDOW_MAX = 1 << 28, PATTERN = 4, WINDOW = 4096 };

/* "LLLG": the layers in turn, local or global. */
static Err read_letters(const Keys *k, const ModelShape *s, bool *local, bool *found, Error *err)
{
    const json_t *text = k->config ? json_object_get(k->config, "sliding_window_pattern") : NULL;
    size_t letters = json_string_length(text);
    *found = json_is_string(text) && !keys_are_list(k, "layer_types", NULL);
    for (int l = 0; l < s->L && *found; l++) {
        char c = letters ? json_string_value(text)[(size_t)l % letters] : 0;
        if (c != 'L' && c != 'G')
            return fail(err, UNSUPPORTED, "%s: sliding_window_pattern '%s' must be made of L and G", k->where,
                        json_string_value(text));
        local[l] = c == 'L';
    }
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool local[LAYERS_MAX], letters, windows = keys_have(k, "sliding_window", "attention.sliding_window");
    int32_t window = 0;
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.activation = SILU, .eps = 1e-5f}, &m, err));
    TRY(read_letters(k, s, local, &letters, err));
    if (letters)
        decoder_record_local(k, s, local);
    else
        TRY(decoder_read_local(k, s, "sliding_attention", PATTERN, local, err));
    if (windows)
        TRY(keys_int(k, "sliding_window", "attention.sliding_window", 1, WINDOW_MAX, &window, err));
    for (int l = 0; l < s->L; l++) {
        DecoderLayer *layer = &m->layer[l];
        layer->attention.head_norm = HEAD_NORM_EACH;
        layer->attention.rope = windows && !local[l] ? ROPE_NONE : 0;
        layer->attention.how.window = local[l] ? window : 0;
        decoder_norms_behind(layer, "post_attention_layernorm", "post_feedforward_layernorm");
        layer->stage[0].branch[0].pre = layer->stage[1].branch[0].pre = NULL;
    }
    return OK;
}

const Arch arch_exaone4 = {
    .names = {"exaone4"},
    .gguf_name = "exaone4",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

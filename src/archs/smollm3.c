/* smollm3.c -- Llama's block of which every fourth layer does not turn (Hugging Face 2025; NoPE: Yang et al. 2025). */
#include "model/decoder.h"

enum { INTERVAL = 4 };

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    int32_t turns[LAYERS_MAX], interval;
    DecoderUsual usual = {.activation = SILU, .theta = 2e6f, .gguf_turned = true, .context = 1 << 15};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(decoder_read_biases(k, s, err));
    TRY(keys_int_or(k, "no_rope_layer_interval", NULL, 1, LAYERS_MAX, INTERVAL, &interval, err));
    for (int l = 0; l < s->L; l++)
        turns[l] = (l + 1) % interval != 0;
    if (keys_have(k, "no_rope_layers", NULL)) /* 1: it turns, in spite of the name */
        TRY(keys_ints_or(k, "no_rope_layers", NULL, 0, 1, 1, turns, s->L, err));
    for (int l = 0; l < s->L; l++) {
        if (turns[l] != ((l + 1) % INTERVAL != 0))
            TRY(keys_record_nothing(k, "no_rope_layers other than every fourth", err));
        m->layer[l].attention.rope = turns[l] ? 0 : ROPE_NONE;
    }
    Keys quiet = *k;
    quiet.record = NULL;
    TRY(decoder_read_windows(&quiet, s, false, 0, 0, err));
    bool listed = keys_are_gguf(k) || keys_have(k, "layer_types", NULL);
    for (int l = 0; l < s->L && !listed; l++)
        if (turns[l]) /* else the layers that do not turn are local */
            m->layer[l].attention.how.window = 0;
    decoder_record_windows(k, s);
    return OK;
}

const Arch arch_smollm3 = {
    .names = {"smollm3"},
    .gguf_name = "smollm3",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

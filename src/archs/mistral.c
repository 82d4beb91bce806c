/* mistral.c -- Llama's block with a sliding window in every layer (Jiang et al. 2023), Ministral with one in
 * some of them, and Ministral 3, whose queries grow with their position (Mistral AI 2025). */
#include <string.h>

#include "model/decoder.h"

/* transformers spells the growth as Llama 4 does, and counts in the length that rope was trained for. */
static Err read_growth(const Keys *k, ModelShape *s, DecoderShape *m, Error *err)
{
    float growth;
    TRY(keys_float_or(k, "rope_parameters.llama_4_scaling_beta|rope_scaling.llama_4_scaling_beta",
                      "attention.temperature_scale", 0, 1e3, 0, &growth, err));
    for (int l = 0; l < s->L; l++) {
        m->layer[l].attention.q_growth = growth;
        m->layer[l].attention.q_floor = m->rope[0].angles.original_length;
    }
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool third = !strcmp(k->family, "ministral3") || !strcmp(k->family, "mistral3");
    DecoderUsual usual = {.activation = SILU, .gguf_turned = true, .eps = third ? 1e-5f : 0, .head_width = third ? 128 : 0};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    if (third)
        TRY(read_growth(k, s, m, err));
    return decoder_read_windows(k, s, true, 0, err);
}

const Arch arch_mistral = {
    .names = {"mistral", "ministral", "ministral3", "mistral3"},
    .gguf_names = {"llama", NULL, "mistral3", "mistral3"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

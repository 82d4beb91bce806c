/* mistral.c -- Llama's block with a sliding window in every layer (Jiang et al. 2023), Ministral with one in
 * some of them, and Ministral 3, whose queries grow with their position (Mistral AI 2025). */
#include <string.h>

#include "model/decoder.h"

enum { WINDOW = 4096 };

/* What Ministral 3 is where its config says nothing of rotation. */
#define ROPE_3                                                                                                        \
    "{\"rope_type\": \"yarn\", \"rope_theta\": 1e6, \"factor\": 16, \"original_max_position_embeddings\": 16384, "      \
    "\"mscale\": 1, \"mscale_all_dim\": 1}"

/* transformers spells the growth as Llama 4 does, and counts in the length that rope was trained for. */
static Err read_growth(const Keys *k, ModelShape *s, DecoderShape *m, Error *err)
{
    float growth;
    float usual = keys_are_gguf(k) || keys_have(k, "rope_parameters|rope_scaling", NULL) ? 0 : 0.1f;
    TRY(keys_float_or(k, "rope_parameters.llama_4_scaling_beta|rope_scaling.llama_4_scaling_beta",
                      "attention.temperature_scale", 0, 1e3, usual, &growth, err));
    int32_t floor = m->rope[0].angles.original_length;
    Keys quiet = *k; /* a scaling that has a length has recorded it */
    quiet.record = NULL;
    TRY(keys_int_or(&quiet, NULL, "rope.scaling.original_context_length", 1, 1 << 28, floor, &floor, err));
    if (k->record && !gguf_written(k->record, "mistral3.rope.scaling.original_context_length"))
        keys_record_int(k, "rope.scaling.original_context_length", floor);
    for (int l = 0; l < s->L; l++) {
        m->layer[l].attention.q_growth = growth;
        m->layer[l].attention.q_floor = floor;
    }
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool third = !strcmp(k->family, "ministral3") || !strcmp(k->family, "mistral3");
    DecoderUsual usual = {.activation = SILU, .gguf_turned = true, .eps = third ? 1e-5f : 0, .head_width = third ? 128 : 0,
                          .rope = third ? ROPE_3 : NULL, .context = third ? 1 << 18 : 1 << 17};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    if (third)
        TRY(read_growth(k, s, m, err));
    return decoder_read_windows(k, s, true, 0, third ? 0 : WINDOW, err);
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

/* xglm.c -- XGLM (Lin et al. 2021): positions are waves, as in Vaswani et al. 2017, added to scaled embeddings. */
#include <math.h>

#include "model/decoder.h"

enum { FIRST_POSITION = 2, PADDING = 1 }; /* row of position 0; transformers' default of pad_token_id */

static const AttentionNames attention = {.q = "self_attn.q_proj", .k = "self_attn.k_proj", .v = "self_attn.v_proj",
                                         .o = "self_attn.out_proj"};
static const DecoderNames names = {
    .layer = "model.layers.%d.",
    .embed = "model.embed_tokens", .norm = "model.layer_norm", .head = "lm_head",
    .pre_attention = "self_attn_layer_norm", .pre_mlp = "final_layer_norm",
    .attention = &attention,
    .mlp = "", .up = "fc1", .down = "fc2",
};

/* sin(p f), then cos(p f), of D/2 frequencies from 1 to 1/10000. The row that has the padding token's number is zeros. */
static const float *waves(Arena *arena, int32_t rows, int32_t width, int32_t padding)
{
    float *table = ARENA_ARRAY(arena, float, (size_t)rows * (size_t)width);
    int32_t half = width / 2;
    float step = (float)(log(10000) / (half - 1));
    for (int32_t p = 0; p < rows && table; p++)
        for (int32_t i = 0; i < half && p != padding; i++) {
            float angle = (float)p * expf((float)i * -step);
            table[(size_t)p * (size_t)width + (size_t)i] = sinf(angle);
            table[(size_t)p * (size_t)width + (size_t)(half + i)] = cosf(angle);
        }
    return table;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool scaled;
    int32_t padding;
    TRY(keys_only(k, "add_cross_attention", false, err));
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.names = &names, .norm = NORM_LAYER, .activation = GELU, .plain_mlp = true,
                                     .no_rope = true, .tied = true},
                     &m, err));
    TRY(keys_bool_or(k, "scale_embedding", NULL, true, &scaled, err));
    TRY(keys_int_or(k, "pad_token_id", NULL, 0, INT32_MAX, PADDING, &padding, err));
    if (s->D < 4)
        return fail(err, UNSUPPORTED, "%s: d_model %d has no room for waves; ridge takes 4 and more", k->where, s->D);
    m->embed_factor = scaled ? sqrtf((float)s->D) : 1;
    m->position_first = FIRST_POSITION;
    m->position_table = waves(arena, s->context + FIRST_POSITION, s->D, padding);
    s->positions_max = s->context;
    if (!m->position_table)
        return fail(err, NO_MEMORY, "%s: no memory for %d positions", k->where, s->context);
    decoder_biases(s, true, true, true);
    return OK;
}

const Arch arch_xglm = {
    .names = {"xglm"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"embed_positions.weights"},
};

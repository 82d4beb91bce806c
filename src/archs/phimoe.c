/* phimoe.c -- Phi-3.5-MoE: layer norms, biases everywhere, two experts chosen by a sparse mixer (Abdin et al. 2024). A
 * GGUF of it means the same model, though llama.cpp computes another one with it. */
#include <string.h>

#include "model/moe.h"

static const MoeNames names = {
    .router = "block_sparse_moe.gate",
    .gate = "block_sparse_moe.experts.%e.w1.weight",
    .up = "block_sparse_moe.experts.%e.w3.weight",
    .down = "block_sparse_moe.experts.%e.w2.weight",
};

static Err read_router(const Keys *k, MoeShape *moe, Error *err)
{
    const float usual = 0.01f;
    if (moe->used != 2)
        return fail(err, UNSUPPORTED, "%s: %d experts a token; the sparse mixer of '%s' chooses 2", k->where, moe->used,
                    k->family);
    TRY(keys_float_or(k, "router_jitter_noise", NULL, 0, 1, usual, &moe->router.jitter, err));
    return moe->router.jitter == usual ? OK : keys_record_nothing(k, "router_jitter_noise other than 0.01", err);
}

/* As transformers has it: under longrope frequencies stay the short ones, and only the magnitude is another beyond
 * the original length. */
static Err read_rope(const Keys *k, DecoderShape *m, Error *err)
{
    RopeConfig *rope = &m->rope[0];
    char type[32];
    TRY(keys_text_or(k, "rope_parameters.rope_type|rope_scaling.rope_type|rope_scaling.type", NULL, "default", type,
                     sizeof type, err));
    if (keys_are_gguf(k) || !strcmp(type, "default"))
        return OK;
    if (rope->angles.kind != ROPE_LONG)
        return fail(err, UNSUPPORTED, "%s: rope type '%s' is not one that '%s' has; it has default and longrope", k->where,
                    type, k->family);
    size_t bytes = (size_t)rope->angles.dims / 2 * sizeof *rope->inv_freq;
    memcpy(rope->inv_freq + rope->angles.dims / 2, rope->inv_freq, bytes);
    TRY(keys_float(k, "rope_parameters.short_mscale|rope_scaling.short_mscale", NULL, 1e-3, 1e3, &rope->angles.magnitude,
                   err));
    TRY(keys_float(k, "rope_parameters.long_mscale|rope_scaling.long_mscale", NULL, 1e-3, 1e3, &rope->angles.magnitude_long,
                   err));
    return keys_record_nothing(k, "short_mscale and long_mscale", err);
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    MoeShape *moe;
    DecoderUsual usual = {.eps = 1e-5f, .activation = SILU, .theta = 1e6f}; /* both files call it the eps of an RMS norm */
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    m->norm.kind = NORM_LAYER;
    m->norm.bias = true;
    TRY(decoder_read_biases(k, s, err));
    TRY(decoder_read_bias(k, "lm_head_bias", "output.bias", false, &m->head_bias, err));
    TRY(decoder_read_windows(k, s, true, 0, 0, err));
    TRY(moe_read(k, arena, s, &(MoeUsual){.names = &names, .score = SCORE_SPARSEMIXER}, &moe, err));
    TRY(read_router(k, moe, err));
    TRY(read_rope(k, m, err));
    moe_use(s, moe, NULL);
    return OK;
}

const Arch arch_phimoe = {
    .names = {"phimoe"},
    .gguf_name = "phimoe",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

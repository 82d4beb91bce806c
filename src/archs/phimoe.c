/* phimoe.c -- Phi-3.5-MoE: layer norms, biases everywhere, two experts chosen by a sparse mixer (Abdin et al. 2024). */
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
    TRY(decoder_read_windows(k, s, true, 0, err));
    TRY(moe_read(k, arena, s, &(MoeUsual){.names = &names, .score = SCORE_SPARSEMIXER}, &moe, err));
    TRY(read_router(k, moe, err));
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

/* ernie_moe.c -- ERNIE 4.5 with experts (Baidu 2025): rotary pairs side by side; experts are scored by softmax and
 * chosen with a bias that does not count in the sum; some layers at either end have none. */
#include "model/moe.h"

static const MoeNames names = {
    .router = "mlp.gate", .choice_bias = "mlp.moe_statics.e_score_correction_bias",
    .gate = "mlp.experts.%e.gate_proj.weight", .up = "mlp.experts.%e.up_proj.weight",
    .down = "mlp.experts.%e.down_proj.weight", .shared = "mlp.shared_experts.",
};

static Err read_least(const Keys *k, float *least, Error *err)
{
    const float usual = 1e-12f;
    TRY(keys_float_or(k, "moe_norm_min", NULL, 0, 1, usual, least, err));
    return *least == usual ? OK : keys_record_nothing(k, "moe_norm_min other than 1e-12", err);
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    MoeShape *moe;
    bool bias, sparse[LAYERS_MAX];
    DecoderUsual usual = {.activation = SILU, .eps = 1e-5f, .theta = 5e5f, .tied = true};
    MoeUsual usual_experts = {.names = &names, .normalises = true, .gguf_normalises = true, .shared = 2};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(decoder_read_bias(k, "use_bias", "blk.0.attn_q.bias", false, &bias, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        MlpShape *mlp = &m->layer[l].mlp;
        a->rope_interleaved = true;
        a->q_bias = a->k_bias = a->v_bias = a->o_bias = bias;
        mlp->gate_bias = mlp->up_bias = mlp->down_bias = bias;
    }
    TRY(decoder_read_bias(k, "use_bias", "output.bias", false, &m->head_bias, err));
    TRY(moe_read(k, arena, s, &usual_experts, &moe, err));
    TRY(read_least(k, &moe->router.norm_min, err));
    moe->choice_bias = true;
    if (moe->shared.F)
        keys_record_int(k, "expert_shared_feed_forward_length", moe->shared.F);
    moe->shared.gate_bias = moe->shared.up_bias = moe->shared.down_bias = bias;
    TRY(moe_read_layers(k, s, 1, sparse, err));
    moe_use(s, moe, sparse);
    return OK;
}

const Arch arch_ernie_moe = {
    .names = {"ernie4_5_moe", "ernie4_5-moe"},
    .gguf_name = "ernie4_5-moe",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .draft_layers = true,
    .ignores = {"rotary_emb.inv_freq"},
};

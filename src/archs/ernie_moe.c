/* ernie_moe.c -- ERNIE 4.5 with experts (Baidu 2025): rotary pairs side by side; experts are scored by softmax and
 * chosen with a bias that does not count in the sum; some layers at either end have none. */
#include "model/moe.h"

static const MoeNames names = {
    .router = "mlp.gate", .choice_bias = "mlp.moe_statics.e_score_correction_bias",
    .gate = "mlp.experts.%e.gate_proj.weight", .up = "mlp.experts.%e.up_proj.weight",
    .down = "mlp.experts.%e.down_proj.weight", .shared = "mlp.shared_experts.",
};

/* Every `step`-th layer from `first` to `last`; a GGUF does not say the last. */
static Err read_layers(const Keys *k, const ModelShape *s, bool *sparse, Error *err)
{
    int32_t first, last, step;
    TRY(keys_int_or(k, "moe_layer_start_index", "leading_dense_block_count", 0, LAYERS_MAX, 1, &first, err));
    TRY(keys_int_or(k, "moe_layer_interval", "interleave_moe_layer_step", 1, LAYERS_MAX, 1, &step, err));
    TRY(keys_int_or(k, "moe_layer_end_index", NULL, -1, LAYERS_MAX, -1, &last, err));
    last = last < 0 ? s->L - 1 : last;
    for (int l = 0; l < s->L; l++) {
        sparse[l] = l >= first && l <= last && (l + 1) % step == 0;
        if (l > last && (l + 1) % step == 0)
            TRY(keys_record_nothing(k, "a moe_layer_end_index before the last layer", err));
    }
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    MoeShape *moe;
    float least;
    bool bias, sparse[LAYERS_MAX];
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.activation = SILU, .eps = 1e-5f, .theta = 5e5f}, &m, err));
    TRY(decoder_read_bias(k, "use_bias", "blk.0.attn_q.bias", false, &bias, err));
    TRY(keys_float_or(k, "moe_norm_min", NULL, 0, 1, 1e-12f, &least, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        MlpShape *mlp = &m->layer[l].mlp;
        a->rope_interleaved = true;
        a->q_bias = a->k_bias = a->v_bias = a->o_bias = bias;
        mlp->gate_bias = mlp->up_bias = mlp->down_bias = bias;
    }
    TRY(moe_read(k, arena, s,
                 &(MoeUsual){.names = &names, .normalises = true, .gguf_normalises = true, .norm_eps = least, .shared = 2},
                 &moe, err));
    moe->choice_bias = true;
    moe->shared.gate_bias = moe->shared.up_bias = moe->shared.down_bias = bias;
    TRY(read_layers(k, s, sparse, err));
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
    .ignores = {"rotary_emb.inv_freq"},
};

/* olmo.c -- OLMo 1 to 3 (Groeneveld et al. 2024; OLMo Team 2024, 2025).
 *
 * The first: layer norms without weights, q, k and v kept within [-clip_qkv, clip_qkv]. The second: RMS norms
 * behind attention and mlp instead of before, and one over all of q and all of k. The third: windows in three of
 * four layers, and a rotary scaling in the others only. FlexOlmo is the second with experts (Shi et al. 2025), OLMoE
 * (Muennighoff et al. 2024) has norms before attention and experts and over all of q and k.
 */
#include <string.h>

#include "model/moe.h"

enum { WINDOW_MAX = 1 << 28, PATTERN = 4, WINDOW = 4096, THETA = 500000 };

static Err read_first(const Keys *k, ModelShape *s, DecoderShape *m, Error *err)
{
    float clip;
    TRY(keys_float_or(k, "clip_qkv", "attention.clamp_kqv", 0, 1e6, 0, &clip, err));
    s->eps = 1e-5f; /* whatever the config says */
    keys_record_float(k, "attention.layer_norm_epsilon", s->eps);
    m->norm = (NormShape){.kind = NORM_LAYER, .no_gain = true, .eps = s->eps};
    for (int l = 0; l < s->L; l++)
        m->layer[l].attention.clip = clip;
    return OK;
}

static void move_norms(ModelShape *s, DecoderShape *m)
{
    for (int l = 0; l < s->L; l++) {
        Branch *attention = &m->layer[l].stage[0].branch[0], *mlp = &m->layer[l].stage[1].branch[0];
        attention->pre = mlp->pre = NULL;
        decoder_norms_behind(&m->layer[l], "post_attention_layernorm", "post_feedforward_layernorm");
        m->layer[l].attention.head_norm = HEAD_NORM_ALL;
    }
}

/* OLMo 3 goes by OLMo 2's name in a GGUF; what tells them apart is the window. */
static Err read_third(const Keys *k, Arena *arena, ModelShape *s, DecoderShape *m, Error *err)
{
    bool local[LAYERS_MAX];
    int32_t window;
    TRY(keys_int_or(k, "sliding_window", "attention.sliding_window", 1, WINDOW_MAX, WINDOW, &window, err));
    TRY(decoder_read_local(k, s, "sliding_attention", PATTERN, local, err));
    float theta;
    Keys quiet = *k; /* of local layers too; decoder_add_two_ropes() records it */
    quiet.record = NULL;
    TRY(keys_float_or(&quiet, "rope_theta", "rope.freq_base", 1, 1e12, THETA, &theta, err));
    m->ropes = 0;
    TRY(decoder_add_two_ropes(k, s->H, theta, theta, s, arena, m, err));
    for (int l = 0; l < s->L; l++) {
        m->layer[l].attention.rope = local[l];
        m->layer[l].attention.how.window = local[l] ? window : 0;
    }
    return OK;
}

static Err read_experts(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    MoeShape *moe;
    TRY(moe_read(k, arena, s, &(MoeUsual){.score = SCORE_SOFTMAX}, &moe, err));
    moe_use(s, moe, NULL);
    return OK;
}

static Err read_olmoe(const Keys *k, ModelShape *s, DecoderShape *m, Error *err)
{
    float clip;
    TRY(keys_float_or(k, "clip_qkv", NULL, 0, 1e6, 0, &clip, err));
    if (clip != 0)
        TRY(keys_record_nothing(k, "clip_qkv", err));
    for (int l = 0; l < s->L; l++) {
        m->layer[l].attention.head_norm = HEAD_NORM_ALL;
        m->layer[l].attention.clip = clip;
    }
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool first = !strcmp(k->family, "olmo"), olmoe = !strcmp(k->family, "olmoe"), flex = !strcmp(k->family, "flex_olmo");
    bool third = !strcmp(k->family, "olmo3") || (!first && !olmoe && keys_have(k, NULL, "attention.sliding_window"));
    DecoderUsual usual = {.norm = first && keys_are_gguf(k) ? NORM_LAYER : NORM_RMS, .activation = SILU,
                          .theta = third || flex ? THETA : 0, .eps = flex ? 0 : 1e-5f, .no_rope = third, .gguf_turned = first};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(decoder_read_biases(k, s, err));
    if (first)
        return read_first(k, s, m, err);
    if (olmoe || flex)
        TRY(read_experts(k, arena, s, err));
    if (olmoe)
        return read_olmoe(k, s, m, err);
    move_norms(s, m);
    return third ? read_third(k, arena, s, m, err) : OK;
}

const Arch arch_olmo = {
    .names = {"olmo", "olmo2", "olmo3", "olmoe", "flex_olmo"},
    .gguf_names = {"olmo", "olmo2", "olmo2", "olmoe"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

/* h3.c -- H3 (Fu et al. 2023, "Hungry Hungry Hippos"): layers of two state spaces and two products, a few of attention
 * among them, each followed by an mlp.
 *
 * Names and keys are those of HazyResearch/H3 (src/models/ssm_seq.py), whose checkpoints have no config.json; what is read
 * are the arguments of its model:
 *
 *     {"model_type": "h3", "d_model", "n_layer", "vocab_size", "d_inner": 4 d_model, "pad_vocab_size_multiple": 1,
 *      "layer_norm_epsilon": 1e-5, "attn_layer_idx": [], "attn_cfg": {"num_heads", "rotary_emb_dim": 0},
 *      "ssm_cfg": {"d_state": 64, "mode": "diag", "disc": "bilinear", "n_ssm": d_model, "head_dim": 1}}
 *
 *     backbone.embeddings.word_embeddings, backbone.layers.N.{norm1, norm2, mlp.fc1, mlp.fc2}, backbone.ln_f; the head is
 *     the embedding; mixer.{q_proj, k_proj, v_proj, output_linear, ssm_k_kernel.kernel.{B, C}, ssm_k_D, D,
 *     kernel.kernel.{log_dt, inv_A_real, A_imag, B, C}} or, with attention, mixer.{Wqkv, out_proj}
 */
#include <math.h>
#include <string.h>

#include "model/decoder.h"
#include "model/long_conv.h"

enum { STATES = 64, STATES_MAX = 1 << 12, HEADS_MAX = 1 << 12, WIDTH_MAX = 1 << 20, PADDING_MAX = 1 << 16 };
static const int64_t STATE_WIDTH_MAX = 1 << 28;

static const AttentionNames attention = {.qkv = "mixer.Wqkv", .o = "mixer.out_proj"};
static const DecoderNames names = {
    .layer = "backbone.layers.%d.",
    .embed = "backbone.embeddings.word_embeddings", .norm = "backbone.ln_f", .head = "lm_head",
    .pre_attention = "norm1", .pre_mlp = "norm2",
    .attention = &attention,
    .mlp = "mlp.", .up = "fc1", .down = "fc2",
};

/* What the config could ask for, and the block does not do. */
static Err check_variant(const Keys *k, Discretise *how, Error *err)
{
    char mode[32], disc[32];
    int32_t width;
    TRY(keys_text_or(k, "ssm_cfg.mode", NULL, "diag", mode, sizeof mode, err));
    TRY(keys_text_or(k, "ssm_cfg.disc", NULL, "bilinear", disc, sizeof disc, err));
    TRY(keys_int_or(k, "ssm_cfg.head_dim", NULL, 1, WIDTH_MAX, 1, &width, err));
    if (strcmp(mode, "diag"))
        return fail(err, UNSUPPORTED, "%s: ssm_cfg.mode '%s' is a state space that ridge does not know; it knows diag",
                    k->where, mode);
    if (strcmp(disc, "bilinear") && strcmp(disc, "zoh"))
        return fail(err, UNSUPPORTED, "%s: ssm_cfg.disc '%s' is one that ridge does not know; it knows bilinear and zoh",
                    k->where, disc);
    if (width != 1)
        return fail(err, UNSUPPORTED, "%s: ssm_cfg.head_dim %d is a variant of family '%s' that ridge does not know; it "
                    "knows 1", k->where, width, k->family);
    *how = strcmp(disc, "zoh") ? BILINEAR : ZERO_ORDER_HOLD;
    return OK;
}

static Err read_spaces(const Keys *k, const ModelShape *s, H3Shape *m, Error *err)
{
    int32_t states;
    Discretise how = BILINEAR;
    TRY(check_variant(k, &how, err));
    TRY(keys_int_or(k, "ssm_cfg.d_state", NULL, 2, STATES_MAX, STATES, &states, err));
    *m = (H3Shape){.space = {.D = s->D, .modes = states / 2, .how = how, .input = true,
                             .prefix = "backbone.layers.%d.mixer.kernel.kernel.", .a_real = "inv_A_real"},
                   .places = states, .prefix = "backbone.layers.%d.mixer."};
    TRY(keys_int_or(k, "ssm_cfg.n_ssm", NULL, 1, s->D, s->D, &m->space.spaces, err));
    if (s->D % m->space.spaces)
        return fail(err, BAD_FILE, "%s: %d channels cannot share %d state spaces evenly", k->where, s->D, m->space.spaces);
    if (states % 2 || 2 * (int64_t)s->D * states > STATE_WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: ssm_cfg.d_state %d must be even, and times d_model %d at most %lld", k->where, states,
                    s->D, (long long)STATE_WIDTH_MAX / 2);
    return OK;
}

static Err read_attention(const Keys *k, Arena *arena, ModelShape *s, DecoderShape *m, Error *err)
{
    int32_t dims;
    TRY(keys_int(k, "attn_cfg.num_heads", NULL, 1, HEADS_MAX, &s->N, err));
    if (s->D % s->N)
        return fail(err, BAD_FILE, "%s: d_model %d is not a multiple of attn_cfg.num_heads %d", k->where, s->D, s->N);
    s->K = s->N;
    s->H = s->D / s->N;
    TRY(keys_int_or(k, "attn_cfg.rotary_emb_dim", NULL, 0, s->H, 0, &dims, err));
    if (dims)
        TRY(decoder_add_rope(k, "rope_parameters", dims, 0, s, arena, m, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->N = a->K = s->N;
        a->H = a->V = s->H;
        a->how.scale = 1.0f / sqrtf((float)s->H);
        a->hf_layout = QKV_FUSED;
        a->rope = dims ? 0 : ROPE_NONE;
    }
    return OK;
}

/* The rows of the embedding are filled up to a multiple. */
static Err pad_vocabulary(const Keys *k, ModelShape *s, Error *err)
{
    int32_t multiple;
    TRY(keys_int_or(k, "pad_vocab_size_multiple", NULL, 1, PADDING_MAX, 1, &multiple, err));
    s->V = (s->V + multiple - 1) / multiple * multiple;
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool attends[LAYERS_MAX], any = false;
    H3Shape *h3 = ARENA_NEW(arena, H3Shape);
    if (!h3)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    DecoderUsual usual = {.names = &names, .norm = NORM_LAYER, .activation = GELU_TANH, .plain_mlp = true,
                          .no_attention = true, .tied = true};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(pad_vocabulary(k, s, err));
    TRY(keys_int_or(k, "d_inner", NULL, 1, WIDTH_MAX, 4 * s->D, &s->F, err));
    TRY(read_spaces(k, s, h3, err));
    TRY(keys_layers_listed(k, "attn_layer_idx", 0, attends, s->L, err));
    for (int l = 0; l < s->L; l++)
        any |= attends[l];
    if (any)
        TRY(read_attention(k, arena, s, m, err));
    decoder_biases(s, true, true, true);
    for (int l = 0; l < s->L; l++) {
        DecoderLayer *layer = &m->layer[l];
        Branch mixer = {.part = &part_h3, .shape = h3, .pre = names.pre_attention, .pre_gguf = ""};
        if (attends[l])
            mixer.part = &part_attention, mixer.shape = &layer->attention;
        layer->mlp.F = s->F;
        decoder_stage(layer, 0, 1, &mixer);
        decoder_stage(layer, 1, 1, &(Branch){.part = &part_mlp, .shape = &layer->mlp, .pre = names.pre_mlp, .pre_gguf = ""});
    }
    return OK;
}

const Arch arch_h3 = {
    .names = {"h3"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "lm_head.weight"},
};

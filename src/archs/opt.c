/* opt.c -- OPT (Zhang et al. 2022) and Galactica (Taylor et al. 2022): learned positions, of which the first two rows are
 * never used. The 350M model norms the stream behind each block, not before, and has narrower embeddings. */
#include "model/decoder.h"

enum { FIRST_POSITION = 2 };

static const AttentionNames attention = {.q = "self_attn.q_proj", .k = "self_attn.k_proj", .v = "self_attn.v_proj",
                                         .o = "self_attn.out_proj"};
static const DecoderNames names = {
    .layer = "model.decoder.layers.%d.",
    .embed = "model.decoder.embed_tokens", .positions = "model.decoder.embed_positions",
    .norm = "model.decoder.final_layer_norm", .head = "lm_head",
    .project_in = "model.decoder.project_in", .project_out = "model.decoder.project_out",
    .pre_attention = "self_attn_layer_norm", .pre_mlp = "final_layer_norm",
    .attention = &attention,
    .mlp = "", .up = "fc1", .down = "fc2",
};

static void norm_behind(DecoderLayer *layer)
{
    decoder_norms_behind(layer, names.pre_attention, names.pre_mlp);
    for (int i = 0; i < layer->stages; i++) {
        layer->stage[i].branch[0].pre = NULL;
        layer->stage[i].branch[0].on_stream = true;
    }
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool before, bare_end, bias, affine;
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.names = &names, .norm = NORM_LAYER, .activation = RELU, .plain_mlp = true,
                                     .no_rope = true, .tied = true},
                     &m, err));
    TRY(keys_bool_or(k, "do_layer_norm_before", NULL, true, &before, err));
    TRY(keys_bool_or(k, "_remove_final_layer_norm", NULL, false, &bare_end, err));
    TRY(keys_bool_or(k, "enable_bias", NULL, true, &bias, err));
    TRY(keys_bool_or(k, "layer_norm_elementwise_affine", NULL, true, &affine, err));
    TRY(keys_int_or(k, "word_embed_proj_dim", NULL, 1, 1 << 20, s->D, &m->embed_width, err));
    m->position_first = FIRST_POSITION;
    m->norm.no_gain = !affine;
    m->norm.bias = affine;
    if (!before || bare_end)
        m->names.norm = NULL;
    for (int l = 0; l < s->L && !before; l++)
        norm_behind(&m->layer[l]);
    decoder_biases(s, bias, bias, bias);
    return OK;
}

const Arch arch_opt = {
    .names = {"opt"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
};

/* cohere.c -- Command R and R7B: attention and mlp side by side behind one norm (Cohere 2024).
 *
 * Layer norms without a bias, rotary pairs side by side, logits times logit_scale. Cohere 2 has windows in
 * three of four layers and turns only those.
 */
#include <string.h>

#include "model/decoder.h"

enum { WINDOW_MAX = 1 << 28, PATTERN = 4, WINDOW = 4096 };

static Err read_windows(const Keys *k, ModelShape *s, DecoderShape *m, Error *err)
{
    bool local[LAYERS_MAX];
    int32_t window;
    TRY(decoder_read_local(k, s, "sliding_attention", PATTERN, local, err));
    TRY(keys_int_or(k, "sliding_window", "attention.sliding_window", 1, WINDOW_MAX, WINDOW, &window, err));
    for (int l = 0; l < s->L; l++) {
        m->layer[l].attention.how.window = local[l] ? window : 0;
        m->layer[l].attention.rope = local[l] ? 0 : ROPE_NONE;
    }
    return OK;
}

/* Command R+ norms each head of q and k, with a gain for each of them. */
static Err read_head_norms(const Keys *k, ModelShape *s, DecoderShape *m, Error *err)
{
    bool norms = store_find(k->store, "blk.0.attn_q_norm.weight") != NULL;
    TRY(keys_bool_or(k, "use_qk_norm", NULL, norms, &norms, err));
    for (int l = 0; l < s->L && norms; l++) {
        m->layer[l].attention.head_norm = HEAD_NORM_APART;
        m->layer[l].attention.norm = m->norm;
    }
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool second = !strcmp(k->family, "cohere2");
    DecoderUsual usual = {.norm = NORM_LAYER, .activation = SILU, .theta = second ? 0 : 5e5f, .context = 1 << 13};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(keys_float_or(k, "logit_scale", "logit_scale", 0, 1e6, 0.0625f, &m->logit_factor, err));
    TRY(decoder_read_biases(k, s, err));
    m->norm.bias = false;
    for (int l = 0; l < s->L; l++) {
        DecoderLayer *layer = &m->layer[l];
        layer->attention.rope_interleaved = true;
        layer->stage[0].branches = 2;
        layer->stage[0].branch[1] = (Branch){.part = &part_mlp, .shape = &layer->mlp, .same_input = true};
        layer->stages = 1;
    }
    return second ? read_windows(k, s, m, err) : read_head_norms(k, s, m, err);
}

const Arch arch_cohere = {
    .names = {"cohere", "cohere2", "command-r"},
    .gguf_names = {"command-r", "cohere2", "command-r"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

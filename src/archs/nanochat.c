/* nanochat.c -- norms without weights, also behind the embedding and behind rope, an mlp without a gate, relu^2, and
 * capped logits (Karpathy 2025). It turns the other way round than others: by minus the angle. */
#include "model/decoder.h"

static const DecoderNames names = {
    .layer = "model.layers.%d.", .embed = "model.embed_tokens", .norm = "", .head = "lm_head",
    .pre_attention = "", .pre_mlp = "", .attention = &attention_names, .mlp = "mlp.", .up = "fc1", .down = "fc2",
};

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    DecoderUsual usual = {.names = &names, .activation = RELU_SQUARED, .plain_mlp = true};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(decoder_read_biases(k, s, err));
    TRY(keys_float_or(k, "final_logit_softcapping", NULL, 0, 1e6,
                      keys_null(k, "final_logit_softcapping") ? 0 : 15, &m->logit_cap, err));
    m->norm.no_gain = true;
    m->names.embed_norm = "";
    for (int i = 0; i < m->rope[0].tables * m->rope[0].angles.dims / 2; i++)
        m->rope[0].inv_freq[i] = -m->rope[0].inv_freq[i];
    for (int l = 0; l < s->L; l++) {
        m->layer[l].attention.head_norm = HEAD_NORM_EACH;
        m->layer[l].attention.norm_after_rope = true;
        m->layer[l].attention.norm = m->norm;
    }
    return OK;
}

const Arch arch_nanochat = {
    .names = {"nanochat"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

/* dream.c -- Qwen2's block that sees both ways, refined from masks (Ye et al. 2025, "Dream 7B").
 *
 * It began as an autoregressive model, so the row before a position predicts its token.
 */
#include "model/diffusion_shape.h"

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool windows, mrope;
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.activation = SILU}, &m, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->q_bias = a->k_bias = a->v_bias = true;
    }
    TRY(keys_bool_or(k, "use_mrope", NULL, false, &mrope, err));
    if (mrope)
        return fail(err, UNSUPPORTED, "%s: use_mrope: positions in several dimensions are not something that ridge knows",
                    k->where);
    TRY(keys_bool_or(k, "use_sliding_window", NULL, false, &windows, err));
    if (windows)
        return fail(err, UNSUPPORTED, "%s: use_sliding_window: in family '%s' every layer sees all of a text", k->where,
                    k->family);
    return diffusion_read(k, true, s, err);
}

const Arch arch_dream = {
    .names = {"Dream", "dream"},
    .gguf_name = "dream",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

/* gptj.c -- GPT-J (Wang & Komatsuzaki 2021) and CodeGen (Nijkamp et al. 2022): attention and mlp side by side behind one
 * norm; a part of each head turns, in neighbouring pairs. CodeGen fuses q, k and v as four devices once shared them: each
 * has a quarter of the heads, first their queries, then values, then keys. */
#include <string.h>

#include "model/decoder.h"

enum { ROTARY_DIM = 64, SHARES = 4 }; /* transformers' default; devices that CodeGen was trained on */

static const AttentionNames attention = {.q = "attn.q_proj", .k = "attn.k_proj", .v = "attn.v_proj",
                                         .qkv = "attn.qkv_proj", .o = "attn.out_proj"};
static const DecoderNames names = {
    .layer = "transformer.h.%d.",
    .embed = "transformer.wte", .norm = "transformer.ln_f", .head = "lm_head",
    .pre_attention = "ln_1", .pre_mlp = "ln_2",
    .attention = &attention,
    .mlp = "mlp.", .up = "fc_in", .down = "fc_out",
};

static Err share_heads(const Keys *k, const ModelShape *s, AttentionShape *a, Error *err)
{
    int32_t share = a->N * a->H / SHARES;
    if (s->N % SHARES)
        return fail(err, BAD_FILE, "%s: %d heads cannot lie in %d equal groups, as qkv_proj has them", k->where, s->N, SHARES);
    a->hf_layout = QKV_GIVEN;
    a->q_part = (WeightPart){3 * share, 0, share};
    a->v_part = (WeightPart){3 * share, share, share};
    a->k_part = (WeightPart){3 * share, 2 * share, share};
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    int32_t dims;
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.names = &names, .norm = NORM_LAYER, .activation = GELU_TANH, .plain_mlp = true,
                                     .mlp_times = 4, .no_rope = true},
                     &m, err));
    TRY(keys_int_or(k, "rotary_dim", NULL, 2, s->H, ROTARY_DIM, &dims, err));
    TRY(decoder_add_rope(k, "rope_parameters", dims, 0, s, arena, m, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->rope = 0;
        a->rope_interleaved = true;
        if (!strcmp(k->family, "codegen"))
            TRY(share_heads(k, s, a, err));
        decoder_side_by_side(&m->layer[l], true);
    }
    decoder_biases(s, false, false, true);
    m->head_bias = true;
    return OK;
}

const Arch arch_gptj = {
    .names = {"gptj", "codegen"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {".attn.bias", ".attn.masked_bias", ".attn.causal_mask"}, /* masks */
};

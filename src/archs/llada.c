/* llada.c -- Llama's block that sees both ways, refined from masks (Nie et al. 2025, "LLaDA").
 *
 * Config and tensors are called as in OLMo, from whose code the model grew.
 */
#include <string.h>

#include "model/diffusion_shape.h"

static const AttentionNames attention = {.q = "q_proj", .k = "k_proj", .v = "v_proj", .o = "attn_out"};
static const DecoderNames names = {
    .layer = "model.transformer.blocks.%d.",
    .embed = "model.transformer.wte", .norm = "model.transformer.ln_f", .head = "model.transformer.ff_out",
    .pre_attention = "attn_norm", .pre_mlp = "ff_norm",
    .attention = &attention,
    .mlp = "", .gate = "ff_proj", .up = "up_proj", .down = "ff_out",
};

/* What the config could ask for, and the block does not do. */
static Err check_variant(const Keys *k, Error *err)
{
    static const struct {
        const char *key;
        bool usual;
    } switches[] = {
        {"alibi", false},        {"rope", true},          {"attention_layer_norm", false},
        {"include_bias", false}, {"scale_logits", false}, {"multi_query_attention", false},
        {"input_emb_norm", false},
    };
    static const struct {
        const char *key, *usual;
    } texts[] = {{"block_type", "llama"}, {"layer_norm_type", "rms"}};
    for (size_t i = 0; i < COUNT_OF(switches); i++) {
        bool value;
        TRY(keys_bool_or(k, switches[i].key, NULL, switches[i].usual, &value, err));
        if (value != switches[i].usual)
            return fail(err, UNSUPPORTED, "%s: %s %s is a variant of family '%s' that ridge does not know", k->where,
                        switches[i].key, value ? "true" : "false", k->family);
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        char value[32];
        TRY(keys_text_or(k, texts[i].key, NULL, texts[i].usual, value, sizeof value, err));
        if (strcmp(value, texts[i].usual))
            return fail(err, UNSUPPORTED, "%s: %s '%s' is a variant of family '%s' that ridge does not know", k->where,
                        texts[i].key, value, k->family);
    }
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    bool biased;
    int32_t ratio;
    float clip;
    TRY(check_variant(k, err));
    TRY(keys_int_or(k, "mlp_ratio", NULL, 1, 1 << 10, 4, &ratio, err));
    DecoderUsual usual = {.names = &names, .activation = SILU, .eps = 1e-5f, .mlp_times = ratio};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(keys_int_or(k, "embedding_size", NULL, s->V, 1 << 24, s->V, &s->V, err)); /* rows beyond the vocabulary */
    TRY(keys_float_or(k, "clip_qkv", NULL, 0, 1e6, 0, &clip, err));
    if (clip > 0)
        TRY(keys_record_nothing(k, "clip_qkv", err));
    TRY(decoder_read_bias(k, "include_qkv_bias", "blk.0.attn_q.bias", false, &biased, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->q_bias = a->k_bias = a->v_bias = biased;
        a->clip = clip;
        a->gguf_turned = true;
    }
    return diffusion_read(k, false, s, err);
}

const Arch arch_llada = {
    .names = {"llada"},
    .gguf_name = "llada",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

/* falcon.c -- Falcon (Almazrouei et al. 2023), three generations of one family:
 *
 *     RW     ALiBi, biases; attention, then mlp
 *     7B     one key and value for all heads; attention and mlp side by side behind one norm
 *     40B    grouped attention; the same, each behind a norm of its own
 *
 * What ALiBi adds is bfloat16, and divided by sqrt(H) as the scores are. transformers' plain attention, by which the
 * reference values of this house are made, adds it twice: to the mask and again to the scores. Its attention by torch's
 * own function (sdpa) adds it once. */
#include "base/half.h"
#include "model/decoder.h"

static const float BIAS_MAX = 8, TIMES_ADDED = 2;

static const AttentionNames attention = {.qkv = "self_attention.query_key_value", .o = "self_attention.dense"};
static const DecoderNames names = {
    .layer = "transformer.h.%d.",
    .embed = "transformer.word_embeddings", .norm = "transformer.ln_f", .head = "lm_head",
    .pre_attention = "input_layernorm", .pre_mlp = "post_attention_layernorm",
    .attention = &attention,
    .mlp = "mlp.", .up = "dense_h_to_4h", .down = "dense_4h_to_h",
};

typedef struct Generation {
    bool alibi, bias, parallel, two_norms;
    int32_t kv_heads;    /* 0: one for each query head */
} Generation;

/* A GGUF says it by its tensors. */
static Err read_gguf_generation(const Keys *k, Generation *g, Error *err)
{
    float slope;
    TRY(keys_float_or(k, NULL, "attention.max_alibi_bias", 0, BIAS_MAX, 0, &slope, err));
    *g = (Generation){.alibi = slope > 0,
                      .bias = store_find(k->store, "blk.0.attn_qkv.bias"),
                      .parallel = !store_find(k->store, "blk.0.ffn_norm.weight"),
                      .two_norms = store_find(k->store, "blk.0.attn_norm_2.weight")};
    return OK;
}

static Err read_generation(const Keys *k, Generation *g, Error *err)
{
    bool newer, one_key;
    int32_t norms;
    TRY(keys_bool_or(k, "alibi", NULL, false, &g->alibi, err));
    TRY(keys_bool_or(k, "bias", NULL, false, &g->bias, err));
    TRY(keys_bool_or(k, "parallel_attn", NULL, true, &g->parallel, err));
    TRY(keys_bool_or(k, "multi_query", NULL, true, &one_key, err));
    TRY(keys_bool_or(k, "new_decoder_architecture", NULL, keys_have(k, "n_head_kv", NULL), &newer, err));
    TRY(keys_int_or(k, "num_ln_in_parallel_attn", NULL, 1, 2, newer ? 2 : 1, &norms, err));
    g->two_norms = newer && norms == 2;
    g->kv_heads = one_key;
    if (newer)
        TRY(keys_int_or(k, "num_kv_heads|n_head_kv", NULL, 1, 1 << 14, 0, &g->kv_heads, err));
    if (newer && !g->parallel)
        return fail(err, UNSUPPORTED, "%s: new_decoder_architecture without parallel_attn: no Falcon is so", k->where);
    return OK;
}

/* llama.cpp knows the later generations. It refuses a file with tensors that those do not have, so what they have not can
 * be said by keys; without such a tensor it would pass over the keys. */
static Err record_generation(const Keys *k, const Generation *g, Error *err)
{
    keys_record_text(k, "tensor_data_layout", "jploski"); /* q, then k, then v */
    if (g->alibi && g->parallel && !g->bias)
        TRY(keys_record_nothing(k, "alibi with parallel_attn and without bias", err));
    if (g->alibi)
        keys_record_float(k, "attention.max_alibi_bias", BIAS_MAX);
    return OK;
}

static Err read_slopes(Arena *arena, const ModelShape *s, Error *err)
{
    const float *exact;
    float *slopes = ARENA_ARRAY(arena, float, (size_t)s->N);
    TRY(alibi_slopes(arena, s->N, BIAS_MAX, &exact, err));
    if (!slopes)
        return fail(err, NO_MEMORY, "no memory for the slopes of %d heads", s->N);
    for (int32_t i = 0; i < s->N; i++)
        slopes[i] = bf16_round(exact[i]);
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &decoder_shape(s)->layer[l].attention;
        a->slopes = slopes;
        a->how.coarse = TIMES_ADDED * a->how.scale;
    }
    return OK;
}

static void shape_layer(const Generation *g, DecoderLayer *layer)
{
    Branch *before_attention = &layer->stage[0].branch[0], *before_mlp = &layer->stage[1].branch[0];
    layer->attention.hf_layout = QKV_PER_GROUP;
    layer->attention.gguf_layout = QKV_FUSED;
    if (g->two_norms) {
        before_attention->pre = "ln_attn", before_attention->pre_gguf = "blk.%d.attn_norm_2";
        before_mlp->pre = "ln_mlp", before_mlp->pre_gguf = "blk.%d.attn_norm";
    }
    if (g->parallel)
        decoder_side_by_side(layer, !g->two_norms);
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    Generation g;
    TRY(keys_are_gguf(k) ? read_gguf_generation(k, &g, err) : read_generation(k, &g, err));
    TRY(decoder_read(k, arena, s,
                     &(DecoderUsual){.names = &names, .norm = NORM_LAYER, .activation = GELU, .plain_mlp = true,
                                     .mlp_times = 4, .kv_heads = g.kv_heads, .no_rope = g.alibi, .tied = true},
                     &m, err));
    TRY(record_generation(k, &g, err));
    if (g.alibi)
        TRY(read_slopes(arena, s, err));
    for (int l = 0; l < s->L; l++)
        shape_layer(&g, &m->layer[l]);
    decoder_biases(s, g.bias, g.bias, g.bias);
    return OK;
}

const Arch arch_falcon = {
    .names = {"falcon", "RefinedWeb", "RefinedWebModel"},
    .gguf_name = "falcon",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq"},
};

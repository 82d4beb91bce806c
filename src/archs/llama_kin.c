/* llama_kin.c -- families that differ from Llama by values only.
 *
 *     Arcee      an mlp without a gate, relu^2                             (Arcee AI 2025)
 *     CWM        windows in three of four layers                           (Meta 2025)
 *     ERNIE 4.5  rotary pairs side by side                                 (Baidu 2025)
 *     Helium     the same                                                  (Kyutai 2025)
 *     Seed-OSS   biases of q, k and v by default, and a switch for o's     (ByteDance 2025)
 */
#include <string.h>

#include "model/decoder.h"

enum { PATTERN = 4, WINDOW = 8192 };   /* CWM's */

#define ROPE_CWM                                                                                                      \
    "{\"rope_type\": \"llama3\", \"rope_theta\": 1e6, \"factor\": 16, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "  \
    "\"original_max_position_embeddings\": 8192}"

typedef struct Kin {
    const char *name;
    DecoderUsual usual;
    const char *qkv_bias, *o_bias, *mlp_bias;   /* keys of the config; NULL: never */
    bool biased;                                /* q, k and v have biases where the config says nothing */
    bool interleaved, windows;
    const char *pre_mlp_gguf;                   /* where it is not ffn_norm */
} Kin;

static const Kin kins[] = {
    {"arcee", {.eps = 1e-5f, .activation = RELU_SQUARED, .plain_mlp = true, .gguf_turned = true, .context = 1 << 12},
     "attention_bias", "attention_bias", "mlp_bias", .biased = false},
    {"cwm", {.eps = 1e-5f, .activation = SILU, .head_width = 128, .theta = 1e6f, .rope = ROPE_CWM, .context = 1 << 17},
     NULL, NULL, "mlp_bias", .windows = true},
    {"ernie4_5", {.eps = 1e-5f, .activation = SILU, .head_width = 128, .theta = 5e5f, .context = 1 << 17},
     "use_bias", "use_bias", "use_bias", .interleaved = true},
    {"helium", {.eps = 1e-8f, .activation = SILU, .head_width = 128, .theta = 1e5f, .context = 1 << 12},
     "attention_bias", NULL, "mlp_bias", .interleaved = true},
    {"seed_oss", {.activation = SILU, .head_width = 128, .context = 1 << 19},
     "attention_bias", "attention_out_bias", "mlp_bias", .biased = true, .pre_mlp_gguf = "blk.%d.post_attention_norm"},
};

static Err read_bias(const Keys *k, const char *key, const char *tensor, bool otherwise, bool *out, Error *err)
{
    *out = false;
    return key ? decoder_read_bias(k, key, tensor, otherwise, out, err) : OK;
}

/* Without a list the first of every four layers is global. */
static Err read_windows(const Keys *k, ModelShape *s, Error *err)
{
    TRY(decoder_read_windows(k, s, true, 0, WINDOW, err));
    for (int l = 0; l < s->L && !keys_have(k, "layer_types", NULL); l += PATTERN)
        decoder_shape(s)->layer[l].attention.how.window = 0;
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    const Kin *kin = kins;
    DecoderShape *m;
    bool qkv, o, mlp;
    while (strcmp(kin->name, k->family) != 0)
        kin++;
    TRY(decoder_read(k, arena, s, &kin->usual, &m, err));
    TRY(read_bias(k, kin->qkv_bias, "blk.0.attn_q.bias", kin->biased, &qkv, err));
    TRY(read_bias(k, kin->o_bias, "blk.0.attn_output.bias", false, &o, err));
    TRY(read_bias(k, kin->mlp_bias, "blk.0.ffn_up.bias", false, &mlp, err));
    for (int l = 0; l < s->L; l++) {
        DecoderLayer *layer = &m->layer[l];
        layer->attention.q_bias = layer->attention.k_bias = layer->attention.v_bias = qkv;
        layer->attention.o_bias = o;
        layer->attention.rope_interleaved |= kin->interleaved;
        layer->mlp.gate_bias = layer->mlp.up_bias = layer->mlp.down_bias = mlp;
        if (kin->pre_mlp_gguf)
            layer->stage[1].branch[0].pre_gguf = kin->pre_mlp_gguf;
    }
    return kin->windows ? read_windows(k, s, err) : OK;
}

const Arch arch_llama_kin = {
    .names = {"arcee", "cwm", "ernie4_5", "helium", "seed_oss"},
    .gguf_names = {"arcee", NULL, "ernie4_5", NULL, "seed_oss"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

/* qwen_moe.c -- Qwen2's and Qwen3's attention with experts (Yang et al. 2024, 2025). The second has one more expert,
 * which all tokens use, by as much as a gate says. */
#include <string.h>

#include "model/moe.h"

enum { WINDOW_MAX = 1 << 28 };
enum { FIRST_WITHOUT = 28, WINDOW = 4096 }; /* transformers' defaults of max_window_layers and sliding_window */

static const MoeNames names_2 = {
    .router = "mlp.gate",
    .gate = "mlp.experts.%e.gate_proj.weight",
    .up = "mlp.experts.%e.up_proj.weight",
    .down = "mlp.experts.%e.down_proj.weight",
    .shared = "mlp.shared_expert.",
    .shared_gate = "mlp.shared_expert_gate",
};

/* Without a list, every other of the first max_window_layers layers is local, if windows are used. */
static Err read_windows_2(const Keys *k, ModelShape *s, DecoderShape *m, Error *err)
{
    int32_t window, layers;
    bool used;
    if (keys_are_gguf(k) || keys_have(k, "layer_types", NULL))
        return decoder_read_windows(k, s, false, 0, WINDOW, err);
    TRY(keys_bool_or(k, "use_sliding_window", NULL, false, &used, err));
    TRY(keys_int_or(k, "sliding_window", NULL, 0, WINDOW_MAX, WINDOW, &window, err));
    TRY(keys_int_or(k, "max_window_layers", NULL, 0, LAYERS_MAX, FIRST_WITHOUT, &layers, err));
    for (int l = 0; l < s->L && l < layers; l += 2)
        m->layer[l].attention.how.window = used ? window : 0;
    return used ? keys_record_nothing(k, "sliding windows", err) : OK;
}

static Err read_2(const Keys *k, Arena *arena, ModelShape *s, DecoderShape *m, MoeShape **moe, Error *err)
{
    bool bias;
    TRY(decoder_read_bias(k, "qkv_bias", "blk.0.attn_q.bias", true, &bias, err));
    for (int l = 0; l < s->L; l++)
        m->layer[l].attention.q_bias = m->layer[l].attention.k_bias = m->layer[l].attention.v_bias = bias;
    TRY(read_windows_2(k, s, m, err));
    TRY(moe_read(k, arena, s, &(MoeUsual){.names = &names_2, .shared_width_given = true, .shared = 4}, moe, err));
    (*moe)->shared_gate = true;
    return OK;
}

static Err read_3(const Keys *k, Arena *arena, ModelShape *s, DecoderShape *m, MoeShape **moe, Error *err)
{
    TRY(decoder_read_biases(k, s, err));
    for (int l = 0; l < s->L; l++)
        m->layer[l].attention.head_norm = HEAD_NORM_EACH;
    TRY(decoder_read_windows(k, s, false, 0, WINDOW, err));
    return moe_read(k, arena, s, &(MoeUsual){.gguf_normalises = true}, moe, err);
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    MoeShape *moe;
    bool sparse[LAYERS_MAX], third = !strncmp(k->family, "qwen3", strlen("qwen3"));
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.activation = SILU}, &m, err));
    TRY((third ? read_3 : read_2)(k, arena, s, m, &moe, err));
    TRY(moe_read_layers(k, s, 0, sparse, err));
    moe_use(s, moe, sparse);
    return OK;
}

const Arch arch_qwen_moe = {
    .names = {"qwen2_moe", "qwen3_moe", "qwen2moe", "qwen3moe"},
    .gguf_names = {"qwen2moe", "qwen3moe", "qwen2moe", "qwen3moe"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

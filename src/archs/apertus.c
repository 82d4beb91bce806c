/* apertus.c -- Llama's block with a norm on each head of q and k, and an mlp without a gate whose activation,
 * xIELU, has learned parameters in each layer (Apertus Project 2025). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/decoder.h"

static const float SHAPE_MAX = 1e3f;

/* Where the config says nothing of rotation. */
#define ROPE                                                                                                          \
    "{\"rope_type\": \"llama3\", \"rope_theta\": 1.2e7, \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "  \
    "\"original_max_position_embeddings\": 8192}"

static const DecoderNames names = {
    .layer = "model.layers.%d.", .embed = "model.embed_tokens", .norm = "model.norm", .head = "lm_head",
    .pre_attention = "attention_layernorm", .pre_mlp = "feedforward_layernorm", .attention = &attention_names,
    .mlp = "mlp.", .up = "up_proj", .down = "down_proj",
};

/* Checkpoints hold the numbers as tensors, a GGUF as lists of its metadata. */
static Err read_numbers(const Keys *k, const char *tensor, const char *gguf, const ModelShape *s, float *out, Error *err)
{
    char name[96];
    if (keys_are_gguf(k))
        return keys_floats_or(k, NULL, gguf, -SHAPE_MAX, SHAPE_MAX, 0, out, s->L, err);
    for (int l = 0; l < s->L; l++) {
        snprintf(name, sizeof name, "model.layers.%d.mlp.act_fn.%s", l, tensor);
        TRY(keys_tensor_floats(k, name, &out[l], 1, err));
        if (!(fabsf(out[l]) <= SHAPE_MAX))
            return fail(err, BAD_FILE, "%s: tensor '%s' holds %g", k->where, name, out[l]);
    }
    keys_record_floats(k, gguf, out, s->L);
    return OK;
}

static Err read_curves(const Keys *k, Arena *arena, ModelShape *s, DecoderShape *m, Error *err)
{
    float alpha_p[LAYERS_MAX], alpha_n[LAYERS_MAX], beta[LAYERS_MAX], eps[LAYERS_MAX];
    Xielu *curve = ARENA_ARRAY(arena, Xielu, (size_t)s->L);
    if (!curve)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(read_numbers(k, "alpha_p", "/xielu.alpha_p", s, alpha_p, err));
    TRY(read_numbers(k, "alpha_n", "/xielu.alpha_n", s, alpha_n, err));
    TRY(read_numbers(k, "beta", "/xielu.beta", s, beta, err));
    TRY(read_numbers(k, "eps", "/xielu.eps", s, eps, err));
    for (int l = 0; l < s->L; l++) {
        curve[l] = (Xielu){.alpha_p = (float)log1p(exp(alpha_p[l])), .alpha_n = beta[l] + (float)log1p(exp(alpha_n[l])),
                           .beta = beta[l], .eps = eps[l]};
        m->layer[l].mlp.xielu = &curve[l];
    }
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    char act[32];
    TRY(keys_text_or(k, "hidden_act", NULL, "xielu", act, sizeof act, err));
    bool xielu = !strcmp(act, "xielu");
    DecoderUsual usual = {.names = &names, .eps = 1e-5f, .plain_mlp = true, .own_activation = xielu, .theta = 1.2e7f,
                          .rope = ROPE, .context = 1 << 16};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(decoder_read_biases(k, s, err));
    for (int l = 0; l < s->L; l++)
        m->layer[l].attention.head_norm = HEAD_NORM_EACH;
    if (!xielu)
        return keys_record_nothing(k, "a hidden_act other than xielu", err);
    return read_curves(k, arena, s, m, err);
}

const Arch arch_apertus = {
    .names = {"apertus"},
    .gguf_name = "apertus",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight", "act_fn.alpha_p", "act_fn.alpha_n", "act_fn.beta", "act_fn.eps"},
};

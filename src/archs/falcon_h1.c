/* falcon_h1.c -- attention and Mamba-2 side by side in every layer, then an mlp (Zuo et al. 2025, "Falcon-H1").
 *
 * What its maximal update parametrisation multiplies inputs and outputs by goes into the weights as they are read
 * from a checkpoint (they become F32); a GGUF holds them multiplied already, as llama.cpp's converter writes them.
 */
#include <string.h>

#include "model/mamba.h"
#include "model/mamba2.h"

enum { SLICES = 5 };            /* of W_in: z, u, B, C, dt */

typedef struct FalconShape {
    Mamba2Shape mamba;           /* first: the shape of the layers' second branch */
    float attention_in, attention_out, key, gate, down, scan_in, scan_out, slice[SLICES];
    float *in_rows, *in_bias;    /* of each row of W_in, and of its bias: in the arena */
} FalconShape;

static Err read_factor(const Keys *k, const char *hf, float *out, Error *err)
{
    return keys_float_or(k, hf, NULL, 1e-9, 1e6, 1, out, err);
}

static Err read_factor_list(const Keys *k, const char *hf, float *out, int n, Error *err)
{
    return keys_floats_or(k, hf, NULL, 1e-9, 1e6, 1, out, n, err);
}

static Err read_factors(const Keys *k, Arena *arena, DecoderShape *m, FalconShape *f, Error *err)
{
    float mlp[2];
    TRY(read_factor(k, "embedding_multiplier", &m->embed_factor, err));
    TRY(read_factor(k, "lm_head_multiplier", &m->logit_factor, err));
    TRY(read_factor(k, "attention_in_multiplier", &f->attention_in, err));
    TRY(read_factor(k, "attention_out_multiplier", &f->attention_out, err));
    TRY(read_factor(k, "key_multiplier", &f->key, err));
    TRY(read_factor(k, "ssm_in_multiplier", &f->scan_in, err));
    TRY(read_factor(k, "ssm_out_multiplier", &f->scan_out, err));
    TRY(read_factor_list(k, "ssm_multipliers", f->slice, SLICES, err));
    TRY(read_factor_list(k, "mlp_multipliers", mlp, COUNT_OF(mlp), err));
    f->gate = mlp[0];
    f->down = mlp[1];

    int32_t width = f->mamba.heads * f->mamba.P, shared = f->mamba.groups * f->mamba.states, row = 0;
    const int32_t rows[SLICES] = {width, width, shared, shared, f->mamba.heads};
    size_t total = (size_t)(2 * width + 2 * shared + f->mamba.heads);
    f->in_rows = ARENA_ARRAY(arena, float, total);
    f->in_bias = ARENA_ARRAY(arena, float, total);
    if (!f->in_rows || !f->in_bias)
        return fail(err, NO_MEMORY, "%s: no memory for its multipliers", k->where);
    for (int i = 0; i < SLICES; i++)
        for (int32_t r = 0; r < rows[i]; r++, row++) {
            f->in_bias[row] = f->slice[i];
            f->in_rows[row] = f->slice[i] * f->scan_in;
        }
    return OK;
}

static Err read_mamba(const Keys *k, const ModelShape *s, Mamba2Shape *m, Error *err)
{
    bool normed, norm_first;
    *m = (Mamba2Shape){.prefix = "model.layers.%d.mamba.", .norm_eps = s->eps};
    TRY(mamba2_read(k, s, "hidden_act", m, err));
    TRY(keys_bool_or(k, "projectors_bias", NULL, false, &m->out_bias, err));
    TRY(keys_bool_or(k, "mamba_rms_norm", NULL, store_find(k->store, "blk.0.ssm_norm.weight") != NULL, &normed, err));
    TRY(keys_bool_or(k, "mamba_norm_before_gate", NULL, !keys_are_gguf(k), &norm_first, err));
    m->norm = !normed ? MAMBA2_GATE_ONLY : norm_first ? MAMBA2_NORM_GATE : MAMBA2_GATE_NORM;
    if (m->norm == MAMBA2_NORM_GATE)
        TRY(keys_record_nothing(k, "mamba_norm_before_gate true", err));
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    FalconShape *f = ARENA_NEW(arena, FalconShape);
    if (!f)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(decoder_read(k, arena, s, &(DecoderUsual){.names = &mamba_hybrid_names, .eps = 1e-5f, .activation = SILU}, &m, err));
    TRY(decoder_read_biases(k, s, err));
    TRY(read_mamba(k, s, &f->mamba, err));
    TRY(read_factors(k, arena, m, f, err));
    if (s->tied && (m->embed_factor != 1 || m->logit_factor != 1))
        TRY(keys_record_nothing(k, "a multiplier of embeddings that are the head as well", err));
    for (int l = 0; l < s->L; l++) {
        Branch both[] = {m->layer[l].stage[0].branch[0], {.part = &part_mamba2, .shape = f, .same_input = true}};
        decoder_stage(&m->layer[l], 0, 2, both);
    }
    return OK;
}

/* ---- weights ---- */

/* Whether a GGUF's name is that of this weight in some layer. */
static bool is_called(const char *name, const char *weight)
{
    size_t bytes = strlen(name), end = strlen(weight);
    return bytes > end && !strcmp(name + bytes - end, weight) && name[bytes - end - 1] == '.';
}

static void multiply(const FalconShape *f, const DecoderShape *m, WeightDecl *decl)
{
    const struct { const char *weight; float factor; } factors[] = {
        {"attn_q.weight", f->attention_in},
        {"attn_k.weight", f->attention_in * f->key}, {"attn_k.bias", f->key},
        {"attn_v.weight", f->attention_in},
        {"attn_output.weight", f->attention_out}, {"attn_output.bias", f->attention_out},
        {"ssm_out.weight", f->scan_out}, {"ssm_out.bias", f->scan_out},
        {"ffn_gate.weight", f->gate}, {"ffn_gate.bias", f->gate},
        {"ffn_down.weight", f->down}, {"ffn_down.bias", f->down},
    };
    for (size_t i = 0; i < COUNT_OF(factors); i++)
        if (is_called(decl->gguf.name, factors[i].weight))
            decl->hf.scale = factors[i].factor;
    if (is_called(decl->gguf.name, "ssm_in.weight"))
        decl->hf.row_scale = f->in_rows;
    if (is_called(decl->gguf.name, "ssm_in.bias"))
        decl->hf.row_scale = f->in_bias;
    /* these two are multiplied as the model runs, and in the file that is written */
    if (!strcmp(decl->gguf.name, "token_embd.weight"))
        decl->gguf.scale = 1 / m->embed_factor;
    if (!strcmp(decl->gguf.name, "output.weight"))
        decl->gguf.scale = 1 / m->logit_factor;
    if (is_called(decl->gguf.name, "ffn_norm.weight")) /* llama.cpp's name lacks the end */
        decl->gguf.name[strlen(decl->gguf.name) - strlen(".weight")] = 0;
}

static void *declare(const ModelShape *s, WeightList *list)
{
    const DecoderShape *m = decoder_shape(s);
    const FalconShape *f = m->layer[0].stage[0].branch[1].shape;
    void *w = decoder_declare(s, list);
    for (int i = 0; i < list->count; i++)
        multiply(f, m, &list->items[i]);
    return w;
}

const Arch arch_falcon_h1 = {
    .names = {"falcon_h1", "falcon-h1"},
    .gguf_name = "falcon-h1",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = declare,
    .forward = decoder_forward,
    .ignores = {"mup_vector", "rotary_emb.inv_freq", "rope_freqs.weight"},
};

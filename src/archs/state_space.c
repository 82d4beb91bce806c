/* state_space.c -- Mamba (Gu & Dao 2023), Falcon Mamba, which norms dt, B and C without weights (Zuo et al.
 * 2024), and Mamba-2 (Dao & Gu 2024): nothing but state spaces, one a layer. */
#include <string.h>

#include "model/decoder.h"
#include "model/mamba.h"
#include "model/mamba2.h"

static const DecoderNames names = {
    .layer = "backbone.layers.%d.",
    .embed = "backbone.embeddings", .norm = "backbone.norm_f", .head = "lm_head",
};

enum { WIDTH_MAX = 1 << 20 };

static const char prefix[] = "backbone.layers.%d.mixer.";

static Err read_mamba(const Keys *k, const ModelShape *s, MambaShape *m, Error *err)
{
    bool normed = !strcmp(k->family, "falcon_mamba");
    *m = (MambaShape){.prefix = prefix};
    TRY(keys_int_or(k, "intermediate_size", NULL, 1, WIDTH_MAX, 0, &m->width, err)); /* here not an mlp's */
    TRY(mamba_read(k, s, "hidden_act", m, err));
    if (keys_are_gguf(k))
        TRY(keys_bool_or(k, NULL, "ssm.dt_b_c_rms", false, &normed, err));
    keys_record_bool(k, "ssm.dt_b_c_rms", normed);
    if (!normed)
        return OK;
    m->norm = MAMBA_NORM_PLAIN;
    /* llama.cpp has one eps for all norms; this key is ridge's own */
    return keys_float_or(k, "mixer_rms_eps", "ssm.dt_b_c_rms_eps", 0, 1, keys_are_gguf(k) ? s->eps : 1e-6f, &m->norm_eps,
                         err);
}

static Err read_mamba2(const Keys *k, const ModelShape *s, Mamba2Shape *m, Error *err)
{
    /* transformers 5.17 norms the whole width, whatever n_groups says; the authors' code and llama.cpp norm each group */
    *m = (Mamba2Shape){.prefix = prefix, .norm = MAMBA2_GATE_NORM, .norm_groups = 1, .norm_eps = s->eps};
    return mamba2_read(k, s, "hidden_act", m, err);
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    DecoderUsual usual = {.names = &names, .eps = 1e-5f, .activation = SILU, .no_attention = true};
    MambaShape *mamba = ARENA_NEW(arena, MambaShape);
    Mamba2Shape *mamba2 = ARENA_NEW(arena, Mamba2Shape);
    if (!mamba || !mamba2)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    bool second = !strcmp(k->family, "mamba2");
    TRY(second ? read_mamba2(k, s, mamba2, err) : read_mamba(k, s, mamba, err));
    Branch branch = {.part = second ? &part_mamba2 : &part_mamba, .shape = second ? (void *)mamba2 : mamba,
                     .pre = "norm", .pre_gguf = "blk.%d.attn_norm"};
    for (int l = 0; l < s->L; l++)
        decoder_stage(&m->layer[l], 0, 1, &branch);
    return OK;
}

const Arch arch_state_space = {
    .names = {"mamba", "falcon_mamba", "mamba2"},
    .gguf_names = {"mamba", "mamba", "mamba2"},
    .gguf_name = "mamba",
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
};

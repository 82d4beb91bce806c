/* llama4.c -- Llama 4 (Meta 2025): layers that see only their chunk of positions, and layers that see all of them. The
 * former turn, and their heads are normed behind that; the latter do not, and their queries grow with the position.
 * Experts read what the router weighs, beside one that all rows use; they may be in every other layer only. */
#include <string.h>

#include "model/moe.h"

enum { CHUNK = 8192, CHUNK_MAX = 1 << 28, INTERVAL = 4, WITHOUT_NORMS = 128 /* experts */ };

static const DecoderNames names = {
    .layer = "model.layers.%d.", .embed = "model.embed_tokens", .norm = "model.norm", .head = "lm_head",
    .pre_attention = "input_layernorm", .pre_mlp = "post_attention_layernorm", .attention = &attention_names,
    .mlp = "feed_forward.", .gate = "gate_proj", .up = "up_proj", .down = "down_proj",
};
static const MoeNames experts = {
    .router = "feed_forward.router", .gate = "feed_forward.experts.gate_up_proj", .up = "feed_forward.experts.gate_up_proj",
    .down = "feed_forward.experts.down_proj", .shared = "feed_forward.shared_expert.",
};

/* ---- attention ---- */

typedef struct Kind { bool turns, chunked; } Kind;

/* A GGUF has one list, of the layers with chunks: those turn. A length of 0 stands for a model whose layers all turn
 * and have none. */
static Err record_kinds(const Keys *k, const ModelShape *s, const Kind *kind, int32_t chunk, Error *err)
{
    bool local[LAYERS_MAX], all_turn = true, any_chunk = false;
    for (int l = 0; l < s->L; l++) {
        local[l] = kind[l].chunked;
        all_turn &= kind[l].turns;
        any_chunk |= kind[l].chunked;
    }
    for (int l = 0; l < s->L; l++)
        if (kind[l].turns != kind[l].chunked && (any_chunk || !all_turn))
            return keys_record_nothing(k, "layers that turn without chunks, or have chunks and do not turn", err);
    keys_record_int(k, "attention.sliding_window", all_turn && !any_chunk ? 0 : chunk);
    decoder_record_local(k, s, local);
    return OK;
}

static Err read_kinds(const Keys *k, const ModelShape *s, Kind *kind, int32_t *chunk, Error *err)
{
    Keys quiet = *k;
    int32_t turns[LAYERS_MAX], interval;
    bool local[LAYERS_MAX], listed = keys_have(k, "layer_types", NULL);
    quiet.record = NULL;
    TRY(keys_int_or(&quiet, "attention_chunk_size", "attention.sliding_window", keys_are_gguf(k) ? 0 : 1, CHUNK_MAX, CHUNK,
                    chunk, err));
    TRY(keys_int_or(k, "no_rope_layer_interval", NULL, 1, LAYERS_MAX, INTERVAL, &interval, err));
    for (int l = 0; l < s->L; l++)
        turns[l] = (l + 1) % interval != 0;
    const json_t *list = k->config ? json_object_get(k->config, "no_rope_layers") : NULL;
    bool empty = json_is_array(list) && !json_array_size(list);
    if (keys_have(k, "no_rope_layers", NULL) && !empty) /* 1: it turns, in spite of the name; an empty list says nothing */
        TRY(keys_ints_or(k, "no_rope_layers", NULL, 0, 1, 1, turns, s->L, err));
    if (listed || keys_are_gguf(k))
        TRY(decoder_read_local(&quiet, s, "chunked_attention", INTERVAL, local, err));
    for (int l = 0; l < s->L; l++) {
        kind[l] = (Kind){.turns = turns[l], .chunked = listed ? local[l] : turns[l]};
        if (keys_are_gguf(k))
            kind[l] = (Kind){.turns = !*chunk || local[l], .chunked = *chunk && local[l]};
    }
    return record_kinds(k, s, kind, *chunk, err);
}

/* Old configs count instead of saying true. */
static Err read_growth(const Keys *k, PositionScale *p, Error *err)
{
    const json_t *count = k->config ? json_object_get(k->config, "attn_temperature_tuning") : NULL;
    bool tuned = json_is_integer(count) ? json_integer_value(count) != 0 : true;
    p->offset = 1;
    if (!json_is_integer(count))
        TRY(keys_bool_or(k, "attn_temperature_tuning", NULL, true, &tuned, err));
    TRY(keys_int_or(k, "floor_scale", "attention.temperature_length", 1, CHUNK_MAX, CHUNK, &p->floor, err));
    Keys quiet = *k;
    quiet.record = NULL;
    TRY(keys_float_or(&quiet, "attn_scale", "attention.temperature_scale", 0, 1e3, 0.1f, &p->growth, err));
    p->growth = tuned ? p->growth : 0;
    keys_record_float(k, "attention.temperature_scale", p->growth);
    return OK;
}

/* A GGUF does not say whether heads are normed: those of the model with 128 experts are not. */
static Err read_norms(const Keys *k, int32_t n_experts, bool *norms, Error *err)
{
    bool usual = n_experts != WITHOUT_NORMS;
    TRY(keys_bool_or(k, "use_qk_norm", NULL, usual || !keys_are_gguf(k), norms, err));
    return *norms == usual ? OK : keys_record_nothing(k, "use_qk_norm other than the number of experts tells", err);
}

static Err read_attention(const Keys *k, ModelShape *s, DecoderShape *m, const MoeShape *moe, Error *err)
{
    Kind kind[LAYERS_MAX];
    PositionScale growth;
    int32_t chunk;
    bool norms;
    TRY(read_kinds(k, s, kind, &chunk, err));
    TRY(read_growth(k, &growth, err));
    TRY(read_norms(k, moe->experts, &norms, err));
    for (int l = 0; l < s->L; l++) {
        AttentionShape *a = &m->layer[l].attention;
        a->rope_interleaved = true;
        a->rope = kind[l].turns ? 0 : ROPE_NONE;
        a->how.chunk = kind[l].chunked ? chunk : 0;
        a->head_norm = norms && kind[l].turns ? HEAD_NORM_EACH : HEAD_NORM_NONE;
        a->norm.no_gain = a->norm_after_rope = true;
        if (!kind[l].turns) {
            a->q_growth = growth.growth;
            a->q_floor = growth.floor;
            a->q_offset = growth.offset;
        }
    }
    return OK;
}

/* ---- experts ---- */

static Err read_experts(const Keys *k, Arena *arena, ModelShape *s, MoeShape **out, Error *err)
{
    MoeShape *moe;
    bool sparse[LAYERS_MAX];
    TRY(moe_read(k, arena, s, &(MoeUsual){.names = &experts, .score = SCORE_SIGMOID, .shared = 1}, &moe, err));
    TRY(moe_read_layers(k, s, 0, sparse, err));
    if (!keys_are_gguf(k) && !keys_have(k, "interleave_moe_layer_step", NULL))
        keys_record_int(k, "interleave_moe_layer_step", 1); /* llama.cpp must know */
    for (int l = 0; l < s->L; l++)
        if (!sparse[l] && !keys_have(k, "intermediate_size_mlp", "feed_forward_length"))
            return fail(err, BAD_FILE, "%s: intermediate_size_mlp is missing; intermediate_size is that of experts", k->where);
    moe->weighs_input = true;
    moe->transposed = moe->down_transposed = true;
    moe->gate_part = (WeightPart){2 * moe->F, 0, moe->F};
    moe->up_part = (WeightPart){2 * moe->F, moe->F, moe->F};
    moe_use(s, moe, sparse);
    *out = moe;
    return OK;
}

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    MoeShape *moe = NULL;
    DecoderUsual usual = {.names = &names, .activation = SILU, .eps = 1e-5f, .head_width = 128, .theta = 5e5f};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(decoder_read_biases(k, s, err));
    TRY(read_experts(k, arena, s, &moe, err));
    return read_attention(k, s, m, moe, err);
}

const Arch arch_llama4 = {
    .names = {"llama4_text", "llama4"},
    .gguf_names = {"llama4", "llama4"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
    .ignores = {"rotary_emb.inv_freq", "rope_freqs.weight"},
};

#include "model/gguf_tokenizer.h"

#include <stddef.h>
#include <stdlib.h>

#include "text/tokenizer_spec.h"

enum { PIECES_MAX = 1 << 24 };

typedef struct Arrays { /* what the spec points at until the tokenizer is open */
    Span *pieces, *merges;
    float *scores;
    int32_t *types;
} Arrays;

static Err read_texts(const Gguf *g, const char *where, const char *key, Span **out, size_t *count, Error *err)
{
    GgufArray array;
    TRY(gguf_strings(g, key, &array, err));
    if (array.count > PIECES_MAX)
        return fail(err, LIMIT_REACHED, "%s: %s has more than %d entries", where, key, PIECES_MAX);
    *out = malloc((array.count + 1) * sizeof **out);
    if (!*out)
        return fail(err, NO_MEMORY, "%s: no memory for %s", where, key);
    Reader reader = {array.bytes, 0};
    for (*count = 0; *count < array.count; (*count)++)
        if (!gguf_next_string(&reader, &(*out)[*count]))
            return fail(err, BAD_FILE, "%s: %s is cut short at entry %zu", where, key, *count);
    return OK;
}

/* The lists beside the pieces must be as long as they. */
static Err same_length(const GgufArray *array, size_t pieces, const char *where, const char *key, Error *err)
{
    if (array->count == pieces)
        return OK;
    return fail(err, BAD_FILE, "%s: %s has %llu entries, but tokenizer.ggml.tokens has %zu", where, key,
                (unsigned long long)array->count, pieces);
}

static Err read_scores(const Gguf *g, const char *where, size_t pieces, float **out, Error *err)
{
    static const char key[] = "tokenizer.ggml.scores";
    GgufArray array;
    if (!gguf_has(g, key))
        return OK;
    TRY(gguf_floats(g, key, &array, err));
    TRY(same_length(&array, pieces, where, key, err));
    *out = malloc((pieces + 1) * sizeof **out);
    if (!*out)
        return fail(err, NO_MEMORY, "%s: no memory for %s", where, key);
    for (size_t i = 0; i < pieces; i++)
        (*out)[i] = (float)gguf_array_f64(&array, i);
    return OK;
}

static Err read_types(const Gguf *g, const char *where, size_t pieces, int32_t **out, Error *err)
{
    static const char key[] = "tokenizer.ggml.token_type";
    GgufArray array;
    if (!gguf_has(g, key))
        return OK;
    TRY(gguf_integers(g, key, &array, err));
    TRY(same_length(&array, pieces, where, key, err));
    *out = malloc((pieces + 1) * sizeof **out);
    if (!*out)
        return fail(err, NO_MEMORY, "%s: no memory for %s", where, key);
    for (size_t i = 0; i < pieces; i++) {
        int64_t type = gguf_array_i64(&array, i);
        if (type < SPEC_UNDEFINED || type > SPEC_BYTE)
            return fail(err, BAD_FILE, "%s: %s[%zu] is %lld; known types are 0 to 6", where, key, i, (long long)type);
        (*out)[i] = (int32_t)type;
    }
    return OK;
}

static Err read_ids(const Gguf *g, const char *where, size_t pieces, TokenizerSpec *spec, Error *err)
{
    static const struct {
        const char *key;
        size_t offset;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id", offsetof(TokenizerSpec, bos)},
        {"tokenizer.ggml.eos_token_id", offsetof(TokenizerSpec, eos)},
        {"tokenizer.ggml.eot_token_id", offsetof(TokenizerSpec, eot)},
        {"tokenizer.ggml.eom_token_id", offsetof(TokenizerSpec, eom)},
        {"tokenizer.ggml.unknown_token_id", offsetof(TokenizerSpec, unk)},
        {"tokenizer.ggml.seperator_token_id", offsetof(TokenizerSpec, sep)}, /* GGUF's own spelling */
        {"tokenizer.ggml.padding_token_id", offsetof(TokenizerSpec, pad)},
        {"tokenizer.ggml.mask_token_id", offsetof(TokenizerSpec, mask)},
        {"tokenizer.ggml.fim_pre_token_id", offsetof(TokenizerSpec, fim_prefix)},
        {"tokenizer.ggml.fim_suf_token_id", offsetof(TokenizerSpec, fim_suffix)},
        {"tokenizer.ggml.fim_mid_token_id", offsetof(TokenizerSpec, fim_middle)},
        {"tokenizer.ggml.fim_pad_token_id", offsetof(TokenizerSpec, fim_pad)},
        {"tokenizer.ggml.fim_rep_token_id", offsetof(TokenizerSpec, fim_repo)},
        {"tokenizer.ggml.fim_sep_token_id", offsetof(TokenizerSpec, fim_file)},
    };
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        int64_t id;
        if (!gguf_has(g, ids[i].key))
            continue;
        TRY(gguf_i64(g, ids[i].key, &id, err));
        if (id < 0 || (size_t)id >= pieces)
            return fail(err, BAD_FILE, "%s: %s is %lld, but there are %zu pieces", where, ids[i].key, (long long)id,
                        pieces);
        *(int32_t *)((char *)spec + ids[i].offset) = (int32_t)id;
    }
    return OK;
}

static Err read_choices(const Gguf *g, TokenizerSpec *spec, Error *err)
{
    static const struct {
        const char *key;
        size_t offset;
    } choices[] = {
        {"tokenizer.ggml.add_bos_token", offsetof(TokenizerSpec, add_bos)},
        {"tokenizer.ggml.add_eos_token", offsetof(TokenizerSpec, add_eos)},
        {"tokenizer.ggml.add_sep_token", offsetof(TokenizerSpec, add_sep)},
        {"tokenizer.ggml.add_space_prefix", offsetof(TokenizerSpec, add_space_prefix)},
        {"tokenizer.ggml.remove_extra_whitespaces", offsetof(TokenizerSpec, remove_extra_whitespaces)},
        {"tokenizer.ggml.normalizer.lowercase", offsetof(TokenizerSpec, lowercase)},
    };
    for (size_t i = 0; i < COUNT_OF(choices); i++) {
        bool yes;
        if (!gguf_has(g, choices[i].key))
            continue;
        TRY(gguf_bool(g, choices[i].key, &yes, err));
        *(SpecChoice *)((char *)spec + choices[i].offset) = yes ? SPEC_YES : SPEC_NO;
    }
    return OK;
}

static Err read_charsmap(const Gguf *g, TokenizerSpec *spec, Error *err)
{
    static const char key[] = "tokenizer.ggml.precompiled_charsmap";
    GgufArray array;
    if (!gguf_has(g, key))
        return OK;
    TRY(gguf_integers(g, key, &array, err));
    if (array.type != GGUF_U8 && array.type != GGUF_I8)
        return fail(err, BAD_FILE, "%s: %s must be a list of bytes", spec->name, key);
    spec->charsmap = array.bytes;
    return OK;
}

static Err read_spec(const Gguf *g, const char *where, Arrays *arrays, TokenizerSpec *spec, Error *err)
{
    TRY(gguf_string(g, "tokenizer.ggml.model", &spec->model, err));
    if (gguf_has(g, "tokenizer.ggml.pre"))
        TRY(gguf_string(g, "tokenizer.ggml.pre", &spec->pre, err));
    if (gguf_has(g, "tokenizer.ggml.tokens") || !(span_is(spec->model, "none") || span_is(spec->model, "no_vocab")))
        TRY(read_texts(g, where, "tokenizer.ggml.tokens", &arrays->pieces, &spec->pieces_count, err));
    if (gguf_has(g, "tokenizer.ggml.merges"))
        TRY(read_texts(g, where, "tokenizer.ggml.merges", &arrays->merges, &spec->merges_count, err));
    TRY(read_scores(g, where, spec->pieces_count, &arrays->scores, err));
    TRY(read_types(g, where, spec->pieces_count, &arrays->types, err));
    if (spec->pieces_count) /* without a vocabulary the ids are the model's business: which is the mask, say */
        TRY(read_ids(g, where, spec->pieces_count, spec, err));
    TRY(read_choices(g, spec, err));
    return read_charsmap(g, spec, err);
}

Err gguf_tokenizer_open(const Gguf *g, const char *where, Tokenizer **out, Error *err)
{
    Arrays arrays = {0};
    TokenizerSpec spec;
    tokenizer_spec_init(&spec, where);
    Err result = read_spec(g, where, &arrays, &spec, err);
    spec.pieces = arrays.pieces;
    spec.merges = arrays.merges;
    spec.scores = arrays.scores;
    spec.types = arrays.types;
    if (result == OK)
        result = tokenizer_open_spec(&spec, out, err);
    free(arrays.pieces);
    free(arrays.merges);
    free(arrays.scores);
    free(arrays.types);
    return result;
}

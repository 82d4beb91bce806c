/* tokenizer_fixtures.h -- opens the reference tokenizers of ../shared, and compares ids. */
#ifndef TOKENIZER_FIXTURES_H
#define TOKENIZER_FIXTURES_H

#include "base/file_map.h"
#include "base/span.h"
#include "store/gguf.h"
#include "store/store.h"
#include "text/tokenizer.h"
#include "text/tokenizer_spec.h"

/* fail_msg() cannot be used where `fail` fills an Error. */
static inline void stop_with(const char *text)
{
    print_error("%s\n", text);
    assert_true(false);
}

static inline Span *gguf_texts(const Gguf *g, const char *key, size_t *count)
{
    GgufArray array;
    *count = 0;
    if (!gguf_has(g, key))
        return NULL;
    assert_int_equal(gguf_strings(g, key, &array, NULL), OK);
    Span *texts = calloc(array.count + 1, sizeof *texts);
    Reader r = {.span = array.bytes};
    for (uint64_t i = 0; i < array.count; i++)
        assert_true(gguf_next_string(&r, &texts[i]));
    *count = array.count;
    return texts;
}

static inline float *gguf_scores(const Gguf *g)
{
    GgufArray array;
    if (!gguf_has(g, "tokenizer.ggml.scores"))
        return NULL;
    assert_int_equal(gguf_floats(g, "tokenizer.ggml.scores", &array, NULL), OK);
    float *scores = calloc(array.count + 1, sizeof *scores);
    for (uint64_t i = 0; i < array.count; i++)
        scores[i] = (float)gguf_array_f64(&array, i);
    return scores;
}

static inline int32_t *gguf_types(const Gguf *g)
{
    GgufArray array;
    if (!gguf_has(g, "tokenizer.ggml.token_type"))
        return NULL;
    assert_int_equal(gguf_integers(g, "tokenizer.ggml.token_type", &array, NULL), OK);
    int32_t *types = calloc(array.count + 1, sizeof *types);
    for (uint64_t i = 0; i < array.count; i++)
        types[i] = (int32_t)gguf_array_i64(&array, i);
    return types;
}

static inline int32_t gguf_id(const Gguf *g, const char *key)
{
    int64_t id;
    return gguf_i64(g, key, &id, NULL) == OK ? (int32_t)id : TOKEN_NONE;
}

/* NULL where the file is absent. */
static inline Tokenizer *open_gguf_tokenizer(const char *relative)
{
    const char *path = shared_path(relative);
    Store *store;
    Tokenizer *t;
    Error err = {0};
    TokenizerSpec s;
    bool add_bos;
    if (!path)
        return NULL;
    if (store_open(path, &store, &err) != OK)
        stop_with(err.text);
    const Gguf *g = store_gguf(store);
    tokenizer_spec_init(&s, path);
    assert_int_equal(gguf_string(g, "tokenizer.ggml.model", &s.model, NULL), OK);
    gguf_string(g, "tokenizer.ggml.pre", &s.pre, NULL);
    s.pieces = gguf_texts(g, "tokenizer.ggml.tokens", &s.pieces_count);
    s.merges = gguf_texts(g, "tokenizer.ggml.merges", &s.merges_count);
    s.scores = gguf_scores(g);
    s.types = gguf_types(g);
    s.bos = gguf_id(g, "tokenizer.ggml.bos_token_id");
    s.eos = gguf_id(g, "tokenizer.ggml.eos_token_id");
    s.unk = gguf_id(g, "tokenizer.ggml.unknown_token_id");
    if (gguf_bool(g, "tokenizer.ggml.add_bos_token", &add_bos, NULL) == OK)
        s.add_bos = add_bos ? SPEC_YES : SPEC_NO;
    if (tokenizer_open_spec(&s, &t, &err) != OK)
        stop_with(err.text);
    free((void *)s.pieces);
    free((void *)s.merges);
    free((void *)s.scores);
    free((void *)s.types);
    store_free(store);
    return t;
}

static inline Tokenizer *open_json_text(const char *json)
{
    Tokenizer *t;
    Error err = {0};
    if (tokenizer_open_json(span_text(json), (Span){0}, "test.json", &t, &err) != OK)
        stop_with(err.text);
    return t;
}

static inline Tokenizer *open_default_tokenizer(void)
{
    const char *json = shared_path("models/tokenizer/tokenizer.json");
    const char *config = shared_path("models/tokenizer/tokenizer_config.json");
    if (!json || !config)
        return NULL;
    FileMap maps[2];
    Tokenizer *t;
    Error err = {0};
    assert_int_equal(file_map_init(&maps[0], json, NULL), OK);
    assert_int_equal(file_map_init(&maps[1], config, NULL), OK);
    if (tokenizer_open_json(maps[0].span, maps[1].span, json, &t, &err) != OK)
        stop_with(err.text);
    file_map_deinit(&maps[0]);
    file_map_deinit(&maps[1]);
    return t;
}

static inline Encoding encode_span(const Tokenizer *t, Span text, unsigned flags)
{
    Encoding e;
    Error err = {0};
    if (tokenizer_encode(t, text, flags, &e, &err) != OK)
        stop_with(err.text);
    return e;
}

static inline void assert_ids(const Tokenizer *t, Span text, unsigned flags, const int32_t *ids, size_t count)
{
    Encoding e = encode_span(t, text, flags);
    bool same = e.count == count && (count == 0 || !memcmp(e.ids, ids, count * sizeof *ids));
    if (!same) {
        fprintf(stderr, "\n'%.*s'\n  got    ", (int)span_first(text, 300).bytes, (const char *)text.data);
        for (size_t i = 0; i < e.count; i++)
            fprintf(stderr, " %d", e.ids[i]);
        fprintf(stderr, "\n  wanted ");
        for (size_t i = 0; i < count; i++)
            fprintf(stderr, " %d", ids[i]);
        fprintf(stderr, "\n");
    }
    assert_true(same);
    encoding_deinit(&e);
}

#define IDS(...) (const int32_t[]){__VA_ARGS__}, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t)

static inline void assert_decodes(const Tokenizer *t, const int32_t *ids, size_t count, Span text)
{
    Buf out;
    buf_init(&out, 1 << 26);
    assert_true(tokenizer_decode(t, ids, count, 0, &out));
    if (!span_equal(buf_span(&out), text))
        fprintf(stderr, "\ngot '%s'\nwanted '%.*s'\n", out.bytes < 300 ? out.data : "(long)",
                (int)span_first(text, 300).bytes, (const char *)text.data);
    assert_true(span_equal(buf_span(&out), text));
    buf_deinit(&out);
}

static inline void assert_comes_back(const Tokenizer *t, Span text, unsigned flags)
{
    Encoding e = encode_span(t, text, flags);
    assert_decodes(t, e.ids, e.count, text);
    encoding_deinit(&e);
}

#endif

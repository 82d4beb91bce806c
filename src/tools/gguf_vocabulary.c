#include "tools/gguf_vocabulary.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/pre_names.h"
#include "text/tokenizer_spec.h"

static const size_t TOKENIZER_BYTES_MAX = 256 << 20;

/* What GGUF's list of pieces is made of; texts point into the JSON, or into `made`. */
typedef struct Vocabulary {
    Arena *made;
    json_t *json;
    Span *pieces, *merges;
    int32_t *types;
    size_t count, merge_count;
} Vocabulary;

/* A text that no two of the published expressions cut alike: the name that gives the ids of the
 * checkpoint's own tokenizer on it is the name to write. */
static const char SAMPLE[] =
    "Hello  world!\n\n\n  It's WE'LL they'd've I'M\t\t tabs\r\n\r\n 3 33 333 3333 33333 1234567890 v1.2.3 a_b __init__ "
    "fooBarBaz HTTPServer caf\u00E9 na\u00EFve Stra\u00DFe \u4F60\u597D\u4E16\u754C "
    "\u3053\u3093\u306B\u3061\u306F \uD55C\uAD6D\uC5B4 \u041F\u0440\u0438\u0432\u0435\u0442 "
    "\u0645\u0631\u062D\u0628\u0627 \U0001F600\U0001F44D\U0001F3FD e\u0301 "
    "\u0928\u092E\u0938\u094D\u0924\u0947 \u201Cquotes\u201D \u20AC12,50 (x+y)*z==w; /* c */ //path/to/file\n"
    "        eight spaces\n\t\ttwo tabs ...!!!??? ------ ====== \u00A0 nbsp \u2026 \u00BD \u00B2 \u2167 "
    "don't DON'T x's 'tis   ";

static Err put_piece(Vocabulary *v, const Package *p, int64_t id, Span text, int32_t type, Error *err)
{
    if (id < 0 || (size_t)id >= v->count)
        return fail(err, BAD_FILE, "%s: the tokenizer has id %lld, but the model's vocabulary has %zu entries", p->path,
                    (long long)id, v->count);
    v->pieces[id] = text;
    v->types[id] = type;
    return OK;
}

static Span json_span(const json_t *text) { return span_of(json_string_value(text), json_string_length(text)); }

static Err read_pieces(Vocabulary *v, const Package *p, Error *err)
{
    json_t *pieces = json_object_get(json_object_get(v->json, "model"), "vocab"), *value;
    const char *key;
    size_t key_bytes, i;
    json_object_keylen_foreach(pieces, key, key_bytes, value)
        TRY(put_piece(v, p, json_integer_value(value), span_of(key, key_bytes), SPEC_NORMAL, err));
    json_array_foreach(json_object_get(v->json, "added_tokens"), i, value)
    {
        bool special = json_is_true(json_object_get(value, "special"));
        TRY(put_piece(v, p, json_integer_value(json_object_get(value, "id")),
                      json_span(json_object_get(value, "content")), special ? SPEC_CONTROL : SPEC_USER_DEFINED, err));
    }
    for (size_t id = 0; id < v->count; id++) {
        char name[32];
        if (v->types[id] != SPEC_UNDEFINED)
            continue;
        int bytes = snprintf(name, sizeof name, "[PAD%zu]", id); /* as llama.cpp's converter calls them */
        const char *copy = arena_copy_text(v->made, name, (size_t)bytes);
        if (!copy)
            return fail(err, NO_MEMORY, "%s: no memory for its vocabulary", p->path);
        TRY(put_piece(v, p, (int64_t)id, span_of(copy, (size_t)bytes), SPEC_UNUSED, err));
    }
    return OK;
}

/* "a b", or ["a", "b"]. */
static Err read_merges(Vocabulary *v, const Package *p, Error *err)
{
    const json_t *merges = json_object_get(json_object_get(v->json, "model"), "merges"), *merge;
    size_t i;
    v->merge_count = json_array_size(merges);
    v->merges = ARENA_ARRAY(v->made, Span, v->merge_count + 1);
    if (!v->merges)
        return fail(err, NO_MEMORY, "%s: no memory for its merges", p->path);
    json_array_foreach(merges, i, merge)
    {
        if (json_is_string(merge)) {
            v->merges[i] = json_span(merge);
            continue;
        }
        Span left = json_span(json_array_get(merge, 0)), right = json_span(json_array_get(merge, 1));
        char *joined = arena_take(v->made, left.bytes + right.bytes + 1);
        if (!joined)
            return fail(err, NO_MEMORY, "%s: no memory for its merges", p->path);
        memcpy(joined, left.data, left.bytes);
        joined[left.bytes] = ' ';
        memcpy(joined + left.bytes + 1, right.data, right.bytes);
        v->merges[i] = span_of(joined, left.bytes + 1 + right.bytes);
    }
    return OK;
}

static bool same_ids(const Tokenizer *a, const Tokenizer *b)
{
    Encoding one, two;
    Error ignored;
    bool same = tokenizer_encode(a, span_text(SAMPLE), 0, &one, &ignored) == OK;
    same = tokenizer_encode(b, span_text(SAMPLE), 0, &two, &ignored) == OK && same;
    same = same && one.count == two.count && !memcmp(one.ids, two.ids, one.count * sizeof *one.ids);
    encoding_deinit(&one);
    encoding_deinit(&two);
    return same;
}

/* The expression that the checkpoint cuts words with, spelled as the table of names spells it. */
static const char *own_pattern(const Vocabulary *v)
{
    static const char folded[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    static const char spelled[] = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
    const json_t *pre = json_object_get(v->json, "pre_tokenizer"), *parts = json_object_get(pre, "pretokenizers"),
                 *part;
    const char *text = NULL;
    size_t i;
    json_array_foreach((json_t *)parts, i, part)
    {
        const char *regex = json_string_value(json_object_get(json_object_get(part, "pattern"), "Regex"));
        text = text ? text : regex;
    }
    if (!text || strncmp(text, folded, sizeof folded - 1))
        return text;
    char *out = arena_take(v->made, strlen(text) + sizeof spelled);
    if (out)
        sprintf(out, "%s%s", spelled, text + sizeof folded - 1);
    return out;
}

static bool gives_same_ids(const Vocabulary *v, const Package *p, const PreName *pre)
{
    TokenizerSpec spec;
    Tokenizer *candidate;
    Error ignored;
    tokenizer_spec_init(&spec, p->path);
    spec.model = span_text("gpt2");
    spec.pre = span_text(pre->name);
    spec.pieces = v->pieces;
    spec.pieces_count = v->count;
    spec.types = v->types;
    spec.merges = v->merges;
    spec.merges_count = v->merge_count;
    if (tokenizer_open_spec(&spec, &candidate, &ignored) != OK)
        return false;
    bool same = same_ids(p->tokenizer, candidate);
    tokenizer_free(candidate);
    return same;
}

/* Of the names that give the same ids, one with the very expression of the checkpoint; else the first. */
static Err find_pre_name(const Vocabulary *v, const Package *p, const char **out, Error *err)
{
    bool whole_words = json_is_true(json_object_get(json_object_get(v->json, "model"), "ignore_merges"));
    const char *own = own_pattern(v);
    *out = NULL;
    for (int exact = 1; exact >= 0 && !*out; exact--)
        for (int i = 0; pre_name_at(i) && !*out; i++) {
            const PreName *pre = pre_name_at(i);
            bool wanted = !(pre->traits & PRE_WHOLE_WORDS_FIRST) == !whole_words &&
                          (!exact || (own && pre->patterns[0] && !pre->patterns[1] && !strcmp(own, pre->patterns[0])));
            if (wanted && gives_same_ids(v, p, pre))
                *out = pre->name;
        }
    return *out ? OK : fail(err, UNSUPPORTED, "%s: GGUF has no name for the way its tokenizer cuts words", p->path);
}

static void put_ids(const Package *p, GgufWriter *w)
{
    const SpecialTokens *s = tokenizer_specials(p->tokenizer);
    const struct {
        const char *key;
        int32_t id;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id", s->bos},
        {"tokenizer.ggml.eos_token_id", s->eos},
        {"tokenizer.ggml.unknown_token_id", s->unk},
        {"tokenizer.ggml.padding_token_id", s->pad},
        {"tokenizer.ggml.seperator_token_id", s->sep},
        {"tokenizer.ggml.mask_token_id", s->mask},
        {"tokenizer.ggml.fim_pre_token_id", s->fim_prefix},
        {"tokenizer.ggml.fim_suf_token_id", s->fim_suffix},
        {"tokenizer.ggml.fim_mid_token_id", s->fim_middle},
    };
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        if (ids[i].id != TOKEN_NONE)
            gguf_put_u32(w, ids[i].key, (uint32_t)ids[i].id);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", s->add_bos);
    gguf_put_bool(w, "tokenizer.ggml.add_eos_token", s->add_eos);
    for (int i = 0; i < p->chat_count; i++)
        if (!strcmp(p->chat[i].name, "default"))
            gguf_put_text(w, "tokenizer.chat_template", p->chat[i].text);
}

static Err put_bpe(Vocabulary *v, const Package *p, GgufWriter *w, Error *err)
{
    const char *pre = NULL;
    v->pieces = ARENA_ARRAY(v->made, Span, v->count);
    v->types = ARENA_ARRAY(v->made, int32_t, v->count);
    if (!v->pieces || !v->types)
        return fail(err, NO_MEMORY, "%s: no memory for its vocabulary", p->path);
    TRY(read_pieces(v, p, err));
    TRY(read_merges(v, p, err));
    TRY(find_pre_name(v, p, &pre, err));
    gguf_put_text(w, "tokenizer.ggml.model", "gpt2");
    gguf_put_text(w, "tokenizer.ggml.pre", pre);
    gguf_put_strings(w, "tokenizer.ggml.tokens", v->pieces, v->count);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, v->types, v->count);
    gguf_put_strings(w, "tokenizer.ggml.merges", v->merges, v->merge_count);
    put_ids(p, w);
    return OK;
}

Err gguf_vocabulary_put(const Package *p, int32_t vocabulary, GgufWriter *w, Error *err)
{
    char path[PATH_MAX];
    if (!p->tokenizer)
        return OK;
    snprintf(path, sizeof path, "%s/tokenizer.json", p->path);
    if (!file_exists(path))
        return fail(err, UNSUPPORTED, "%s: only a tokenizer.json can be written to a GGUF, and there is none", p->path);
    Vocabulary v = {.made = arena_new((size_t)4 << 30), .count = (size_t)vocabulary};
    if (!v.made)
        return fail(err, NO_MEMORY, "%s: no memory for its vocabulary", p->path);
    Err result = json_read_file(path, TOKENIZER_BYTES_MAX, &v.json, err);
    const char *kind =
        result == OK ? json_string_value(json_object_get(json_object_get(v.json, "model"), "type")) : NULL;
    if (result == OK && (!kind || strcmp(kind, "BPE")))
        result = fail(err, UNSUPPORTED, "%s: a tokenizer of type %s cannot be written to a GGUF yet; BPE can", path,
                      kind ? kind : "(none)");
    if (result == OK)
        result = put_bpe(&v, p, w, err);
    json_decref(v.json);
    arena_free(v.made);
    return result;
}

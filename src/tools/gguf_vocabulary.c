#include "tools/gguf_vocabulary.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "text/pre_names.h"
#include "tools/spec_of_tokenizer.h"

static const size_t TOKENIZER_BYTES_MAX = 256 << 20;

/* A text that no two of the published expressions cut alike: the name that gives the ids of the
 * checkpoint's own tokenizer on it is the name to write. Nothing in it changes under NFC: GGUF does not
 * say whether a tokenizer composes characters first, and those that do are written all the same. */
static const char SAMPLE[] =
    "Hello  world!\n\n\n  It's WE'LL they'd've I'M\t\t tabs\r\n\r\n 3 33 333 3333 33333 1234567890 v1.2.3 a_b __init__ "
    "fooBarBaz HTTPServer caf\u00E9 na\u00EFve Stra\u00DFe \u4F60\u597D\u4E16\u754C "
    "\u3053\u3093\u306B\u3061\u306F \uD55C\uAD6D\uC5B4 \u041F\u0440\u0438\u0432\u0435\u0442 "
    "\u0645\u0631\u062D\u0628\u0627 \U0001F600\U0001F44D\U0001F3FD q\u0301 "
    "\u0928\u092E\u0938\u094D\u0924\u0947 \u201Cquotes\u201D \u20AC12,50 (x+y)*z==w; /* c */ //path/to/file\n"
    "        eight spaces\n\t\ttwo tabs ...!!!??? ------ ====== \u00A0 nbsp \u2026 \u00BD \u00B2 \u2167 "
    "don't DON'T x's 'tis   ";

/* ---- trying a specification ---- */

/* Where the ids of two tokenizers part on the sample; false: nowhere. */
static bool find_difference(const Tokenizer *a, const Tokenizer *b, Span *out)
{
    static const unsigned flags = ENCODE_ADD_SPECIAL | ENCODE_PLACES;
    Encoding one, two;
    Error ignored;
    bool good = tokenizer_encode(a, span_text(SAMPLE), flags, &one, &ignored) == OK;
    good = tokenizer_encode(b, span_text(SAMPLE), flags, &two, &ignored) == OK && good;
    size_t i = 0;
    while (good && i < one.count && i < two.count && one.ids[i] == two.ids[i])
        i++;
    bool same = good && i == one.count && i == two.count;
    *out = span_first(span_from(span_text(SAMPLE), good && i < one.count ? one.places[i].begin : 0), 16);
    encoding_deinit(&one);
    encoding_deinit(&two);
    return !same;
}

static bool gives_same_ids(const Package *p, const TokenizerSpec *spec, Span *difference)
{
    Tokenizer *candidate;
    Error ignored;
    *difference = (Span){0};
    if (tokenizer_open_spec(spec, &candidate, &ignored) != OK)
        return false;
    bool same = !find_difference(p->tokenizer, candidate, difference);
    tokenizer_free(candidate);
    return same;
}

/* ---- byte-level BPE: the name of its expressions ---- */

/* The expression that the checkpoint cuts words with, spelled as the table of names spells it. */
static const char *own_pattern(const json_t *json, Arena *arena)
{
    static const char folded[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    static const char spelled[] = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
    const json_t *pre = json_object_get(json, "pre_tokenizer"), *parts = json_object_get(pre, "pretokenizers"),
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
    char *out = arena_take(arena, strlen(text) + sizeof spelled);
    if (out)
        sprintf(out, "%s%s", spelled, text + sizeof folded - 1);
    return out;
}

/* Of the names that give the same ids, one with the very expression of the checkpoint; else the first. */
static Err name_expressions(const Package *p, Arena *arena, TokenizerSpec *spec, Error *err)
{
    char path[PATH_MAX];
    json_t *json = NULL;
    Span difference;
    snprintf(path, sizeof path, "%s/tokenizer.json", p->path);
    TRY(json_read_file(path, TOKENIZER_BYTES_MAX, &json, err));
    bool whole_words = json_is_true(json_object_get(json_object_get(json, "model"), "ignore_merges"));
    const char *own = own_pattern(json, arena), *found = NULL;
    for (int exact = 1; exact >= 0 && !found; exact--)
        for (int i = 0; pre_name_at(i) && !found; i++) {
            const PreName *pre = pre_name_at(i);
            bool wanted = !(pre->traits & PRE_WHOLE_WORDS_FIRST) == !whole_words &&
                          (!exact || (own && pre->patterns[0] && !pre->patterns[1] && !strcmp(own, pre->patterns[0])));
            spec->pre = span_text(pre->name);
            if (wanted && gives_same_ids(p, spec, &difference))
                found = pre->name;
        }
    json_decref(json);
    return found ? OK : fail(err, UNSUPPORTED, "%s: GGUF has no name for the way its tokenizer cuts words", p->path);
}

/* ---- the other kinds: what GGUF can say of their normaliser ---- */

static Err choose_normalizer(const Package *p, TokenizerSpec *spec, Error *err)
{
    static const struct {
        const char *model;
        SpecChoice space_prefix, remove_spaces, lowercase;
    } ways[] = {
        {SPEC_CHARACTER_BPE, SPEC_YES, 0, 0},  {SPEC_CHARACTER_BPE, SPEC_NO, 0, 0},
        {SPEC_UNIGRAM, SPEC_YES, SPEC_NO, 0},  {SPEC_UNIGRAM, SPEC_YES, SPEC_YES, 0},
        {SPEC_UNIGRAM, SPEC_NO, SPEC_NO, 0},   {SPEC_UNIGRAM, SPEC_NO, SPEC_YES, 0},
        {SPEC_WORDPIECE, 0, 0, SPEC_YES},      {SPEC_WORDPIECE, 0, 0, SPEC_NO},
    };
    Span difference = {0}, first = {0};
    spec->pre = span_text("default");
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        if (!span_is(spec->model, ways[i].model))
            continue;
        spec->add_space_prefix = ways[i].space_prefix;
        spec->remove_extra_whitespaces = ways[i].remove_spaces;
        spec->lowercase = ways[i].lowercase;
        if (gives_same_ids(p, spec, &difference))
            return OK;
        if (difference.data > first.data) /* of the way that went furthest */
            first = difference;
    }
    return fail(err, UNSUPPORTED,
                "%s: its tokenizer reads '%.*s' in another way than any '%.*s' tokenizer of a GGUF, which has no word for "
                "this normaliser or way to cut words",
                p->path, (int)first.bytes, first.bytes ? (const char *)first.data : "", (int)spec->model.bytes,
                (const char *)spec->model.data);
}

/* ---- writing ---- */

static void put_ids(const TokenizerSpec *s, GgufWriter *w)
{
    const struct {
        const char *key;
        int32_t id;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id", s->bos},
        {"tokenizer.ggml.eos_token_id", s->eos},
        {"tokenizer.ggml.unknown_token_id", s->unk},
        {"tokenizer.ggml.padding_token_id", s->pad},
        {"tokenizer.ggml.seperator_token_id", s->sep}, /* GGUF's own spelling */
        {"tokenizer.ggml.mask_token_id", s->mask},
        {"tokenizer.ggml.fim_pre_token_id", s->fim_prefix},
        {"tokenizer.ggml.fim_suf_token_id", s->fim_suffix},
        {"tokenizer.ggml.fim_mid_token_id", s->fim_middle},
        {"tokenizer.ggml.fim_pad_token_id", s->fim_pad},
        {"tokenizer.ggml.fim_rep_token_id", s->fim_repo},
        {"tokenizer.ggml.fim_sep_token_id", s->fim_file},
    };
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        if (ids[i].id != TOKEN_NONE && !gguf_written(w, ids[i].key)) /* the family may have said which is the mask */
            gguf_put_u32(w, ids[i].key, (uint32_t)ids[i].id);
}

static void put_choices(const TokenizerSpec *s, GgufWriter *w)
{
    const struct {
        const char *key;
        SpecChoice choice;
    } choices[] = {
        {"tokenizer.ggml.add_bos_token", s->add_bos},
        {"tokenizer.ggml.add_eos_token", s->add_eos},
        {"tokenizer.ggml.add_sep_token", s->add_sep},
        {"tokenizer.ggml.add_space_prefix", s->add_space_prefix},
        {"tokenizer.ggml.remove_extra_whitespaces", s->remove_extra_whitespaces},
        {"tokenizer.ggml.normalizer.lowercase", s->lowercase},
    };
    for (size_t i = 0; i < COUNT_OF(choices); i++)
        if (choices[i].choice != SPEC_DEFAULT)
            gguf_put_bool(w, choices[i].key, choices[i].choice == SPEC_YES);
}

static void put_spec(const TokenizerSpec *s, GgufWriter *w)
{
    gguf_put_string(w, "tokenizer.ggml.model", s->model);
    gguf_put_string(w, "tokenizer.ggml.pre", s->pre);
    gguf_put_strings(w, "tokenizer.ggml.tokens", s->pieces, s->pieces_count);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, s->types, s->pieces_count);
    if (s->scores)
        gguf_put_array(w, "tokenizer.ggml.scores", GGUF_F32, s->scores, s->pieces_count);
    if (s->merges)
        gguf_put_strings(w, "tokenizer.ggml.merges", s->merges, s->merges_count);
    if (s->charsmap.bytes)
        gguf_put_array(w, "tokenizer.ggml.precompiled_charsmap", GGUF_U8, s->charsmap.data, s->charsmap.bytes);
    put_ids(s, w);
    put_choices(s, w);
}

/* The template called "default" has the plain key, others have theirs behind it. */
static void put_templates(const Package *p, GgufWriter *w)
{
    static const char plain[] = "tokenizer.chat_template";
    for (int i = 0; i < p->chat_count; i++) {
        char key[256];
        bool is_default = !strcmp(p->chat[i].name, "default");
        snprintf(key, sizeof key, "%s%s%s", plain, is_default ? "" : ".", is_default ? "" : p->chat[i].name);
        gguf_put_text(w, key, p->chat[i].text);
    }
}

Err gguf_vocabulary_put(const Package *p, int32_t vocabulary, GgufWriter *w, Error *err)
{
    if (!p->tokenizer) {
        gguf_put_text(w, "tokenizer.ggml.model", "none");
        return OK;
    }
    Arena *arena = arena_new((size_t)4 << 30);
    TokenizerSpec spec;
    if (!arena)
        return fail(err, NO_MEMORY, "%s: no memory for its vocabulary", p->path);
    Err result = spec_of_tokenizer(p->tokenizer, (size_t)vocabulary, p->path, arena, &spec, err);
    if (result == OK)
        result = span_is(spec.model, SPEC_BYTE_BPE) ? name_expressions(p, arena, &spec, err) : choose_normalizer(p, &spec, err);
    if (result == OK) {
        put_spec(&spec, w);
        put_templates(p, w);
    }
    arena_free(arena);
    return result;
}

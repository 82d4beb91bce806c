/* tokenizer_json.c -- opens a tokenizer.json with the fields of tokenizer_config.json that matter.
 *
 *     { "added_tokens": [..], "normalizer": .., "pre_tokenizer": .., "post_processor": .., "decoder": ..,
 *       "model": { "type": "BPE", .., "vocab": {..}, "merges": [..] } }
 *                                     \_______________________/  99% of the bytes: read in place
 *
 * The two large tables are cut out of the text (text/json_pull.h) and the rest is a small JSON tree.
 */
#include "text/json_fields.h"
#include "text/json_pull.h"
#include "text/json_stages.h"
#include "text/tokenizer_config.h"

typedef struct Source {
    Buf rest;            /* the file without the two tables */
    Span vocab, merges;  /* empty: absent */
} Source;

/* ---- cutting the tables out ---- */

static Err not_json(const JsonPull *p, const char *name, Error *err)
{
    return fail(err, BAD_FILE, "%s: line %d: this is not JSON", name, pull_line(p));
}

/* Copies members to source->rest, but for the tables; `within_model` says which object this is. */
static Err cut_object(JsonPull *p, Source *source, bool within_model, const char *name, Error *err)
{
    Buf *rest = &source->rest;
    buf_put_char(rest, '{');
    if (!pull_mark(p, '{'))
        return not_json(p, name, err);
    if (pull_mark(p, '}')) {
        buf_put_char(rest, '}');
        return OK;
    }
    do {
        size_t key_at = p->at;
        Span key, value;
        if (!pull_string(p, &key))
            return not_json(p, name, err);
        bool is_model = !within_model && span_is(key, "model");
        Span *table = within_model && span_is(key, "vocab")    ? &source->vocab
                      : within_model && span_is(key, "merges") ? &source->merges
                                                               : NULL;
        if (!pull_mark(p, ':'))
            return not_json(p, name, err);
        buf_put(rest, p->text.data + key_at, p->at - key_at);
        if (is_model) {
            TRY(cut_object(p, source, true, name, err));
        } else {
            if (!pull_skip(p, &value))
                return not_json(p, name, err);
            if (table)
                *table = value;
            buf_put_span(rest, table ? span_text("null") : value);
        }
        buf_put_char(rest, ',');
    } while (pull_mark(p, ','));
    if (!pull_mark(p, '}'))
        return not_json(p, name, err);
    buf_cut(rest, rest->bytes - 1);   /* the last comma */
    buf_put_char(rest, '}');
    return OK;
}

static Err cut_tables(Span json, const char *name, Source *source, Error *err)
{
    JsonPull p;
    json_pull_init(&p, json, VOCAB_PIECE_BYTES_MAX);
    buf_init(&source->rest, TOKENIZER_FILE_BYTES_MAX);
    Err result = cut_object(&p, source, false, name, err);
    if (result == OK && !pull_at_end(&p))
        result = fail(err, BAD_FILE, "%s: line %d: something follows the end of the JSON", name, pull_line(&p));
    if (result == OK && source->rest.full)
        result = fail(err, NO_MEMORY, "%s: no memory to read it", name);
    json_pull_deinit(&p);
    return result;
}

/* ---- the vocabulary ---- */

static Err bad_table(const Tokenizer *t, const char *table, const JsonPull *p, const char *wanted, Error *err)
{
    return fail(err, BAD_FILE, "%s: model: '%s', %zu bytes in: expected %s", t->name, table, p->at, wanted);
}

/* {"piece": id, ...} */
static Err read_piece_object(Tokenizer *t, JsonPull *p, Error *err)
{
    Span text;
    int64_t id;
    if (pull_mark(p, '}'))
        return OK;
    do {
        if (!pull_string(p, &text) || !pull_mark(p, ':') || !pull_integer(p, &id))
            return bad_table(t, "vocab", p, "a piece and its id", err);
        TRY(vocab_add(&t->vocab, id, text, PIECE_NORMAL, 0, err));
    } while (pull_mark(p, ','));
    return pull_mark(p, '}') ? OK : bad_table(t, "vocab", p, "a comma or the end", err);
}

/* [["piece", score], ...]: the place in the list is the id */
static Err read_piece_list(Tokenizer *t, JsonPull *p, Error *err)
{
    Span text;
    double score;
    if (pull_mark(p, ']'))
        return OK;
    do {
        bool good = pull_mark(p, '[') && pull_string(p, &text);
        if (good)
            TRY(vocab_add(&t->vocab, (int64_t)t->vocab.count, text, PIECE_NORMAL, 0, err));
        good = good && pull_mark(p, ',') && pull_float(p, &score) && pull_mark(p, ']');
        if (!good)
            return bad_table(t, "vocab", p, "a piece and its score", err);
        t->vocab.pieces[t->vocab.count - 1].score = score;
    } while (pull_mark(p, ','));
    return pull_mark(p, ']') ? OK : bad_table(t, "vocab", p, "a comma or the end", err);
}

static Err read_vocab(Tokenizer *t, Span table, bool is_list, Error *err)
{
    JsonPull p;
    json_pull_init(&p, table, VOCAB_PIECE_BYTES_MAX);
    Err result;
    if (table.bytes == 0)
        result = fail(err, BAD_FILE, "%s: model: has no 'vocab'", t->name);
    else if (is_list)
        result = pull_mark(&p, '[') ? read_piece_list(t, &p, err) : bad_table(t, "vocab", &p, "a list", err);
    else
        result = pull_mark(&p, '{') ? read_piece_object(t, &p, err) : bad_table(t, "vocab", &p, "an object", err);
    json_pull_deinit(&p);
    return result;
}

/* ---- the model ---- */

static Span first_half(Span line, Span *second)
{
    const uint8_t *blank = line.bytes ? memchr(line.data, ' ', line.bytes) : NULL;
    size_t at = blank ? (size_t)(blank - line.data) : line.bytes;
    *second = span_from(line, at + 1);
    return span_first(line, at);
}

/* "a b", or ["a", "b"], which pieces with spaces in them need */
static Err read_merge(Tokenizer *t, JsonPull *p, JsonPull *second_pull, Error *err)
{
    Span left, right;
    if (pull_string(p, &left)) {
        left = first_half(left, &right);
        if (!left.bytes || !right.bytes)
            return bad_table(t, "merges", p, "two pieces with a space between them", err);
        return bpe_add_merge(&t->bpe, left, right, err);
    }
    bool good = pull_mark(p, '[') && pull_string(p, &left) && pull_mark(p, ',');
    if (good) {   /* `left` may lie in the scratch of the first puller */
        second_pull->at = p->at;
        good = pull_string(second_pull, &right);
        p->at = second_pull->at;
    }
    if (!good || !pull_mark(p, ']'))
        return bad_table(t, "merges", p, "two pieces", err);
    return bpe_add_merge(&t->bpe, left, right, err);
}

/* Each merge has at least four quotes or two and a blank: an upper bound that a hostile file cannot inflate. */
static size_t count_merges(Span table)
{
    size_t quotes = 0, lists = 0;
    for (size_t i = 0; i < table.bytes; i++) {
        quotes += table.data[i] == '"';
        lists += table.data[i] == '[';
    }
    return lists > 1 ? lists : quotes / 2;
}

static Err read_merges(Tokenizer *t, Span table, Error *err)
{
    size_t most = count_merges(table);
    TRY(bpe_reserve_merges(&t->bpe, most, err));
    if (table.bytes == 0 || span_is(table, "null"))
        return OK;
    JsonPull p, second;
    json_pull_init(&p, table, VOCAB_PIECE_BYTES_MAX);
    json_pull_init(&second, table, VOCAB_PIECE_BYTES_MAX);
    Err result = pull_mark(&p, '[') ? OK : bad_table(t, "merges", &p, "a list", err);
    if (result == OK && !pull_mark(&p, ']')) {
        do
            result = t->bpe.merges_count < most ? read_merge(t, &p, &second, err)
                                                : bad_table(t, "merges", &p, "pieces, not lists in lists", err);
        while (result == OK && pull_mark(&p, ','));
        if (result == OK && !pull_mark(&p, ']'))
            result = bad_table(t, "merges", &p, "a comma or the end", err);
    }
    json_pull_deinit(&p);
    json_pull_deinit(&second);
    return result;
}

static Err field_kept(Tokenizer *t, const json_t *model, const char *key, const char **out, Error *err)
{
    Span text;
    TRY(field_text(model, key, t->name, &text, err));
    *out = text.bytes ? (const char *)tokenizer_keep(t, text).data : NULL;
    return text.bytes && !*out ? fail(err, NO_MEMORY, "%s: no memory for '%s'", t->name, key) : OK;
}

static Err read_unk_token(Tokenizer *t, const json_t *model, int32_t *out, Error *err)
{
    Span text;
    TRY(field_text(model, "unk_token", t->name, &text, err));
    *out = text.bytes ? vocab_find(&t->vocab, text) : TOKEN_NONE;
    if (text.bytes && *out < 0)
        return fail(err, BAD_FILE, "%s: model: the unk_token '%.*s' is not in the vocabulary", t->name,
                    (int)span_first(text, 64).bytes, (const char *)text.data);
    t->specials.unk = *out;
    return OK;
}

static Err read_bpe(Tokenizer *t, const json_t *model, const Source *source, Error *err)
{
    t->kind = MODEL_BPE;
    Bpe *b = &t->bpe;
    bpe_init(b, &t->vocab);
    TRY(field_kept(t, model, "continuing_subword_prefix", &b->continuing, err));
    TRY(field_kept(t, model, "end_of_word_suffix", &b->word_end, err));
    TRY(field_bool(model, "fuse_unk", false, t->name, &b->fuse_unk, err));
    TRY(field_bool(model, "byte_fallback", false, t->name, &b->byte_fallback, err));
    TRY(field_bool(model, "ignore_merges", false, t->name, &b->whole_words_first, err));
    TRY(read_unk_token(t, model, &b->unk, err));
    return read_merges(t, source->merges, err);
}

static Err read_unigram(Tokenizer *t, const json_t *model, const Source *source, Error *err)
{
    (void)source;
    int64_t unk;
    t->kind = MODEL_UNIGRAM;
    TRY(unigram_init(&t->unigram, &t->vocab, true, err));
    TRY(field_int(model, "unk_id", TOKEN_NONE, t->name, &unk, err));
    if (unk != TOKEN_NONE && !vocab_has(&t->vocab, unk))
        return fail(err, BAD_FILE, "%s: model: the unk_id %lld is not in the vocabulary", t->name, (long long)unk);
    t->unigram.unk = t->specials.unk = (int32_t)unk;
    t->unigram.fuse_unk = true;
    return field_bool(model, "byte_fallback", false, t->name, &t->unigram.byte_fallback, err);
}

static Err read_wordpiece(Tokenizer *t, const json_t *model, const Source *source, Error *err)
{
    (void)source;
    int64_t longest;
    t->kind = MODEL_WORDPIECE;
    TRY(wordpiece_init(&t->wordpiece, &t->vocab, NULL, err));
    TRY(field_text(model, "continuing_subword_prefix", t->name, &t->wordpiece.continuing, err));
    t->wordpiece.continuing = tokenizer_keep(t, t->wordpiece.continuing);
    TRY(field_int(model, "max_input_chars_per_word", 100, t->name, &longest, err));
    if (longest < 1)
        return fail(err, BAD_FILE, "%s: model: 'max_input_chars_per_word' is %lld", t->name, (long long)longest);
    t->wordpiece.characters_max = (size_t)longest;
    return read_unk_token(t, model, &t->wordpiece.unk, err);
}

static Err read_wordlevel(Tokenizer *t, const json_t *model, const Source *source, Error *err)
{
    (void)source;
    t->kind = MODEL_WORDLEVEL;
    t->wordpiece.vocab = &t->vocab;
    return read_unk_token(t, model, &t->wordpiece.unk, err);
}

/* Files of 2019 and 2020 do not say their type; what they contain does. */
static Span model_type(const json_t *model, const Source *source)
{
    Span type = json_span(json_object_get(model, "type"));
    if (type.bytes)
        return type;
    if (source->merges.bytes)
        return span_text("BPE");
    return span_text(json_object_get(model, "unk_id") ? "Unigram" : "WordPiece");
}

static Err read_model(Tokenizer *t, const json_t *root, const json_t *config, const Source *source, Error *err)
{
    static const struct {
        const char *type;
        bool vocab_is_list;
        Err (*read)(Tokenizer *, const json_t *model, const Source *, Error *);
    } models[] = {{"BPE", false, read_bpe}, {"Unigram", true, read_unigram}, {"WordPiece", false, read_wordpiece},
                  {"WordLevel", false, read_wordlevel}};
    const json_t *model = json_object_get(root, "model");
    if (!json_is_object(model))
        return fail(err, BAD_FILE, "%s: has no 'model'", t->name);
    Span type = model_type(model, source);
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        if (!span_is(type, models[i].type))
            continue;
        TRY(read_vocab(t, source->vocab, models[i].vocab_is_list, err));
        TRY(config_add_tokens(t, json_object_get(root, "added_tokens"), config, err));
        TRY(vocab_finish(&t->vocab, err));
        return models[i].read(t, model, source, err);
    }
    return fail(err, UNSUPPORTED, "%s: model: the type '%.*s' is not known; BPE, Unigram, WordPiece and WordLevel are",
                t->name, (int)span_first(type, 64).bytes, (const char *)type.data);
}

static Err read_all(Tokenizer *t, const json_t *root, const json_t *config, const Source *source, Error *err)
{
    if (!json_is_object(root))
        return fail(err, BAD_FILE, "%s: should be an object", t->name);
    TRY(read_model(t, root, config, source, err));
    TRY(json_normalizer(t, json_object_get(root, "normalizer"), err));
    TRY(json_pretokenizer(t, json_object_get(root, "pre_tokenizer"), err));
    TRY(json_post_processor(t, json_object_get(root, "post_processor"), err));
    TRY(json_decoder(t, json_object_get(root, "decoder"), err));
    return config_apply(t, config, err);
}

Err tokenizer_open_json(Span json, Span config_text, const char *name, Tokenizer **out, Error *err)
{
    *out = NULL;
    Tokenizer *t;
    Source source = {0};
    json_t *root = NULL, *config = NULL;
    if (json.bytes > TOKENIZER_FILE_BYTES_MAX)
        return fail(err, BAD_FILE, "%s: has %zu bytes; at most %d are read", name, json.bytes, TOKENIZER_FILE_BYTES_MAX);
    TRY(tokenizer_new(name, &t, err));
    Err result = cut_tables(json, t->name, &source, err);
    if (result == OK)
        result = json_read(buf_span(&source.rest), TOKENIZER_FILE_BYTES_MAX, t->name, &root, err);
    if (result == OK)
        result = config_read(config_text, t->name, &config, err);
    if (result == OK)
        result = read_all(t, root, config, &source, err);
    buf_deinit(&source.rest);
    json_decref(root);
    json_decref(config);
    return tokenizer_ready(t, result, out, err);
}

/* tokenizer_model.c -- opens a tokenizer.model: a ModelProto of SentencePiece, read from its wire format.
 *
 *     ModelProto       1 pieces[]          SentencePiece    1 piece  2 score (float)  3 type
 *                      2 trainer_spec      TrainerSpec      3 model_type  24 treat_whitespace_as_suffix
 *                                                           35 byte_fallback  40 .. 43 unk, bos, eos, pad id
 *                      3 normalizer_spec   NormalizerSpec   2 precompiled_charsmap  3 add_dummy_prefix
 *                                                           4 remove_extra_whitespaces  5 escape_whitespaces
 *                      5 denormalizer_spec (not used: no published language model has one)
 *
 * Kudo and Richardson 2018; sentencepiece_model.proto.
 */
#include "text/proto_reader.h"
#include "text/tokenizer_config.h"

#define METASPACE "\xE2\x96\x81"

enum { MODEL_TYPE_UNIGRAM = 1, MODEL_TYPE_BPE = 2, MODEL_TYPE_WORD = 3, MODEL_TYPE_CHAR = 4 };

typedef struct ModelProto {
    int64_t model_type, unk, bos, eos, pad;
    bool byte_fallback, space_is_suffix, dummy_prefix, remove_extra_spaces, escape_spaces;
    Span charsmap;
} ModelProto;

static Err broken(const Tokenizer *t, const char *message, Error *err)
{
    return fail(err, BAD_FILE, "%s: its %s is cut short or no SentencePiece message", t->name, message);
}

/* ---- the messages ---- */

static Err read_piece(Tokenizer *t, Span message, Error *err)
{
    /* SentencePiece's numbers for types, which count from 1: NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE */
    static const PieceKind kinds[] = {PIECE_NORMAL, PIECE_NORMAL, PIECE_UNKNOWN, PIECE_CONTROL,
                                      PIECE_USER,   PIECE_UNUSED, PIECE_BYTE};
    ProtoReader r = {.span = message};
    ProtoField f;
    Span text = {0};
    float score = 0;
    int64_t type = 1;
    while (proto_next(&r, &f)) {
        if (f.number == 1 && f.kind == PROTO_BYTES)
            text = f.bytes;
        else if (f.number == 2 && f.kind == PROTO_32)
            score = proto_float(&f);
        else if (f.number == 3 && f.kind == PROTO_VARINT)
            type = (int64_t)f.value;
    }
    if (r.broken)
        return broken(t, "list of pieces", err);
    if (type < 1 || type >= (int64_t)COUNT_OF(kinds))
        return fail(err, BAD_FILE, "%s: piece %zu has the type %lld; 1 to 6 are known", t->name, t->vocab.count,
                    (long long)type);
    if (!text.bytes)
        return fail(err, BAD_FILE, "%s: piece %zu is empty", t->name, t->vocab.count);
    return vocab_add(&t->vocab, (int64_t)t->vocab.count, text, kinds[type], score, err);
}

static Err read_trainer(const Tokenizer *t, Span message, ModelProto *m, Error *err)
{
    ProtoReader r = {.span = message};
    ProtoField f;
    while (proto_next(&r, &f)) {
        if (f.kind != PROTO_VARINT)
            continue;
        int32_t id = (int32_t)f.value;   /* negative ids are written as 64 bits */
        switch (f.number) {
        case 3: m->model_type = id; break;
        case 24: m->space_is_suffix = f.value; break;
        case 35: m->byte_fallback = f.value; break;
        case 40: m->unk = id; break;
        case 41: m->bos = id; break;
        case 42: m->eos = id; break;
        case 43: m->pad = id; break;
        }
    }
    return r.broken ? broken(t, "trainer_spec", err) : OK;
}

static Err read_normalizer(const Tokenizer *t, Span message, ModelProto *m, Error *err)
{
    ProtoReader r = {.span = message};
    ProtoField f;
    while (proto_next(&r, &f)) {
        if (f.number == 2 && f.kind == PROTO_BYTES)
            m->charsmap = f.bytes;
        if (f.kind != PROTO_VARINT)
            continue;
        switch (f.number) {
        case 3: m->dummy_prefix = f.value; break;
        case 4: m->remove_extra_spaces = f.value; break;
        case 5: m->escape_spaces = f.value; break;
        }
    }
    return r.broken ? broken(t, "normalizer_spec", err) : OK;
}

static Err read_model(Tokenizer *t, Span file, ModelProto *m, Error *err)
{
    ProtoReader r = {.span = file};
    ProtoField f;
    *m = (ModelProto){.model_type = MODEL_TYPE_UNIGRAM, .unk = 0, .bos = 1, .eos = 2, .pad = -1,
                      .dummy_prefix = true, .remove_extra_spaces = true, .escape_spaces = true};
    while (proto_next(&r, &f)) {
        if (f.kind != PROTO_BYTES)
            continue;
        if (f.number == 1)
            TRY(read_piece(t, f.bytes, err));
        else if (f.number == 2)
            TRY(read_trainer(t, f.bytes, m, err));
        else if (f.number == 3)
            TRY(read_normalizer(t, f.bytes, m, err));
    }
    if (r.broken)
        return broken(t, "contents", err);
    return t->vocab.count ? OK : fail(err, BAD_FILE, "%s: has no pieces; is it a tokenizer.model?", t->name);
}

/* ---- the stages ---- */

static Err take_special(const Tokenizer *t, const char *name, int64_t id, int32_t *out, Error *err)
{
    if (id < 0) {
        *out = TOKEN_NONE;
        return OK;
    }
    if (!vocab_has(&t->vocab, id))
        return fail(err, BAD_FILE, "%s: trainer_spec: the %s id is %lld, but there are %d pieces", t->name, name,
                    (long long)id, t->vocab.size);
    *out = (int32_t)id;
    return OK;
}

/* The piece that stands for unknown text is the one of that type; the trainer's ids may be of another file. */
static Err take_specials(Tokenizer *t, const ModelProto *m, Error *err)
{
    SpecialTokens *s = &t->specials;
    TRY(take_special(t, "bos", m->bos, &s->bos, err));
    TRY(take_special(t, "eos", m->eos, &s->eos, err));
    TRY(take_special(t, "pad", m->pad, &s->pad, err));
    for (int32_t id = 0; id < t->vocab.size && s->unk < 0; id++)
        if (t->vocab.pieces[id].kind == PIECE_UNKNOWN)
            s->unk = id;
    return s->unk >= 0 ? OK : fail(err, BAD_FILE, "%s: has no piece for unknown text", t->name);
}

/* User-defined pieces are left whole by the normaliser and by the model. */
static Err collect_whole(Tokenizer *t, Error *err)
{
    bool good = trie_init(&t->whole);
    for (int32_t id = 0; id < t->vocab.size && good; id++)
        if (t->vocab.pieces[id].kind == PIECE_USER)
            good = trie_put(&t->whole, vocab_text(&t->vocab, id), id);
    return good ? OK : fail(err, NO_MEMORY, "%s: no memory for its user-defined pieces", t->name);
}

static Err add_normalizer(Tokenizer *t, const ModelProto *m, Error *err)
{
    NormStep step = {.kind = NORM_SENTENCEPIECE,
                     .whole = t->whole.node_count > 1 ? &t->whole : NULL,
                     .dummy_prefix = m->dummy_prefix,
                     .remove_extra_spaces = m->remove_extra_spaces,
                     .escape_spaces = m->escape_spaces,
                     .space_is_suffix = m->space_is_suffix};
    TRY(charsmap_read(&step.charsmap, m->charsmap, t->arena, t->name, err));
    return normalizer_add(&t->normalizer, step, t->name, err);
}

static Err add_model(Tokenizer *t, const ModelProto *m, Error *err)
{
    if (m->model_type == MODEL_TYPE_BPE) {
        t->kind = MODEL_BPE;
        bpe_init(&t->bpe, &t->vocab);
        t->bpe.unk = t->specials.unk;
        t->bpe.fuse_unk = true;
        t->bpe.byte_fallback = m->byte_fallback;
        t->bpe.whole = t->whole.node_count > 1 ? &t->whole : NULL;
        return OK;
    }
    if (m->model_type == MODEL_TYPE_UNIGRAM) {
        t->kind = MODEL_UNIGRAM;
        TRY(unigram_init(&t->unigram, &t->vocab, false, err));
        t->unigram.unk = t->specials.unk;
        t->unigram.fuse_unk = true;
        t->unigram.byte_fallback = m->byte_fallback;
        t->unigram.single_precision = true;
        t->unigram.users_win = true;
        return OK;
    }
    return fail(err, UNSUPPORTED, "%s: its model type is %s; BPE and Unigram are known", t->name,
                m->model_type == MODEL_TYPE_WORD ? "WORD" : m->model_type == MODEL_TYPE_CHAR ? "CHAR" : "unknown");
}

static Err add_decoder(Tokenizer *t, const ModelProto *m, Error *err)
{
    DecodeStep space = {.kind = DECODE_REPLACE, .string = span_text(METASPACE), .by = span_text(" ")};
    t->decoder.first_string = span_text(" ");
    t->decoder.first_times = m->remove_extra_spaces ? INT32_MAX : m->dummy_prefix && !m->space_is_suffix;
    if (m->escape_spaces)
        TRY(decoder_add(&t->decoder, space, t->name, err));
    return decoder_add(&t->decoder, (DecodeStep){.kind = DECODE_BYTE_FALLBACK}, t->name, err);
}

/* Control and unknown pieces of the text are found when the caller says so. SentencePiece itself never
 * does, but chat templates write them. */
static Err add_control_tokens(Tokenizer *t, Error *err)
{
    for (int32_t id = 0; id < t->vocab.size; id++) {
        PieceKind kind = t->vocab.pieces[id].kind;
        if (kind != PIECE_CONTROL && kind != PIECE_UNKNOWN)
            continue;
        AddedToken token = {.id = id, .text = tokenizer_keep(t, vocab_text(&t->vocab, id)), .special = true};
        if (!token.text.data || !added_tokens_add(&t->added, token))
            return fail(err, LIMIT_REACHED, "%s: has more than %d control pieces, or no memory is left for them", t->name,
                        ADDED_TOKENS_MAX);
    }
    return OK;
}

static Err read_all(Tokenizer *t, Span file, const json_t *config, Error *err)
{
    ModelProto m;
    TRY(read_model(t, file, &m, err));
    TRY(config_add_tokens(t, NULL, config, err));
    TRY(vocab_finish(&t->vocab, err));
    TRY(take_specials(t, &m, err));
    TRY(collect_whole(t, err));
    TRY(add_normalizer(t, &m, err));
    TRY(add_model(t, &m, err));
    TRY(add_decoder(t, &m, err));
    TRY(add_control_tokens(t, err));
    /* The file does not say; the class that reads it does, and nearly all put BOS first. */
    if (t->specials.bos >= 0)
        affix_add(&t->before, t->specials.bos);
    return config_apply(t, config, err);
}

Err tokenizer_open_sentencepiece(Span model, Span config_text, const char *name, Tokenizer **out, Error *err)
{
    *out = NULL;
    Tokenizer *t;
    json_t *config = NULL;
    if (model.bytes > TOKENIZER_FILE_BYTES_MAX)
        return fail(err, BAD_FILE, "%s: has %zu bytes; at most %d are read", name, model.bytes, TOKENIZER_FILE_BYTES_MAX);
    TRY(tokenizer_new(name, &t, err));
    t->broken = BROKEN_KEPT;   /* until the normaliser, which has its own way */
    Err result = config_read(config_text, t->name, &config, err);
    if (result == OK)
        result = read_all(t, model, config, err);
    json_decref(config);
    return tokenizer_ready(t, result, out, err);
}

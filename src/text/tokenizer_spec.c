/* tokenizer_spec.c -- opens a TokenizerSpec: the same stages as tokenizer.json has, by what llama.cpp
 * makes of the metadata keys. */
#include "text/tokenizer_spec.h"

#include <stdlib.h>

#include "text/pre_names.h"
#include "text/tokenizer_parts.h"

#define METASPACE "\xE2\x96\x81"

void tokenizer_spec_init(TokenizerSpec *s, const char *name)
{
    *s = (TokenizerSpec){.name = name};
    int32_t *ids[] = {&s->bos, &s->eos, &s->eot, &s->eom, &s->unk, &s->sep, &s->pad, &s->mask, &s->fim_prefix,
                      &s->fim_suffix, &s->fim_middle, &s->fim_pad, &s->fim_repo, &s->fim_file};
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        *ids[i] = TOKEN_NONE;
}

static bool choose(SpecChoice said, bool absent) { return said == SPEC_DEFAULT ? absent : said == SPEC_YES; }

/* ---- pieces ---- */

static PieceKind kind_of(const TokenizerSpec *s, size_t i)
{
    static const PieceKind kinds[] = {
        [SPEC_UNDEFINED] = PIECE_NORMAL, [SPEC_NORMAL] = PIECE_NORMAL,     [SPEC_UNKNOWN] = PIECE_UNKNOWN,
        [SPEC_CONTROL] = PIECE_CONTROL,  [SPEC_USER_DEFINED] = PIECE_USER, [SPEC_UNUSED] = PIECE_UNUSED,
        [SPEC_BYTE] = PIECE_BYTE,
    };
    bool known = s->types && s->types[i] >= 0 && (size_t)s->types[i] < COUNT_OF(kinds);
    return known ? kinds[s->types[i]] : PIECE_NORMAL;
}

static Err add_pieces(Tokenizer *t, const TokenizerSpec *s, Error *err)
{
    for (size_t i = 0; i < s->pieces_count; i++)
        TRY(vocab_add(&t->vocab, (int64_t)i, s->pieces[i], kind_of(s, i), s->scores ? s->scores[i] : 0, err));
    return vocab_finish(&t->vocab, err);
}

/* Control, unknown and user-defined pieces are cut out of the text whole; the last also of plain text. */
static Err add_whole_tokens(Tokenizer *t, Error *err)
{
    for (int32_t id = 0; id < t->vocab.size; id++) {
        PieceKind kind = t->vocab.pieces[id].kind;
        if (kind != PIECE_CONTROL && kind != PIECE_UNKNOWN && kind != PIECE_USER)
            continue;
        AddedToken token = {.id = id, .text = tokenizer_keep(t, vocab_text(&t->vocab, id)), .special = kind != PIECE_USER};
        if (!token.text.data || !added_tokens_add(&t->added, token))
            return fail(err, LIMIT_REACHED, "%s: has more than %d special tokens, or no memory is left for them", t->name,
                        ADDED_TOKENS_MAX);
    }
    return OK;
}

static Err take_ids(Tokenizer *t, const TokenizerSpec *s, Error *err)
{
    SpecialTokens *to = &t->specials;
    const struct {
        int32_t said, *to;
        const char *key;
    } ids[] = {
        {s->bos, &to->bos, "bos"}, {s->eos, &to->eos, "eos"}, {s->unk, &to->unk, "unknown"}, {s->sep, &to->sep, "seperator"},
        {s->pad, &to->pad, "padding"}, {s->mask, &to->mask, "mask"}, {s->fim_prefix, &to->fim_prefix, "fim_pre"},
        {s->fim_suffix, &to->fim_suffix, "fim_suf"}, {s->fim_middle, &to->fim_middle, "fim_mid"},
        {s->fim_pad, &to->fim_pad, "fim_pad"}, {s->fim_repo, &to->fim_repo, "fim_rep"},
        {s->fim_file, &to->fim_file, "fim_sep"}, {s->eos, &to->ends[0], "eos"}, {s->eot, &to->ends[1], "eot"},
        {s->eom, &to->ends[2], "eom"},
    };
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        if (ids[i].said != TOKEN_NONE && !vocab_has(&t->vocab, ids[i].said))
            return fail(err, BAD_FILE, "%s: tokenizer.ggml.%s_token_id is %d, but there are %zu tokens", t->name,
                        ids[i].key, ids[i].said, s->pieces_count);
        *ids[i].to = ids[i].said;
    }
    for (int i = 0; i < 3; i++)   /* without holes */
        if (to->ends[i] != TOKEN_NONE)
            to->ends[to->ends_count++] = to->ends[i];
    return OK;
}

static void add_affixes(Tokenizer *t, const TokenizerSpec *s, bool bos, bool eos, bool sep)
{
    if (choose(s->add_bos, bos) && t->specials.bos >= 0)
        affix_add(&t->before, t->specials.bos);
    if (choose(s->add_eos, eos) && t->specials.eos >= 0)
        affix_add(&t->after, t->specials.eos);
    if (choose(s->add_sep, sep) && t->specials.sep >= 0)
        affix_add(&t->after, t->specials.sep);
}

static Err add_replacement(Tokenizer *t, const char *from, const char *to, Error *err)
{
    NormStep step = {.kind = NORM_REPLACE_STRING, .string = span_text(from), .by = span_text(to)};
    return normalizer_add(&t->normalizer, step, t->name, err);
}

static Err decode_metaspace(Tokenizer *t, bool strips_first, Error *err)
{
    DecodeStep space = {.kind = DECODE_REPLACE, .string = span_text(METASPACE), .by = span_text(" ")};
    t->decoder.first_string = span_text(" ");
    t->decoder.first_times = strips_first;
    TRY(decoder_add(&t->decoder, space, t->name, err));
    return decoder_add(&t->decoder, (DecodeStep){.kind = DECODE_BYTE_FALLBACK}, t->name, err);
}

/* ---- the models ---- */

/* SentencePiece BPE: no normaliser but the spaces, bytes as they are. */
static Err open_sentencepiece_bpe(Tokenizer *t, const TokenizerSpec *s, Error *err)
{
    bool prefix = choose(s->add_space_prefix, true);
    NormStep prepend = {.kind = NORM_PREPEND, .string = span_text(" ")};
    t->kind = MODEL_BPE;
    t->broken = BROKEN_KEPT;
    bpe_init(&t->bpe, &t->vocab);
    t->bpe.byte_fallback = true;
    t->bpe.unk = t->specials.unk;
    if (prefix)
        TRY(normalizer_add(&t->normalizer, prepend, t->name, err));
    TRY(add_replacement(t, " ", METASPACE, err));
    TRY(decode_metaspace(t, prefix, err));
    add_affixes(t, s, true, false, false);
    return OK;
}

static Err add_merges(Tokenizer *t, const TokenizerSpec *s, Error *err)
{
    TRY(bpe_reserve_merges(&t->bpe, s->merges_count, err));
    for (size_t i = 0; i < s->merges_count; i++) {
        /* The space that separates is the first after the first byte: a piece may begin with one. */
        Span line = s->merges[i], tail = span_from(line, 1);
        const uint8_t *space = tail.bytes ? memchr(tail.data, ' ', tail.bytes) : NULL;
        if (!space)
            return fail(err, BAD_FILE, "%s: merge %zu, '%.*s', is not two pieces with a space between them", t->name, i,
                        (int)span_first(line, 64).bytes, (const char *)line.data);
        size_t at = (size_t)(space - line.data);
        TRY(bpe_add_merge(&t->bpe, span_first(line, at), span_from(line, at + 1), err));
    }
    return OK;
}

static Err open_byte_bpe_as(Tokenizer *t, const TokenizerSpec *s, Span pre_name, Error *err)
{
    const PreName *pre = pre_name_find(pre_name.bytes ? pre_name : span_text("default"));
    if (!pre)
        return fail(err, UNSUPPORTED, "%s: tokenizer.ggml.pre is '%.*s', a pre-tokeniser that ridge does not know; "
                    "its expressions belong into src/text/pre_names.c", t->name, (int)span_first(pre_name, 64).bytes,
                    (const char *)pre_name.data);
    bool plain = pre->traits & PRE_PLAIN_TEXT;
    t->kind = MODEL_BPE;
    bpe_init(&t->bpe, &t->vocab);
    t->bpe.whole_words_first = pre->traits & PRE_WHOLE_WORDS_FIRST;
    t->bpe.byte_fallback = plain;
    TRY(add_merges(t, s, err));
    if (pre->traits & PRE_ESCAPES_SPACES)
        TRY(add_replacement(t, " ", METASPACE, err));
    if (choose(s->add_space_prefix, false))
        TRY(pretokenizer_add(&t->pretokenizer, (PreStep){.kind = PRE_PREFIX_SPACE}, t->name, err));
    for (int i = 0; i < PRE_PATTERNS_MAX && pre->patterns[i]; i++)
        TRY(pretokenizer_add_pattern(&t->pretokenizer, span_text(pre->patterns[i]), SPLIT_ISOLATED, false, t->name, err));
    add_affixes(t, s, pre->traits & PRE_ADDS_BOS, false, pre->traits & PRE_ADDS_SEP);
    if (plain)
        return decode_metaspace(t, false, err);
    TRY(pretokenizer_add(&t->pretokenizer, (PreStep){.kind = PRE_BYTE_ALPHABET}, t->name, err));
    return decoder_add(&t->decoder, (DecodeStep){.kind = DECODE_BYTE_ALPHABET}, t->name, err);
}

static Err open_byte_bpe(Tokenizer *t, const TokenizerSpec *s, Error *err) { return open_byte_bpe_as(t, s, s->pre, err); }
static Err open_plain_bpe(Tokenizer *t, const TokenizerSpec *s, Error *err)
{
    return open_byte_bpe_as(t, s, span_text("gemma4"), err);
}

static Err add_norm(Tokenizer *t, NormStep step, Error *err) { return normalizer_add(&t->normalizer, step, t->name, err); }

static Err add_class(Tokenizer *t, CharClass *in_class, SplitWay way, Error *err)
{
    return pretokenizer_add(&t->pretokenizer, (PreStep){.kind = PRE_SPLIT_CLASS, .way = way, .in_class = in_class},
                            t->name, err);
}

/* WordPiece: pieces that begin a word are spelled with U+2581, the others without "##". */
static Err open_wordpiece(Tokenizer *t, const TokenizerSpec *s, Error *err)
{
    t->kind = MODEL_WORDPIECE;
    TRY(wordpiece_init(&t->wordpiece, &t->vocab, NULL, err));
    t->wordpiece.word_start = span_text(METASPACE);
    t->wordpiece.unk = t->specials.unk;
    TRY(add_norm(t, (NormStep){.kind = NORM_BERT_CLEAN}, err));
    if (choose(s->lowercase, true)) {
        TRY(add_norm(t, (NormStep){.kind = NORM_NFD}, err));
        TRY(add_norm(t, (NormStep){.kind = NORM_REMOVE_CLASS, .in_class = char_is_mark}, err));
        TRY(add_norm(t, (NormStep){.kind = NORM_LOWERCASE}, err));
    }
    TRY(add_class(t, char_is_space, SPLIT_REMOVED, err));
    TRY(add_class(t, char_is_punctuation, SPLIT_ISOLATED, err));
    TRY(add_class(t, char_is_han, SPLIT_ISOLATED, err));
    add_affixes(t, s, true, false, true);
    return decode_metaspace(t, true, err);
}

/* SentencePiece Unigram with its normaliser. */
static Err open_sentencepiece_unigram(Tokenizer *t, const TokenizerSpec *s, Error *err)
{
    bool prefix = choose(s->add_space_prefix, true);
    t->kind = MODEL_UNIGRAM;
    t->broken = BROKEN_KEPT;   /* until the normaliser, which has its own way */
    TRY(unigram_init(&t->unigram, &t->vocab, false, err));
    t->unigram.unk = t->specials.unk;
    t->unigram.fuse_unk = true;
    t->unigram.users_win = true;
    NormStep step = {.kind = NORM_SENTENCEPIECE, .dummy_prefix = prefix, .escape_spaces = true,
                     .remove_extra_spaces = choose(s->remove_extra_whitespaces, false)};
    TRY(charsmap_read(&step.charsmap, s->charsmap, t->arena, t->name, err));
    TRY(add_norm(t, step, err));
    TRY(decode_metaspace(t, prefix, err));
    add_affixes(t, s, false, true, false);
    return OK;
}

/* How the RWKV vocabulary spells bytes: \t \n \r \x1f, and the character itself after any other backslash. */
static Err spell_rwkv(Span piece, Buf *out)
{
    static const char hex[] = "0123456789abcdef", from[] = "tnr", to[] = "\t\n\r";
    for (size_t i = 0; i < piece.bytes; i++) {
        if (piece.data[i] != '\\' || i + 1 == piece.bytes) {
            buf_put_char(out, (char)piece.data[i]);
            continue;
        }
        uint8_t c = piece.data[++i];
        const char *plain = c ? strchr(from, c) : NULL;
        const char *high = c == 'x' && i + 2 < piece.bytes && piece.data[i + 1] ? strchr(hex, piece.data[i + 1] | 32) : NULL;
        const char *low = high && piece.data[i + 2] ? strchr(hex, piece.data[i + 2] | 32) : NULL;
        if (low)
            buf_put_char(out, (char)((high - hex) << 4 | (low - hex))), i += 2;
        else
            buf_put_char(out, plain ? to[plain - from] : (char)c);
    }
    return out->full ? NO_MEMORY : OK;
}

static Err open_greedy(Tokenizer *t, const TokenizerSpec *s, Error *err)
{
    t->kind = MODEL_GREEDY;
    t->broken = BROKEN_KEPT;
    TRY(wordpiece_init(&t->wordpiece, &t->vocab, spell_rwkv, err));
    t->wordpiece.unk = t->specials.unk;
    add_affixes(t, s, false, false, false);
    return decoder_add(&t->decoder, (DecodeStep){.kind = DECODE_SPELLING, .spell = spell_rwkv}, t->name, err);
}

static Err open_none(Tokenizer *t, const TokenizerSpec *s, Error *err)
{
    (void)s, (void)err;
    t->kind = MODEL_NONE;
    return OK;
}

static Err read_spec(Tokenizer *t, const TokenizerSpec *s, Error *err)
{
    static const struct {
        const char *model;
        Err (*open)(Tokenizer *, const TokenizerSpec *, Error *);
    } models[] = {
        {SPEC_CHARACTER_BPE, open_sentencepiece_bpe}, {SPEC_UNIGRAM, open_sentencepiece_unigram},
        {SPEC_BYTE_BPE, open_byte_bpe},               {SPEC_WORDPIECE, open_wordpiece},
        {"gemma4", open_plain_bpe},                   {"rwkv", open_greedy},
        {"none", open_none},                          {"no_vocab", open_none},
    };
    TRY(add_pieces(t, s, err));
    TRY(take_ids(t, s, err));
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        if (!span_is(s->model, models[i].model))
            continue;
        if (s->pieces_count == 0 && models[i].open != open_none)
            return fail(err, BAD_FILE, "%s: tokenizer.ggml.tokens is empty or absent", t->name);
        TRY(models[i].open(t, s, err));
        return add_whole_tokens(t, err);
    }
    return fail(err, UNSUPPORTED, "%s: tokenizer.ggml.model is '%.*s'; llama, gpt2, gemma4, bert, t5, rwkv and none are "
                "known", t->name, (int)span_first(s->model, 64).bytes, s->model.data ? (const char *)s->model.data : "");
}

Err tokenizer_open_spec(const TokenizerSpec *s, Tokenizer **out, Error *err)
{
    *out = NULL;
    Tokenizer *t;
    TRY(tokenizer_new(s->name, &t, err));
    return tokenizer_ready(t, read_spec(t, s, err), out, err);
}

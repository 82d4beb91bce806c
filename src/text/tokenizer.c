#include "text/tokenizer.h"

#include <stdlib.h>

#include "text/tokenizer_parts.h"
#include "text/utf8.h"

enum { TEXT_GROWTH_MAX = 64, TEXT_GROWTH_FREE = 1 << 20, TEXT_BYTES_MAX = 1 << 30 };

/* ---- opening and closing ---- */

Err tokenizer_new(const char *name, Tokenizer **out, Error *err)
{
    Tokenizer *t = calloc(1, sizeof *t);
    *out = NULL;
    if (!t)
        return fail(err, NO_MEMORY, "%s: no memory for a tokenizer", name);
    SpecialTokens *s = &t->specials;
    int32_t *none[] = {&s->bos, &s->eos, &s->unk, &s->pad, &s->sep, &s->mask, &s->fim_prefix,
                       &s->fim_suffix, &s->fim_middle, &s->fim_pad, &s->fim_repo, &s->fim_file};
    for (size_t i = 0; i < COUNT_OF(none); i++)
        *none[i] = TOKEN_NONE;
    t->arena = arena_new(TOKENIZER_ARENA_BYTES_MAX);
    t->name = t->arena ? arena_copy_text(t->arena, name, strlen(name)) : NULL;
    vocab_init(&t->vocab, t->name);
    decoder_init(&t->decoder);
    if (!t->name || !added_tokens_init(&t->added)) {
        tokenizer_free(t);
        return fail(err, NO_MEMORY, "%s: no memory for a tokenizer", name);
    }
    *out = t;
    return OK;
}

void tokenizer_free(Tokenizer *t)
{
    if (!t)
        return;
    vocab_deinit(&t->vocab);
    added_tokens_deinit(&t->added);
    normalizer_deinit(&t->normalizer);
    pretokenizer_deinit(&t->pretokenizer);
    bpe_deinit(&t->bpe);
    unigram_deinit(&t->unigram);
    wordpiece_deinit(&t->wordpiece);
    trie_deinit(&t->whole);
    decoder_deinit(&t->decoder);
    free(t->hidden);
    arena_free(t->arena);
    free(t);
}

Span tokenizer_keep(Tokenizer *t, Span text)
{
    const char *copy = arena_copy_text(t->arena, (const char *)text.data, text.bytes);
    return copy ? span_of(copy, text.bytes) : (Span){0};
}

bool affix_add(Affix *a, int32_t id)
{
    if (a->count == AFFIX_TOKENS_MAX)
        return false;
    a->ids[a->count++] = id;
    return true;
}

bool affix_has(const Affix *a, int32_t id)
{
    for (int i = 0; i < a->count; i++)
        if (a->ids[i] == id)
            return true;
    return false;
}

/* Tokens that match in the normalised text are spelled normalised themselves. */
static Err normalise_added(Tokenizer *t, Error *err)
{
    if (t->normalizer.count == 0 || !t->added.any_normal)
        return OK;
    NormScratch scratch;
    norm_scratch_init(&scratch, false, TEXT_GROWTH_FREE);
    trie_deinit(&t->added.normal);
    Err result = trie_init(&t->added.normal) ? OK : fail(err, NO_MEMORY, "%s: no memory", t->name);
    for (size_t i = 0; i < t->added.count && result == OK; i++) {
        AddedToken *a = &t->added.list[i];
        if (!a->normalized)
            continue;
        AlignedView view;
        result = normalizer_run(&t->normalizer, &scratch, (AlignedView){.text = a->text}, &view, err);
        if (result == OK && !trie_put(&t->added.normal, view.text, (int32_t)i))
            result = fail(err, NO_MEMORY, "%s: no memory for its added tokens", t->name);
    }
    norm_scratch_deinit(&scratch);
    return result;
}

static bool has_long_words(const Tokenizer *t)
{
    for (int i = 0; i < t->pretokenizer.count; i++)
        if (t->pretokenizer.steps[i].kind <= PRE_SPLIT_CLASS)
            return false;
    return true;
}

static Err finish(Tokenizer *t, Error *err)
{
    if (t->kind == MODEL_BPE && has_long_words(t))
        TRY(bpe_index_neighbours(&t->bpe, err));
    t->hidden = calloc(t->vocab.size ? (size_t)t->vocab.size : 1, 1);
    if (!t->hidden)
        return fail(err, NO_MEMORY, "%s: no memory for its %d pieces", t->name, t->vocab.size);
    for (size_t i = 0; i < t->added.count; i++)
        if (t->added.list[i].special)
            t->hidden[t->added.list[i].id] = 1;
    for (int32_t id = 0; id < t->vocab.size; id++)
        if (t->vocab.pieces[id].kind == PIECE_CONTROL || t->vocab.pieces[id].kind == PIECE_UNKNOWN)
            t->hidden[id] = 1;
    TRY(normalise_added(t, err));
    TRY(decoder_finish(&t->decoder, &t->vocab, err));
    special_tokens_guess(t);
    t->specials.add_bos = t->specials.bos >= 0 && affix_has(&t->before, t->specials.bos);
    t->specials.add_eos = t->specials.eos >= 0 && affix_has(&t->after, t->specials.eos);
    return OK;
}

Err tokenizer_ready(Tokenizer *t, Err result, Tokenizer **out, Error *err)
{
    *out = NULL;
    if (result == OK)
        result = finish(t, err);
    if (result == OK)
        *out = t;
    else
        tokenizer_free(t);
    return result;
}

/* ---- encoding ---- */

/* What one call needs; nothing of it is shared between threads. */
typedef struct Run {
    const Tokenizer *t;
    unsigned flags;
    NormScratch norm;
    Words words;
    BpeScratch *bpe;
    UnigramScratch unigram;
    TokenSink sink;
} Run;

static Err run_init(Run *r, const Tokenizer *t, size_t text_bytes, unsigned flags, Encoding *out, Error *err)
{
    bool places = flags & ENCODE_PLACES, tracks = places || t->pretokenizer.needs_origins;
    size_t bytes_max = TEXT_GROWTH_MAX * text_bytes + TEXT_GROWTH_FREE;
    bytes_max = bytes_max < TEXT_BYTES_MAX ? bytes_max : TEXT_BYTES_MAX;
    *r = (Run){.t = t, .flags = flags, .sink = {.out = out, .places = places}};
    norm_scratch_init(&r->norm, tracks, bytes_max);
    words_init(&r->words, tracks, bytes_max);
    r->bpe = bpe_scratch_new();
    return r->bpe ? OK : fail(err, NO_MEMORY, "no memory to tokenise");
}

static void run_deinit(Run *r)
{
    norm_scratch_deinit(&r->norm);
    words_deinit(&r->words);
    bpe_scratch_free(r->bpe);
    unigram_scratch_deinit(&r->unigram);
}

static Err encode_word(Run *r, Span word, Error *err)
{
    const Tokenizer *t = r->t;
    switch (t->kind) {
    case MODEL_BPE:
        return bpe_encode(&t->bpe, r->bpe, word, &r->sink, err);
    case MODEL_UNIGRAM:
        return unigram_encode(&t->unigram, &r->unigram, word, &r->sink, err);
    case MODEL_WORDPIECE:
        wordpiece_encode(&t->wordpiece, word, &r->sink);
        return OK;
    case MODEL_WORDLEVEL:
        wordlevel_encode(&t->wordpiece, word, &r->sink);
        return OK;
    case MODEL_GREEDY:
        greedy_encode(&t->wordpiece, word, &r->sink);
        return OK;
    case MODEL_NONE:
        break;
    }
    return fail(err, UNSUPPORTED, "%s: this model has no tokenizer; give token ids instead of text", t->name);
}

/* Normalised text without added tokens in it. */
static Err encode_plain(Run *r, AlignedView text, Error *err)
{
    TRY(words_cut(&r->words, &r->t->pretokenizer, text, err));
    r->sink.text = r->words.text;
    for (size_t i = 0; i < r->words.count; i++) {
        Word w = r->words.list[i];
        r->sink.word = w.begin;
        TRY(encode_word(r, span_of(r->words.text.text.data + w.begin, w.end - w.begin), err));
    }
    return OK;
}

typedef Err Stretch(Run *, AlignedView text, Error *err);

/* Gives what lies between added tokens to `between`, and puts the tokens. */
static Err encode_around(Run *r, AlignedView text, bool normalized, Stretch *between, Error *err)
{
    AddedSearch search = {.in_normalized = normalized, .with_special = r->flags & ENCODE_PARSE_SPECIAL};
    AddedMatch match;
    size_t at = 0;
    while (added_tokens_next(&r->t->added, text.text, &search, &match)) {
        if (match.begin > at)
            TRY(between(r, aligned_slice(&text, at, match.begin), err));
        r->sink.text = text;
        r->sink.word = 0;
        sink_put(&r->sink, match.id, match.begin, match.end);
        at = match.end;
    }
    if (at < text.text.bytes)
        TRY(between(r, aligned_slice(&text, at, text.text.bytes), err));
    return OK;
}

static Err encode_raw(Run *r, AlignedView text, Error *err)
{
    AlignedView normal;
    TRY(normalizer_run(&r->t->normalizer, &r->norm, text, &normal, err));
    return encode_around(r, normal, true, encode_plain, err);
}

static void put_affix(Run *r, const Affix *affix, uint32_t place)
{
    r->sink.text = (AlignedView){.end = place};
    r->sink.word = 0;
    for (int i = 0; (r->flags & ENCODE_ADD_SPECIAL) && i < affix->count; i++)
        sink_put(&r->sink, affix->ids[i], 0, 0);
}

static Err encode_text(Run *r, AlignedView text, Error *err)
{
    put_affix(r, &r->t->before, 0);
    TRY(encode_around(r, text, false, encode_raw, err));
    put_affix(r, &r->t->after, text.end);
    return r->sink.failed ? fail(err, NO_MEMORY, "no memory for the tokens of %u bytes", text.end) : OK;
}

/* Each broken sequence becomes U+FFFD. */
static void repair(Aligned *out, const AlignedView *in)
{
    for (size_t at = 0; at < in->text.bytes;) {
        Span rest = span_from(in->text, at);
        size_t good = utf8_valid_bytes(rest);
        aligned_copy(out, in, at, at + good);
        at += good;
        if (at == in->text.bytes)
            return;
        aligned_put_code(out, UTF8_REPLACEMENT, origin_at(in, at));
        at += utf8_read(in->text.data + at, in->text.bytes - at).bytes;
    }
}

Err tokenizer_encode(const Tokenizer *t, Span text, unsigned flags, Encoding *out, Error *err)
{
    *out = (Encoding){0};
    if (text.bytes > ENCODE_TEXT_BYTES_MAX)
        return fail(err, LIMIT_REACHED, "the text has %zu bytes; at most %d are tokenised at once", text.bytes,
                    ENCODE_TEXT_BYTES_MAX);
    Run run;
    Aligned repaired;
    AlignedView view = {.text = text, .end = (uint32_t)text.bytes};
    aligned_init(&repaired, true, 3 * (size_t)ENCODE_TEXT_BYTES_MAX);
    if (t->broken == BROKEN_REPLACED && !utf8_is_valid(text)) {
        repair(&repaired, &view);
        view = aligned_view(&repaired, view.end);
    }
    Err result = run_init(&run, t, view.text.bytes, flags, out, err);
    if (result == OK && repaired.failed)
        result = fail(err, NO_MEMORY, "no memory for %zu bytes of text", text.bytes);
    if (result == OK)
        result = encode_text(&run, view, err);
    run_deinit(&run);
    aligned_deinit(&repaired);
    return result;
}

/* ---- decoding and looking up ---- */

bool tokenizer_decode(const Tokenizer *t, const int32_t *ids, size_t count, unsigned flags, Buf *out)
{
    DecodeState state;
    decode_state_init(&state, &t->decoder, flags & DECODE_CONTINUES);
    for (size_t i = 0; i < count; i++)
        if (!((flags & DECODE_SKIP_SPECIAL) && tokenizer_is_special(t, ids[i])) &&
            !decode_piece(&t->decoder, &state, ids[i], out))
            return false;
    return true;
}

const Decoder *tokenizer_decoder(const Tokenizer *t) { return &t->decoder; }

int32_t tokenizer_size(const Tokenizer *t) { return t->vocab.size; }

Span tokenizer_piece(const Tokenizer *t, int32_t id)
{
    return vocab_has(&t->vocab, id) ? vocab_text(&t->vocab, id) : (Span){0};
}

Span tokenizer_piece_bytes(const Tokenizer *t, int32_t id) { return decoder_bytes(&t->decoder, id); }

int32_t tokenizer_find(const Tokenizer *t, Span piece) { return piece.bytes ? vocab_find(&t->vocab, piece) : TOKEN_NONE; }

bool tokenizer_is_special(const Tokenizer *t, int32_t id) { return vocab_has(&t->vocab, id) && t->hidden[id]; }

bool tokenizer_is_control(const Tokenizer *t, int32_t id)
{
    if (!vocab_has(&t->vocab, id))
        return false;
    PieceKind kind = t->vocab.pieces[id].kind;
    return kind == PIECE_CONTROL || (kind == PIECE_ADDED && t->hidden[id]);
}

bool tokenizer_is_end(const Tokenizer *t, int32_t id)
{
    for (int i = 0; i < t->specials.ends_count; i++)
        if (t->specials.ends[i] == id)
            return true;
    return false;
}

const SpecialTokens *tokenizer_specials(const Tokenizer *t) { return &t->specials; }

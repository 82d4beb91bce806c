#include "tools/spec_of_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer_parts.h"

#define METASPACE "\xE2\x96\x81"

static const float UNUSED_SCORE = -10000; /* what llama.cpp's converter gives to ids without a piece */

typedef struct Making {
    const Tokenizer *t;
    size_t size;
    const char *name;
    Arena *arena;
    Span *pieces, *merges;
    float *scores;
    int32_t *types;
    TokenizerSpec *spec;
} Making;

static Err no_memory(const Making *m, Error *err) { return fail(err, NO_MEMORY, "%s: no memory for its vocabulary", m->name); }

static Err copy_joined(const Making *m, Span left, const char *between, Span right, Span *out, Error *err)
{
    size_t bytes = left.bytes + strlen(between) + right.bytes;
    char *text = arena_take(m->arena, bytes + 1);
    if (!text)
        return no_memory(m, err);
    span_copy(span_copy(span_copy(text, left), span_text(between)), right);
    *out = span_of(text, bytes);
    return OK;
}

/* ---- pieces ---- */

/* GPT-2's alphabet: a byte is a letter before the model sees it. */
static bool over_bytes(const Tokenizer *t)
{
    for (int i = 0; i < t->pretokenizer.count; i++)
        if (t->pretokenizer.steps[i].kind == PRE_BYTE_ALPHABET)
            return true;
    for (int i = 0; i < t->normalizer.count; i++)
        if (t->normalizer.steps[i].kind == NORM_BYTE_ALPHABET)
            return true;
    return false;
}

static SpecType type_of(const Tokenizer *t, int32_t id)
{
    static const SpecType types[] = {
        [PIECE_HOLE] = SPEC_UNUSED,     [PIECE_NORMAL] = SPEC_NORMAL,     [PIECE_UNKNOWN] = SPEC_UNKNOWN,
        [PIECE_CONTROL] = SPEC_CONTROL, [PIECE_USER] = SPEC_USER_DEFINED, [PIECE_UNUSED] = SPEC_UNUSED,
        [PIECE_BYTE] = SPEC_BYTE,       [PIECE_ADDED] = SPEC_USER_DEFINED,
    };
    PieceKind kind = t->vocab.pieces[id].kind;
    return kind == PIECE_ADDED && t->hidden[id] ? SPEC_CONTROL : types[kind];
}

static Err put_unused(Making *m, size_t id, Error *err)
{
    char name[32];
    snprintf(name, sizeof name, "[PAD%zu]", id); /* as llama.cpp's converter calls them */
    m->types[id] = SPEC_UNUSED;
    m->scores[id] = UNUSED_SCORE;
    return copy_joined(m, span_text(name), "", (Span){0}, &m->pieces[id], err);
}

static Err take_pieces(Making *m, Error *err)
{
    const Vocab *v = &m->t->vocab;
    if ((size_t)v->size > m->size)
        return fail(err, BAD_FILE, "%s: the tokenizer has id %d, but the model's vocabulary has %zu entries", m->name,
                    v->size - 1, m->size);
    m->pieces = ARENA_ARRAY(m->arena, Span, m->size);
    m->scores = ARENA_ARRAY(m->arena, float, m->size);
    m->types = ARENA_ARRAY(m->arena, int32_t, m->size);
    if (!m->pieces || !m->scores || !m->types)
        return no_memory(m, err);
    for (size_t id = 0; id < m->size; id++) {
        if (!vocab_has(v, (int64_t)id)) {
            TRY(put_unused(m, id, err));
            continue;
        }
        m->pieces[id] = vocab_text(v, (int32_t)id);
        m->scores[id] = (float)v->pieces[id].score;
        m->types[id] = (int32_t)type_of(m->t, (int32_t)id);
    }
    return OK;
}

/* A tokenizer.json does not say which piece is unknown text; the model knows. */
static void mark_unknown(Making *m)
{
    if (m->t->specials.unk >= 0)
        m->types[m->t->specials.unk] = SPEC_UNKNOWN;
}

/* ---- merges ---- */

static int by_rank(const void *a, const void *b)
{
    uint32_t one = ((const MergeSlot *)a)->rank, two = ((const MergeSlot *)b)->rank;
    return one < two ? -1 : one > two;
}

/* The table of merges as the list that it was made from. */
static Err list_merges(const Making *m, MergeSlot **out, size_t *count, Error *err)
{
    const Bpe *b = &m->t->bpe;
    *count = 0;
    *out = ARENA_ARRAY(m->arena, MergeSlot, b->merges_count + 1);
    if (!*out)
        return no_memory(m, err);
    for (size_t i = 0; b->merges_count && i <= b->merge_mask; i++)
        if (b->merges[i].left >= 0)
            (*out)[(*count)++] = b->merges[i];
    qsort(*out, *count, sizeof **out, by_rank);
    return OK;
}

static Err take_merges(Making *m, Error *err)
{
    MergeSlot *list;
    size_t count;
    TRY(list_merges(m, &list, &count, err));
    m->merges = ARENA_ARRAY(m->arena, Span, count + 1);
    if (!m->merges)
        return no_memory(m, err);
    for (size_t i = 0; i < count; i++)
        TRY(copy_joined(m, m->pieces[list[i].left], " ", m->pieces[list[i].right], &m->merges[i], err));
    m->spec->merges = m->merges;
    m->spec->merges_count = count;
    return OK;
}

/* Whether (left, right) is among the `count` merges, which make one and the same piece. */
static bool lists_pair(const MergeSlot *merges, size_t count, int32_t left, int32_t right)
{
    for (size_t i = 0; i < count; i++)
        if (merges[i].left == left && merges[i].right == right)
            return true;
    return false;
}

/* Every way to make the piece of two others must be among its merges: joined by score, all are taken. */
static Err check_pairs(const Making *m, int32_t id, const MergeSlot *merges, size_t count, Error *err)
{
    const Vocab *v = &m->t->vocab;
    Span text = m->pieces[id];
    for (size_t at = 1; at < text.bytes; at++) {
        int32_t left = vocab_find(v, span_first(text, at)), right = vocab_find(v, span_from(text, at));
        if (left < 0 || right < 0 || m->types[left] != SPEC_NORMAL || m->types[right] != SPEC_NORMAL ||
            lists_pair(merges, count, left, right))
            continue;
        return fail(err, UNSUPPORTED,
                    "%s: its merges never join '%.*s' and '%.*s', which tokenizers of this kind do in a GGUF: "
                    "there each pair that makes a piece is joined",
                    m->name, (int)at, (const char *)text.data, (int)(text.bytes - at), (const char *)text.data + at);
    }
    return OK;
}

/* The earlier a piece is merged, the higher its score. */
static Err take_scores_of_merges(Making *m, Error *err)
{
    MergeSlot *list;
    size_t count, *first = ARENA_ARRAY(m->arena, size_t, m->size), *times = ARENA_ARRAY(m->arena, size_t, m->size);
    TRY(list_merges(m, &list, &count, err));
    if (!first || !times)
        return no_memory(m, err);
    memset(times, 0, m->size * sizeof *times);
    for (size_t i = 0; i < count; i++) {
        int32_t id = list[i].joined;
        if (!times[id]++)
            first[id] = i;
        else if (list[i - 1].joined != id)
            return fail(err, UNSUPPORTED,
                        "%s: merges of '%.*s' stand in several places, but in a GGUF a piece has one score", m->name,
                        (int)m->pieces[id].bytes, (const char *)m->pieces[id].data);
        m->scores[id] = -(float)first[id];
    }
    for (size_t id = 0; id < m->size; id++)
        if (m->types[id] == SPEC_NORMAL)
            TRY(check_pairs(m, (int32_t)id, list + (times[id] ? first[id] : 0), times[id], err));
    return OK;
}

/* ---- the kinds ---- */

static Err of_byte_bpe(Making *m, Error *err)
{
    m->spec->model = span_text(SPEC_BYTE_BPE);
    m->spec->scores = NULL;
    return take_merges(m, err);
}

static Err of_character_bpe(Making *m, Error *err)
{
    const Bpe *b = &m->t->bpe;
    m->spec->model = span_text(SPEC_CHARACTER_BPE);
    mark_unknown(m);
    for (int i = 0; i < 256; i++) {
        if (!b->byte_fallback || b->bytes[i] < 0)
            return fail(err, UNSUPPORTED,
                        "%s: unknown characters do not fall back to bytes (piece <0x%02X>), which tokenizers of this "
                        "kind do in a GGUF",
                        m->name, (unsigned)i);
        m->types[b->bytes[i]] = SPEC_BYTE;
    }
    return b->merges ? take_scores_of_merges(m, err) : OK;
}

static Err of_bpe(Making *m, Error *err)
{
    const Bpe *b = &m->t->bpe;
    if (b->continuing || b->word_end)
        return fail(err, UNSUPPORTED, "%s: its pieces begin or end with '%s', which GGUF cannot say of BPE", m->name,
                    b->continuing ? b->continuing : b->word_end);
    return over_bytes(m->t) ? of_byte_bpe(m, err) : of_character_bpe(m, err);
}

/* The bytes that text/charsmap.c read, which put a zero of its own behind the last replacement. */
static Err take_charsmap(Making *m, const Charsmap *map, Error *err)
{
    uint32_t trie_bytes = (uint32_t)(map->units_count * sizeof *map->units);
    Span head = span_of(&trie_bytes, sizeof trie_bytes), trie;
    if (!map->units_count)
        return OK;
    TRY(copy_joined(m, head, "", span_of(map->units, trie_bytes), &trie, err));
    return copy_joined(m, trie, "", span_first(map->replacements, map->replacements.bytes - 1), &m->spec->charsmap, err);
}

static Err of_unigram(Making *m, Error *err)
{
    const Unigram *u = &m->t->unigram;
    m->spec->model = span_text(SPEC_UNIGRAM);
    if (u->byte_fallback)
        return fail(err, UNSUPPORTED, "%s: a Unigram tokenizer whose unknown characters fall back to bytes: GGUF has none",
                    m->name);
    if (u->unk < 0)
        return fail(err, UNSUPPORTED, "%s: has no piece for unknown text, which a GGUF needs", m->name);
    mark_unknown(m);
    for (int i = 0; i < m->t->normalizer.count; i++)
        TRY(take_charsmap(m, &m->t->normalizer.steps[i].charsmap, err));
    return OK;
}

static Err of_wordpiece(Making *m, Error *err)
{
    Span continuing = m->t->wordpiece.continuing;
    m->spec->model = span_text(SPEC_WORDPIECE);
    m->spec->scores = NULL;
    mark_unknown(m);
    for (size_t id = 0; id < m->size; id++)
        if (m->types[id] == SPEC_NORMAL && continuing.bytes && span_starts(m->pieces[id], continuing))
            m->pieces[id] = span_from(m->pieces[id], continuing.bytes);
        else if (m->types[id] == SPEC_NORMAL)
            TRY(copy_joined(m, span_text(METASPACE), "", m->pieces[id], &m->pieces[id], err));
    return OK;
}

static Err of_other(Making *m, Error *err)
{
    static const char *const names[] = {[MODEL_WORDLEVEL] = "WordLevel", [MODEL_GREEDY] = "rwkv", [MODEL_NONE] = "none"};
    return fail(err, UNSUPPORTED, "%s: a tokenizer of kind %s cannot be written to a GGUF", m->name, names[m->t->kind]);
}

/* ---- special tokens ---- */

/* What is put around a text: GGUF knows one token before it, and the end or the separator after it. */
static Err take_affixes(const Making *m, Error *err)
{
    const Affix *before = &m->t->before, *after = &m->t->after;
    TokenizerSpec *s = m->spec;
    if (s->bos == TOKEN_NONE && before->count == 1)
        s->bos = before->ids[0]; /* [CLS] */
    bool front = before->count == 0 || (before->count == 1 && before->ids[0] == s->bos);
    bool back = after->count == 0 || (after->count == 1 && (after->ids[0] == s->eos || after->ids[0] == s->sep));
    if (!front || !back)
        return fail(err, UNSUPPORTED,
                    "%s: puts %d tokens before a text and %d after it; GGUF knows one, begin of text, before it, and end "
                    "of text or the separator after it",
                    m->name, before->count, after->count);
    s->add_bos = before->count ? SPEC_YES : SPEC_NO;
    s->add_eos = after->count && after->ids[0] == s->eos ? SPEC_YES : SPEC_NO;
    s->add_sep = after->count && after->ids[0] != s->eos ? SPEC_YES : SPEC_NO;
    return OK;
}

static void take_specials(TokenizerSpec *to, const SpecialTokens *from)
{
    to->bos = from->bos;
    to->eos = from->eos;
    to->unk = from->unk;
    to->sep = from->sep;
    to->pad = from->pad;
    to->mask = from->mask;
    to->fim_prefix = from->fim_prefix;
    to->fim_suffix = from->fim_suffix;
    to->fim_middle = from->fim_middle;
    to->fim_pad = from->fim_pad;
    to->fim_repo = from->fim_repo;
    to->fim_file = from->fim_file;
}

Err spec_of_tokenizer(const Tokenizer *t, size_t size, const char *name, Arena *arena, TokenizerSpec *out, Error *err)
{
    static Err (*const kinds[])(Making *, Error *) = {
        [MODEL_NONE] = of_other,           [MODEL_BPE] = of_bpe,         [MODEL_UNIGRAM] = of_unigram,
        [MODEL_WORDPIECE] = of_wordpiece, [MODEL_WORDLEVEL] = of_other, [MODEL_GREEDY] = of_other,
    };
    Making m = {.t = t, .size = size, .name = name, .arena = arena, .spec = out};
    tokenizer_spec_init(out, name);
    TRY(take_pieces(&m, err));
    out->pieces = m.pieces;
    out->pieces_count = size;
    out->scores = m.scores;
    out->types = m.types;
    take_specials(out, &t->specials);
    TRY(take_affixes(&m, err));
    return kinds[t->kind](&m, err);
}

#include "text/normalizer.h"

#include <utf8proc.h>

#include "text/byte_alphabet.h"
#include "text/normal_form.h"
#include "text/utf8.h"

#define METASPACE "\xE2\x96\x81"   /* U+2581, how SentencePiece writes a space */

void normalizer_deinit(Normalizer *n)
{
    for (int i = 0; i < n->count; i++)
        pattern_free(n->steps[i].pattern);
    n->count = 0;
}

Err normalizer_add(Normalizer *n, NormStep step, const char *what, Error *err)
{
    if (n->count == NORM_STEPS_MAX) {
        pattern_free(step.pattern);
        return fail(err, BAD_FILE, "%s: has more than %d normalising steps", what, NORM_STEPS_MAX);
    }
    n->steps[n->count++] = step;
    return OK;
}

void norm_scratch_init(NormScratch *s, bool tracks, size_t bytes_max)
{
    for (int i = 0; i < 2; i++)
        aligned_init(&s->texts[i], tracks, bytes_max);
}

void norm_scratch_deinit(NormScratch *s)
{
    for (int i = 0; i < 2; i++)
        aligned_deinit(&s->texts[i]);
}

/* ---- steps that look at one character at a time ---- */

typedef void CharStep(const NormStep *, const AlignedView *, Utf8Char, size_t at, Aligned *out);

static void lower(const NormStep *s, const AlignedView *in, Utf8Char c, size_t at, Aligned *out)
{
    (void)s;
    uint32_t codes[2];
    size_t count = char_to_lower(c.code, codes);
    for (size_t i = 0; i < count; i++)
        aligned_put_code(out, codes[i], origin_at(in, at));
}

static void remove_class(const NormStep *s, const AlignedView *in, Utf8Char c, size_t at, Aligned *out)
{
    if (!s->in_class(c.code))
        aligned_copy(out, in, at, at + c.bytes);
}

static void bert_clean(const NormStep *s, const AlignedView *in, Utf8Char c, size_t at, Aligned *out)
{
    (void)s;
    if (c.code == 0 || c.code == UTF8_REPLACEMENT || char_is_control(c.code))
        return;
    if (char_is_space(c.code))
        aligned_put(out, " ", 1, origin_at(in, at));
    else
        aligned_copy(out, in, at, at + c.bytes);
}

static void bert_han(const NormStep *s, const AlignedView *in, Utf8Char c, size_t at, Aligned *out)
{
    (void)s;
    bool han = char_is_han(c.code);
    if (han)
        aligned_put(out, " ", 1, origin_at(in, at));
    aligned_copy(out, in, at, at + c.bytes);
    if (han)
        aligned_put(out, " ", 1, origin_at(in, at));
}

static void nmt(const NormStep *s, const AlignedView *in, Utf8Char c, size_t at, Aligned *out)
{
    (void)s;
    uint32_t k = c.code;
    bool space = k == 9 || k == 10 || k == 12 || k == 13 || k == 0x1680 || (k >= 0x200B && k <= 0x200F) ||
                 k == 0x2028 || k == 0x2029 || k == 0x2581 || k == 0xFEFF || k == 0xFFFD;
    bool gone = (k >= 1 && k <= 8) || k == 11 || (k >= 14 && k <= 31) || k == 0x7F || k == 0x8F || k == 0x9F;
    if (space)
        aligned_put(out, " ", 1, origin_at(in, at));
    else if (!gone)
        aligned_copy(out, in, at, at + c.bytes);
}

static void byte_alphabet(const NormStep *s, const AlignedView *in, Utf8Char c, size_t at, Aligned *out)
{
    (void)s;
    for (size_t i = at; i < at + c.bytes; i++)
        aligned_put_code(out, byte_to_letter(in->text.data[i]), origin_at(in, i));
}

static void each_char(const NormStep *s, CharStep *step, const AlignedView *in, Aligned *out)
{
    for (size_t at = 0; at < in->text.bytes;) {
        Utf8Char c = utf8_next(in->text.data + at);
        step(s, in, c, at, out);
        at += c.bytes;
    }
}

/* ---- replacements ---- */

static void replace_string(const NormStep *s, const AlignedView *in, Aligned *out)
{
    size_t at = 0;
    while (s->string.bytes && at < in->text.bytes) {
        const uint8_t *hit = memmem(in->text.data + at, in->text.bytes - at, s->string.data, s->string.bytes);
        if (!hit)
            break;
        size_t begin = (size_t)(hit - in->text.data);
        aligned_copy(out, in, at, begin);
        aligned_put(out, s->by.data, s->by.bytes, origin_at(in, begin));
        at = begin + s->string.bytes;
    }
    aligned_copy(out, in, at, in->text.bytes);
}

static Err replace_pattern(const NormStep *s, const AlignedView *in, Aligned *out, Error *err)
{
    PatternSearch search;
    TRY(pattern_search_init(&search, s->pattern, in->text, err));
    size_t at = 0, begin, end;
    bool found = true;
    Err result = OK;
    while (result == OK && found) {
        result = pattern_search_next(&search, &found, &begin, &end, err);
        if (result == OK && found) {
            aligned_copy(out, in, at, begin);
            aligned_put(out, s->by.data, s->by.bytes, origin_at(in, begin));
            at = end;
        }
    }
    aligned_copy(out, in, at, in->text.bytes);
    pattern_search_deinit(&search);
    return result;
}

static AlignedView strip(const NormStep *s, const AlignedView *in)
{
    size_t begin = 0, end = in->text.bytes;
    while (s->left && begin < end) {
        Utf8Char c = utf8_next(in->text.data + begin);
        if (!char_is_space(c.code))
            break;
        begin += c.bytes;
    }
    while (s->right && end > begin) {
        size_t at = end - 1;
        while (at > begin && (in->text.data[at] & 0xC0) == 0x80)
            at--;
        if (!char_is_space(utf8_next(in->text.data + at).code))
            break;
        end = at;
    }
    return aligned_slice(in, begin, end);
}

/* ---- SentencePiece's tables ---- */

enum { GRAPHEME_BYTES_MAX = 6 };   /* longer ones are looked up character by character only */

static bool put_replacement(const NormStep *s, const AlignedView *in, size_t begin, size_t end, Aligned *out)
{
    size_t bytes;
    Span by;
    if (!charsmap_find(&s->charsmap, span_of(in->text.data + begin, end - begin), CHARSMAP_SHORTEST, &bytes, &by))
        return false;
    aligned_put(out, by.data, by.bytes, origin_at(in, begin));
    return true;
}

static void put_grapheme(const NormStep *s, const AlignedView *in, size_t begin, size_t end, Aligned *out)
{
    if (end - begin < GRAPHEME_BYTES_MAX && put_replacement(s, in, begin, end, out))
        return;
    for (size_t at = begin; at < end;) {
        size_t next = at + utf8_next(in->text.data + at).bytes;
        if (!put_replacement(s, in, at, next, out))
            aligned_copy(out, in, at, next);
        at = next;
    }
}

static void charsmap_graphemes(const NormStep *s, const AlignedView *in, Aligned *out)
{
    utf8proc_int32_t state = 0;
    size_t begin = 0;
    uint32_t last = 0;
    for (size_t at = 0; at < in->text.bytes;) {
        Utf8Char c = utf8_next(in->text.data + at);
        if (at > 0 &&
            utf8proc_grapheme_break_stateful((utf8proc_int32_t)last, (utf8proc_int32_t)c.code, &state)) {
            put_grapheme(s, in, begin, at, out);
            begin = at;
        }
        last = c.code;
        at += c.bytes;
    }
    put_grapheme(s, in, begin, in->text.bytes, out);
}

/* What the text at `at` becomes: a stretch that stays, a replacement, or U+FFFD for a broken byte. */
static Span sentencepiece_prefix(const NormStep *s, Span rest, size_t *consumed)
{
    Span by;
    if (s->whole && trie_longest(s->whole, rest, consumed) >= 0)
        return span_first(rest, *consumed);
    if (charsmap_find(&s->charsmap, rest, CHARSMAP_LONGEST, consumed, &by))
        return by;
    Utf8Char c = utf8_read(rest.data, rest.bytes);
    *consumed = c.valid ? c.bytes : 1;
    return c.valid ? span_first(rest, c.bytes) : span_text("\xEF\xBF\xBD");
}

static void put_escaped(const NormStep *s, Span text, uint32_t origin, Aligned *out)
{
    for (size_t i = 0, run; i < text.bytes; i = run) {
        for (run = i; run < text.bytes && text.data[run] != ' '; run++)
            ;
        if (run > i) {
            aligned_put(out, text.data + i, run - i, origin);
        } else {
            aligned_put(out, s->escape_spaces ? METASPACE : " ", s->escape_spaces ? 3 : 1, origin);
            run++;
        }
    }
}

static void cut_trailing_spaces(const NormStep *s, Aligned *out)
{
    Span space = s->escape_spaces ? span_text(METASPACE) : span_text(" ");
    while (out->bytes >= space.bytes && !memcmp(out->data + out->bytes - space.bytes, space.data, space.bytes))
        aligned_cut(out, out->bytes - space.bytes);
}

static void sentencepiece(const NormStep *s, const AlignedView *in, Aligned *out)
{
    size_t at = 0, consumed;
    if (s->remove_extra_spaces)
        while (at < in->text.bytes && span_is(sentencepiece_prefix(s, span_from(in->text, at), &consumed), " "))
            at += consumed;
    if (at == in->text.bytes)
        return;
    if (s->dummy_prefix && !s->space_is_suffix)
        put_escaped(s, span_text(" "), origin_at(in, at), out);
    bool after_space = s->remove_extra_spaces;
    for (; at < in->text.bytes; at += consumed) {
        Span piece = sentencepiece_prefix(s, span_from(in->text, at), &consumed);
        while (after_space && piece.bytes && piece.data[0] == ' ')
            piece = span_from(piece, 1);
        if (piece.bytes == 0)
            continue;
        put_escaped(s, piece, origin_at(in, at), out);
        after_space = s->remove_extra_spaces && piece.data[piece.bytes - 1] == ' ';
    }
    if (s->remove_extra_spaces)
        cut_trailing_spaces(s, out);
    if (s->dummy_prefix && s->space_is_suffix)
        put_escaped(s, span_text(" "), in->end, out);
}

/* ---- all steps ---- */

static Err run_step(const NormStep *s, const AlignedView *in, Aligned *out, Error *err)
{
    static CharStep *const char_steps[] = {
        [NORM_LOWERCASE] = lower,         [NORM_REMOVE_CLASS] = remove_class,
        [NORM_BERT_CLEAN] = bert_clean,   [NORM_BERT_HAN] = bert_han,
        [NORM_NMT] = nmt,                 [NORM_BYTE_ALPHABET] = byte_alphabet,
    };
    if (s->kind < COUNT_OF(char_steps) && char_steps[s->kind]) {
        each_char(s, char_steps[s->kind], in, out);
    } else if (s->kind <= NORM_NFKC) {
        NormalForm form = {.compose = s->kind == NORM_NFC || s->kind == NORM_NFKC, .compatible = s->kind >= NORM_NFKD};
        normal_form_write(form, in, out);
    } else if (s->kind == NORM_PREPEND) {
        aligned_put(out, s->string.data, s->string.bytes, origin_at(in, 0));
        aligned_copy(out, in, 0, in->text.bytes);
    } else if (s->kind == NORM_REPLACE_STRING) {
        replace_string(s, in, out);
    } else if (s->kind == NORM_REPLACE_PATTERN) {
        return replace_pattern(s, in, out, err);
    } else if (s->kind == NORM_CHARSMAP_GRAPHEMES) {
        charsmap_graphemes(s, in, out);
    } else {
        sentencepiece(s, in, out);
    }
    return OK;
}

static bool changes_nothing(const NormStep *s, Span text)
{
    if (s->kind <= NORM_NFKC) {
        NormalForm form = {.compose = s->kind == NORM_NFC || s->kind == NORM_NFKC, .compatible = s->kind >= NORM_NFKD};
        return normal_form_changes_nothing(form, text);
    }
    if (s->kind == NORM_REPLACE_STRING)
        return !s->string.bytes || !memmem(text.data, text.bytes, s->string.data, s->string.bytes);
    return false;
}

Err normalizer_run(const Normalizer *n, NormScratch *scratch, AlignedView in, AlignedView *out, Error *err)
{
    *out = in;
    for (int i = 0, turn = 0; i < n->count && out->text.bytes; i++) {
        const NormStep *s = &n->steps[i];
        if (s->kind == NORM_STRIP) {
            *out = strip(s, out);
            continue;
        }
        if (changes_nothing(s, out->text))
            continue;
        Aligned *to = &scratch->texts[turn];
        aligned_clear(to);
        TRY(run_step(s, out, to, err));
        if (to->failed)
            return fail(err, NO_MEMORY, "the text grows beyond %zu bytes, or memory, when it is normalised",
                        to->bytes_max);
        *out = aligned_view(to, out->end);
        turn ^= 1;
    }
    return OK;
}

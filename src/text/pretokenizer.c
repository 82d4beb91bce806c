#include "text/pretokenizer.h"

#include <stdlib.h>

#include "text/byte_alphabet.h"
#include "text/utf8.h"

void pretokenizer_deinit(PreTokenizer *p)
{
    for (int i = 0; i < p->count; i++)
        pattern_free(p->steps[i].pattern);
    p->count = 0;
}

Err pretokenizer_add(PreTokenizer *p, PreStep step, const char *what, Error *err)
{
    if (p->count == PRE_STEPS_MAX) {
        pattern_free(step.pattern);
        return fail(err, BAD_FILE, "%s: has more than %d pre-tokenising steps", what, PRE_STEPS_MAX);
    }
    p->steps[p->count++] = step;
    p->needs_origins |= step.prepend == PREPEND_FIRST;
    return OK;
}

Err pretokenizer_add_pattern(PreTokenizer *p, Span expression, SplitWay way, bool invert, const char *what, Error *err)
{
    PreStep step = {.kind = PRE_SPLIT_PATTERN, .way = way, .invert = invert};
    TRY(pattern_new(expression, what, &step.pattern, err));
    return pretokenizer_add(p, step, what, err);
}

void words_init(Words *w, bool tracks, size_t bytes_max)
{
    *w = (Words){0};
    for (int i = 0; i < 2; i++)
        aligned_init(&w->texts[i], tracks, bytes_max);
}

void words_deinit(Words *w)
{
    free(w->list);
    free(w->other);
    for (int i = 0; i < 2; i++)
        aligned_deinit(&w->texts[i]);
    *w = (Words){0};
}

static void put_word(Words *w, size_t begin, size_t end)
{
    if (begin == end)
        return;
    if (w->count == w->capacity) {
        size_t capacity = w->capacity ? 2 * w->capacity : 64;
        Word *list = realloc(w->list, capacity * sizeof *list);
        if (!list) {
            w->failed = true;
            return;
        }
        w->list = list;
        w->capacity = capacity;
    }
    w->list[w->count++] = (Word){(uint32_t)begin, (uint32_t)end};
}

/* The list becomes what is read; a new, empty one is written. Returns how many words there are to read. */
static size_t turn_list(Words *w)
{
    Word *list = w->list;
    size_t count = w->count, capacity = w->capacity;
    w->list = w->other;
    w->capacity = w->other_capacity;
    w->other = list;
    w->other_capacity = capacity;
    w->count = 0;
    return count;
}

/* ---- matches to words ---- */

typedef struct Cutter {
    Words *words;
    const PreStep *step;
    size_t begin;         /* where the word that is being collected begins */
    size_t at;            /* the end of the last match */
    bool open_is_match;   /* CONTIGUOUS: what kind is being collected; MERGED_*: whether the last was a match */
} Cutter;

/* One stretch, a match or what lies before one; called in order, with inverted kinds already turned. */
static void cut(Cutter *c, size_t begin, size_t end, bool match)
{
    Words *w = c->words;
    switch (c->step->way) {
    case SPLIT_REMOVED:
        if (!match)
            put_word(w, begin, end);
        c->begin = end;
        break;
    case SPLIT_ISOLATED:
        put_word(w, begin, end);
        c->begin = end;
        break;
    case SPLIT_CONTIGUOUS:
        if (match != c->open_is_match) {
            put_word(w, c->begin, begin);
            c->begin = begin;
        }
        break;
    case SPLIT_MERGED_PREVIOUS:
        if (!match || c->open_is_match) {   /* a match joins what stands open, unless that is a match itself */
            put_word(w, c->begin, begin);
            c->begin = begin;
        }
        break;
    case SPLIT_MERGED_NEXT:
        if (match || !c->open_is_match) {
            put_word(w, c->begin, begin);
            c->begin = begin;
        }
        break;
    }
    c->open_is_match = match;
}

static void match_at(Cutter *c, size_t begin, size_t end)
{
    if (begin > c->at)
        cut(c, c->at, begin, c->step->invert);
    cut(c, begin, end, !c->step->invert);
    c->at = end;
}

static void finish_word(Cutter *c, size_t end)
{
    if (end > c->at)
        cut(c, c->at, end, c->step->invert);
    if (c->step->way >= SPLIT_MERGED_PREVIOUS)
        put_word(c->words, c->begin, end);
}

static void match_class(Cutter *c, Word word)
{
    const uint8_t *text = c->words->text.text.data;
    for (size_t i = word.begin; i < word.end;) {
        Utf8Char u = utf8_next(text + i);
        if (c->step->in_class(u.code))
            match_at(c, i, i + u.bytes);
        i += u.bytes;
    }
}

static void match_string(Cutter *c, Word word)
{
    Span needle = c->step->string;
    for (size_t i = word.begin; needle.bytes && i + needle.bytes <= word.end;) {
        const uint8_t *text = c->words->text.text.data;
        const uint8_t *hit = memmem(text + i, word.end - i, needle.data, needle.bytes);
        if (!hit)
            break;
        i = (size_t)(hit - text) + needle.bytes;
        match_at(c, i - needle.bytes, i);
    }
}

static Err match_pattern(Cutter *c, PatternSearch *search, Word word, Error *err)
{
    pattern_search_text(search, span_of(c->words->text.text.data + word.begin, word.end - word.begin));
    for (;;) {
        bool found;
        size_t begin, end;
        TRY(pattern_search_next(search, &found, &begin, &end, err));
        if (!found)
            return OK;
        match_at(c, word.begin + begin, word.begin + end);
    }
}

static Err split(Words *w, const PreStep *step, Error *err)
{
    PatternSearch search = {0};
    if (step->kind == PRE_SPLIT_PATTERN)
        TRY(pattern_search_init(&search, step->pattern, span_of(NULL, 0), err));
    size_t count = turn_list(w);
    Err result = OK;
    for (size_t i = 0; i < count && result == OK; i++) {
        Word word = w->other[i];
        Cutter c = {.words = w, .step = step, .begin = word.begin, .at = word.begin};
        if (step->kind == PRE_SPLIT_PATTERN)
            result = match_pattern(&c, &search, word, err);
        else if (step->kind == PRE_SPLIT_STRING)
            match_string(&c, word);
        else
            match_class(&c, word);
        finish_word(&c, word.end);
    }
    if (step->kind == PRE_SPLIT_PATTERN)
        pattern_search_deinit(&search);
    return result;
}

static void cut_to_length(Words *w, size_t length)
{
    size_t count = turn_list(w);
    for (size_t i = 0; i < count; i++) {
        Word word = w->other[i];
        size_t begin = word.begin, characters = 0;
        for (size_t at = word.begin; at < word.end;) {
            at += utf8_next(w->text.text.data + at).bytes;
            if (++characters == length || at == word.end) {
                put_word(w, begin, at);
                begin = at;
                characters = 0;
            }
        }
    }
}

/* ---- rewriting ---- */

typedef void Rewriter(const PreStep *, const Words *, Word, Aligned *out);

static void to_byte_alphabet(const PreStep *step, const Words *w, Word word, Aligned *out)
{
    (void)step;
    const uint8_t *text = w->text.text.data;
    for (size_t i = word.begin, run; i < word.end; i = run) {
        for (run = i; run < word.end && byte_is_visible(text[run]) && text[run] < 0x80; run++)
            ;
        if (run > i)
            aligned_copy(out, &w->text, i, run);
        else
            aligned_put_code(out, byte_to_letter(text[run++]), origin_at(&w->text, i));
    }
}

static void put_prefix_space(const PreStep *step, const Words *w, Word word, Aligned *out)
{
    (void)step;
    if (w->text.text.data[word.begin] != ' ')
        aligned_put(out, " ", 1, origin_at(&w->text, word.begin));
    aligned_copy(out, &w->text, word.begin, word.end);
}

static void to_metaspace(const PreStep *step, const Words *w, Word word, Aligned *out)
{
    const uint8_t *text = w->text.text.data;
    Span rest = span_of(text + word.begin, word.end - word.begin);
    bool first = step->prepend == PREPEND_FIRST && origin_at(&w->text, word.begin) == 0;
    bool wanted = step->prepend == PREPEND_ALWAYS || first;
    if (wanted && rest.data[0] != ' ' && !span_starts(rest, step->string))
        aligned_put(out, step->string.data, step->string.bytes, origin_at(&w->text, word.begin));
    for (size_t i = word.begin, run; i < word.end; i = run) {
        for (run = i; run < word.end && text[run] != ' '; run++)
            ;
        if (run > i)
            aligned_copy(out, &w->text, i, run);
        else
            aligned_put(out, step->string.data, step->string.bytes, origin_at(&w->text, run++));
    }
}

static void rewrite(Words *w, const PreStep *step, Rewriter *rewriter)
{
    Aligned *out = &w->texts[w->turn];
    size_t count = turn_list(w);
    aligned_clear(out);
    for (size_t i = 0; i < count; i++) {
        size_t begin = out->bytes;
        rewriter(step, w, w->other[i], out);
        put_word(w, begin, out->bytes);
    }
    w->failed |= out->failed;
    w->text = aligned_view(out, w->text.end);
    w->turn ^= 1;
}

Err words_cut(Words *w, const PreTokenizer *p, AlignedView text, Error *err)
{
    static Rewriter *const rewriters[] = {
        [PRE_BYTE_ALPHABET] = to_byte_alphabet,
        [PRE_PREFIX_SPACE] = put_prefix_space,
        [PRE_METASPACE] = to_metaspace,
    };
    w->text = text;
    w->count = 0;
    put_word(w, 0, text.text.bytes);
    for (int i = 0; i < p->count && w->count && !w->failed; i++) {
        const PreStep *step = &p->steps[i];
        if (step->kind <= PRE_SPLIT_CLASS)
            TRY(split(w, step, err));
        else if (step->kind == PRE_FIXED_LENGTH)
            cut_to_length(w, step->length);
        else
            rewrite(w, step, rewriters[step->kind]);
    }
    if (w->failed)
        return fail(err, NO_MEMORY, "no memory to cut %zu bytes of text into words", text.text.bytes);
    return OK;
}

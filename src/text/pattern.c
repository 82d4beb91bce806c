#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pattern.h"

#include <pcre2.h>
#include <stdlib.h>

#include "base/buf.h"
#include "text/utf8.h"

enum {
    STEPS_FIXED = 10 * 1000 * 1000,   /* PCRE2's own default */
    STEPS_PER_BYTE = 16,
    HEAP_KIB_MAX = 64 * 1024,
    TRANSLATED_BYTES_MAX = 1 << 20,
};

struct Pattern {
    pcre2_code *code;
    bool jit;
};

#define SPACES "\\x09-\\x0D\\x20\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"
#define WORDS "\\p{L}\\p{Nd}\\p{Nl}\\p{M}\\p{Pc}\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}\\x{24B6}-\\x{24E9}" \
              "\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}"
#define AT_WORD_END "(?:(?<=[" WORDS "])(?![" WORDS "])|(?<![" WORDS "])(?=[" WORDS "]))"
#define HEXES "0-9A-Fa-f"

/* What an escape letter stands for, as the inside of a set. The capital letter is its complement. */
static const struct {
    char letter;
    const char *set;
} escapes[] = {{'s', SPACES}, {'w', WORDS}, {'h', HEXES}};

static const char *set_of_escape(uint8_t letter)
{
    for (size_t i = 0; i < COUNT_OF(escapes); i++)
        if ((letter | 32) == escapes[i].letter)
            return escapes[i].set;
    return NULL;
}

/* The position just past the `]` that closes the set opening at `at`. */
static size_t set_end(Span e, size_t at)
{
    size_t start = at;
    int depth = 0;
    for (; at < e.bytes; at++) {
        if (e.data[at] == '\\') {
            at++;
        } else if (e.data[at] == '[') {
            depth++;
            if (at + 1 < e.bytes && e.data[at + 1] == '^')
                at++;
            if (at + 1 < e.bytes && e.data[at + 1] == ']')
                at++;   /* a bracket right after the opening is a member */
        } else if (e.data[at] == ']' && --depth == 0) {
            return at + 1;
        }
    }
    return start;       /* never closed: PCRE2 will say so */
}

static size_t find_intersection(Span set)
{
    int depth = 0;
    for (size_t i = 0; i + 1 < set.bytes; i++) {
        if (set.data[i] == '\\')
            i++;
        else if (set.data[i] == '[')
            depth++;
        else if (set.data[i] == ']')
            depth--;
        else if (depth == 1 && set.data[i] == '&' && set.data[i + 1] == '&')
            return i;
    }
    return 0;
}

static void put_set(Buf *out, Span set);

/* [A&&B] is (?:(?=[B])[A]); [^A&&B] is (?:(?![B])...|...), which nobody writes and PCRE2 gets as it is. */
static bool put_intersection(Buf *out, Span set)
{
    size_t and_at = set.data[1] == '^' ? 0 : find_intersection(set);
    if (!and_at)
        return false;
    Span left = span_of(set.data + 1, and_at - 1);
    Span right = span_of(set.data + and_at + 2, set.bytes - and_at - 3);
    bool right_is_set = right.bytes > 2 && right.data[0] == '[' && set_end(right, 0) == right.bytes;
    buf_put_text(out, "(?:(?=");
    if (right_is_set) {
        put_set(out, right);
    } else {
        buf_put_char(out, '[');
        buf_put_span(out, right);
        buf_put_char(out, ']');
    }
    buf_put_text(out, ")[");
    buf_put_span(out, left);
    buf_put_text(out, "])");
    return true;
}

static void put_set(Buf *out, Span set)
{
    if (put_intersection(out, set))
        return;
    buf_put_char(out, '[');
    for (size_t i = 1; i < set.bytes; i++) {
        const char *members = set.data[i] == '\\' && i + 1 < set.bytes && set.data[i + 1] >= 'a'
                                  ? set_of_escape(set.data[i + 1])
                                  : NULL;
        if (members) {
            buf_put_text(out, members);
            i++;
        } else if (set.data[i] == '\\' && i + 1 < set.bytes) {
            buf_put(out, set.data + i, 2);
            i++;
        } else if (set.data[i] == '[' && !(i + 1 < set.bytes && set.data[i + 1] == ':')) {
            buf_put_text(out, "\\[");   /* in PCRE2 a plain member; escaped so that nobody wonders */
        } else {
            buf_put_char(out, (char)set.data[i]);
        }
    }
}

static void translate(Buf *out, Span e)
{
    for (size_t i = 0; i < e.bytes; i++) {
        if (e.data[i] == '[') {
            size_t end = set_end(e, i);
            if (end > i) {
                put_set(out, span_of(e.data + i, end - i));
                i = end - 1;
                continue;
            }
        }
        if (e.data[i] != '\\' || i + 1 == e.bytes) {
            buf_put_char(out, (char)e.data[i]);
            continue;
        }
        uint8_t letter = e.data[++i];
        const char *set = set_of_escape(letter);
        if (set) {
            buf_put_text(out, letter < 'a' ? "[^" : "[");
            buf_put_text(out, set);
            buf_put_char(out, ']');
        } else if (letter == 'b' || letter == 'B') {
            buf_put_text(out, letter == 'b' ? AT_WORD_END : "(?!" AT_WORD_END ")");
        } else {
            buf_put(out, e.data + i - 1, 2);
        }
    }
}

static Err compile(Pattern *p, Span expression, const char *what, Error *err)
{
    Buf pcre;
    buf_init(&pcre, TRANSLATED_BYTES_MAX);
    translate(&pcre, expression);
    int code;
    PCRE2_SIZE at;
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    p->code = pcre.full ? NULL : pcre2_compile((PCRE2_SPTR)pcre.data, pcre.bytes, options, &code, &at, NULL);
    Err result = OK;
    if (pcre.full) {
        result = fail(err, NO_MEMORY, "%s: no memory for its regular expression", what);
    } else if (!p->code) {
        PCRE2_UCHAR message[256];
        pcre2_get_error_message(code, message, sizeof message);
        result = fail(err, BAD_FILE, "%s: the regular expression '%.*s' cannot be read: %s", what,
                      (int)(expression.bytes < 200 ? expression.bytes : 200), (const char *)expression.data,
                      (const char *)message);
    } else {
        p->jit = pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0;
    }
    buf_deinit(&pcre);
    return result;
}

Err pattern_new(Span expression, const char *what, Pattern **out, Error *err)
{
    *out = NULL;
    if (expression.bytes > PATTERN_BYTES_MAX)
        return fail(err, BAD_FILE, "%s: its regular expression has %zu bytes; at most %d are read", what,
                    expression.bytes, PATTERN_BYTES_MAX);
    if (!utf8_is_valid(expression))
        return fail(err, BAD_FILE, "%s: its regular expression is not UTF-8", what);
    Pattern *p = calloc(1, sizeof *p);
    if (!p)
        return fail(err, NO_MEMORY, "%s: no memory for its regular expression", what);
    Err result = compile(p, expression, what, err);
    if (result != OK) {
        pattern_free(p);
        return result;
    }
    *out = p;
    return OK;
}

void pattern_free(Pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    free(p);
}

/* What PCRE2 needs of one thread. */
typedef struct Match {
    pcre2_match_data *data;
    pcre2_match_context *context;
} Match;

Err pattern_search_init(PatternSearch *s, const Pattern *p, Span text, Error *err)
{
    *s = (PatternSearch){.pattern = p};
    Match *m = calloc(1, sizeof *m);
    if (m) {
        m->data = pcre2_match_data_create(1, NULL);
        m->context = pcre2_match_context_create(NULL);
    }
    s->match = m;
    if (!m || !m->data || !m->context) {
        pattern_search_deinit(s);
        return fail(err, NO_MEMORY, "no memory to match a regular expression");
    }
    pcre2_set_heap_limit(m->context, HEAP_KIB_MAX);
    pattern_search_text(s, text);
    return OK;
}

void pattern_search_deinit(PatternSearch *s)
{
    Match *m = s->match;
    if (m) {
        pcre2_match_data_free(m->data);
        pcre2_match_context_free(m->context);
    }
    free(m);
    s->match = NULL;
}

void pattern_search_text(PatternSearch *s, Span text)
{
    s->text = text;
    s->at = 0;
    s->last_was_empty = false;
    uint64_t steps = STEPS_FIXED + (uint64_t)STEPS_PER_BYTE * text.bytes;
    pcre2_set_match_limit(((Match *)s->match)->context, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
}

static int match_once(const PatternSearch *s)
{
    const Match *m = s->match;
    PCRE2_SPTR text = s->text.data ? s->text.data : (PCRE2_SPTR) "";
    if (s->pattern->jit) {
        int found = pcre2_match(s->pattern->code, text, s->text.bytes, s->at, PCRE2_NO_UTF_CHECK, m->data, m->context);
        if (found != PCRE2_ERROR_JIT_STACKLIMIT)
            return found;
    }
    return pcre2_match(s->pattern->code, text, s->text.bytes, s->at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, m->data,
                       m->context);
}

Err pattern_search_next(PatternSearch *s, bool *found, size_t *begin, size_t *end, Error *err)
{
    *found = false;
    if (s->at > s->text.bytes)
        return OK;
    int count = match_once(s);
    if (count == PCRE2_ERROR_NOMATCH)
        return OK;
    if (count < 0) {
        PCRE2_UCHAR message[256];
        pcre2_get_error_message(count, message, sizeof message);
        return fail(err, LIMIT_REACHED, "a regular expression of the tokenizer gave up at byte %zu of the text: %s",
                    s->at, (const char *)message);
    }
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(((Match *)s->match)->data);
    *begin = ends[0];
    *end = ends[1];
    *found = ends[0] <= ends[1] && ends[0] >= s->at;   /* \K can put the start anywhere: such a match is none */
    s->at = *end;
    if (*begin == *end)
        s->at += *end < s->text.bytes ? utf8_next(s->text.data + *end).bytes : 1;
    return OK;
}

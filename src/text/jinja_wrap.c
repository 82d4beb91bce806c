/* jinja_wrap.c -- the wordwrap filter: lines of at most `width` characters, as Python's textwrap makes
 * them. A line is cut into chunks (white space, words, parts of hyphenated words, dashes between words),
 * and chunks are put on a line as long as they fit. */
#include "text/jinja_filters.h"

#include "text/jinja_methods.h"
#include "text/jinja_print.h"
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

typedef struct Line {
    uint32_t *points;
    int64_t count;
    bool *ends;         /* whether a chunk ends before this point */
} Line;

static uint32_t at(const Line *l, int64_t i) { return i >= 0 && i < l->count ? l->points[i] : 0; }

static bool is_gap(uint32_t c) { return c && c < 0x80 && strchr("\t\n\v\f\r ", (int)c); }
static bool is_word(uint32_t c) { return c == '_' || point_is_alnum(c); }
static bool is_letter(uint32_t c) { return is_word(c) && !point_is_decimal(c); }
static bool is_word_or_mark(uint32_t c)
{
    return is_word(c) || (c && c < 0x80 && strchr("!\"'&.,?", (int)c));
}

/* The end of a dash of two or more at i that a word follows; 0 when there is none. */
static int64_t dash_end(const Line *l, int64_t i)
{
    int64_t end = i;
    while (at(l, end) == '-')
        end++;
    return end - i >= 2 && is_word(at(l, end)) ? end : 0;
}

/* Whether a word may be broken behind the hyphen at i: letters stand on both sides. */
static bool breaks_behind(const Line *l, int64_t i)
{
    if (at(l, i) != '-')
        return false;
    bool before = (is_letter(at(l, i - 1)) && is_letter(at(l, i - 2)))
                  || (is_letter(at(l, i - 1)) && at(l, i - 2) == '-' && is_letter(at(l, i - 3)));
    return before && is_letter(at(l, i + 1))
           && (is_letter(at(l, i + 2)) || (at(l, i + 2) == '-' && is_letter(at(l, i + 3))));
}

static int64_t find_chunk_end(const Line *l, int64_t start, bool hyphens)
{
    int64_t end = start + 1;
    if (is_gap(at(l, start))) {
        while (is_gap(at(l, end)))
            end++;
        return end;
    }
    int64_t dash = hyphens && is_word_or_mark(at(l, start - 1)) ? dash_end(l, start) : 0;
    if (dash)
        return dash;
    for (; end < l->count && !is_gap(at(l, end)); end++) {
        if (hyphens && breaks_behind(l, end))
            return end + 1;
        if (hyphens && is_word_or_mark(at(l, end - 1)) && dash_end(l, end))
            return end;
    }
    return end;
}

static int64_t chunk_end(const Line *l, int64_t start)
{
    while (!l->ends[++start])
        ;
    return start;
}

static Line line_of(Jinja *j, Value text, bool hyphens)
{
    size_t count = (size_t)text.str->points + 1;
    Line l = {.points = jinja_take_array(j, count, sizeof *l.points),
              .ends = jinja_take_array(j, count, sizeof *l.ends)};
    for (size_t i = 0; i < text.str->bytes;)
        l.points[l.count++] = point_next(text.str->data, &i);
    for (int64_t i = 0; i < l.count; l.ends[i] = true)
        i = find_chunk_end(&l, i, hyphens);
    return l;
}

typedef struct Wrap {
    int64_t width;
    bool long_words, hyphens;
} Wrap;

/* How much of a chunk that is longer than a line goes on this one. */
static int64_t cut_long(const Line *l, int64_t start, int64_t end, int64_t room, const Wrap *w)
{
    int64_t cut = start + room;
    for (int64_t i = cut - 1; w->hyphens && end > cut && i > start; i--) {
        if (at(l, i) != '-')
            continue;
        for (int64_t k = start; k < i; k++)
            if (at(l, k) != '-')
                return i + 1;
        break;
    }
    return cut < end ? cut : end;
}

/* One line's end: chunks from `start` that fit; *next is where the rest begins. */
static int64_t line_end(const Line *l, int64_t start, const Wrap *w, int64_t *next)
{
    int64_t end = start, last = start;
    while (end < l->count) {
        int64_t chunk = chunk_end(l, end);
        if (chunk - start <= w->width) {
            last = end;
            end = chunk;
            continue;
        }
        if (chunk - end > w->width && (w->long_words || end == start)) {
            last = end;
            end = w->long_words ? cut_long(l, end, chunk, w->width - (end - start), w) : chunk;
        }
        break;
    }
    *next = end;
    return end > start && is_gap(at(l, last)) ? last : end;
}

static void wrap_line(Text *t, Value line, const Wrap *w, Value between)
{
    Line l = line_of(t->j, line, w->hyphens);
    bool first = true;
    for (int64_t start = 0, next; start < l.count; start = next) {
        if (!first && is_gap(at(&l, start)))
            start = chunk_end(&l, start);
        int64_t end = line_end(&l, start, w, &next);
        if (end > start && !first)
            text_put_str(t, between.str);
        first &= end == start;
        for (int64_t i = start; i < end; i++)
            text_put_point(t, l.points[i]);
    }
}

Value filter_wordwrap(Jinja *j, Call *c)
{
    Wrap w = {.width = index_of(j, given_or(c->arg[0], value_int(79))),
              .long_words = c->arg[1].kind == V_MISSING || value_truth(j, c->arg[1]),
              .hyphens = c->arg[3].kind == V_MISSING || value_truth(j, c->arg[3])};
    Value between = given_or(c->arg[2], value_none());
    between = between.kind == V_NONE ? str_literal(j, "\n") : want_string(j, between);
    Value lines = str_split_lines(j, want_string(j, c->self), false);
    if (w.width <= 0 && lines.list->count)
        TYPE_ERROR(j, "invalid width %lld (must be > 0)", (long long)w.width);
    Text t = text_new(j);
    for (int32_t i = 0; i < lines.list->count; i++) {
        if (i)
            text_put_str(&t, between.str);
        wrap_line(&t, lines.list->items[i], &w, between);
    }
    return text_value(&t);
}

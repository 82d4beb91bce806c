#include "text/added_tokens.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "text/char_class.h"
#include "text/utf8.h"

bool added_tokens_init(AddedTokens *a)
{
    *a = (AddedTokens){0};
    return trie_init(&a->raw) && trie_init(&a->normal);
}

void added_tokens_deinit(AddedTokens *a)
{
    free(a->list);
    trie_deinit(&a->raw);
    trie_deinit(&a->normal);
    *a = (AddedTokens){0};
}

bool added_tokens_add(AddedTokens *a, AddedToken token)
{
    if (token.text.bytes == 0)
        return true;   /* it stands for nothing in a text */
    if (a->count == ADDED_TOKENS_MAX)
        return false;
    if (a->count == a->capacity) {
        size_t capacity = a->capacity ? 2 * a->capacity : 64;
        AddedToken *list = realloc(a->list, capacity * sizeof *list);
        if (!list)
            return false;
        a->list = list;
        a->capacity = capacity;
    }
    a->list[a->count] = token;
    *(token.normalized ? &a->any_normal : &a->any_raw) = true;
    return trie_put(token.normalized ? &a->normal : &a->raw, token.text, (int32_t)a->count++);
}

/* A letter, mark, digit or connector: what a regular expression calls \w. */
static bool is_word_char(uint32_t code)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)code);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL) || k == UTF8PROC_CATEGORY_PC ||
           (code >= 0x24B6 && code <= 0x24E9) || code == 0x200C || code == 0x200D;   /* circled letters, joiners */
}

static size_t char_before(Span text, size_t at)
{
    do
        at--;
    while (at > 0 && (text.data[at] & 0xC0) == 0x80);
    return at;
}

static bool stands_alone(Span text, size_t begin, size_t end)
{
    bool word_before = begin > 0 && is_word_char(utf8_next(text.data + char_before(text, begin)).code);
    bool word_after = end < text.bytes && is_word_char(utf8_read(text.data + end, text.bytes - end).code);
    return !word_before && !word_after;
}

static void widen(const AddedToken *t, Span text, size_t floor, AddedMatch *m)
{
    while (t->lstrip && m->begin > floor) {
        size_t before = char_before(text, m->begin);
        if (!char_is_space(utf8_read(text.data + before, m->begin - before).code))
            break;
        m->begin = before;
    }
    while (t->rstrip && m->end < text.bytes) {
        Utf8Char c = utf8_read(text.data + m->end, text.bytes - m->end);
        if (!char_is_space(c.code))
            break;
        m->end += c.bytes;
    }
}

bool added_tokens_next(const AddedTokens *a, Span text, AddedSearch *s, AddedMatch *out)
{
    const Trie *trie = s->in_normalized ? &a->normal : &a->raw;
    if (!(s->in_normalized ? a->any_normal : a->any_raw))
        return false;
    while (s->at < text.bytes) {
        size_t bytes;
        int32_t found = trie->first[text.data[s->at]] ? trie_longest(trie, span_from(text, s->at), &bytes) : -1;
        if (found < 0) {
            s->at++;
            continue;
        }
        const AddedToken *t = &a->list[found];
        *out = (AddedMatch){s->at, s->at + bytes, t->id};
        s->at += bytes;
        if (t->special && !s->with_special)
            continue;
        if (t->single_word && !stands_alone(text, out->begin, out->end))
            continue;
        size_t floor = s->floor < out->begin ? s->floor : out->begin;
        widen(t, text, floor, out);
        if (out->begin < s->floor)
            out->begin = s->floor;   /* rstrip of the last one took what was before this */
        s->floor = out->end;
        return true;
    }
    return false;
}

#include "text/normal_form.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "text/utf8.h"

enum { DECOMPOSED_MAX = 32 };   /* the longest is 18 (U+FDFA) */

typedef struct Char {
    uint32_t code, origin, order;
    uint32_t class;             /* canonical combining class; 0: a starter */
} Char;

typedef struct Chars {
    Char *list;
    size_t count, capacity;
} Chars;

bool normal_form_changes_nothing(NormalForm form, Span text)
{
    /* Nothing below U+0300 (lead bytes below CC) is changed by NFC; nothing in ASCII by any form. */
    uint8_t first_changed = form.compose && !form.compatible ? 0xCC : 0x80;
    for (size_t i = 0; i < text.bytes; i++)
        if (text.data[i] >= first_changed)
            return false;
    return true;
}

static bool put_char(Chars *c, uint32_t code, uint32_t origin)
{
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 256;
        Char *list = realloc(c->list, capacity * sizeof *list);
        if (!list)
            return false;
        c->list = list;
        c->capacity = capacity;
    }
    uint32_t class = code < 0x300 ? 0 : (uint32_t)utf8proc_get_property((utf8proc_int32_t)code)->combining_class;
    c->list[c->count] = (Char){code, origin, (uint32_t)c->count, class};
    c->count++;
    return true;
}

static bool decompose(NormalForm form, const AlignedView *in, Chars *out)
{
    utf8proc_option_t options = UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (form.compatible ? UTF8PROC_COMPAT : 0);
    for (size_t i = 0; i < in->text.bytes;) {
        Utf8Char c = utf8_next(in->text.data + i);
        utf8proc_int32_t codes[DECOMPOSED_MAX] = {(utf8proc_int32_t)c.code};
        int boundary = 0;
        utf8proc_ssize_t count = c.code < 0x80 ? 1
            : utf8proc_decompose_char((utf8proc_int32_t)c.code, codes, DECOMPOSED_MAX, options, &boundary);
        if (count < 0 || count > DECOMPOSED_MAX) {   /* not a character that utf8proc knows: as it is */
            codes[0] = (utf8proc_int32_t)c.code;
            count = 1;
        }
        for (utf8proc_ssize_t k = 0; k < count; k++)
            if (!put_char(out, (uint32_t)codes[k], origin_at(in, i)))
                return false;
        i += c.bytes;
    }
    return true;
}

static int by_class(const void *a, const void *b)
{
    const Char *x = a, *y = b;
    if (x->class != y->class)
        return x->class < y->class ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void sort_marks(Chars *c)
{
    for (size_t i = 0; i < c->count;) {
        size_t end = i;
        while (end < c->count && c->list[end].class)
            end++;
        if (end - i > 1)
            qsort(c->list + i, end - i, sizeof *c->list, by_class);
        i = end > i ? end : i + 1;
    }
}

/* The one character that two make, or 0. */
static uint32_t composed(uint32_t first, uint32_t second)
{
    if (second < 0x300)
        return 0;   /* no composition has an earlier second half */
    utf8proc_int32_t pair[2] = {(utf8proc_int32_t)first, (utf8proc_int32_t)second};
    return utf8proc_normalize_utf32(pair, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE) == 1 ? (uint32_t)pair[0] : 0;
}

/* Each mark that is not blocked is drawn into the last starter before it. */
static void compose(Chars *c)
{
    size_t kept = 0, starter = SIZE_MAX;
    uint32_t last_class = 0;
    for (size_t i = 0; i < c->count; i++) {
        Char this = c->list[i];
        bool adjacent = starter != SIZE_MAX && kept == starter + 1;
        bool open = adjacent || (starter != SIZE_MAX && this.class != 0 && last_class < this.class);
        uint32_t joined = open ? composed(c->list[starter].code, this.code) : 0;
        if (joined) {
            c->list[starter].code = joined;
            continue;
        }
        if (this.class == 0)
            starter = kept;
        last_class = this.class;
        c->list[kept++] = this;
    }
    c->count = kept;
}

bool normal_form_write(NormalForm form, const AlignedView *in, Aligned *out)
{
    Chars chars = {0};
    bool good = decompose(form, in, &chars);
    if (good) {
        sort_marks(&chars);
        if (form.compose)
            compose(&chars);
        for (size_t i = 0; i < chars.count; i++)
            aligned_put_code(out, chars.list[i].code, chars.list[i].origin);
    }
    free(chars.list);
    out->failed |= !good;
    return good;
}

#include "text/charsmap.h"

enum { PREFIXES_MAX = 32 };   /* SentencePiece looks at no more than this many matches of one start */

Err charsmap_read(Charsmap *m, Span blob, Arena *arena, const char *what, Error *err)
{
    *m = (Charsmap){0};
    if (blob.bytes == 0)
        return OK;
    Reader r = {.span = blob};
    uint32_t trie_bytes;
    Span trie;
    if (blob.bytes > CHARSMAP_BYTES_MAX)
        return fail(err, BAD_FILE, "%s: its precompiled charsmap has %zu bytes; at most %d are read", what, blob.bytes,
                    CHARSMAP_BYTES_MAX);
    if (!read_u32(&r, &trie_bytes) || trie_bytes % 4 || trie_bytes == 0 || !read_bytes(&r, trie_bytes, &trie))
        return fail(err, BAD_FILE, "%s: its precompiled charsmap is cut short", what);
    uint32_t *units = ARENA_ARRAY(arena, uint32_t, trie_bytes / 4);
    char *strings = arena_copy_text(arena, (const char *)blob.data + r.at, reader_left(&r));
    if (!units || !strings)
        return fail(err, NO_MEMORY, "%s: no memory for its precompiled charsmap", what);
    memcpy(units, trie.data, trie_bytes);
    *m = (Charsmap){units, trie_bytes / 4, span_of(strings, reader_left(&r) + 1)};   /* the copy ends in a zero */
    return OK;
}

static uint32_t unit_offset(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

bool charsmap_find(const Charsmap *m, Span text, CharsmapMatch which, size_t *bytes, Span *replacement)
{
    if (m->units_count == 0)
        return false;
    uint32_t at = unit_offset(m->units[0]), value = UINT32_MAX;
    int found = 0;
    for (size_t i = 0; i < text.bytes && text.data[i] && found < PREFIXES_MAX; i++) {
        at ^= text.data[i];
        if (at >= m->units_count || (m->units[at] & 0x800000FFu) != text.data[i])
            break;
        bool leaf = m->units[at] >> 8 & 1;
        at ^= unit_offset(m->units[at]);
        if (!leaf)
            continue;
        if (at >= m->units_count)
            break;
        value = m->units[at] & 0x7FFFFFFFu;
        *bytes = i + 1;
        found++;
        if (which == CHARSMAP_SHORTEST)
            break;
    }
    if (!found || value >= m->replacements.bytes)
        return false;
    const uint8_t *string = m->replacements.data + value;
    const uint8_t *zero = memchr(string, 0, m->replacements.bytes - value);
    *replacement = span_of(string, (size_t)(zero - string));
    return true;
}

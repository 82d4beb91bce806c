/* charsmap.h -- SentencePiece's precompiled table of character replacements ("nmt_nfkc" and such).
 *
 *     u32 trie bytes | trie: units of a Darts double array | replacements: strings with a zero each
 *
 *     unit   bit 31 | 30..10 offset | 9 shift | 8 has a leaf | 7..0 label
 *            1      | value                                              a leaf: where its string begins
 *
 * The bytes come from a model file: each step checks that it stays inside.
 *
 * Kudo and Richardson 2018; Yata's darts-clone.
 */
#ifndef TEXT_CHARSMAP_H
#define TEXT_CHARSMAP_H

#include "base/arena.h"
#include "base/span.h"

enum { CHARSMAP_BYTES_MAX = 1 << 24 };

typedef struct Charsmap {
    const uint32_t *units;
    size_t units_count;
    Span replacements;
} Charsmap;

/* Copies what it needs into the arena. An empty blob is an empty map. */
Err charsmap_read(Charsmap *, Span blob, Arena *, const char *what, Error *err);

typedef enum CharsmapMatch { CHARSMAP_LONGEST, CHARSMAP_SHORTEST } CharsmapMatch;

/* Whether the map replaces a start of `text`: how many bytes, and by what. */
bool charsmap_find(const Charsmap *, Span text, CharsmapMatch, size_t *bytes, Span *replacement);

#endif

/* utf8.h -- UTF-8 one character at a time, and what to do where it is broken.
 *
 * A broken sequence is read as U+FFFD over its "maximal subpart": the longest start of a
 * well-formed character, or one byte when there is none (Unicode 15, section 3.9; the same that
 * Python's errors="replace" and Rust's from_utf8_lossy do). Overlong forms, surrogates and
 * anything over U+10FFFF are broken.
 */
#ifndef TEXT_UTF8_H
#define TEXT_UTF8_H

#include "base/span.h"

enum { UTF8_REPLACEMENT = 0xFFFD };

typedef struct Utf8Char {
    uint32_t code;     /* U+FFFD when broken */
    uint8_t bytes;     /* how far to go on: 1 to 4 */
    bool valid;
    bool cut;          /* broken only because the text ends here: more bytes could complete it */
} Utf8Char;

/* bytes_left must be at least 1. */
Utf8Char utf8_read(const uint8_t *at, size_t bytes_left);
/* The same for text that is known to be well formed. */
static inline Utf8Char utf8_next(const uint8_t *at)
{
    uint32_t c = at[0];
    if (c < 0x80)
        return (Utf8Char){c, 1, true, false};
    if (c < 0xE0)
        return (Utf8Char){(c & 0x1F) << 6 | (at[1] & 0x3Fu), 2, true, false};
    if (c < 0xF0)
        return (Utf8Char){(c & 0xF) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu), 3, true, false};
    return (Utf8Char){(c & 7) << 18 | (at[1] & 0x3Fu) << 12 | (at[2] & 0x3Fu) << 6 | (at[3] & 0x3Fu), 4,
                      true, false};
}

size_t utf8_write(uint32_t code, uint8_t out[4]);   /* how many bytes; code at most 0x10FFFF */
size_t utf8_valid_bytes(Span);                      /* length of the well-formed start */
static inline bool utf8_is_valid(Span s) { return utf8_valid_bytes(s) == s.bytes; }
size_t utf8_count(Span);                            /* characters of well-formed text */

#endif

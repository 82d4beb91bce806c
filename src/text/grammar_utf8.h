/* grammar_utf8.h -- where in a character the bytes of UTF-8 stand. */
#ifndef TEXT_GRAMMAR_UTF8_H
#define TEXT_GRAMMAR_UTF8_H

#include <stdint.h>

/* WHOLE: between characters. WHOLE_NEXT: the same, where only a longer character may begin. */
typedef enum Utf8State {
    UTF8_WHOLE, UTF8_ONE, UTF8_TWO, UTF8_THREE,      /* so many bytes are missing */
    UTF8_E0, UTF8_ED, UTF8_F0, UTF8_F4,              /* after these not all bytes may follow */
    UTF8_WHOLE_NEXT, UTF8_BROKEN,
} Utf8State;

static inline Utf8State utf8_next(Utf8State at, uint8_t b)
{
    switch (at) {
    case UTF8_ONE: return b >= 0x80 && b <= 0xBF ? UTF8_WHOLE : UTF8_BROKEN;
    case UTF8_TWO: return b >= 0x80 && b <= 0xBF ? UTF8_ONE : UTF8_BROKEN;
    case UTF8_THREE: return b >= 0x80 && b <= 0xBF ? UTF8_TWO : UTF8_BROKEN;
    case UTF8_E0: return b >= 0xA0 && b <= 0xBF ? UTF8_ONE : UTF8_BROKEN;
    case UTF8_ED: return b >= 0x80 && b <= 0x9F ? UTF8_ONE : UTF8_BROKEN;
    case UTF8_F0: return b >= 0x90 && b <= 0xBF ? UTF8_TWO : UTF8_BROKEN;
    case UTF8_F4: return b >= 0x80 && b <= 0x8F ? UTF8_TWO : UTF8_BROKEN;
    case UTF8_BROKEN: return UTF8_BROKEN;
    case UTF8_WHOLE: case UTF8_WHOLE_NEXT: break;
    }
    if (b < 0x80)
        return at == UTF8_WHOLE ? UTF8_WHOLE : UTF8_BROKEN;
    if (b < 0xC2 || b > 0xF4)
        return UTF8_BROKEN;
    if (b < 0xE0)
        return UTF8_ONE;
    if (b < 0xF0)
        return b == 0xE0 ? UTF8_E0 : b == 0xED ? UTF8_ED : UTF8_TWO;
    return b == 0xF0 ? UTF8_F0 : b == 0xF4 ? UTF8_F4 : UTF8_THREE;
}

#endif

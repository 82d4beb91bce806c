/* byte_alphabet.h -- GPT-2's way to write any byte as a visible character.
 *
 *     byte   ! .. ~   A1 .. AC   AE .. FF   itself, as a code point
 *            the other 68, in order         U+0100, U+0101, ...: so a space is U+0120 and \n is U+010A
 */
#ifndef TEXT_BYTE_ALPHABET_H
#define TEXT_BYTE_ALPHABET_H

#include <stdbool.h>
#include <stdint.h>

enum { BYTE_ALPHABET_END = 0x100 + 68 };   /* the first code point past the alphabet */

static inline bool byte_is_visible(uint8_t b) { return (b >= '!' && b <= '~') || (b >= 0xA1 && b != 0xAD); }

/* The 68 invisible ones are 00..20, 7F..A0 and AD, in this order. */
static inline uint32_t byte_to_letter(uint8_t b)
{
    if (byte_is_visible(b))
        return b;
    return 0x100u + (b <= 0x20 ? b : b == 0xAD ? 67u : b - 0x7Fu + 33u);
}

static inline int letter_to_byte(uint32_t code)   /* -1: not of the alphabet */
{
    if (code < 0x100)
        return byte_is_visible((uint8_t)code) ? (int)code : -1;
    if (code >= BYTE_ALPHABET_END)
        return -1;
    uint32_t n = code - 0x100;
    return n < 33 ? (int)n : n == 67 ? 0xAD : (int)(n - 33 + 0x7F);
}

#endif

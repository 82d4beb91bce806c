/* number_text.h -- numbers as people read them: 9,437,184.
 *
 * The text is a value, so it can be written straight into the arguments of a message:
 * fail(err, BAD_FILE, "ends at byte %s", number_text(end).text).
 */
#ifndef BASE_NUMBER_TEXT_H
#define BASE_NUMBER_TEXT_H

#include <stdint.h>

typedef struct NumberText {
    char text[28];   /* 20 digits, 6 commas and the zero byte at most */
} NumberText;

static inline NumberText number_text(uint64_t n)
{
    char reversed[28];
    int length = 0, digits = 0;
    do {
        if (digits && digits % 3 == 0)
            reversed[length++] = ',';
        reversed[length++] = (char)('0' + n % 10);
        digits++;
    } while (n /= 10);
    NumberText out = {0};
    for (int i = 0; i < length; i++)
        out.text[i] = reversed[length - 1 - i];
    return out;
}

#endif

/* jinja_unicode.h -- characters as Python's str sees them: classes, and cases that change lengths.
 *
 * "ß".upper() is "SS", "İ".lower() is two code points, a sigma at the end of a word is a final one.
 * utf8proc knows the simple mappings and the categories; the rest is here.
 */
#ifndef TEXT_JINJA_UNICODE_H
#define TEXT_JINJA_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The code point at `at`; *at moves behind it. The text must be valid UTF-8. */
uint32_t point_next(const char *data, size_t *at);
uint32_t point_before(const char *data, size_t *at);   /* *at moves to its beginning */
bool utf8_valid(const char *data, size_t bytes);

bool point_is_space(uint32_t);
bool point_is_alpha(uint32_t);
bool point_is_decimal(uint32_t);
bool point_is_digit(uint32_t);
bool point_is_numeric(uint32_t);
bool point_is_alnum(uint32_t);
bool point_is_lower(uint32_t);
bool point_is_upper(uint32_t);
bool point_is_title(uint32_t);
bool point_is_cased(uint32_t);
bool point_is_printable(uint32_t);
bool point_is_line_end(uint32_t);   /* as str.splitlines() */

/* Each writes up to three code points and returns how many. */
int point_upper(uint32_t, uint32_t out[3]);
int point_lower(uint32_t, uint32_t out[3]);
int point_title(uint32_t, uint32_t out[3]);
int point_fold(uint32_t, uint32_t out[3]);

/* Whether the sigma at byte `at` ends a word, and so is written with its final form. */
bool sigma_is_final(const char *data, size_t bytes, size_t at);

#endif

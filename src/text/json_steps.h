/* json_steps.h -- reads JSON one byte at a time, and says at once when it is none.
 *
 *     {"city": "Os         is the beginning of JSON, at depth 1, within a string
 *     {"city" "Os          is not: wrong at the second quote
 *
 * For text that is still being written, where a parser of whole documents comes too late. What it finishes is
 * JSON that jansson reads: strict, but for control characters in strings, which models write; who passes the
 * bytes on writes json_steps_in_string()'s control characters as escapes.
 */
#ifndef TEXT_JSON_STEPS_H
#define TEXT_JSON_STEPS_H

#include <stdbool.h>
#include <stdint.h>

enum { JSON_STEPS_DEPTH_MAX = 256 };

typedef enum JsonPlace {
    JSON_VALUE, JSON_VALUE_OR_END, JSON_KEY, JSON_KEY_OR_END, JSON_COLON, JSON_AFTER,
    JSON_IN_KEY, JSON_IN_STRING, JSON_ESCAPE, JSON_HEX, JSON_WORD,
    JSON_MINUS, JSON_ZERO, JSON_DIGITS, JSON_POINT, JSON_FRACTION, JSON_EXPONENT, JSON_EXPONENT_SIGN,
    JSON_EXPONENT_DIGITS, JSON_DONE, JSON_WRONG,
} JsonPlace;

typedef struct JsonSteps {
    uint8_t place;             /* what comes next, or what it is within */
    bool is_key, high;         /* of a string; the last escape was the first half of a pair */
    uint8_t hex_left;
    uint16_t unit;             /* of \uXXXX */
    const char *word;          /* the rest of true, false or null */
    int depth;
    uint8_t arrays[JSON_STEPS_DEPTH_MAX / 8];   /* a bit per depth: an array, not an object */
} JsonSteps;

/* For one value; a number at the outside is never done, because it could go on. */
static inline void json_steps_init(JsonSteps *s) { *s = (JsonSteps){.place = JSON_VALUE}; }
bool json_steps_put(JsonSteps *, uint8_t);      /* false: this is not JSON */
static inline bool json_steps_in_string(const JsonSteps *s)
{
    return s->place == JSON_IN_KEY || s->place == JSON_IN_STRING;
}
/* A whole value was read; a number might still go on. */
static inline bool json_steps_whole(const JsonSteps *s)
{
    return s->place == JSON_DONE || (s->depth == 0 && (s->place == JSON_ZERO || s->place == JSON_DIGITS ||
                                                       s->place == JSON_FRACTION || s->place == JSON_EXPONENT_DIGITS));
}

#endif

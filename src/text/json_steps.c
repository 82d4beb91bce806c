#include "text/json_steps.h"

#include <stddef.h>

static bool is_space(uint8_t c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

static bool go(JsonSteps *s, JsonPlace place)
{
    s->place = (uint8_t)place;
    return place != JSON_WRONG;
}

static bool in_array(const JsonSteps *s) { return s->arrays[(s->depth - 1) / 8] >> ((s->depth - 1) % 8) & 1; }

static bool open_container(JsonSteps *s, bool array)
{
    if (s->depth == JSON_STEPS_DEPTH_MAX)
        return go(s, JSON_WRONG);
    uint8_t bit = (uint8_t)(1u << (s->depth % 8)), *byte = &s->arrays[s->depth / 8];
    *byte = (uint8_t)(array ? *byte | bit : *byte & ~bit);
    s->depth++;
    return go(s, array ? JSON_VALUE_OR_END : JSON_KEY_OR_END);
}

static bool value_ended(JsonSteps *s) { return go(s, s->depth ? JSON_AFTER : JSON_DONE); }

static bool close_container(JsonSteps *s, uint8_t c)
{
    if (s->depth == 0 || c != (in_array(s) ? ']' : '}'))
        return go(s, JSON_WRONG);
    s->depth--;
    return value_ended(s);
}

static bool open_string(JsonSteps *s, bool is_key)
{
    s->is_key = is_key;
    s->high = false;
    return go(s, is_key ? JSON_IN_KEY : JSON_IN_STRING);
}

static bool open_word(JsonSteps *s, const char *rest)
{
    s->word = rest;
    return go(s, JSON_WORD);
}

static bool begin_value(JsonSteps *s, uint8_t c)
{
    switch (c) {
    case '{': return open_container(s, false);
    case '[': return open_container(s, true);
    case '"': return open_string(s, false);
    case 't': return open_word(s, "rue");
    case 'f': return open_word(s, "alse");
    case 'n': return open_word(s, "ull");
    case '-': return go(s, JSON_MINUS);
    case '0': return go(s, JSON_ZERO);
    default: return go(s, is_digit(c) ? JSON_DIGITS : JSON_WRONG);
    }
}

static bool after_value(JsonSteps *s, uint8_t c)
{
    if (is_space(c))
        return true;
    if (c == ',')
        return go(s, s->depth == 0 ? JSON_WRONG : in_array(s) ? JSON_VALUE : JSON_KEY);
    return close_container(s, c);
}

/* ---- strings ---- */

static bool in_string(JsonSteps *s, uint8_t c)
{
    if ((s->high && c != '\\') || (c == 0 && s->is_key))
        return go(s, JSON_WRONG);
    if (c == '\\')
        return go(s, JSON_ESCAPE);
    if (c != '"')
        return true;
    return s->is_key ? go(s, JSON_COLON) : value_ended(s);
}

static bool back_in_string(JsonSteps *s) { return go(s, s->is_key ? JSON_IN_KEY : JSON_IN_STRING); }

static bool escape(JsonSteps *s, uint8_t c)
{
    if (c == 'u') {
        s->hex_left = 4;
        s->unit = 0;
        return go(s, JSON_HEX);
    }
    for (const char *known = "\"\\/bfnrt"; *known && !s->high; known++)
        if (c == (uint8_t)*known)
            return back_in_string(s);
    return go(s, JSON_WRONG);
}

/* Halves of a pair come in pairs. jansson has no zero in a key. */
static bool unit_ended(JsonSteps *s)
{
    bool low = s->unit >= 0xDC00 && s->unit <= 0xDFFF;
    if (low != s->high || (s->unit == 0 && s->is_key))
        return go(s, JSON_WRONG);
    s->high = s->unit >= 0xD800 && s->unit <= 0xDBFF;
    return back_in_string(s);
}

static bool hex(JsonSteps *s, uint8_t c)
{
    int digit = is_digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (digit < 0)
        return go(s, JSON_WRONG);
    s->unit = (uint16_t)(s->unit << 4 | digit);
    return --s->hex_left ? true : unit_ended(s);
}

/* ---- numbers and words ---- */

static bool word(JsonSteps *s, uint8_t c)
{
    if (c != (uint8_t)*s->word)
        return go(s, JSON_WRONG);
    return *++s->word ? true : value_ended(s);
}

/* What may follow at each place of a number; a number has no end of its own. */
static bool number(JsonSteps *s, uint8_t c)
{
    bool whole = s->place == JSON_ZERO || s->place == JSON_DIGITS;
    bool may_end = whole || s->place == JSON_FRACTION || s->place == JSON_EXPONENT_DIGITS;
    if (is_digit(c)) {
        static const uint8_t next[] = {
            [JSON_MINUS] = JSON_DIGITS, [JSON_ZERO] = JSON_WRONG, [JSON_DIGITS] = JSON_DIGITS,
            [JSON_POINT] = JSON_FRACTION, [JSON_FRACTION] = JSON_FRACTION, [JSON_EXPONENT] = JSON_EXPONENT_DIGITS,
            [JSON_EXPONENT_SIGN] = JSON_EXPONENT_DIGITS, [JSON_EXPONENT_DIGITS] = JSON_EXPONENT_DIGITS};
        return go(s, s->place == JSON_MINUS && c == '0' ? JSON_ZERO : next[s->place]);
    }
    if (whole && c == '.')
        return go(s, JSON_POINT);
    if ((whole || s->place == JSON_FRACTION) && (c | 32) == 'e')
        return go(s, JSON_EXPONENT);
    if (s->place == JSON_EXPONENT && (c == '+' || c == '-'))
        return go(s, JSON_EXPONENT_SIGN);
    return may_end && s->depth ? go(s, JSON_AFTER) && after_value(s, c) : go(s, JSON_WRONG);
}

/* ---- one byte ---- */

static bool between(JsonSteps *s, uint8_t c)
{
    if (is_space(c))
        return true;
    switch (s->place) {
    case JSON_VALUE: return begin_value(s, c);
    case JSON_VALUE_OR_END: return c == ']' ? close_container(s, c) : begin_value(s, c);
    case JSON_KEY: return c == '"' ? open_string(s, true) : go(s, JSON_WRONG);
    case JSON_KEY_OR_END: return c == '"' ? open_string(s, true) : close_container(s, c);
    case JSON_COLON: return go(s, c == ':' ? JSON_VALUE : JSON_WRONG);
    case JSON_AFTER: return after_value(s, c);
    default: return go(s, JSON_WRONG);
    }
}

bool json_steps_put(JsonSteps *s, uint8_t c)
{
    switch (s->place) {
    case JSON_IN_KEY:
    case JSON_IN_STRING: return in_string(s, c);
    case JSON_ESCAPE: return escape(s, c);
    case JSON_HEX: return hex(s, c);
    case JSON_WORD: return word(s, c);
    default: return s->place >= JSON_MINUS && s->place <= JSON_EXPONENT_DIGITS ? number(s, c) : between(s, c);
    }
}

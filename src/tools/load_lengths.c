#include "tools/load_lengths.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double PI = 3.14159265358979323846;

static bool read_count(const char **at, int32_t *out)
{
    char *end;
    errno = 0;
    long value = strtol(*at, &end, 10);
    if (**at < '0' || **at > '9' || errno || value < 1 || value > LOAD_TOKENS_MAX)
        return false;
    *at = end;
    *out = (int32_t)value;
    return true;
}

static bool read_word(const char **at, const char *word)
{
    size_t bytes = strlen(word);
    if (strncmp(*at, word, bytes) != 0)
        return false;
    *at += bytes;
    return true;
}

static bool read_deviation(const char **at, double *out)
{
    char *end;
    *out = strtod(*at, &end);
    bool good = end != *at && *out > 0 && *out <= 10;
    *at = end;
    return good;
}

static bool read_range(const char **at, int32_t *low, int32_t *high)
{
    return read_count(at, low) && read_word(at, "..") && read_count(at, high) && *low <= *high;
}

static bool read_lengths(const char *at, LoadLengths *out)
{
    const char *begin = at;
    if (read_word(&at, "lognormal:")) {
        int32_t median;
        *out = (LoadLengths){.low = 1, .high = LOAD_TOKENS_MAX};
        bool good = read_count(&at, &median) && read_word(&at, ",") && read_deviation(&at, &out->deviation) &&
                    (!read_word(&at, ",") || read_range(&at, &out->low, &out->high));
        out->median = median;
        return good && !*at;
    }
    *out = (LoadLengths){0};
    if (read_range(&at, &out->low, &out->high) && !*at)
        return true;
    at = begin;
    bool good = read_count(&at, &out->low) && !*at;
    out->high = out->low;
    return good;
}

Err load_lengths_read(const char *text, LoadLengths *out, Error *err)
{
    if (read_lengths(text, out))
        return OK;
    return fail(err, BAD_ARGUMENT, "'%.80s' is no length: give 128, 64..128 or lognormal:MEDIAN,DEVIATION, from 1 to %d", text,
                LOAD_TOKENS_MAX);
}

int32_t load_lengths_draw(const LoadLengths *l, PrngStream *random)
{
    if (l->deviation == 0)
        return l->low + (int32_t)stream_below(random, (uint32_t)(l->high - l->low) + 1);
    /* Box and Muller 1958; 1 - u is never 0. */
    double radius = sqrt(-2 * log(1 - stream_unit(random))), angle = 2 * PI * stream_unit(random);
    double length = l->median * exp(l->deviation * radius * cos(angle));
    return length < l->low ? l->low : length > l->high ? l->high : (int32_t)lround(length);
}

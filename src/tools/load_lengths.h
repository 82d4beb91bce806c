/* load_lengths.h -- how long prompts and answers are, as people write it.
 *
 *     128                   always 128
 *     64..128               each length from 64 to 128 equally likely
 *     lognormal:128,0.6     half of them below 128; the logarithm's deviation is 0.6
 *     lognormal:128,0.6,32..1024     the same, and what falls outside is drawn to the bound
 *
 * Lengths of real traffic lie near a lognormal: many short, few very long.
 */
#ifndef TOOLS_LOAD_LENGTHS_H
#define TOOLS_LOAD_LENGTHS_H

#include "base/error.h"
#include "base/prng.h"

enum { LOAD_TOKENS_MAX = 1 << 20 };

typedef struct LoadLengths {
    int32_t low, high;         /* bounds of what is drawn */
    double median, deviation;  /* of the lognormal; deviation 0: uniform */
} LoadLengths;

Err load_lengths_read(const char *text, LoadLengths *out, Error *err);
int32_t load_lengths_draw(const LoadLengths *, PrngStream *);

#endif

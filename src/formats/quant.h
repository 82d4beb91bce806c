/* quant.h -- what the encoders of quantised formats share.
 *
 * No number that an encoder can be given is undefined behaviour:
 *
 *     an infinity or a NaN      the block has no scale: it is stored as NaN and decodes to NaN
 *                               (to infinities, where the scale knows no NaN)
 *     too large for an f16 scale, or for one of the format's own: saturates
 *     too small for an f16 scale: zero
 */
#ifndef FORMATS_QUANT_H
#define FORMATS_QUANT_H

#include <stdbool.h>

#define QUANT_TINY 0x1p-26f    /* well below half of the smallest f16: with any scale, this is 0 */

typedef struct Spread {
    float min, max;     /* of the finite elements; min <= 0 <= max is not assumed */
    float extreme;      /* the element of largest magnitude, with its sign */
    float amax;         /* its magnitude */
    bool finite;        /* false: some element is an infinity or a NaN; the rest is 0 then */
} Spread;

Spread spread_of(const float *x, int n);

float scale_within_f16(float d);     /* d, at most F16_MAX either way */
float scale_inverse(float d);        /* 1 / d; 0 where d as f16 is 0 */

void clip(float *out, const float *x, int n, float limit);   /* into [-limit, limit] */

/* Into [low, high], NaN as low. ggml rounds 8 bits by the first, 4 and 5 bits by adding a half and
 * taking the second; the same bytes are wanted. */
int round_within(float x, int low, int high);   /* to the nearest, halves away from zero */
int floor_within(float x, int low, int high);   /* low >= 0: to the integer below */

#endif

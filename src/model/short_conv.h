/* short_conv.h -- a convolution between two gates (Liquid AI 2025, LFM2).
 *
 *     B, C, u = x W_in                              [rows, D] each
 *     y      += (C conv(B u)) W_out                 the convolution channel by channel, over the last K rows
 *
 * What is kept of a sequence: the last K - 1 rows of B u.
 */
#ifndef MODEL_SHORT_CONV_H
#define MODEL_SHORT_CONV_H

#include "model/linear_weights.h"
#include "model/part.h"

typedef struct ShortConvShape {
    int32_t D, taps;
    bool bias;                         /* of all three */
    const char *prefix;                /* "model.layers.%d.conv." */
} ShortConvShape;

typedef struct ShortConvWeights { Linear in, conv, out; } ShortConvWeights;

extern const Part part_short_conv;

#endif

/* mxfp4.c -- see mxfp4.h. */
#include "formats/mxfp4/mxfp4.h"

#include <math.h>
#include <string.h>

#include "formats/a8/a8.h"
#include "formats/bits.h"
#include "formats/quant.h"
#include "formats/quant_search.h"

enum { E_MAX = 252 };   /* 12 x 2^(253 - 128) would be infinite in f32 */

const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static void mxfp4_decode(float *x, const void *blocks, size_t elems)
{
    const MXFP4Block *b = blocks;
    for (; elems; elems -= MXFP4_ELEMS, x += MXFP4_ELEMS, b++) {
        float d = mxfp4_scale(b->e);
        for (unsigned i = 0; i < MXFP4_ELEMS; i++)
            x[i] = d * (float)mxfp4_values[bits_get(b->q, 4, 16, i)];
    }
}

/* The index of the value nearest to v. */
static unsigned mxfp4_near(float v)
{
    float magnitude = fabsf(v);
    unsigned at = 0;
    while (at < 7 && 2 * magnitude > (float)(mxfp4_values[at] + mxfp4_values[at + 1]))
        at++;
    return at && v < 0 ? at | 8 : at;
}

static double mxfp4_error(const float *x, const float *w, uint8_t e)
{
    float d = mxfp4_scale(e);
    double error = 0;
    for (int i = 0; i < MXFP4_ELEMS; i++) {
        double off = (double)d * mxfp4_values[mxfp4_near(x[i] / d)] - x[i];
        error += w[i] * off * off;
    }
    return error;
}

/* The scale that brings the largest element to the upper values, or a neighbour with less error. */
static uint8_t mxfp4_best_exponent(const float *x, const float *w, float amax)
{
    int exponent;
    frexpf(amax, &exponent);            /* amax = [0.5, 1) 2^exponent; 12 = 0.75 x 2^4 */
    int middle = exponent - 4 + 128;
    uint8_t best = 0;
    double best_error = INFINITY;
    for (int e = middle - 1; e <= middle + 1; e++) {
        uint8_t candidate = (uint8_t)(e < 0 ? 0 : e > E_MAX ? E_MAX : e);
        double error = mxfp4_error(x, w, candidate);
        if (error < best_error) {
            best_error = error;
            best = candidate;
        }
    }
    return best;
}

static void mxfp4_encode_block(MXFP4Block *b, const float *x, const float *importance)
{
    Spread spread = spread_of(x, MXFP4_ELEMS);
    float w[MXFP4_ELEMS];
    *b = (MXFP4Block){.e = 0};
    if (!spread.finite) {
        b->e = 255;
        memset(b->q, 0x77, sizeof b->q);
        return;
    }
    if (spread.amax == 0)
        return;
    fit_weights(w, importance, MXFP4_ELEMS);
    b->e = mxfp4_best_exponent(x, w, spread.amax);
    for (unsigned i = 0; i < MXFP4_ELEMS; i++)
        bits_put(b->q, 4, 16, i, mxfp4_near(x[i] / mxfp4_scale(b->e)));
}

static void mxfp4_encode(void *blocks, const float *x, size_t elems, const float *importance)
{
    MXFP4Block *b = blocks;
    for (size_t i = 0; i < elems; i += MXFP4_ELEMS)
        mxfp4_encode_block(b++, x + i, importance ? importance + i : NULL);
}

/* There byte i holds elements 2 i and 2 i + 1. */
static void mxfp4_join(void *blocks, const uint8_t *values, const uint8_t *scales, size_t elems)
{
    MXFP4Block *b = blocks;
    for (size_t n = elems / MXFP4_ELEMS; n; n--, b++, values += sizeof b->q) {
        *b = (MXFP4Block){.e = *scales++};
        for (unsigned i = 0; i < MXFP4_ELEMS; i++)
            bits_put(b->q, 4, 16, i, bits_get(values, 4, 1, i));
    }
}

const Format format_mxfp4 = {
    .name = "MXFP4",
    .gguf_id = 39,
    .block_elems = MXFP4_ELEMS,
    .block_bytes = sizeof(MXFP4Block),
    .activation = &format_a8,
    .decode = mxfp4_decode,
    .encode = mxfp4_encode,
    .join = mxfp4_join,
};

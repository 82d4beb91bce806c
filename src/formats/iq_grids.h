/* iq_grids.h -- the codebooks of the IQ formats.
 *
 * An IQ format stores no number for each element: it stores, for 8 elements (4 in IQ3), which entry
 * of a codebook they are most like. The codebooks hold the patterns that are frequent in weights;
 * they are part of the formats, and so fixed for ever. An entry is packed, element 0 in the lowest
 * bits:
 *
 *     IQ1    8 x 2 bits    0 1 2 for -1 0 1
 *     IQ2    8 x 2 bits    0 1 2 for 8 25 43
 *     IQ3    4 x 3 bits    index into the 8 levels of the format
 *
 * IQ2 and IQ3 keep signs apart, one bit an element. Some save the eighth: it makes the number of
 * minus signs even.
 *
 * ridge reads these formats and does not write them; the search for entries would be all they need.
 */
#ifndef FORMATS_IQ_GRIDS_H
#define FORMATS_IQ_GRIDS_H

#include <stddef.h>
#include <stdint.h>

enum { IQ_ELEMS = 256 };

extern const uint16_t iq1_grid[2048];
extern const uint16_t iq2_xxs_grid[256], iq2_xs_grid[512], iq2_s_grid[1024];
extern const uint16_t iq3_xxs_grid[256], iq3_s_grid[512];

static inline unsigned iq_signs(unsigned seven)
{
    return seven | (unsigned)__builtin_parity(seven) << 7;
}

static inline float iq_signed(float x, unsigned signs, int i) { return signs >> i & 1 ? -x : x; }

static inline void iq1_decode_8(float x[8], float scale, float delta, unsigned entry)
{
    for (int i = 0; i < 8; i++)
        x[i] = scale * ((float)(int)(entry >> 2 * i & 3) - 1 + delta);
}

static inline void iq2_decode_8(float x[8], float scale, unsigned entry, unsigned signs)
{
    static const float level[4] = {8, 25, 43, 0};
    for (int i = 0; i < 8; i++)
        x[i] = iq_signed(scale * level[entry >> 2 * i & 3], signs, i);
}

static inline void iq3_decode_4(float x[4], float scale, const float level[8], unsigned entry,
                                unsigned signs)
{
    for (int i = 0; i < 4; i++)
        x[i] = iq_signed(scale * level[entry >> 3 * i & 7], signs, i);
}

#endif

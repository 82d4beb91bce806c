/* iq4_xs.h -- 4 bits that choose from 16 values, in groups of 32 with a scale of 6 bits.
 *
 *     | d: f16 | upper 2 bits of 8 scales | lower 4 bits of 8 scales | q: 128 bytes |
 *
 *     136 bytes a block of 256, 4.25 bits an element       x = (d (scale - 32)) value[q]
 *
 *     byte 16 g + i of q holds element 32 g + i in its low half and 32 g + 16 + i in its high half
 *
 * The values are those of IQ4_NL.
 */
#ifndef FORMATS_IQ4_XS_H
#define FORMATS_IQ4_XS_H

#include <stdint.h>

typedef struct IQ4XSBlock {
    uint8_t d[2];
    uint8_t scales_high[2];
    uint8_t scales_low[4];
    uint8_t q[128];
} IQ4XSBlock;
_Static_assert(sizeof(IQ4XSBlock) == 136, "as in files");

#endif

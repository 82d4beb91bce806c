/* iq4_nl.h -- 4 bits that choose from 16 values, one scale a block.
 *
 *     | d: f16 | 16 bytes |        18 bytes a block of 32, 4.5 bits an element       x = d value[q]
 *
 *     byte i holds element i in its low half and element i + 16 in its high half
 *
 * The values lie closer together near 0, where most weights are.
 */
#ifndef FORMATS_IQ4_NL_H
#define FORMATS_IQ4_NL_H

#include <stdint.h>

enum { IQ4_NL_ELEMS = 32 };

typedef struct IQ4NLBlock {
    uint8_t d[2];
    uint8_t q[IQ4_NL_ELEMS / 2];
} IQ4NLBlock;
_Static_assert(sizeof(IQ4NLBlock) == 18, "as in files");

extern const int8_t iq4_values[16];

#endif

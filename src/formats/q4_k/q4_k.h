/* q4_k.h -- 4 bits, in groups of 32 with a scale and a min of 6 bits each.
 *
 *     | d: f16 | dmin: f16 | scales and mins: 12 bytes (see k_quant.c) | q: 128 bytes |
 *
 *     144 bytes a block of 256, 4.5 bits an element       x = (d scale) q - (dmin min)
 *
 *     byte 32 h + i of q holds element 64 h + i in its low half and 64 h + 32 + i in its high half
 */
#ifndef FORMATS_Q4_K_H
#define FORMATS_Q4_K_H

#include <stdint.h>

typedef struct Q4KBlock {
    uint8_t d[2], dmin[2];
    uint8_t scales[12];
    uint8_t q[128];
} Q4KBlock;
_Static_assert(sizeof(Q4KBlock) == 144, "as in files");

#endif

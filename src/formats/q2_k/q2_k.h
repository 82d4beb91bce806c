/* q2_k.h -- 2 bits, in groups of 16 with a scale and a min of 4 bits each.
 *
 *     | 16 x (scale: 4 bits, min: 4 bits) | q: 64 bytes | d: f16 | dmin: f16 |
 *
 *     84 bytes a block of 256, 2.625 bits an element       x = (d scale) q - (dmin min)
 *
 *     byte 32 h + i of q holds, in 2 bits each, elements 128 h + i, + 32, + 64, + 96
 */
#ifndef FORMATS_Q2_K_H
#define FORMATS_Q2_K_H

#include <stdint.h>

typedef struct Q2KBlock {
    uint8_t scales[16];
    uint8_t q[64];
    uint8_t d[2], dmin[2];
} Q2KBlock;
_Static_assert(sizeof(Q2KBlock) == 84, "as in files");

#endif

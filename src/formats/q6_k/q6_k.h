/* q6_k.h -- 6 bits, in groups of 16 with a scale of 8 bits.
 *
 *     | low: 128 bytes | high: 64 bytes | 16 x int8 scale | d: f16 |
 *
 *     210 bytes a block of 256, 6.5625 bits an element       x = (d scale) (q - 32)
 *
 *     low     byte 64 h + i holds element 128 h + i in its low half and 128 h + 64 + i in its high half
 *     high    byte 32 h + i holds the upper 2 bits of elements 128 h + i, + 32, + 64, + 96
 */
#ifndef FORMATS_Q6_K_H
#define FORMATS_Q6_K_H

#include <stdint.h>

typedef struct Q6KBlock {
    uint8_t low[128];
    uint8_t high[64];
    int8_t scales[16];
    uint8_t d[2];
} Q6KBlock;
_Static_assert(sizeof(Q6KBlock) == 210, "as in files");

#endif

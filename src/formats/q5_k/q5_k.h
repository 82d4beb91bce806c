/* q5_k.h -- 5 bits, in groups of 32 with a scale and a min of 6 bits each.
 *
 *     | d: f16 | dmin: f16 | scales and mins: 12 bytes (see k_quant.c) | high: 32 | low: 128 |
 *
 *     176 bytes a block of 256, 5.5 bits an element       x = (d scale) q - (dmin min)
 *
 *     low     byte 32 h + i holds element 64 h + i in its low half and 64 h + 32 + i in its high half
 *     high    byte i holds the fifth bit of elements i, i + 32, ..., i + 224
 */
#ifndef FORMATS_Q5_K_H
#define FORMATS_Q5_K_H

#include <stdint.h>

typedef struct Q5KBlock {
    uint8_t d[2], dmin[2];
    uint8_t scales[12];
    uint8_t high[32];
    uint8_t low[128];
} Q5KBlock;
_Static_assert(sizeof(Q5KBlock) == 176, "as in files");

#endif

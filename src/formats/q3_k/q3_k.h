/* q3_k.h -- 3 bits, in groups of 16 with a scale of 6 bits.
 *
 *     | high bits: 32 bytes | low bits: 64 bytes | scales: 12 bytes | d: f16 |
 *
 *     110 bytes a block of 256, 3.4375 bits an element       x = (d (scale - 32)) (q - 4)
 *
 *     low     byte 32 h + i holds, in 2 bits each, elements 128 h + i, + 32, + 64, + 96
 *     high    byte i holds the third bit of elements i, i + 32, ..., i + 224
 *     scales  bytes 0-7: the lower 4 bits of scales 0-7, above them those of scales 8-15
 *             byte 8 + i: the upper 2 bits of scales i, i + 4, i + 8, i + 12
 */
#ifndef FORMATS_Q3_K_H
#define FORMATS_Q3_K_H

#include <stdint.h>

typedef struct Q3KBlock {
    uint8_t high[32];
    uint8_t low[64];
    uint8_t scales[12];
    uint8_t d[2];
} Q3KBlock;
_Static_assert(sizeof(Q3KBlock) == 110, "as in files");

#endif

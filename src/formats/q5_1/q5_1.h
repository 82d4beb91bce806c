/* q5_1.h -- 5 bits, one scale and one minimum a block.
 *
 *     | d: f16 | m: f16 | fifth bits: 4 bytes | 16 bytes |
 *     24 bytes a block of 32, 6 bits an element       x = d q + m
 *
 *     byte i of the last 16 holds the lower 4 bits of element i in its low half, those of element
 *     i + 16 in its high half; the fifth bit of element 8 j + k is bit k of byte j
 */
#ifndef FORMATS_Q5_1_H
#define FORMATS_Q5_1_H

#include <stdint.h>

enum { Q5_1_ELEMS = 32 };

typedef struct Q5_1Block {
    uint8_t d[2], m[2];
    uint8_t high[4];
    uint8_t low[Q5_1_ELEMS / 2];
} Q5_1Block;
_Static_assert(sizeof(Q5_1Block) == 24, "as in files");

#endif

/* q5_0.h -- 5 bits, one scale a block.
 *
 *     | d: f16 | fifth bits: 4 bytes | 16 bytes |
 *     22 bytes a block of 32, 5.5 bits an element       x = d (q - 16)
 *
 *     byte i of the last 16 holds the lower 4 bits of element i in its low half, those of element
 *     i + 16 in its high half; the fifth bit of element 8 j + k is bit k of byte j
 */
#ifndef FORMATS_Q5_0_H
#define FORMATS_Q5_0_H

#include <stdint.h>

enum { Q5_0_ELEMS = 32 };

typedef struct Q5_0Block {
    uint8_t d[2];
    uint8_t high[4];
    uint8_t low[Q5_0_ELEMS / 2];
} Q5_0Block;
_Static_assert(sizeof(Q5_0Block) == 22, "as in files");

#endif

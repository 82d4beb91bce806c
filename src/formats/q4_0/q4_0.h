/* q4_0.h -- 4 bits, one scale a block.
 *
 *     | d: f16 | 16 bytes |
 *     18 bytes a block of 32, 4.5 bits an element       x = d (q - 8)
 *
 *     byte i holds element i in its low half and element i + 16 in its high half
 */
#ifndef FORMATS_Q4_0_H
#define FORMATS_Q4_0_H

#include <stdint.h>

enum { Q4_0_ELEMS = 32 };

typedef struct Q4_0Block {
    uint8_t d[2];
    uint8_t q[Q4_0_ELEMS / 2];
} Q4_0Block;
_Static_assert(sizeof(Q4_0Block) == 18, "as in files");

#endif

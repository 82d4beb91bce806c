/* q4_1.h -- 4 bits, one scale and one minimum a block.
 *
 *     | d: f16 | m: f16 | 16 bytes |
 *     20 bytes a block of 32, 5 bits an element       x = d q + m
 *
 *     byte i holds element i in its low half and element i + 16 in its high half
 */
#ifndef FORMATS_Q4_1_H
#define FORMATS_Q4_1_H

#include <stdint.h>

enum { Q4_1_ELEMS = 32 };

typedef struct Q4_1Block {
    uint8_t d[2], m[2];
    uint8_t q[Q4_1_ELEMS / 2];
} Q4_1Block;
_Static_assert(sizeof(Q4_1Block) == 20, "as in files");

#endif

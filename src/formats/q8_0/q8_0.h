/* q8_0.h -- 8 bits, one scale a block.
 *
 *     | d: f16 | 32 x int8 |       34 bytes a block of 32, 8.5 bits an element       x = d q
 */
#ifndef FORMATS_Q8_0_H
#define FORMATS_Q8_0_H

#include <stdint.h>

enum { Q8_0_ELEMS = 32 };

typedef struct Q8_0Block {
    uint8_t d[2];
    int8_t q[Q8_0_ELEMS];
} Q8_0Block;
_Static_assert(sizeof(Q8_0Block) == 34, "as in files");

#endif

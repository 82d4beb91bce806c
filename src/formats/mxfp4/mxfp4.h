/* mxfp4.h -- 4-bit floats (E2M1) with a power of two a block (E8M0).
 *
 *     | e: byte | 16 bytes |
 *     17 bytes a block of 32, 4.25 bits an element       x = 2^(e - 128) value[q]
 *
 *     byte i holds element i in its low half and element i + 16 in its high half
 *     value: 0 1 2 3 4 6 8 12, then the same with a minus sign; twice those of OCP's E2M1, so that
 *     they are integers, and therefore 2^(e - 128), not 2^(e - 127)
 *
 * OCP Microscaling Formats 1.0 calls e = 255 a NaN; GGUF reads it as 2^127. The encoder uses it
 * only for blocks with an infinity or a NaN, which decode to infinities.
 */
#ifndef FORMATS_MXFP4_H
#define FORMATS_MXFP4_H

#include "base/half.h"

enum { MXFP4_ELEMS = 32 };

typedef struct MXFP4Block {
    uint8_t e;
    uint8_t q[MXFP4_ELEMS / 2];
} MXFP4Block;
_Static_assert(sizeof(MXFP4Block) == 17, "as in files");

extern const int8_t mxfp4_values[16];

static inline float mxfp4_scale(uint8_t e)   /* 2^(e - 128); the two smallest are denormal */
{
    return f32_of_bits(e < 2 ? 0x200000u << e : (uint32_t)(e - 1) << 23);
}

#endif

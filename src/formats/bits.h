/* bits.h -- where the bits of an element lie in a packed block.
 *
 * All block formats pack alike: a run of bytes holds the lowest bits of the first `run` elements,
 * the next bits of the next `run`, and so on until the bytes are full. Then the next run begins.
 *
 *     4 bits, run 16:    byte i holds element i (low half) and element i + 16 (high half)
 *     2 bits, run 32:    byte i holds elements i, i + 32, i + 64, i + 96
 *     1 bit,  run 1:     byte i holds elements 8 i to 8 i + 7
 *
 * `bits` is 1, 2 or 4; `run` a power of two. With constants for both, this is a shift and a mask.
 */
#ifndef FORMATS_BITS_H
#define FORMATS_BITS_H

#include <stdint.h>

static inline unsigned bits_byte(unsigned bits, unsigned run, unsigned elem)
{
    return elem / (run * (8 / bits)) * run + elem % run;
}
static inline unsigned bits_shift(unsigned bits, unsigned run, unsigned elem)
{
    return elem / run % (8 / bits) * bits;
}
static inline unsigned bits_get(const uint8_t *bytes, unsigned bits, unsigned run, unsigned elem)
{
    return bytes[bits_byte(bits, run, elem)] >> bits_shift(bits, run, elem) & ((1u << bits) - 1);
}
/* Into bytes that were zero; what is above the lowest `bits` of value is left out. */
static inline void bits_put(uint8_t *bytes, unsigned bits, unsigned run, unsigned elem,
                            unsigned value)
{
    value &= (1u << bits) - 1;
    bytes[bits_byte(bits, run, elem)] |= (uint8_t)(value << bits_shift(bits, run, elem));
}

#endif

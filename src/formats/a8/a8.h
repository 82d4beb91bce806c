/* a8.h -- activations in 8 bits, for products of integers.
 *
 *     | d: f32 | sum: i32 | 32 x int8 |        40 bytes a block of 32
 *
 *     amax = max |x|      d = amax / 127      q = round_even(x * (127 / amax))      x ~ d q
 *
 * 127 / amax is computed once, in f32. `sum` is the sum of the q: formats with an offset need it
 * (W = d q + m  gives  W x = d q x + m sum(x)). An A8 row lives in memory only, never in a file.
 *
 * Two cases have no reciprocal, and every tier must treat them alike:
 *     amax < A8_AMAX_MIN              d = 0, all q = 0 (so 127 / amax is always a finite number)
 *     an infinity or a NaN            d = NaN, all q = 0: what is computed from the block is NaN
 */
#ifndef FORMATS_A8_H
#define FORMATS_A8_H

#include "core/format.h"

enum { A8_ELEMS = 32 };
#define A8_AMAX_MIN 0x1p-100f

typedef struct A8Block {
    float d;
    int32_t sum;
    int8_t q[A8_ELEMS];
} A8Block;
_Static_assert(sizeof(A8Block) == 40, "no padding");

extern const Format format_a8;

#endif

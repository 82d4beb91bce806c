/* q8_0_lanes.h -- blocks of Q8_0, 16 values at a time (for *_cpu.c files): the bits of q8_0.c. */
#ifndef FORMATS_Q8_0_Q8_0_LANES_H
#define FORMATS_Q8_0_Q8_0_LANES_H

#include "base/half.h"
#include "core/format.h"
#include "formats/q8_0/q8_0.h"
#include "formats/quant.h"
#include "kernels/kit/simd.h"

/* 16 values of a row from `at` on, a multiple of 16. */
INLINE Vf q8_0_lanes(const void *row, int at)
{
    const Q8_0Block *b = (const Q8_0Block *)row + at / Q8_0_ELEMS;
    return vf_mul(vf_all_of_f16(b->d), vf_of_i(vi_of_i8(b->q + at % Q8_0_ELEMS)));
}

/* To the nearest within +-127, halves away from zero. */
INLINE void q8_0_put_16(int8_t *q, Vf x)
{
    Vf within = vf_max(vf_min(x, vf_all(127)), vf_all(-127)), near = vf_round(within);
    Vf half = vf_copy_sign(vf_all(0.5f), within), whole = vf_copy_sign(vf_all(1), within);
    near = vf_pick(vf_equal(vf_sub(within, near), half), vf_add(near, whole), near);
    vi_to_i8(q, vi_of_f(near));
}

/* A block of 32; what is not finite is left to the format itself. */
INLINE void q8_0_put_block(const Format *f, Q8_0Block *b, const float *x)
{
    Vf x0 = vf_load(x), x1 = vf_load(x + LANES);
    Vi magnitude = vi_all(INT32_MAX);
    int32_t largest = vi_most(vi_max(vi_and(vf_bits(x0), magnitude), vi_and(vf_bits(x1), magnitude)));
    if (largest >= 0x7f800000) {
        f->encode(b, x, Q8_0_ELEMS, NULL);
        return;
    }
    float d = scale_within_f16(f32_of_bits((uint32_t)largest) / 127);
    Vf inverse = vf_all(scale_inverse(d));
    f16_store(b->d, d);
    q8_0_put_16(b->q, vf_mul(x0, inverse));
    q8_0_put_16(b->q + LANES, vf_mul(x1, inverse));
}

#endif

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

/* The scales of a block of 16 rows that lie `bytes` apart. */
INLINE Vf q8_0_scales(const uint8_t *blocks, size_t bytes)
{
    uint16_t halves[LANES];
    vi_to_u16(halves, vi_and(vi_rows(blocks, (int32_t)bytes), vi_all(0xffff)));
    return vf_of_f16(halves);
}

/* Four numbers in each lane, times the lane's scale: out[i] has number i of all lanes. A product is exact, so there are two ways
 * to the same bits. */
INLINE void q8_0_fours(Vf out[4], Vi fours, Vf scales)
{
#ifdef TIER_avx512
    /* A number + 128 in the second byte of 2^15 makes that 2^15 + 128 more than the number. */
    Vi bytes = vi_xor(fours, vi_all((int32_t)0x80808080)), order = _mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
    Vf more = vf_mul(scales, vf_all(-(0x1p15f + 128)));
    for (int i = 0; i < 4; i++) {
        Vi second = vi_shl(vi_add(order, vi_all(i)), 8);
        Vi large = _mm512_mask_shuffle_epi8(vi_all(0x47000000), 0x2222222222222222, bytes, second);
        out[i] = vf_fma(vf_of_bits(large), scales, more);
    }
#else
    out[0] = vf_mul(scales, vf_of_i(vi_sar(vi_shl(fours, 24), 24)));
    out[1] = vf_mul(scales, vf_of_i(vi_sar(vi_shl(fours, 16), 24)));
    out[2] = vf_mul(scales, vf_of_i(vi_sar(vi_shl(fours, 8), 24)));
    out[3] = vf_mul(scales, vf_of_i(vi_sar(fours, 24)));
#endif
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

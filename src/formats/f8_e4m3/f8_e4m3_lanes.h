/* f8_e4m3_lanes.h -- 16 values of F8_E4M3 at a time (for *_cpu.c files): the bits of f8_e4m3.c. */
#ifndef FORMATS_F8_E4M3_F8_E4M3_LANES_H
#define FORMATS_F8_E4M3_F8_E4M3_LANES_H

#include "kernels/kit/simd.h"
#include "kernels/kit/transpose.h"

INLINE Vf f8_e4m3_lanes(const uint8_t *p) { return vf_of_e4m3(p); }

/* Pairs of bytes become two f16: the first ones and the second ones, 32 each. The same steps as vf_of_e4m3 takes, but for its
 * factor: they are 2^-8 times as large. */
INLINE void f8_e4m3_pairs(void *first, void *second, Vi pairs)
{
    for (int odd = 0; odd < 2; odd++) {
        Vi at_top = odd ? pairs : vi_shl(pairs, 8);
        Vi half = vi_or(vi_and(vi_shr(at_top, 1), vi_all(0x3f803f80)), vi_and(at_top, vi_all((int32_t)0x80008000)));
        vi_store(odd ? second : first, vi_or(half, vi_and(vi_add(half, vi_all(0x00800080)), vi_all(0x40004000))));
    }
}

/* Below 2^-6 an addition rounds at the step of denormals, 2^-9; above, the bits round as an integer. */
INLINE void f8_e4m3_put_lanes(uint8_t *p, Vf x)
{
    Vf size = vf_abs(x), one = vf_all(0x1p14f);
    Vi bits = vf_bits(size), half = vi_add(vi_all((1 << 19) - 1), vi_and(vi_shr(bits, 20), vi_all(1)));
    Vi small = vi_sub(vf_bits(vf_add(size, one)), vf_bits(one));
    Vi large = vi_min(vi_shr(vi_add(vi_sub(bits, vi_all(120 << 23)), half), 20), vi_all(0x7e));
    Vf near = vf_pick(vf_less(size, vf_all(0x1p-6f)), vf_of_bits(small), vf_of_bits(large));
    near = vf_pick(vf_less(size, vf_all(__builtin_inff())), near, vf_of_bits(vi_all(0x7f)));
    vi_to_i8(p, vi_or(vf_bits(near), vi_and(vi_shr(vf_bits(x), 24), vi_all(0x80))));
}

#endif

/* f8_e4m3_cpu.c -- panels of F8_E4M3. */
#include "kernels/kit/simd.h"

#define PANEL_FORMAT f8_e4m3
#define ELEM_BYTES 1

/* The magnitude as the upper bits of an f32 is 2^-120 times its value, denormals included. */
INLINE Vf weights(const uint8_t *p)
{
    Vi byte = vi_of_u8(p), magnitude = vi_and(byte, vi_all(0x7f));
    Vf value = vf_mul(vf_of_bits(vi_shl(magnitude, 20)), vf_all(0x1p120f));
    value = vf_pick(vi_equal(magnitude, vi_all(0x7f)), vf_all(__builtin_nanf("")), value);
    return vf_copy_sign(value, vf_of_bits(vi_shl(byte, 24)));
}

#include "formats/panel_float.h"

/* f8_e5m2_cpu.c -- panels of F8_E5M2. */
#include "kernels/kit/simd.h"

#define PANEL_FORMAT f8_e5m2
#define ELEM_BYTES 1

/* The magnitude as the upper bits of an f32 is 2^-112 times its value, denormals included; with the
 * exponent of an f32 of all ones, infinities and NaN stay what they are. */
INLINE Vf weights(const uint8_t *p)
{
    Vi byte = vi_of_u8(p), bits = vi_shl(vi_and(byte, vi_all(0x7f)), 21);
    Vf value = vf_mul(vf_of_bits(bits), vf_all(0x1p112f));
    Vm finite = vf_less(value, vf_all(0x1p16f));
    value = vf_pick(finite, value, vf_of_bits(vi_or(bits, vi_all(0x7f800000))));
    return vf_copy_sign(value, vf_of_bits(vi_shl(byte, 24)));
}

#include "formats/panel_float.h"

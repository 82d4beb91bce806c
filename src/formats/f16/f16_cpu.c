/* f16_cpu.c -- panels of F16. */
#include "kernels/kit/simd.h"

#define PANEL_FORMAT f16
#define ELEM_BYTES 2

INLINE Vf weights(const uint8_t *p) { return vf_of_f16(p); }

#include "formats/panel_float.h"

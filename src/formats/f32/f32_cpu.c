/* f32_cpu.c -- panels of F32. */
#include "kernels/kit/simd.h"

#define PANEL_FORMAT f32
#define ELEM_BYTES 4

INLINE Vf weights(const uint8_t *p) { return vf_load((const float *)p); }

#include "formats/panel_float.h"

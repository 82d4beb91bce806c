/* bf16_cpu.c -- panels of BF16. */
#include "kernels/kit/simd.h"

#define PANEL_FORMAT bf16
#define ELEM_BYTES 2
#define IS_BF16

INLINE Vf weights(const uint8_t *p) { return vf_of_bf16(p); }

#include "formats/panel_float.h"

/* lanes.h -- up to 16 neighbouring values, where mostly there are 16 (for *_cpu.c files).
 *
 * n is a constant after inlining, so that whole vectors cost no mask. */
#ifndef KERNELS_KIT_LANES_H
#define KERNELS_KIT_LANES_H

#include "kernels/kit/simd.h"

INLINE Vf lanes_load(const float *p, int n) { return n == LANES ? vf_load(p) : vf_load_n(p, n); }
INLINE void lanes_store(float *p, Vf v, int n)
{
    if (n == LANES)
        vf_store(p, v);
    else
        vf_store_n(p, v, n);
}
/* Zeros where there is nothing: a state that begins. */
INLINE Vf lanes_load_or_zero(const float *p, int64_t at, int n) { return p ? lanes_load(p + at, n) : vf_zero(); }

#endif

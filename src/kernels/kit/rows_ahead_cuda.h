/* rows_ahead_cuda.h -- numbers of the next rows come into shared memory while threads compute, without passing through their
 * registers. PTX ISA 7.0: cp.async.
 */
#ifndef KERNELS_KIT_ROWS_AHEAD_CUDA_H
#define KERNELS_KIT_ROWS_AHEAD_CUDA_H

#include "kernels/kit/cuda_kit.h"

template <int BYTES> static __device__ inline void begin_copy(float *to, const float *from)
{
    unsigned place = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(place), "l"(from), "n"(BYTES) : "memory");
}

/* The thread's own; then __syncthreads(). */
static __device__ inline void copies_ended() { asm volatile("cp.async.wait_all;" ::: "memory"); }

/* n of at most MOST numbers, by a warp. WIDE: four are one piece. */
template <int MOST, bool WIDE> static __device__ inline void copy_row(float *to, const float *from, int n, int lane)
{
    enum { AT_ONCE = WIDE ? 4 : 1 };
#pragma unroll
    for (int i = 0; i < MOST; i += 32 * AT_ONCE)
        if (i + lane * AT_ONCE < n)
            begin_copy<sizeof(float) * AT_ONCE>(to + i + lane * AT_ONCE, from + i + lane * AT_ONCE);
}

#endif

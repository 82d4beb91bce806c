/* ptx_cuda.h of emulated.h. */
#ifndef KERNELS_KIT_PTX_CUDA_H
#define KERNELS_KIT_PTX_CUDA_H

#include "base/half.h"
#include "kernels/kit/cuda_kernel.h"

static inline void previous_later() {}
static inline void previous_ended() { emulated_previous_ended(); }
static inline void previous() { previous_ended(); }

enum { ALL_BLOCKS = 0 };      /* at once, as blocks of a cluster: what is in shared memory may only be named then */
template <typename... As, typename... Bs>
static inline void launch_kernel(void (*kernel)(As...), int cluster, dim3 grid, dim3 threads, size_t, const CudaRun *, Bs... args)
{
    emulate(grid, threads.x, cluster == ALL_BLOCKS ? grid.x : (unsigned)cluster, [=] { kernel(As(args)...); });
}
#define LAUNCH(kernel, grid, threads, shared, g, ...) launch_kernel(kernel, 1, grid, threads, shared, g, __VA_ARGS__)
#define LAUNCH_WAITING(kernel, grid, threads, shared, g, ...)                                                           \
    launch_kernel(kernel, ALL_BLOCKS, grid, threads, shared, g, __VA_ARGS__)
#define LAUNCH_CLUSTERS(kernel, cluster, grid, threads, shared, g, ...)                                                \
    launch_kernel(kernel, cluster, grid, threads, shared, g, __VA_ARGS__)

static inline void threads_meet(int barrier, int threads) { emulated_barrier(barrier, (unsigned)threads); }
static inline void counter_wait(const unsigned *counter, unsigned count)
{
    emulated_until([=] { return *counter >= count; });
}

inline float f32_of_f16(unsigned short h) { return f16_to_f32(h); }
inline unsigned short f16_of_f32(float f) { return f32_to_f16(f); }
inline unsigned bf16_two(float a, float b) { return f32_to_bf16(a) | (unsigned)f32_to_bf16(b) << 16; }

#endif

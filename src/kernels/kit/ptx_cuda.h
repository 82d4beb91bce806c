/* ptx_cuda.h -- what CUDA C has no words for, in PTX, and launches. tests/emulated has another one, of a CPU's threads. */
#ifndef KERNELS_KIT_PTX_CUDA_H
#define KERNELS_KIT_PTX_CUDA_H

#include "kernels/kit/cuda_kernel.h"

/* ---- launches ---- */

/* Each kernel is launched while the one before it still runs (programmatic dependent launch, since compute capability 9.0),
 * so that getting ready costs nothing, and begins with previous(): it lets the next one get ready, and waits for all that
 * was sent before. Nothing that a kernel before may have written may be read above it. */
static __device__ inline void previous_later() /* the first half: for kernels that have something to fetch before they wait */
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
static __device__ inline void previous_ended()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
static __device__ inline void previous()
{
    previous_later();
    previous_ended();
}

/* cluster: blocks of threads that lie near each other and meet (grid is a multiple of it). */
template <typename... As, typename... Bs>
static inline void launch_kernel(void (*kernel)(As...), int cluster, dim3 grid, dim3 threads, size_t shared, const CudaRun *g,
                                 Bs... args)
{
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute attribute[2];
    attribute[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute[0].val.programmaticStreamSerializationAllowed = g->overlaps;
    attribute[1].id = cudaLaunchAttributeClusterDimension;
    attribute[1].val.clusterDim.x = (unsigned)cluster, attribute[1].val.clusterDim.y = attribute[1].val.clusterDim.z = 1;
    config.gridDim = grid;
    config.blockDim = threads;
    config.dynamicSmemBytes = shared;
    config.stream = (cudaStream_t)g->stream;
    config.attrs = attribute + (g->overlaps ? 0 : 1);
    config.numAttrs = (g->overlaps ? 1 : 0) + (cluster > 1 ? 1 : 0);
    cudaLaunchKernelEx(&config, kernel, As(args)...);
}
#define LAUNCH(kernel, grid, threads, shared, g, ...) launch_kernel(kernel, 1, grid, threads, shared, g, __VA_ARGS__)
/* Blocks of threads that wait for each other: no more than there is room for at once. */
#define LAUNCH_WAITING LAUNCH
#define LAUNCH_CLUSTERS(kernel, cluster, grid, threads, shared, g, ...)                                                \
    launch_kernel(kernel, cluster, grid, threads, shared, g, __VA_ARGS__)

/* ---- threads that wait for others ---- */

/* For so many threads of a block, whole warps, at a barrier from 1 to 15. */
static __device__ inline void threads_meet(int barrier, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
/* Until a counter, which other blocks of threads raise, has come so far; what they wrote before is there then. */
static __device__ inline void counter_wait(const unsigned *counter, unsigned count)
{
    unsigned now;
    do
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(counter) : "memory");
    while (now < count);
}

/* ---- small floats ---- */

__device__ inline float f32_of_f16(unsigned short h)
{
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
    return f;
}
__device__ inline unsigned short f16_of_f32(float f)
{
    unsigned short h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
    return h;
}
/* Two numbers of bf16 in a word, the first in its lower half. */
__device__ inline unsigned bf16_two(float a, float b)
{
    unsigned two;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(two) : "f"(b), "f"(a));
    return two;
}

#endif

/* cuda_kernels.c -- which kernel computes which operation: found by the linker, as on the CPU (cpu_tiers.c). */
#include "devices/cuda/cuda_kernels.h"

#define OP(kind, NAME, name) extern const CudaKernel kernel_##name##_cuda __attribute__((weak));
#include "core/ops.inc"
#undef OP

static const CudaKernel *const kernels[OP_COUNT] = {
#define OP(kind, NAME, name) [OP_##NAME] = &kernel_##name##_cuda,
#include "core/ops.inc"
#undef OP
};

const CudaKernel *cuda_kernel(Op op)
{
    ASSERT((unsigned)op < OP_COUNT);
    return kernels[op];
}

/* cuda_kernels.h -- the GPU's kernels, by operation. */
#ifndef DEVICES_CUDA_CUDA_KERNELS_H
#define DEVICES_CUDA_CUDA_KERNELS_H

#include "kernels/kit/cuda_kernel.h"

const CudaKernel *cuda_kernel(Op);      /* NULL: there is none, and the operation is composed */

#endif

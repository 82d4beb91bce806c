/* row_stream_cuda.h -- products of one row on the GPU, see row_stream.cu. */
#ifndef KERNELS_LINEAR_ROW_STREAM_CUDA_H
#define KERNELS_LINEAR_ROW_STREAM_CUDA_H

#include "kernels/linear/stream_cuda.h"

/* false: it has no way for these, and nothing was launched. Needs no scratch. */
bool row_stream_run(const Product *, int n, WeightKind, const CudaRun *);

#endif

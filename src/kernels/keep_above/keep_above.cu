/* keep_above.cu -- see keep_above.h. A block of threads has a row. */
#include "kernels/kit/cuda_kit.h"

static __global__ void keep_above_rows(Rows y, Rows x, double deviations)
{
    previous();
    __shared__ double shared[32];
    const float *from = row(x, blockIdx.x);
    float *to = row(y, blockIdx.x);
    double sum = 0, squares = 0;
    for (int i = threadIdx.x; i < y.width; i += blockDim.x)
        sum += from[i];
    double mean = block_sum(sum, shared) / y.width;
    for (int i = threadIdx.x; i < y.width; i += blockDim.x)
        squares += (from[i] - mean) * (from[i] - mean);
    double cut = mean + deviations * sqrt(block_sum(squares, shared) / y.width);
    for (int i = threadIdx.x; i < y.width; i += blockDim.x)
        to[i] = from[i] > cut ? (float)(from[i] - cut) : 0;
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows y = rows_of(c->out[0]);
    LAUNCH(keep_above_rows, y.rows, 256, 0, g, y, rows_of(c->in[0]), (double)c->factor);
}

CUDA_KERNEL(keep_above, NULL, NULL, run)

/* match_rms.cu -- see match_rms.h. A block of threads has a row, and goes through its heads. */
#include "kernels/kit/cuda_kit.h"

static __device__ double mean_square(const float *x, int width, double *shared)
{
    double squares = 0;
    for (int i = threadIdx.x; i < width; i += blockDim.x)
        squares += (double)x[i] * x[i];
    return block_sum(squares, shared) / width;
}

static __global__ void match_rms_rows(Rows y, Rows x, Rows of, int width, double least)
{
    previous();
    __shared__ double shared[32];
    double target = sqrt(mean_square(row(of, blockIdx.x), of.width, shared));
    for (int at = 0; at < x.width; at += width) {
        const float *from = row(x, blockIdx.x) + at;
        double factor = target / sqrt(fmax(mean_square(from, width, shared), least));
        for (int i = threadIdx.x; i < width; i += blockDim.x)
            row(y, blockIdx.x)[at + i] = (float)(from[i] * factor);
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows y = rows_of(c->out[0]);
    LAUNCH(match_rms_rows, y.rows, 256, 0, g, y, rows_of(c->in[0]), rows_of(c->in[1]), innermost_of(c->in[0]),
           (double)c->eps);
}

CUDA_KERNEL(match_rms, NULL, NULL, run)

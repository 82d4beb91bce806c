/* layer_norm.cu -- see layer_norm.h. A block of threads has a head. */
#include "kernels/kit/cuda_kit.h"

typedef struct Norm {
    Rows y, x;
    const float *gain, *bias;  /* NULL: ones, zeros */
    int heads, width;
    double eps;
} Norm;

static __global__ void norm_heads(Norm n)
{
    previous();
    __shared__ double shared[32];
    int64_t r = blockIdx.x / n.heads, h = blockIdx.x % n.heads;
    const float *x = row(n.x, r) + h * n.width;
    float *y = row(n.y, r) + h * n.width;
    double sum = 0, squares = 0;
    for (int i = threadIdx.x; i < n.width; i += blockDim.x)
        sum += x[i];
    double mean = block_sum(sum, shared) / n.width;
    for (int i = threadIdx.x; i < n.width; i += blockDim.x)
        squares += (x[i] - mean) * (x[i] - mean);
    double factor = 1 / sqrt(block_sum(squares, shared) / n.width + n.eps);
    for (int i = threadIdx.x; i < n.width; i += blockDim.x)
        y[i] = (float)((x[i] - mean) * factor * (n.gain ? n.gain[i] : 1) + (n.bias ? n.bias[i] : 0));
}

static void run(const OpCall *c, const CudaRun *g)
{
    Norm n = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]).at, rows_of(c->in[2]).at, 0,
              innermost_of(c->in[0]), c->eps};
    n.heads = n.x.width / n.width;
    LAUNCH(norm_heads, n.x.rows * n.heads, n.width <= 256 ? 32 : n.width <= 1024 ? 128 : 512, 0, g, n);
}

CUDA_KERNEL(layer_norm, NULL, NULL, run)

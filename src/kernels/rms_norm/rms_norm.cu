/* rms_norm.cu -- see rms_norm.h. A block of threads has a head; small heads have a warp each. */
#include "kernels/kit/cuda_kit.h"

typedef struct Norm {
    Rows y, x;
    const float *gain;         /* NULL: ones */
    int heads, width, gain_step;
    double eps;
} Norm;

enum { HELD = 16 };            /* values of a row that a thread keeps */

static __global__ void norm_heads(Norm n)
{
    __shared__ double shared[32];
    int64_t r = blockIdx.x / n.heads, h = blockIdx.x % n.heads;
    const float *x = row(n.x, r) + h * n.width, *gain = n.gain ? n.gain + h * n.gain_step : NULL;
    float *y = row(n.y, r) + h * n.width, held[HELD], held_gain[HELD];
    double squares = 0;
    previous_later();
#pragma unroll
    for (int j = 0; j < HELD; j++) {      /* a weight: it need not be waited for */
        int i = threadIdx.x + j * blockDim.x;
        held_gain[j] = gain && i < n.width ? __ldg(gain + i) : 1;
    }
    previous_ended();
#pragma unroll
    for (int j = 0; j < HELD; j++) {
        int i = threadIdx.x + j * blockDim.x;
        held[j] = i < n.width ? x[i] : 0;
        squares += (double)held[j] * held[j];
    }
    for (int i = threadIdx.x + HELD * blockDim.x; i < n.width; i += blockDim.x)
        squares += (double)x[i] * x[i];
    float factor = (float)rsqrt(block_sum(squares, shared) / n.width + n.eps);
#pragma unroll
    for (int j = 0; j < HELD; j++) {
        int i = threadIdx.x + j * blockDim.x;
        if (i < n.width)
            y[i] = held[j] * factor * held_gain[j];
    }
    for (int i = threadIdx.x + HELD * blockDim.x; i < n.width; i += blockDim.x)
        y[i] = x[i] * factor * (gain ? gain[i] : 1);
}

static void run(const OpCall *c, const CudaRun *g)
{
    Norm n = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]).at, 0, innermost_of(c->in[0]), 0, c->eps};
    n.heads = n.x.width / n.width;
    if (n.gain && tensor_width(c->in[1]) != n.width)
        n.gain_step = n.width;
    LAUNCH(norm_heads, n.x.rows * n.heads, n.width <= 256 ? 32 : n.width <= 2048 ? 128 : 512, 0, g, n);
}

extern "C" const CudaKernel kernel_linear_cuda, kernel_linear3_cuda, kernel_gated_mlp_cuda;

/* A product of what is normed may take the norm along. */
static int run_several(const OpCall *c, int count, const CudaRun *g)
{
    if (count < 2 || c[1].in[0].data != c->out[0].data)
        return 0;
    switch (c[1].op) {
    case OP_LINEAR: return kernel_linear_cuda.run_normed(c, c + 1, g) ? 2 : 0;
    case OP_LINEAR3: return kernel_linear3_cuda.run_normed(c, c + 1, g) ? 2 : 0;
    case OP_GATED_MLP: return kernel_gated_mlp_cuda.run_normed(c, c + 1, g) ? 2 : 0;
    default: return 0;
    }
}

CUDA_KERNEL(rms_norm, NULL, NULL, run, run_several)

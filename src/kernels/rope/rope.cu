/* rope.cu -- see rope.h. A thread turns a pair. */
#include "kernels/kit/cuda_kit.h"

static __global__ void turn_rows(Rows x, Rows angles, int width, bool interleaved)
{
    previous();
    int half = angles.width / 2, heads = x.width / width;
    const float *cosines = row(angles, blockIdx.x), *sines = cosines + half;
    for (int n = blockIdx.y * blockDim.x + threadIdx.x; n < heads * half; n += gridDim.y * blockDim.x) {
        int i = n % half;
        float *head = row(x, blockIdx.x) + n / half * width;
        float *a = head + (interleaved ? 2 * i : i), *b = interleaved ? a + 1 : a + half;
        double p = *a, q = *b;
        *a = (float)(p * cosines[i] - q * sines[i]);
        *b = (float)(q * cosines[i] + p * sines[i]);
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows x = rows_of(c->out[0]);
    LAUNCH(turn_rows, dim3(x.rows, blocks_for(x.width, 2048)), 256, 0, g, x, rows_of(c->in[0]),
           innermost_of(c->out[0]), c->rope.interleaved);
}

CUDA_KERNEL(rope, NULL, NULL, run)

/* take_rows.cu -- see take_rows.h. */
#include "kernels/kit/cuda_kit.h"

static __global__ void take(uint8_t *y, int64_t y_step, const uint8_t *x, int64_t x_step, const int32_t *rows, int64_t bytes)
{
    previous();
    uint8_t *to = y + blockIdx.x * y_step;
    const uint8_t *from = x + rows[blockIdx.x] * x_step;
    bool words = ((uintptr_t)to | (uintptr_t)from | (uint64_t)bytes) % 4 == 0;
    int64_t n = words ? bytes / 4 : bytes;
    for (int64_t i = blockIdx.y * blockDim.x + threadIdx.x; i < n; i += gridDim.y * blockDim.x)
        if (words)
            ((uint32_t *)to)[i] = ((const uint32_t *)from)[i];
        else
            to[i] = from[i];
}

static void run(const OpCall *c, const CudaRun *g)
{
    Tensor y = c->out[0], x = c->in[0];
    int64_t bytes = (int64_t)tensor_row_bytes(x);
    LAUNCH(take, dim3(y.dim[0], blocks_for(bytes, 4096)), 256, 0, g, (uint8_t *)y.data,
           (int64_t)format_row_bytes(y.format, y.row_elems), (const uint8_t *)x.data,
           (int64_t)format_row_bytes(x.format, x.row_elems), ids_of(c->in[1]), bytes);
}

CUDA_KERNEL(take_rows, NULL, NULL, run)

/* clamp.cu -- see clamp.h. */
#include "kernels/kit/cuda_kit.h"

static __global__ void clamp_rows(Rows y, Rows x, ClampRange range)
{
    previous();
    EACH(i, y) {
        float v = row(x, blockIdx.x)[i];
        row(y, blockIdx.x)[i] = v < range.low ? range.low : v > range.high ? range.high : v;
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows y = rows_of(c->out[0]);
    LAUNCH(clamp_rows, grid_of(y), EACH_THREADS, 0, g, y, rows_of(c->in[0]), c->clamp);
}

CUDA_KERNEL(clamp, NULL, NULL, run)

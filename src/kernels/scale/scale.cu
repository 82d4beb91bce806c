/* scale.cu -- see scale.h. */
#include "kernels/kit/cuda_kit.h"

static __global__ void scale_rows(Rows y, Rows x, float factor)
{
    previous();
    EACH(i, y)
        row(y, blockIdx.x)[i] = factor * row(x, blockIdx.x)[i];
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows y = rows_of(c->out[0]);
    LAUNCH(scale_rows, grid_of(y), EACH_THREADS, 0, g, y, rows_of(c->in[0]), c->factor);
}

CUDA_KERNEL(scale, NULL, NULL, run)

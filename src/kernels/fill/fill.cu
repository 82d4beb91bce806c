/* fill.cu -- see fill.h. */
#include "kernels/kit/cuda_kit.h"

static __global__ void fill_rows(Rows y, float value)
{
    previous();
    EACH(i, y)
        row(y, blockIdx.x)[i] = value;
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows y = rows_of(c->out[0]);
    LAUNCH(fill_rows, grid_of(y), EACH_THREADS, 0, g, y, c->factor);
}

CUDA_KERNEL(fill, NULL, NULL, run)

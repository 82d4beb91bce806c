/* activate.cu -- see activate.h. */
#include "kernels/activate/activate_cuda.h"

static __global__ void activate_rows(Rows y, Rows x, Activation f)
{
    previous();
    EACH(i, y)
        row(y, blockIdx.x)[i] = (float)activation_at(f, row(x, blockIdx.x)[i]);
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows y = rows_of(c->out[0]);
    LAUNCH(activate_rows, grid_of(y), EACH_THREADS, 0, g, y, rows_of(c->in[0]), c->activation);
}

CUDA_KERNEL(activate, NULL, NULL, run)

/* xielu.cu -- see xielu.h. */
#include "kernels/kit/cuda_kit.h"

static __global__ void xielu_rows(Rows y, Rows from, Xielu f)
{
    previous();
    EACH(i, y) {
        double x = row(from, blockIdx.x)[i];
        double curve = x > 0 ? f.alpha_p * x * x : f.alpha_n * (expm1(fmin(x, (double)f.eps)) - x);
        row(y, blockIdx.x)[i] = (float)(f.beta * x + curve);
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows y = rows_of(c->out[0]);
    LAUNCH(xielu_rows, grid_of(y), EACH_THREADS, 0, g, y, rows_of(c->in[0]), c->xielu);
}

CUDA_KERNEL(xielu, NULL, NULL, run)
